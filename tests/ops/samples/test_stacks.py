"""Stacks: from a candidate's lowest slice to its highest, wherever it lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.ops.samples.stacks import SLICES, extent, stack


def column(profile, shape=(9, 9)):
    likely = np.zeros((len(profile), *shape))
    likely[:, 4, 4] = profile
    return likely


@pytest.mark.parametrize(
    ("profile", "z", "ends"),
    [
        ([0, 0.1, 0.5, 0.9, 0.6, 0.44, 0.9], 3, (2, 4)),
        # A neighbour beyond a gap is another candidate, however likely.
        ([0.9, 0.2, 0.6, 0.6, 0.2, 1.0], 2, (2, 3)),
        # The centre may lie a slice off the likeliest.
        ([0, 0.2, 0.9, 0.1, 0], 3, (2, 2)),
        # It reaches the scan's ends.
        ([0.8, 0.9, 0.8], 1, (0, 2)),
        # Nothing is likely anywhere: all of it.
        ([0, 0, 0], 1, (0, 2)),
    ],
)
def test_a_candidate_ends_where_less_than_half_of_its_highest_is_left(profile, z, ends):
    assert extent(column(profile), (z, 4, 4)) == ends


def test_what_is_likely_five_voxels_off_counts_and_beyond_does_not():
    likely = np.zeros((5, 15, 15))
    likely[2, 2, 7] = 0.9
    likely[3, 2, 2] = likely[1, 2, 12] = 0.8
    assert extent(likely, (2, 7, 7)) == (1, 3)
    assert extent(likely, (2, 8, 7)) == (0, 4)


def test_slices_lie_at_even_distances_from_end_to_end():
    hu = (np.arange(13, dtype=np.int16) * 60)[:, None, None] * np.ones((1, 9, 9), np.int16)
    likely = column([0, 0, *[0.9] * 10, 0])
    shown = stack(hu, likely, (6, 4, 4), edge=2)
    assert shown.shape == (SLICES, 2, 2)
    assert shown[:, 0, 0].tolist() == [120, 210, 300, 390, 480, 570, 660]


@pytest.mark.parametrize(
    ("corner", "rows", "columns"),
    [((0, 0), (4, 8), (4, 8)), ((0, 8), (4, 8), (0, 5)), ((8, 0), (0, 5), (4, 8))],
)
def test_beyond_the_scan_there_is_air(corner, rows, columns):
    hu = np.full((3, 9, 9), 40, np.int16)
    expected = np.full((SLICES, 8, 8), -1024, np.int16)
    expected[:, slice(*rows), slice(*columns)] = 40
    np.testing.assert_array_equal(stack(hu, np.ones(hu.shape), (1, *corner), edge=8), expected)


@given(st.integers(0, 2**31), st.integers(0, 3), st.integers(0, 3))
def test_a_window_of_the_candidates_slices_gives_the_stack_of_the_whole_scan(seed, below, above):
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1000, 400, (12, 20, 20)).astype(np.int16)
    likely = np.zeros(hu.shape)
    likely[3:8, 8:13, 8:13] = rng.uniform(0.6, 1, (5, 5, 5))
    whole = stack(hu, likely, (5, 10, 10), edge=10)
    part = slice(3 - below, 8 + above)
    cut = stack(hu[part], likely[part], (5 - part.start, 10, 10), edge=10)
    np.testing.assert_array_equal(whole, cut)
