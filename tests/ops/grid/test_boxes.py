"""Boxes that hold a mask."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lungseg.ops.grid.boxes import bounding_box, widened

MASKS = arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9))


@given(MASKS, st.tuples(*[st.integers(0, 3)] * 3))
def test_the_bounding_box_is_the_smallest_and_stays_inside(mask, margin):
    box = bounding_box(mask, margin)
    if not mask.any():
        assert box is None
        return
    for axis, s in enumerate(box):
        hit = np.nonzero(mask)[axis]
        assert s.start == max(0, hit.min() - margin[axis])
        assert s.stop == min(mask.shape[axis], hit.max() + 1 + margin[axis])


def test_a_wider_box_ends_where_the_array_does():
    box = (slice(1, 3), slice(0, 2), slice(4, 5))
    assert widened(box, (1, 2, 0), (9, 3, 5)) == (slice(0, 4), slice(0, 3), slice(4, 5))
