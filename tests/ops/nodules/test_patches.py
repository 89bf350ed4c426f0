"""Masks in their boxes: cut to a grid, and brought to another one with their volume."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lungseg.ops.nodules.patches import Patch, clipped, resample_mask
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.scores.segmentation import patch_dice
from lungseg.volume import Geometry

TURNED = (0.0, -1, 0, 1, 0, 0, 0, 0, -1)
FIRST = (5, 6, 7)
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
SLICES_MM, PIXELS_MM = st.floats(0.5, 3.0), st.floats(0.4, 1.0)
SEEDS = st.integers(0, 2**16)


def grids(slice_mm, pixel_mm, rng):
    source = Geometry((slice_mm, pixel_mm, pixel_mm), (3.3, -8.1, 2.2))
    return source, Geometry((1.0, 1.0, 1.0), tuple(rng.uniform(-20, 20, 3)), TURNED)


def coverage(mask, source, target):
    """Linear interpolation of the mask at the voxels of `target` around it, voxel by voxel."""
    inside = np.argwhere(mask) + FIRST
    corners = np.array([inside.min(axis=0) - 1, inside.max(axis=0) + 1])
    reach = np.sort(target.to_index(source.to_world(corners)), axis=0)
    first = np.floor(reach[0]).astype(int)
    shape = np.ceil(reach[1]).astype(int) - first + 1
    index = source.to_index(target.to_world(np.moveaxis(np.indices(shape), 0, -1) + first))
    apart = np.abs(index[..., None, :] - inside)
    return np.maximum(0, 1 - apart).prod(axis=-1).sum(axis=-1), tuple(first.tolist())


def centres(mask, moved, source, target):
    before = source.to_world(np.argwhere(mask).mean(axis=0) + FIRST)
    return before, target.to_world(np.argwhere(moved.mask).mean(axis=0) + moved.first_zyx)


def scattered(shape, rng):
    mask = rng.random(shape) < 0.7
    mask[0, 0, 0] = True
    return mask


@given(SHAPES, SLICES_MM, PIXELS_MM, SEEDS)
@example((3, 1, 4), 0.5, 1.0, 2809)
def test_a_mask_takes_the_voxels_it_covers_best_until_its_volume_is_met(
    shape, slice_mm, pixel_mm, seed
):
    """As many as its volume asks for, to half a voxel, but no more than it covers at all.

    Where it covers none (thinner than the new voxels and between their centres) it is one voxel.
    """
    rng = np.random.default_rng(seed)
    mask = scattered(shape, rng)
    source, target = grids(slice_mm, pixel_mm, rng)
    moved = resample_mask(Patch(mask, FIRST), source, target)
    covered, first = coverage(mask, source, target)
    wanted = round(mask.sum() * source.voxel_mm3)
    assert moved.mask.sum() == max(1, min(wanted, np.count_nonzero(covered.round(6))))
    taken = np.zeros(covered.shape, bool)
    part = clipped(Patch(moved.mask, tuple(np.subtract(moved.first_zyx, first))), covered.shape)
    assert part.mask.sum() == moved.mask.sum()
    taken[part.box] = part.mask
    assert covered[taken].min() >= covered[~taken].max(initial=0) - 1e-6


@given(SHAPES, SLICES_MM, PIXELS_MM, SEEDS)
@example((3, 1, 4), 0.5, 1.0, 2809)
def test_a_body_without_gaps_stays_where_it_is(shape, slice_mm, pixel_mm, seed):
    """Its centre moves by half a new voxel at most along each axis."""
    rng = np.random.default_rng(seed)
    rng.random(shape)
    source, target = grids(slice_mm, pixel_mm, rng)
    mask = np.ones(shape, bool)
    moved = resample_mask(Patch(mask, FIRST), source, target)
    before, after = centres(mask, moved, source, target)
    assert np.abs(before - after).max() <= 0.5 + 1e-6


def test_the_centre_of_scattered_voxels_may_move_with_those_that_are_taken():
    """Of few small voxels far apart those on one side may be covered best, and are the mask."""
    rng = np.random.default_rng(2809)
    mask = scattered((3, 1, 4), rng)
    source, target = grids(0.5, 1.0, rng)
    before, after = centres(mask, resample_mask(Patch(mask, FIRST), source, target), source, target)
    assert np.linalg.norm(before - after) == pytest.approx(1.557, abs=1e-3)


def test_a_mask_on_its_own_grid_stays_as_it_is():
    mask = np.random.default_rng(1).random((3, 6, 6)) < 0.5
    grid = Geometry((2.5, 0.7, 0.7), (1.0, 2.0, 3.0))
    moved = resample_mask(Patch(mask, (-1, 2, 3)), grid, grid)
    whole = clipped(Patch(mask, (-1, 2, 3)), (50, 50, 50))
    again = clipped(moved, (50, 50, 50))
    assert again.first_zyx == whole.first_zyx
    np.testing.assert_array_equal(again.mask, whole.mask)


def test_a_ball_on_thick_slices_is_a_ball_on_the_working_grid():
    thick = Geometry((2.5, 0.7, 0.7), (-20.0, -20.0, -20.0))
    fine = Geometry((1.0, 1.0, 1.0), (-19.5, -19.7, -19.6))
    moved = resample_mask(ball((1.0, 2.0, 3.0), 12.0, thick), thick, fine)
    assert patch_dice(moved, ball((1.0, 2.0, 3.0), 12.0, fine)) > 0.93


def test_a_mask_between_the_new_voxels_is_not_lost():
    speck = Patch(np.ones((1, 1, 1), bool), (0, 0, 0))
    fine = Geometry((0.1, 0.1, 0.1), (0.5, 0.5, 0.5))
    assert resample_mask(speck, fine, Geometry((1.0, 1.0, 1.0))).mask.sum() == 1


@pytest.mark.parametrize(
    ("first", "expected"), [((-1, 0, 0), 8), ((3, 3, 3), 1), ((0, 0, 0), 12), ((4, 0, 0), None)]
)
def test_clipping_keeps_what_lies_on_the_grid(first, expected):
    part = clipped(Patch(np.ones((3, 2, 2), bool), first), (4, 4, 4))
    assert (part and int(part.mask.sum())) == expected
