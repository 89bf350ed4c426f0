"""Where slices lie: each doubt has its check, its name and its tolerance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.core.errors import ScanError
from lungseg.ops.grid.slices import (
    SliceRules,
    axes_of,
    orthonormal,
    same_places,
    skew_degrees,
    stack_geometry_of,
)

RULES = SliceRules()
FILLING = SliceRules(fill_missing_slices=True)


def along(z, x=0.0, y=0.0):
    z = np.asarray(z, float)
    return np.stack([np.broadcast_to(x, z.shape), np.broadcast_to(y, z.shape), z], axis=1)


def turned(degrees, axis=0):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


@given(
    st.integers(3, 40),
    st.floats(0.2, 10),
    st.floats(-2000, 2000),
    st.integers(0, 2**32 - 1),
)
def test_even_slices_with_noise_are_even(count, gap_mm, first_mm, seed):
    noise = np.random.default_rng(seed).uniform(-1e-4, 1e-4, (count, 3))
    stack_geometry = stack_geometry_of(along(first_mm + gap_mm * np.arange(count)) + noise, RULES)
    assert stack_geometry.is_plain
    assert stack_geometry.step_mm == pytest.approx(gap_mm, abs=1e-4)
    assert stack_geometry.noise_mm <= 2e-4


@pytest.mark.parametrize("angles", [(0, 0, 0), (90, 0, 0), (12, 34, 56), (180, 0, 0), (0, 0, -90)])
def test_axes_are_those_of_the_slices(angles):
    matrix = turned(angles[0], 0) @ turned(angles[1], 1) @ turned(angles[2], 2)
    direction = np.concatenate([matrix[:, 0], matrix[:, 1]])
    axes = axes_of([direction] * 4, RULES)
    np.testing.assert_allclose(axes.matrix_xyz, matrix, atol=1e-12)
    np.testing.assert_allclose(axes.along(matrix @ [1, 2, 3]), [1, 2, 3], atol=1e-12)


def test_axes_written_with_four_digits_are_made_orthonormal():
    matrix = turned(17) @ turned(23, 2)
    rounded = np.round(np.concatenate([matrix[:, 0], matrix[:, 1]]), 4)
    axes = axes_of([rounded] * 3, RULES).matrix_xyz
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(axes, matrix, atol=2e-4)


def test_rows_and_columns_off_a_right_angle_are_refused():
    skewed = (1, 0, 0, np.sin(np.radians(0.5)), np.cos(np.radians(0.5)), 0)
    with pytest.raises(ScanError, match=r"orientation: rows and columns are 0.50 degrees off"):
        axes_of([skewed] * 3, RULES)
    axes_of([skewed] * 3, SliceRules(angle_tolerance_degrees=1.0))


def test_directions_without_length_one_are_refused():
    with pytest.raises(ScanError, match=r"orientation: .* directions of length 0.000 to 1.000"):
        axes_of([(1, 0, 0, 0, 0, 0)] * 3, RULES)


def test_slices_turned_against_each_other_are_refused():
    coronal = (1, 0, 0, 0, 0, -1)
    with pytest.raises(ScanError, match=r"orientation: slice 3 is turned by 90.00 degrees"):
        axes_of([(1, 0, 0, 0, 1, 0)] * 2 + [coronal], RULES)


def test_a_mirrored_matrix_stays_mirrored():
    mirrored = np.diag([1.0, -1.0, 1.0]) + 1e-5
    assert np.linalg.det(orthonormal(mirrored)) == pytest.approx(-1)
    assert skew_degrees(mirrored) < 0.01
    assert skew_degrees([[1, 0.1, 0], [0, 1, 0], [0, 0, 1]]) == pytest.approx(5.71, abs=0.01)
    assert skew_degrees(np.diag([1.0, 1.0, 0.0])) == np.inf


@given(st.permutations(list(range(7))))
def test_slices_come_in_order_along_the_normal(order):
    groups = same_places(along([10.0 - 2 * k for k in order]), RULES)
    assert [order[group[0]] for group in groups] == [6, 5, 4, 3, 2, 1, 0]


def test_slices_at_one_place_are_a_group():
    assert same_places(along([0, 2.5, 2.5001, 5]), RULES) == [[0], [1, 2], [3]]


def test_too_few_slices_are_refused():
    with pytest.raises(ScanError, match=r"too-few-slices: the series has 2 slices .* needs 3"):
        stack_geometry_of(along([0, 1]), RULES)
    with pytest.raises(ScanError, match=r"too-few-slices: the series has 1 slice .* needs 2"):
        stack_geometry_of(along([0]), SliceRules(min_slices=1))
    assert stack_geometry_of(along([0, 1]), SliceRules(min_slices=2)).is_plain


@pytest.mark.parametrize(
    ("z", "missing", "told"),
    [
        ([0, 5, 10, 20], 1, "10 mm between 10.00 and 20.00 mm"),
        ([0, 1.25, 2.5, 7.5, 8.75], 3, "5 mm between 2.50 and 7.50 mm"),
        ([0, 1, 2, 4, 5, 6, 9, 10], 3, "2 mm between 2.00 and 4.00 mm; 3 mm between 6.00"),
        ([*np.arange(0, 20, 1.2), *np.arange(57.0, 80, 1.2)], 30, "37.8 mm between 19.20 and 57"),
    ],
)
def test_missing_slices_are_refused_or_filled(z, missing, told):
    with pytest.raises(ScanError, match=rf"missing-slices: .*{missing} missing: .*{told}"):
        stack_geometry_of(along(z), RULES)
    stack_geometry = stack_geometry_of(along(z), FILLING)
    assert stack_geometry.kind == "holes"
    assert sum(gap.missing for gap in stack_geometry.gaps) == missing
    assert len(stack_geometry.grid_z_mm) == pytest.approx(len(z) + missing, abs=1)
    np.testing.assert_allclose(np.diff(stack_geometry.grid_z_mm), stack_geometry.step_mm)
    assert (stack_geometry.grid_z_mm[0], stack_geometry.grid_z_mm[-1]) == (z[0], z[-1])


def test_uneven_slices_go_to_an_even_grid_or_are_refused():
    # As dcm_qa_ct has them: 4 mm, once 1.08 mm, then 7 mm.
    z = np.concatenate([[0], np.cumsum([4.0] * 13 + [1.08] + [7.0] * 13)])
    stack_geometry = stack_geometry_of(along(z), RULES)
    assert (stack_geometry.kind, stack_geometry.gaps) == ("uneven", ())
    assert stack_geometry.step_mm == pytest.approx(4, abs=0.05)
    assert stack_geometry.grid_z_mm[-1] == pytest.approx(z[-1])
    with pytest.raises(ScanError, match=r"uneven-spacing: slices are 1.08 to 7 mm apart"):
        stack_geometry_of(along(z), SliceRules(resample_uneven=False))


def test_a_tilted_gantry_is_measured():
    z = np.arange(6) * 4.0
    stack_geometry = stack_geometry_of(along(z, y=-z * np.tan(np.radians(18.5))), RULES)
    assert stack_geometry.tilt_degrees == pytest.approx(18.5)
    np.testing.assert_allclose(stack_geometry.shift_xy_mm[-1], [0, -20 * np.tan(np.radians(18.5))])
    assert not stack_geometry.is_plain
    with pytest.raises(ScanError, match=r"tilt: the slices slide by 18.50 degrees"):
        stack_geometry_of(along(z, y=-z / 3 * 1.0038), SliceRules(correct_tilt=False))


def test_a_slice_that_lies_sideways_is_refused():
    with pytest.raises(ScanError, match=r"sideways: slice 3 in order lies 4 mm sideways"):
        stack_geometry_of(along([0, 1, 2, 3], x=[0, 0, 4, 0]), RULES)
