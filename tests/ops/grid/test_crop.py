"""Crop: the square around the lungs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core.errors import ScanError
from lungseg.ops.grid.crop import (
    crop_corner,
    cut,
    footprint,
    size_for,
    size_needed,
    uncut,
    window_around,
)

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))
CORNERS = st.tuples(st.integers(-50, 50), st.integers(-50, 50))


def lungs_at(y0, y1, x0, x1, shape=(3, 90, 100)):
    lungs = np.zeros(shape, np.uint8)
    lungs[1, y0:y1, x0:x1] = 2
    return lungs


@pytest.mark.parametrize(
    ("crop_mm", "spacing_mm", "size"),
    [(352, 1.0, 352), (352, 0.7, 512), (353, 1.0, 384), (320, 0.1, 3200), (10, 1.0, 32)],
)
def test_size_is_rounded_up_to_a_multiple_of_32(crop_mm, spacing_mm, size):
    assert size_for(crop_mm, spacing_mm) == size


def test_lungs_lie_in_the_middle():
    y0, x0 = crop_corner(lungs_at(20, 60, 40, 58), 64)
    assert (y0, x0) == (8, 17)
    assert (20 - y0, 40 - x0) == (y0 + 64 - 60, x0 + 64 - 58)


def test_the_corner_may_lie_outside_the_grid():
    assert crop_corner(lungs_at(0, 10, 95, 100), 64) == (-27, 65)


def test_a_footprint_gives_the_corner_of_its_volume():
    lungs = lungs_at(20, 60, 40, 58)
    assert crop_corner(footprint(lungs), 64) == crop_corner(lungs, 64)
    assert footprint(lungs > 0).sum() == 40 * 18


def test_lungs_larger_than_the_square_are_an_error_with_the_size():
    with pytest.raises(ScanError, match=r"do not fit into a crop of 32 x 32 .* need 64"):
        crop_corner(lungs_at(10, 43, 40, 58), 32)


def test_lungs_as_large_as_the_square_fit():
    assert crop_corner(lungs_at(10, 42, 40, 72), 32) == (10, 40)


def test_no_lung_is_an_error():
    with pytest.raises(ScanError, match="lung mask is empty"):
        crop_corner(np.zeros((2, 8, 8), bool), 32)


def test_size_needed_holds_what_lies_beside_the_lungs():
    lungs, nodule = lungs_at(30, 50, 30, 50), np.zeros((3, 90, 100), bool)
    nodule[2, 40, 57] = True
    assert size_needed(lungs, nodule) == 64
    nodule[2, 40, 55] = True
    nodule[2, 40, 57] = False
    assert size_needed(lungs, nodule) == 32


@given(shape=SHAPES, corner=CORNERS, size=st.integers(1, 60))
def test_cut_is_the_window_of_a_padded_grid(shape, corner, size):
    array = np.arange(1, 2 * shape[0] * shape[1] + 1, dtype=np.int16).reshape(2, *shape)
    wide = np.full((2, 300, 300), -1024, np.int16)
    wide[:, 120 : 120 + shape[0], 120 : 120 + shape[1]] = array
    y, x = corner[0] + 120, corner[1] + 120
    square = cut(array, corner, size, -1024)
    np.testing.assert_array_equal(square, wide[:, y : y + size, x : x + size])
    assert square.dtype == array.dtype


@given(shape=SHAPES, corner=CORNERS, size=st.integers(1, 60))
def test_uncut_gives_back_what_the_square_covers_and_fill_elsewhere(shape, corner, size):
    array = np.arange(1, shape[0] * shape[1] + 1, dtype=np.uint16).reshape(shape)
    back = uncut(cut(array, corner, size, 0), corner, shape, 0)
    rows, columns = np.indices(shape)
    covered = (rows >= corner[0]) & (rows < corner[0] + size)
    covered &= (columns >= corner[1]) & (columns < corner[1] + size)
    np.testing.assert_array_equal(back, np.where(covered, array, 0))


@given(
    box=st.tuples(*[st.integers(0, 30)] * 2), extent=st.tuples(*[st.integers(1, 32)] * 2),
)  # fmt: skip
def test_a_square_that_is_large_enough_loses_no_lung(box, extent):
    lungs = lungs_at(box[0], box[0] + extent[0], box[1], box[1] + extent[1])
    corner = crop_corner(lungs, 32)
    assert cut(lungs, corner, 32, 0).sum() == lungs.sum()


def test_a_window_is_the_smallest_multiple_around_what_is_seen_and_lies_in_the_image():
    seen = np.zeros((300, 200), bool)
    seen[100:140, 150:199] = True
    # 40 + 20 rows are 64, centred; 49 + 20 columns are 96, moved to end with the image.
    assert window_around(seen, margin=10) == ((88, 104), (64, 96))
    assert window_around(seen, margin=0) == ((88, 136), (64, 64))


def test_a_window_larger_than_the_image_is_padded_evenly():
    assert window_around(np.ones((20, 40), bool), margin=0) == ((-6, -12), (32, 64))


def test_a_window_around_nothing_is_refused():
    with pytest.raises(ScanError, match="lung mask is empty"):
        window_around(np.zeros((5, 5), bool), margin=1)


def test_a_window_that_is_no_square_goes_there_and_back():
    array = np.arange(2 * 5 * 7).reshape(2, 5, 7)
    window = cut(array, (1, -2), (3, 6), fill=-1)
    assert window.shape == (2, 3, 6)
    assert np.array_equal(window[:, :, 2:], array[:, 1:4, :4])
    back = uncut(window, (1, -2), (5, 7), fill=-9)
    assert np.array_equal(back[:, 1:4, :4], array[:, 1:4, :4])
    assert (back == -9).sum() == 2 * (35 - 12)
