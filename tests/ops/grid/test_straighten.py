"""Stacks that are no even grid: what comes of them is true to where each slice lies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lungseg.ops.grid.slices import SliceRules, stack_geometry_of
from lungseg.ops.grid.straighten import UNSEEN_HU, straighten

FILLING = SliceRules(fill_missing_slices=True)


def plane_of(z, y, x):
    """HU that are linear in space, so that linear interpolation is exact."""
    return np.rint(3 * z + 5 * y - 2 * x)


def sampled(places, spacing_yx, shape):
    rows, columns = np.indices(shape)
    return np.stack(
        [plane_of(z, y + rows * spacing_yx[0], x + columns * spacing_yx[1]) for x, y, z in places]
    ).astype(np.int16)


def slow(stack, stack_geometry, spacing_yx, place_zyx):
    """HU at a place, from the two slices it lies between, each where it truly is."""
    z_mm, y_mm, x_mm = place_zyx
    k = int(np.clip(np.searchsorted(stack_geometry.z_mm, z_mm) - 1, 0, len(stack) - 2))
    weight = (z_mm - stack_geometry.z_mm[k]) / (stack_geometry.z_mm[k + 1] - stack_geometry.z_mm[k])
    values = []
    for j in (k, k + 1):
        shift_x, shift_y = stack_geometry.shift_xy_mm[j]
        at = [[(y_mm - shift_y) / spacing_yx[0]], [(x_mm - shift_x) / spacing_yx[1]]]
        values.append(ndimage.map_coordinates(stack[j].astype(float), at, order=1, cval=np.nan)[0])
    return values[0] if weight < 1e-9 else (1 - weight) * values[0] + weight * values[1]


def test_an_even_stack_is_left_as_it_is():
    stack = np.zeros((4, 3, 3), np.int16)
    stack_geometry = stack_geometry_of(
        np.stack([np.zeros(4), np.zeros(4), np.arange(4.0)], axis=1), SliceRules()
    )
    grid, first_mm, padding = straighten(stack, stack_geometry, (1, 1), -2000)
    assert grid is stack
    assert (first_mm.tolist(), padding) == ([0, 0], -2000)


@given(
    st.lists(st.integers(1, 3), min_size=4, max_size=9),
    st.floats(-0.6, 0.6),
    st.floats(-0.6, 0.6),
    st.sampled_from([(1.0, 1.0), (0.7, 0.9), (2.0, 0.5)]),
)
def test_every_voxel_of_a_linear_field_is_where_it_was(gaps, slide_x, slide_y, spacing_yx):
    z = np.concatenate([[0], np.cumsum(gaps)]).astype(float)
    places = np.stack([slide_x * z, slide_y * z, z], axis=1)
    stack_geometry = stack_geometry_of(places, FILLING)
    stack = sampled(places, spacing_yx, (9, 8))
    grid, first_mm, padding = straighten(stack, stack_geometry, spacing_yx, None)
    rows, columns = np.indices(grid.shape[1:])
    for z_mm, plane in zip(stack_geometry.grid_z_mm, grid, strict=True):
        truth = plane_of(
            z_mm, first_mm[1] + rows * spacing_yx[0], first_mm[0] + columns * spacing_yx[1]
        )
        seen = plane != (padding if padding is not None else 99)
        # Where the edge of one slice lies over another, the nearer slice is taken as it is.
        off = np.abs(plane - truth)[seen]
        assert off.max(initial=0) <= (1 if stack_geometry.kind == "even" else 3 * max(gaps) / 2 + 2)
    assert (grid > UNSEEN_HU).sum() >= 0.5 * grid.shape[0] * 7 * 6


def test_a_tilted_uneven_stack_equals_the_slow_way():
    rng = np.random.default_rng(3)
    z = np.array([0, 4, 8, 9.1, 16, 23, 30.0])
    places = np.stack([0.1 * z, -0.3346 * z, z], axis=1)
    stack_geometry = stack_geometry_of(places, SliceRules())
    stack = rng.integers(-1000, 400, (7, 24, 20)).astype(np.int16)
    spacing = (0.49, 0.6)
    grid, first_mm, padding = straighten(stack, stack_geometry, spacing, None)
    assert padding == UNSEEN_HU
    compared = 0
    for k, j, i in rng.integers(0, grid.shape, (400, 3)):
        y_mm, x_mm = first_mm[1] + j * spacing[0], first_mm[0] + i * spacing[1]
        truth = slow(stack, stack_geometry, spacing, (stack_geometry.grid_z_mm[k], y_mm, x_mm))
        if np.isnan(truth):
            continue
        assert grid[k, j, i] == pytest.approx(truth, abs=0.51)
        compared += 1
    assert compared > 100


def test_slices_that_are_there_stay_as_they_are_when_others_are_filled():
    stack = np.random.default_rng(0).integers(-1000, 400, (4, 5, 5)).astype(np.int16)
    z = np.array([0, 1, 2, 5.0])
    stack_geometry = stack_geometry_of(np.stack([0 * z, 0 * z, z], axis=1), FILLING)
    grid, _, padding = straighten(stack, stack_geometry, (1, 1), None)
    assert padding is None
    np.testing.assert_array_equal(grid[[0, 1, 2, 5]], stack)
    np.testing.assert_allclose(
        grid[3], stack[2] + (stack[3] - stack[2].astype(float)) / 3, atol=0.51
    )


def test_padding_is_never_mixed_with_tissue():
    stack = np.full((4, 8, 8), 40, np.int16)
    stack[:, :2] = -2000
    z = np.array([0, 1, 2, 3.0])
    places = np.stack([0 * z, 0.3 * z, z], axis=1)
    grid, _, padding = straighten(stack, stack_geometry_of(places, SliceRules()), (1, 1), -2000)
    assert padding == -2000
    assert set(np.unique(grid)) == {-2000, 40}


def test_the_mark_of_the_unseen_lies_below_all_that_was_seen():
    stack = np.full((3, 4, 4), -2500, np.int16)
    z = np.arange(3.0)
    places = np.stack([0 * z, 0.5 * z, z], axis=1)
    _, _, padding = straighten(stack, stack_geometry_of(places, SliceRules()), (1, 1), None)
    assert padding == -2501
