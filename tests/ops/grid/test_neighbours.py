"""Growing and shrinking by whole voxels is what scipy's binary morphology does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from lungseg.ops.grid.neighbours import grow, shrink, thick

SHAPES = array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=9)
PAIRS = SHAPES.flatmap(lambda shape: st.tuples(*(arrays(np.bool_, shape) for _ in range(2))))
TIMES = st.integers(1, 4)


def neighbours(mask, *, corners):
    """A voxel and its neighbours, as scipy takes them."""
    return ndimage.generate_binary_structure(mask.ndim, mask.ndim if corners else 1)


@given(PAIRS, TIMES, st.booleans(), st.booleans())
def test_growing_is_scipys_dilation(pair, times, corners, bounded):
    mask, within = pair
    kept = mask.copy()
    grown = grow(mask, times, corners=corners, within=within if bounded else None)
    oracle = ndimage.binary_dilation(
        mask,
        neighbours(mask, corners=corners),
        iterations=times,
        mask=within if bounded else None,
    )
    np.testing.assert_array_equal(grown, oracle)
    np.testing.assert_array_equal(mask, kept)


@given(PAIRS, TIMES)
def test_shrinking_is_scipys_erosion(pair, times):
    mask, _ = pair
    kept = mask.copy()
    oracle = ndimage.binary_erosion(mask, neighbours(mask, corners=False), iterations=times)
    np.testing.assert_array_equal(shrink(mask, times), oracle)
    np.testing.assert_array_equal(mask, kept)


@given(PAIRS, TIMES)
def test_what_is_thick_holds_a_voxel_with_so_many_around_it(pair, times):
    mask, _ = pair
    core = ndimage.binary_erosion(mask, neighbours(mask, corners=False), iterations=times)
    around = ndimage.binary_dilation(core, neighbours(mask, corners=True), iterations=times)
    np.testing.assert_array_equal(thick(mask, times), around & mask)


@pytest.mark.parametrize("corners", [True, False])
def test_no_times_is_a_copy(corners):
    mask = np.ones((2, 2, 2), bool)
    same = grow(mask, 0, corners=corners)
    same[0] = False
    assert mask.all()
