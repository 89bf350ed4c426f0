"""Nodule slices without HU, as they are widely shared: a small tree of them."""

import numpy as np
import pytest
from PIL import Image

from lungseg.io.annotations.stretched_slices import (
    TakenAs,
    find_stretched_slices,
    has_stretched_slices,
)
from tests.io.annotations.slices_folder import disc, stretched_tree

AS = TakenAs(low_hu=-1000.0, high_hu=275.0, pixel_mm=0.5, gap_mm=2.5)


def test_slices_are_taken_for_what_is_told_of_them(tmp_path):
    folder = stretched_tree(tmp_path, {0: [disc(12), disc(12, radius=3.0)]})
    found = find_stretched_slices(folder, AS)
    assert found.left_out == ()
    (entry,) = found.nodules
    assert (entry.patient, entry.series, entry.nodule) == ("LIDC-IDRI-0001",) * 2 + ("0",)
    read = entry.read()
    # By number and not by name: slice-10 comes after slice-9.
    assert read.hu[:, 0, 0].tolist() == [-1000 + 5 * k for k in range(12)]
    assert read.z_mm.tolist() == [2.5 * k for k in range(12)]
    np.testing.assert_array_equal(read.masks, [disc(12), disc(12, radius=3.0)])
    assert (read.pixel_mm, read.first_yx) == (0.5, None)


def test_the_digest_tells_every_change_of_pixels_and_of_what_they_are_taken_for(tmp_path):
    masks = {0: [disc(2), disc(2)]}
    trees = [stretched_tree(tmp_path / str(k), masks) for k in range(3)]
    mask = trees[1] / "LIDC-IDRI-0001" / "nodule-0" / "mask-1" / "slice-1.png"
    Image.fromarray(np.full((24, 24), 255, np.uint8)).save(mask)
    darker = TakenAs(-1024.0, 275.0, 0.5, 2.5)
    digests = [
        find_stretched_slices(tree, taken_as).nodules[0].digest()
        for tree, taken_as in zip([*trees, trees[0]], [AS, AS, AS, darker], strict=True)
    ]
    assert digests[0] == digests[2]
    assert len({*digests}) == 3


def test_a_nodule_that_cannot_be_read_is_named_and_the_others_go_on(tmp_path):
    folder = stretched_tree(tmp_path, {k: [disc(2), disc(2)] for k in range(7)})
    at = folder / "LIDC-IDRI-0001"
    (at / "nodule-0" / "mask-1" / "slice-1.png").unlink()
    (at / "nodule-1" / "images" / "slice-0.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((20, 24), np.uint8)).save(at / "nodule-2" / "mask-0" / "slice-0.png")
    for mask in at.glob("nodule-3/mask-*/*.png"):
        Image.fromarray(np.zeros((24, 24), np.uint8)).save(mask)
    for mask in at.glob("nodule-4/mask-*"):
        mask.rename(at / "nodule-4" / mask.name.replace("mask", "other"))
    for image in at.glob("nodule-5/images/*"):
        image.unlink()
    found = find_stretched_slices(folder, AS)
    assert [entry.nodule for entry in found.nodules] == ["6"]
    words = [
        r"nodule-0 has|nodule-0: slice-1.png is in images, but not in every folder",
        r"nodule-1/images/slice-0.png cannot be read as a picture",
        r"nodule-2/mask-0/slice-0.png has 20 x 24 pixels, the nodule's first slice 24 x 24",
        r"LIDC-IDRI-0001 nodule-3: nobody drew anything",
        r"nodule-4 has no folder mask-\*",
        r"nodule-5 has no slice-0.png in images",
    ]
    assert len(found.left_out) == len(words)
    for line, expected in zip(found.left_out, words, strict=True):
        with pytest.raises(AssertionError, match=expected):
            raise AssertionError(line)


def test_the_layout_is_found_one_folder_deeper_too(tmp_path):
    assert not has_stretched_slices(tmp_path)
    stretched_tree(tmp_path / "LIDC-IDRI-slices", {0: [disc(1)]})
    assert has_stretched_slices(tmp_path)
    assert has_stretched_slices(tmp_path / "LIDC-IDRI-slices")
    assert len(find_stretched_slices(tmp_path, AS).nodules) == 1


def test_an_inverted_mask_is_named(tmp_path):
    folder = stretched_tree(tmp_path, {0: [~disc(2), disc(2)]})
    (line,) = find_stretched_slices(folder, AS).left_out
    assert "mask-0 is set along 100% of the border of its slices, as no nodule is" in line
