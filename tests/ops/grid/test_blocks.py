"""Block means against the obvious way, and the way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from lungseg.ops.grid.blocks import SLAB, Zoom, block_all, block_any, block_factors, block_mean

VOLUMES = arrays(
    np.int16,
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=7),
    elements=st.sampled_from([-32768, -3024, -1024, -1000, -7, 0, 13, 400, 3071, 4095, 32767]),
)
FACTORS = st.tuples(*[st.integers(1, 4)] * 3)


def blocks(shape, factors):
    for index in np.ndindex(*(-(-n // f) for n, f in zip(shape, factors, strict=True))):
        yield index, tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factors, strict=True))


@given(VOLUMES, FACTORS)
def test_each_block_is_the_mean_of_its_voxels_also_where_it_is_cut_short(ct, factors):
    coarse = block_mean(ct, factors)
    found, full = block_any(ct > 0, factors), block_all(ct > 0, factors)
    for index, box in blocks(ct.shape, factors):
        assert coarse[index] == int(np.floor(ct[box].mean(dtype=np.float64)))
        assert (found[index], full[index]) == ((ct[box] > 0).any(), (ct[box] > 0).all())


@given(VOLUMES, FACTORS)
def test_enlarged_voxels_have_the_value_of_their_block(ct, factors):
    zoom = Zoom(ct.shape, factors)
    shape = block_mean(ct, factors).shape
    values = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    box = tuple(slice(n // 2, n) for n in shape)
    fine = zoom.enlarged(values[box], box)
    expected = values.repeat(factors[0], 0).repeat(factors[1], 1).repeat(factors[2], 2)
    cut = expected[: ct.shape[0], : ct.shape[1], : ct.shape[2]]
    np.testing.assert_array_equal(fine, cut[zoom.fine_box(box)])


def test_a_mask_of_blocks_is_put_onto_one_of_voxels_a_few_slices_at_a_time():
    zoom = Zoom((2 * SLAB + 5, 7, 5), (2, 3, 2))
    chance = np.random.default_rng(1)
    blocks = chance.random((SLAB + 3, 3, 3)) < 0.3
    before = chance.random(zoom.shape) < 0.3
    onto = before.copy()
    zoom.put(blocks, onto)
    np.testing.assert_array_equal(onto, before | zoom.whole(blocks))


@pytest.mark.parametrize(
    ("spacing", "factors"),
    [((1.0, 1.0, 1.0), (2, 2, 2)), ((3.0, 0.7, 0.5), (1, 3, 4)), ((2.5, 1.4, 2.0), (1, 1, 1))],
)
def test_blocks_come_close_to_the_edge_asked_for(spacing, factors):
    assert block_factors(spacing, 2.0) == factors
