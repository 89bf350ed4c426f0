"""Which slices become rows, and their areas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lungseg.ops.samples.tabulate import chosen_slices, filled_pixels, mask_areas, vote_areas

LUNG = np.array([0, 5, 5, 5, 5, 5, 5, 0, 0])
VOTED = np.array([0, 0, 0, 2, 0, 0, 0, 0, 1])


def test_every_slice_with_lung_or_nodule():
    assert chosen_slices(LUNG, VOTED, None).tolist() == [1, 2, 3, 4, 5, 6, 8]


@pytest.mark.parametrize(("every", "rows"), [(1, [1, 2, 3, 4, 5, 6, 8]), (2, [1, 3, 4, 6, 8])])
def test_nodule_slices_and_every_nth_other(every, rows):
    assert chosen_slices(LUNG, VOTED, every).tolist() == rows


@given(arrays(np.uint8, (4, 3, 3), elements=st.integers(0, 5)))
def test_areas_by_votes_are_those_of_counting(votes):
    areas = vote_areas(votes, (1, 2, 3, 4), 0.25)
    slow = [[(votes[z] >= k).sum() * 0.25 for z in range(4)] for k in (1, 2, 3, 4)]
    np.testing.assert_array_equal(areas, np.asarray(slow, np.float32))
    np.testing.assert_array_equal(mask_areas(votes, 0.25), areas[0])


def test_filled_pixels_counts_any_label():
    assert filled_pixels(np.array([[[0, 2]], [[0, 0]], [[7, 1]]], np.uint16)).tolist() == [1, 0, 2]
