"""The best voxels by rank, against sorting all of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lungseg.ops.grid.ranking import highest_ranked

SHAPES = array_shapes(min_dims=1, max_dims=3, max_side=5)
# Few values, so that many are equal; infinite ones too, as the wand has them.
RANKS = st.one_of(
    arrays(np.float64, SHAPES, elements=st.sampled_from([-np.inf, -1.5, 0.0, 0.25, 2.0, np.inf])),
    arrays(np.uint16, SHAPES, elements=st.sampled_from([0, 1, 7, 60_000])),
)


def sorted_out(rank, count, above, distance):
    """Every voxel above the floor in order of rank, then of distance, then of place."""
    order = sorted(np.ndindex(rank.shape), key=lambda at: (-float(rank[at]), distance[at], at))
    mask = np.zeros(rank.shape, bool)
    for at in [at for at in order if rank[at] > above][:count]:
        mask[at] = True
    return mask


@given(RANKS, st.integers(0, 130), st.sampled_from([-np.inf, 0.0]), st.integers(0, 2**16))
def test_it_takes_what_stands_first_when_all_are_sorted(rank, count, above, seed):
    distance = np.random.default_rng(seed).integers(0, 3, rank.shape)
    np.testing.assert_array_equal(
        highest_ranked(rank, count, above=above, distance=distance),
        sorted_out(rank, count, above, distance),
    )
    np.testing.assert_array_equal(
        highest_ranked(rank, count, above=above),
        sorted_out(rank, count, above, np.zeros(rank.shape)),
    )


@pytest.mark.parametrize("count", [0, -1])
def test_none_wanted_is_none(count):
    assert not highest_ranked(np.ones((2, 2)), count).any()
