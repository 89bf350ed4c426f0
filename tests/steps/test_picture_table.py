"""The table of 2-D pictures."""

import json
from pathlib import Path

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import decoded
from lungseg.steps.picture_table import build_picture_table
from tests.io.pictures.test_pairs import save, touch
from tests.io.pictures.test_reading import turned

ROUND = np.hypot(*(np.indices((96, 96)) - 47.5)) < 30


def two_folders(tmp_path, **pictures):
    for name, (image, mask) in pictures.items():
        save(tmp_path / "i" / f"{name}.png", image)
        save(tmp_path / "m" / f"{name}_mask.png", mask)
    return tmp_path / "i", tmp_path / "m"


def grey(shape=(96, 96), value=200):
    return np.full(shape, value, np.uint8)


def test_any_depth_and_mask_of_any_scale_give_the_same_rows(tmp_path):
    folders = two_folders(
        tmp_path,
        byte=(grey(value=100), ROUND * np.uint8(255)),
        word=(np.where(ROUND, 65535, 25700).astype(np.uint16), ROUND * np.uint8(1)),
        colour=(np.stack([grey(value=100)] * 3, axis=-1), ROUND),
    )
    facts = build_picture_table(*folders, tmp_path / "t.h5", 64)
    assert facts["scans"] == facts["rows"] == 3
    assert facts["left_out"] == 0
    with Tables(tmp_path / "t.h5") as table:
        assert table.attributes["kind"] == "pictures"
        assert decoded(table.scans["scan"]) == ["byte", "colour", "word"]
        assert set(decoded(table.slices["truth"])) == {"pictures"}
        images, lungs = table.images([0, 1, 2], context=1), table.read("lungs", [0, 1, 2])
        assert images.shape == (3, 3, 64, 64)
        assert (images[[0, 2], :, 0, 0] == 100).all()
        assert images.max() == 255
        assert (lungs[0] == lungs[1]).all()
        assert (lungs[0] == lungs[2]).all()
        inside = np.hypot(*(np.indices((64, 64)) - 31.5)) < 20
        assert np.count_nonzero(lungs[0] != inside) < 0.02 * inside.sum()
        assert table.slices["lung_mm2"][0] == np.count_nonzero(lungs[0])
        assert not table.read("nodule", [0]).any()


def test_a_wide_picture_keeps_its_shape_or_fills_the_square(tmp_path):
    folders = two_folders(tmp_path, wide=(grey((40, 80)), np.ones((20, 40), np.uint8)))
    told = {"mask_levels": "nonzero"}
    facts = build_picture_table(*folders, tmp_path / "pad.h5", 64, **told)
    assert (facts["masks_along_border"], facts["masks_along_border_names"]) == (1, "wide_mask.png")
    build_picture_table(*folders, tmp_path / "stretch.h5", 64, fit="stretch", **told)
    with Tables(tmp_path / "pad.h5") as table:
        lungs = table.read("lungs", [0])[0]
        assert lungs[16:48].all()
        assert lungs.sum() == 32 * 64
        assert not table.images([0])[0, 0, :16].any()
        assert table.scans["crop_zyx"][0].tolist() == [0, -16, 0]
        assert table.scans["shape_zyx"][0].tolist() == [1, 40, 80]
        assert table.scans["spacing_mm"][0].tolist() == [1.0, 1.25, 1.25]
    with Tables(tmp_path / "stretch.h5") as table:
        assert table.read("lungs", [0]).all()
        assert (table.images([0]) == 200).all()


def test_what_cannot_be_used_is_named_and_the_rest_is_done(tmp_path):
    images, masks = two_folders(
        tmp_path,
        good=(grey(), ROUND),
        skewed=(grey(), ROUND[:, 28:68]),
        broken=(grey(), ROUND),
    )
    (images / "broken.png").write_bytes(b"no picture")
    touch(images, "lonely.png")
    facts = build_picture_table(images, masks, tmp_path / "t.h5", 64)
    assert facts["scans"] == 1
    assert facts["left_out"] == 3
    for words in (
        "lonely.png: no partner",
        "broken.png cannot be read",
        "96 x 96 pixels, its mask",
    ):
        assert words in facts["left_out_names"]
    with Tables(tmp_path / "t.h5") as table:
        assert len(json.loads(table.attributes["left_out"])) == 3


def test_a_folder_of_broken_pictures_only_is_refused(tmp_path):
    images, masks = two_folders(tmp_path, a=(grey(), ROUND))
    (images / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no pair of pictures could be read: a: .*a\.png cannot"):
        build_picture_table(images, masks, tmp_path / "t.h5", 64)


def test_the_patient_is_found_in_the_name(tmp_path):
    folders = two_folders(tmp_path, P01_a=(grey(), ROUND), P01_b=(grey(), ROUND))
    build_picture_table(*folders, tmp_path / "t.h5", 64, patient=r"(P\d+)_")
    with Tables(tmp_path / "t.h5") as table:
        assert decoded(table.scans["patient"]) == ["P01", "P01"]
    with pytest.raises(DataError, match=r"'Q\\\\d' finds no patient in the name 'P01_a'"):
        build_picture_table(*folders, tmp_path / "t.h5", 64, patient=r"Q\d")
    with pytest.raises(DataError, match=r"is not a regular expression: .*\nset picture_patient"):
        build_picture_table(*folders, tmp_path / "t.h5", 64, patient="(")


def test_the_size_is_a_multiple_of_32(tmp_path):
    with pytest.raises(
        DataError, match="pictures of 100 pixels: the edge must be a multiple of 32"
    ):
        build_picture_table(tmp_path, tmp_path, tmp_path / "t.h5", 100)


@pytest.mark.hard
@pytest.mark.data
def test_the_real_x_rays_are_tabulated(data, tmp_path):
    folders = data / "xray" / "images", data / "xray" / "masks"
    facts = build_picture_table(*folders, tmp_path / "t.h5", 256, patient=r"^[A-Z]+_\d+")
    assert facts["scans"] == facts["patients"] == 566
    assert facts["left_out"] == facts["rows_without_lung"] == 0
    with Tables(tmp_path / "t.h5") as table:
        name = decoded(table.scans["scan"])[300]
        from PIL import Image

        with Image.open(folders[0] / f"{name}.png") as picture:
            image = np.asarray(picture.convert("L"), int)
        with Image.open(folders[1] / f"{name}.png") as picture:
            mask = np.asarray(picture.convert("L"))
        np.testing.assert_allclose(table.images([300])[0, 0], image, atol=1)
        np.testing.assert_array_equal(table.read("lungs", [300])[0], mask > 127)
        share = table.slices["lung_mm2"] / 256**2
        assert share.min() > 0.05
        assert share.max() < 0.6


def test_greys_are_rounded_not_cut_off(tmp_path):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (64, 64)).astype(np.uint16)
    deep[0, 0] = 65535
    folders = two_folders(tmp_path, a=(deep, ROUND[16:80, 16:80]))
    build_picture_table(*folders, tmp_path / "t.h5", 64)
    with Tables(tmp_path / "t.h5") as table:
        np.testing.assert_array_equal(table.images([0])[0, 0], np.rint(deep / 257))


@pytest.mark.parametrize(("columns", "left_out"), [(200, 0), (201, 0), (203, 1)])
def test_a_mask_of_another_size_has_the_same_shape_but_for_rounding(tmp_path, columns, left_out):
    folders = two_folders(
        tmp_path, a=(grey((50, 100)), np.ones((100, columns), np.uint8)), b=(grey(), ROUND)
    )
    facts = build_picture_table(*folders, tmp_path / "t.h5", 64, mask_levels="nonzero")
    assert facts["left_out"] == left_out


def test_a_stretched_picture_has_a_spacing_of_its_own_on_each_axis(tmp_path):
    folders = two_folders(tmp_path, a=(grey((128, 32)), np.ones((128, 32), np.uint8)))
    build_picture_table(*folders, tmp_path / "t.h5", 64, fit="stretch", mask_levels="1")
    with Tables(tmp_path / "t.h5") as table:
        assert table.scans["spacing_mm"][0].tolist() == [1.0, 2.0, 0.5]


def test_another_mask_makes_another_table(tmp_path):
    made = []
    for k, mask in enumerate((ROUND, ~ROUND)):
        folders = two_folders(tmp_path / str(k), a=(grey(), mask))
        build_picture_table(*folders, tmp_path / f"{k}.h5", 64, mask_levels="nonzero")
        with Tables(tmp_path / f"{k}.h5") as table:
            made.append((table.attributes["fingerprint"], bytes(table.scans["fingerprint"][0])))
    assert made[0][0] != made[1][0]
    assert made[0][1] != made[1][1]


def test_masks_that_are_not_certain_are_named_with_the_setting_that_reads_them(tmp_path):
    labels = np.where(np.arange(96) < 48, 127, 255).astype(np.uint8) * ROUND
    folders = two_folders(
        tmp_path,
        good=(grey(), ROUND),
        labels=(grey(), labels),
        inverted=(grey(), ~ROUND),
        nothing=(grey(), ROUND & False),
    )
    facts = build_picture_table(*folders, tmp_path / "t.h5", 64)
    assert (facts["rows"], facts["left_out"]) == (2, 2)
    assert (facts["masks_empty"], facts["masks_empty_names"]) == (1, "nothing_mask.png")
    for words in ("set build-tables.mask_levels to those that are lung, e.g. mask_levels=127,255",
                  "set build-tables.mask_levels=0 if the lungs are its dark part"):  # fmt: skip
        assert words in facts["left_out_names"]
    facts = build_picture_table(*folders, tmp_path / "u.h5", 64, mask_levels="127,255")
    with Tables(tmp_path / "u.h5") as table:
        rows = decoded(table.scans["scan"])
        lungs = table.read("lungs", [rows.index("labels")])[0]
        inside = np.hypot(*(np.indices((64, 64)) - 31.5)) < 20
        assert np.count_nonzero(lungs != inside) < 0.02 * inside.sum()


def test_a_picture_on_its_side_is_told_from_its_mask(tmp_path):
    images, masks = two_folders(tmp_path, a=(grey((96, 48)), ROUND[:, 24:72]), b=(grey(), ROUND))
    turned(images / "a.png", grey((96, 48)), 6)
    facts = build_picture_table(images, masks, tmp_path / "t.h5", 64)
    assert "a.png has 96 x 48 pixels, its mask a_mask.png 48 x 96" in facts["left_out_names"]
    assert "turned by its EXIF orientation, the mask is not" in facts["left_out_names"]
    turned(masks / "a_mask.png", np.uint8(255) * ROUND[:, 24:72], 6)
    build_picture_table(images, masks, tmp_path / "u.h5", 64)
    with Tables(tmp_path / "u.h5") as table:
        assert table.scans["shape_zyx"][0].tolist() == [1, 48, 96]


def test_a_name_that_the_table_cannot_keep_leaves_out_its_picture_alone(tmp_path):
    folders = two_folders(tmp_path, **{"a" * 80: (grey(), ROUND), "b": (grey(), ROUND)})
    facts = build_picture_table(*folders, tmp_path / "t.h5", 64)
    assert (facts["rows"], facts["left_out"]) == (1, 1)
    assert "takes 80 bytes; the tables keep 1 to 72" in facts["left_out_names"]


def test_a_picture_that_may_not_be_read_is_left_out(tmp_path, monkeypatch):
    images, masks = two_folders(tmp_path, a=(grey(), ROUND), b=(grey(), ROUND))
    read_bytes = Path.read_bytes

    def denied(path):
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    facts = build_picture_table(images, masks, tmp_path / "t.h5", 64)
    assert facts["left_out_names"] == "a: cannot be read (Permission denied)"
