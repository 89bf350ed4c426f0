"""Masks of a folder: what of them is lung, and what is odd about them."""

import numpy as np
import pytest

from lungseg.core.errors import DataError
from lungseg.io.pictures.masks import MaskReader, as_mask
from tests.io.pictures.test_pairs import save
from tests.io.pictures.test_reading import DISC, turned


def test_a_mask_is_read_and_an_empty_one_named(tmp_path):
    reader = MaskReader("auto")
    np.testing.assert_array_equal(as_mask(reader.read(save(tmp_path / "a.png", DISC))), DISC > 0)
    assert not reader.read(save(tmp_path / "b.png", DISC * 0)).any()
    assert reader.empty == ["b.png"]
    reader.check_alike()


def test_labels_are_refused_with_the_file_and_the_setting(tmp_path):
    labels = DISC * 127
    labels[:, 20:] *= 2
    with pytest.raises(DataError, match=r"a\.png: the mask has the values 0 .*127 .*254") as told:
        MaskReader("auto").read(save(tmp_path / "a.png", labels))
    assert "mask_levels=127,254" in told.value.advised("build-tables")
    read = as_mask(MaskReader("127,254").read(tmp_path / "a.png"))
    np.testing.assert_array_equal(read, DISC > 0)


@pytest.mark.parametrize("mask", [255 - DISC * 255, np.full((9, 9), 255, np.uint8)])
def test_an_inverted_mask_is_named_and_read_when_told(tmp_path, mask):
    path = save(tmp_path / "a.png", mask)
    with pytest.raises(DataError, match=r"set along 100% of its border.* is it inverted\?") as told:
        MaskReader("auto").read(path)
    assert "mask_levels=0 if" in told.value.settings[0]
    np.testing.assert_array_equal(as_mask(MaskReader("0").read(path)), mask == 0)
    reader = MaskReader("nonzero")
    np.testing.assert_array_equal(as_mask(reader.read(path)), mask > 0)
    assert reader.along_border == ["a.png"]


def test_lungs_that_a_picture_cuts_are_no_inverted_mask(tmp_path):
    half = np.zeros((40, 40), np.uint8)
    half[:20] = 255
    assert as_mask(MaskReader("auto").read(save(tmp_path / "a.png", half))).sum() == 800


@pytest.mark.parametrize("one", [3, 5])
def test_one_label_alone_is_not_certain_where_another_mask_has_several(tmp_path, one):
    labels = DISC * 3
    labels[:, 15:] = DISC[:, 15:] * 4
    labels[:10, 18:22] = 5
    reader = MaskReader("auto")
    reader.read(save(tmp_path / "one.png", DISC * np.uint8(one)))
    with pytest.raises(DataError, match=r"3 .*4 .*5"):
        reader.read(save(tmp_path / "all.png", labels))
    with pytest.raises(
        DataError, match=rf"one\.png has the values 0 and {one}, .*in all\.png {one}"
    ):
        reader.check_alike()


def test_white_alone_is_lung_whatever_another_mask_has(tmp_path):
    labels = DISC * 127
    labels[:, 20:] = DISC[:, 20:] * 255
    reader = MaskReader("auto")
    reader.read(save(tmp_path / "a.png", DISC * 255))
    with pytest.raises(DataError, match="127"):
        reader.read(save(tmp_path / "b.png", labels))
    reader.check_alike()


def test_a_mask_is_turned_as_its_picture_is(tmp_path):
    upper = DISC.copy()
    upper[20:] = 0
    read = MaskReader("auto").read(turned(tmp_path / "a.png", upper * 255, 6))
    np.testing.assert_array_equal(as_mask(read), np.rot90(upper, -1) > 0)
