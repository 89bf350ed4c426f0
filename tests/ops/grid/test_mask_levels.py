"""Which values of a mask are lung: read where it is certain, refused where it is not."""

import numpy as np
import pytest
from scipy import ndimage

from lungseg.core.errors import DataError
from lungseg.ops.grid.mask_levels import Levels, UncertainLevelsError, levels_of, lung_share

BOTH = np.zeros((64, 64), np.uint8)
BOTH[10:50, 6:26] = 1
BOTH[10:50, 36:58] = 2
SHADES = np.random.default_rng(3).integers(0, 12, BOTH.shape)


def drawn(background, left, right):
    return np.choose(BOTH, [background, left, right])


def is_lung(values, text="auto", **how):
    return lung_share(values, levels_of(text), **how) >= 0.5


@pytest.mark.parametrize("lung", [1, 3, 128, 255, 257, 65535])
def test_a_mask_of_0_and_one_value_is_read_whatever_the_value(lung):
    np.testing.assert_array_equal(is_lung(drawn(0, lung, lung)), BOTH > 0)


def test_soft_edges_and_noise_are_read_as_half_and_above():
    soft = np.rint(ndimage.uniform_filter(255.0 * (BOTH > 0), 3)).astype(np.uint8)
    assert len(np.unique(soft)) > 2
    np.testing.assert_array_equal(is_lung(soft), soft > 127)
    assert 0 < np.count_nonzero(is_lung(soft) != (BOTH > 0)) <= 8, "the corners alone are rounded"
    noisy = np.where(BOTH > 0, 255 - SHADES, SHADES).astype(np.uint8)
    assert len(np.unique(noisy)) > 16
    np.testing.assert_array_equal(is_lung(noisy), BOTH > 0)


@pytest.mark.parametrize(
    ("levels", "labels"),
    [
        ((0, 127, 255), (127, 255)),
        ((0, 1, 2), (1, 2)),
        ((0, 3, 4), (3, 4)),
        ((127, 255, 255), (127, 255)),
        ((1, 3, 3), (1, 3)),
        ((1, 255, 255), (1, 255)),
    ],
)
def test_labels_are_named_and_refused_and_read_when_told(levels, labels):
    mask = drawn(*levels)
    with pytest.raises(UncertainLevelsError, match="which of them are lung is not certain") as told:
        is_lung(mask)
    assert told.value.labels == labels
    assert "mask_levels=" + ",".join(f"{label}" for label in labels) in told.value.settings[0]
    for level in levels:
        assert f"{level} (" in str(told.value)
    lungs = {level for level in levels if level != levels[0]}
    words = ",".join(str(level) for level in lungs)
    np.testing.assert_array_equal(is_lung(mask, words), BOTH > 0)


def test_one_lung_that_is_darker_is_not_lost_among_many_values():
    noisy = drawn(0, 120, 240) + SHADES
    with pytest.raises(UncertainLevelsError, match="whole areas between are not") as told:
        is_lung(noisy)
    assert "mask_levels=126-251" in told.value.settings[0]
    np.testing.assert_array_equal(is_lung(noisy, "100-255"), BOTH > 0)


def test_a_mask_without_0_among_many_values_is_refused():
    with pytest.raises(UncertainLevelsError, match=r"127 .*expected 0 and one other"):
        is_lung(drawn(127, 240, 240) + SHADES)


def test_an_inverted_mask_is_read_when_told():
    np.testing.assert_array_equal(is_lung(drawn(255, 0, 0), "0"), BOTH > 0)


def test_a_mask_of_one_value_is_empty_or_full():
    assert not is_lung(np.zeros((4, 4), np.uint8)).any()
    assert is_lung(np.full((4, 4), 7, np.uint8)).all()


def test_nonzero_takes_every_label():
    np.testing.assert_array_equal(is_lung(drawn(0, 3, 4), "nonzero"), BOTH > 0)


RED, GREEN = 0xFF0000, 0x00FF00


def test_one_colour_on_black_is_lung_and_two_are_refused():
    np.testing.assert_array_equal(is_lung(drawn(0, RED, RED), coloured=True), BOTH > 0)
    both = drawn(0, RED, GREEN)
    with pytest.raises(UncertainLevelsError, match=r"the colours #000000 .*#00ff00 .*#ff0000"):
        is_lung(both, coloured=True)
    np.testing.assert_array_equal(is_lung(both, "#ff0000", coloured=True), BOTH == 1)
    np.testing.assert_array_equal(is_lung(both, "#00FF00,#ff0000", coloured=True), BOTH > 0)


def test_a_grey_has_the_name_of_its_colour_too():
    np.testing.assert_array_equal(is_lung(drawn(0, 127, 255), "#ffffff"), BOTH == 2)
    np.testing.assert_array_equal(is_lung(drawn(0, 0xFFFFFF, RED), "255", coloured=True), BOTH == 1)


def test_shades_of_one_colour_are_read_and_of_two_refused():
    red = (drawn(0, 240, 240) + SHADES) << 16 | SHADES << 8
    np.testing.assert_array_equal(is_lung(red, coloured=True), BOTH > 0)
    two = np.where(BOTH == 2, (drawn(0, 0, 240) + SHADES) << 8, red)
    with pytest.raises(UncertainLevelsError, match="colours") as told:
        is_lung(two, coloured=True)
    assert told.value.settings == ("mask_levels=nonzero if all are lung",)


def test_a_thin_edge_of_another_colour_is_an_edge():
    edge = np.where(BOTH > 0, RED, 0)
    edge[9, 6:26] = 0x7F0000
    np.testing.assert_array_equal(is_lung(edge, coloured=True), BOTH > 0)


@pytest.mark.parametrize("text", ["", "lung", "255-128", "-1", "auto,255", "#ff00", "1,,2", "1e5"])
def test_what_names_no_values_is_refused(text):
    with pytest.raises(DataError, match="does not say which values of a mask are lung"):
        levels_of(text)


def test_what_was_told_is_known():
    assert levels_of(" Nonzero ").is_told
    assert not Levels().is_told
