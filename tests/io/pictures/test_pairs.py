"""Pairs of pictures on disk."""

import numpy as np
import pytest
from PIL import Image

from lungseg.core.errors import DataError
from lungseg.io.pictures.masks import as_mask
from lungseg.io.pictures.pairs import find_pairs
from lungseg.io.pictures.reading import read_grey


def save(path, array, **how):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.fromarray(np.asarray(array)).save(path, **how)
    return path


def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")


def test_pairs_are_found_by_name_in_two_folders(tmp_path):
    touch(tmp_path / "i", "a.png", "b.JPG", "c.tif", "alone.png", "notes.txt", "._a.png")
    touch(tmp_path / "m", "a.png", "b_mask.png", "c_mask.tiff", "widow_mask.png")
    found = find_pairs(tmp_path / "i", tmp_path / "m")
    assert {name: (i.name, m.name) for name, (i, m) in found.pairs.items()} == {
        "a": ("a.png", "a.png"),
        "b": ("b.JPG", "b_mask.png"),
        "c": ("c.tif", "c_mask.tiff"),
    }
    assert found.left_out == (
        "alone.png: no partner",
        "widow_mask.png: no partner",
        "1 of .txt in i: files are read that end in .png, .jpg, .jpeg, .tif, .tiff",
    )


def test_pairs_are_found_in_one_folder(tmp_path):
    touch(tmp_path / "i", "a.png", "a_mask.png", "b.png")
    found = find_pairs(tmp_path / "i", tmp_path / "i")
    assert [m.name for _, m in found.pairs.values()] == ["a_mask.png"]
    assert found.left_out == ("b.png: no partner",)


def test_no_pair_at_all(tmp_path):
    touch(tmp_path / "i", "a.png")
    touch(tmp_path / "m", "b.png")
    with pytest.raises(DataError, match=r"none of 1 pictures .* is called `a` or `a_mask`; files"):
        find_pairs(tmp_path / "i", tmp_path / "m")


def test_two_files_of_one_name(tmp_path):
    touch(tmp_path / "i", "a.png", "a.jpg")
    touch(tmp_path / "m", "a.png")
    with pytest.raises(DataError, match=r"a\.jpg and a\.png in .* are both 'a'; keep one"):
        find_pairs(tmp_path / "i", tmp_path / "m")


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(DataError, match="absent is not a folder"):
        find_pairs(tmp_path / "absent", tmp_path)


@pytest.mark.parametrize(
    ("array", "ending", "grey", "most"),
    [
        (np.array([[0, 7], [255, 128]], np.uint8), "png", [[0, 7], [255, 128]], 255),
        (np.array([[0, 65535], [9, 300]], np.uint16), "png", [[0, 65535], [9, 300]], 65535),
        (np.array([[0, 4000], [9, 300]], np.uint16), "tiff", [[0, 4000], [9, 300]], 4095),
        (np.array([[0.5, 7.0]], np.float32), "tiff", [[0.5, 7.0]], 255),
        (np.array([[0.5, 0.25]], np.float32), "tiff", [[0.5, 0.25]], 1),
        (np.array([[0, 1]], np.uint8), "png", [[0, 1]], 255),
        (np.array([[True, False]]), "png", [[255, 0]], 255),
        (np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8), "png", [[255, 0]], 255),
        (np.array([[[255, 255, 255, 0], [0, 0, 0, 255]]], np.uint8), "png", [[255, 0]], 255),
    ],
)
def test_any_depth_becomes_grey(tmp_path, array, ending, grey, most):
    read, scale = read_grey(save(tmp_path / f"a.{ending}", array))
    np.testing.assert_allclose(read, grey)
    assert scale == most
    assert read.dtype == np.float32


def test_a_jpeg_is_read(tmp_path):
    read, _ = read_grey(save(tmp_path / "a.jpg", np.full((16, 16), 90, np.uint8)))
    np.testing.assert_allclose(read, 90, atol=2)


def test_what_is_no_picture(tmp_path):
    touch(tmp_path, "a.png")
    with pytest.raises(DataError, match=r"a\.png cannot be read as a picture"):
        read_grey(tmp_path / "a.png")


def test_a_cut_off_picture(tmp_path):
    path = save(tmp_path / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="cannot be read as a picture"):
        read_grey(path)


def test_a_stack_of_pages(tmp_path):
    page = Image.fromarray(np.zeros((4, 4), np.uint8))
    page.save(tmp_path / "a.tiff", save_all=True, append_images=[page])
    with pytest.raises(DataError, match="holds 2 pictures; give each its own file"):
        read_grey(tmp_path / "a.tiff")


def test_hounsfield_units_are_no_picture(tmp_path):
    path = save(tmp_path / "a.tiff", np.full((4, 4), -1000.0, np.float32))
    with pytest.raises(DataError, match="negative or undefined grey values"):
        read_grey(path)


def test_whatever_lies_beside_the_pictures_is_named(tmp_path):
    touch(tmp_path / "i", "a.png", ".b.png", ".DS_Store", "._a.png", "c.bmp", "d.bmp", "README")
    (tmp_path / "i" / "more").mkdir()
    (tmp_path / "i" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    touch(tmp_path / "m", "a.png")
    assert find_pairs(tmp_path / "i", tmp_path / "m").left_out == (
        ".b.png: no partner",
        "gone.png: no partner",
        f"more: a folder; pictures are read from {tmp_path / 'i'} alone",
        "2 of .bmp, 1 of no ending in i: files are read that end in .png, .jpg, .jpeg, .tif, .tiff",
    )


def test_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", denied)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        find_pairs(tmp_path, tmp_path)


def test_a_mask_is_what_is_half_lung_and_above():
    soft = np.array([[0, 0.26, 0.49, 0.5, 1]], np.float32)
    assert as_mask(soft).tolist() == [[False, False, False, True, True]]


def test_the_edge_of_a_mask_is_kept_to_a_fraction_of_a_pixel():
    line = np.zeros((1, 60), np.float32)
    line[0, 21:] = 1
    # The edge lies at 2.1 pixels of ten: the third is nearly all within.
    assert as_mask(line, (1, 6)).tolist() == [[False, False, True, True, True, True]]
    line[0, :21] = 0.39  # a soft edge that stays below half
    assert as_mask(line, (1, 6)).tolist() == [[False, False, True, True, True, True]]
    line[0, 21:27] = 0
    assert as_mask(line, (1, 6)).tolist() == [[False, False, False, True, True, True]]
