"""Windows around nodules, joined and brought to the working grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.ops.nodules.windows import (
    Canvas,
    NoduleSlices,
    Place,
    joined,
    on_working_grid,
    overlapping,
    pixels_needed,
    working_slices,
)


def window(n=4, edge=32, gap=1.0, *, first_yx=(0, 0), first_z=0.0, hu=0, radius=6.0, **more):
    z, y, x = np.indices((n, edge, edge))
    ball = (z - (n - 1) / 2) ** 2 * gap**2 + (y - edge / 2) ** 2 + (x - edge / 2) ** 2 < radius**2
    return NoduleSlices(
        patient="P", series="S", nodule="1", hu=np.full(ball.shape, hu, np.int16),
        masks=more.get("masks", ball[None]), z_mm=first_z + gap * np.arange(n),
        pixel_mm=more.get("pixel_mm", 1.0), first_yx=first_yx,
    )  # fmt: skip


def place(y, x, low, high, edge=10):
    return Place((y, x), (edge, edge), (float(low), float(high)))


def test_windows_overlap_if_a_voxel_may_lie_in_both():
    one = place(0, 0, 0, 5)
    assert one.overlaps(place(9, 9, 5, 8))
    for apart in (place(10, 0, 0, 5), place(0, 10, 0, 5), place(0, 0, 6, 8), place(0, 0, -9, -1)):
        assert not one.overlaps(apart)
        assert not apart.overlaps(one)
    nowhere = Place(None, (10, 10), (0.0, 5.0))
    assert not nowhere.overlaps(one)
    assert not one.overlaps(nowhere)


def test_a_third_window_joins_two_that_do_not_overlap():
    places = [place(0, 0, 0, 5), place(0, 16, 0, 5), place(40, 0, 0, 5), place(0, 8, 3, 9)]
    assert overlapping(places) == [[0, 1, 3], [2]]
    assert overlapping([Place(None, (9, 9), (0.0, 1.0))] * 2) == [[0], [1]]


def test_joined_windows_show_each_slice_once_and_both_nodules():
    one = window(3, 16, hu=-700)
    other = window(3, 16, first_yx=(4, 8), first_z=1.0, hu=-690)
    canvas = joined([one, other])
    assert canvas.z_mm.tolist() == [0, 1, 2, 3]
    assert canvas.hu.shape == (4, 20, 24)
    np.testing.assert_array_equal(canvas.masks[0][0, :3, :16, :16], one.masks[0])
    np.testing.assert_array_equal(canvas.masks[1][0, 1:, 4:, 8:], other.masks[0])
    assert canvas.known[:, 0, 0].tolist() == [True, True, True, False]
    assert canvas.known[:, 19, 23].tolist() == [False, True, True, True]
    assert not canvas.known[:, 19, 0].any()
    # Where both show a pixel the first one's HU is taken.
    assert canvas.hu[1, 10, 10] == -700
    assert canvas.hu[3, 10, 10] == -690
    assert canvas.hu[0, 19, 23] == 0


def test_nothing_is_known_beyond_the_outermost_pixels_and_slices():
    working = on_working_grid(joined([window(3, 16, 2.0, pixel_mm=0.7, hu=-500)]), 1.0, 32)
    # 15 steps of 0.7 mm around the middle of the square: 10 lines of 1 mm lie within.
    assert working.known.sum(axis=(1, 2)).tolist() == [100] * 5
    assert working.known[:, 11:21, 11:21].all()
    assert (working.hu[working.known] == -500).all()
    assert (working.hu[~working.known] == 0).all()


def test_hu_is_interpolated_linearly_along_all_axes():
    z, y, x = np.indices((3, 16, 16))
    ramp = (100 * z + 10 * y + x).astype(np.int16)
    canvas = Canvas(ramp, ramp >= 0, (ramp[None] > 0,), np.array([0.0, 2.0, 4.0]), 0.5)
    working = on_working_grid(canvas, 1.0, 32)
    middle = working.hu[:, 16, 16].astype(float)
    # Half a voxel of 1 mm past the middle: 1 pixel of 0.5 mm, at 8.5.
    assert middle.tolist() == [round(50 * k + 85 + 8.5) for k in range(5)]


def test_between_two_windows_that_end_on_different_slices_nothing_is_made_up():
    one, other = window(2, 16, 2.0), window(2, 16, 2.0, first_yx=(0, 8), first_z=2.0)
    working = on_working_grid(joined([one, other]), 1.0, 32)
    assert working.z_index.tolist() == [0, 1, 2, 3, 4]
    left, right = working.known[:, 16, 5], working.known[:, 16, 26]
    assert left.tolist() == [True, True, True, False, False]
    assert right.tolist() == [False, False, True, True, True]


def test_missing_slices_are_not_bridged():
    hu = np.array([0, 100, 200, 800, 900], np.int16)[:, None, None].repeat(16, 1).repeat(16, 2)
    z_mm = np.array([0.0, 2.0, 4.0, 9.0, 11.0])
    working = on_working_grid(Canvas(hu, hu >= 0, (hu[None] >= 0,), z_mm, 1.0), 1.0, 32)
    assert working.z_index.tolist() == [0, 1, 2, 3, 4, 9, 10, 11]
    assert working.hu[:, 16, 16].tolist() == [0, 50, 100, 150, 200, 800, 850, 900]


def test_a_slice_alone_between_missing_ones_is_shown_as_it_is():
    hu = np.array([0, 100, 200, 800, 500, 600], np.int16)[:, None, None].repeat(16, 1).repeat(16, 2)
    z_mm = np.array([0.0, 2.0, 4.0, 9.4, 14.0, 16.0])
    working = on_working_grid(Canvas(hu, hu >= 0, (hu[None] >= 0,), z_mm, 1.0), 1.0, 32)
    assert working.z_index.tolist() == [0, 1, 2, 3, 4, 9, 14, 15, 16]
    assert working.hu[5, 16, 16] == 800


def test_one_slice_stays_one_row():
    working = on_working_grid(joined([window(1, 16, hu=-321, first_z=-80.3)]), 1.0, 32)
    assert working.z_index.tolist() == [0]
    assert working.hu[0, 16, 16] == -321


@given(
    st.lists(st.floats(0.3, 6.0), min_size=0, max_size=12),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.floats(-900, 900),
)
def test_rows_ascend_and_lie_between_the_slices(gaps, spacing_mm, first):
    z_mm = first + np.cumsum([0.0, *gaps])
    z_index, position = working_slices(z_mm, spacing_mm)
    assert len(z_index) >= 1
    assert (np.diff(z_index) > 0).all()
    assert (np.diff(position) >= 0).all()
    assert position[0] >= 0
    assert position[-1] <= len(gaps)
    at = np.interp(position, np.arange(len(z_mm)), z_mm) - first
    # A run of slices closer than the grid has the row nearest to it, half a step off at most.
    assert np.abs(at - z_index * spacing_mm).max() <= spacing_mm / 2 + 1e-6


@given(
    st.floats(1.5, 9.0),
    st.sampled_from([0.46, 0.7, 0.98]),
    st.sampled_from([0.625, 1.0, 1.25]),
)
def test_a_mask_keeps_its_volume(radius_mm, pixel_mm, gap):
    n = int(2 * radius_mm / gap) + 5
    z, y, x = np.indices((n, 48, 48))
    distance = np.sqrt(
        ((z - (n - 1) / 2) * gap) ** 2 + ((y - 23.3) ** 2 + (x - 24.1) ** 2) * pixel_mm**2
    )
    ball = distance < radius_mm
    one = window(n, 48, gap, masks=np.stack([ball, ball]), pixel_mm=pixel_mm)
    (nodule,) = on_working_grid(joined([one]), 1.0, 64).nodules
    native = ball.sum() * gap * pixel_mm**2
    assert nodule.readers == 2
    # To half a voxel of 1 mm3, and to how well rows of 1 mm sample the slices' areas.
    assert (nodule.votes == 2).sum() == pytest.approx(native, rel=0.04, abs=2.0)


def test_a_mask_thinner_than_the_grid_is_one_voxel_and_an_empty_one_still_a_reader():
    masks = np.zeros((2, 1, 33, 33), bool)
    masks[0, 0, 17, 17] = True
    one = window(1, 33, pixel_mm=0.3, masks=masks)
    (nodule,) = on_working_grid(joined([one]), 1.0, 32).nodules
    assert nodule.votes.tolist() == [[[1]]]
    assert nodule.readers == 2


def test_a_nodule_that_nobody_drew_is_none():
    one = window(2, 16, masks=np.zeros((2, 2, 16, 16), bool))
    assert on_working_grid(joined([one]), 1.0, 32).nodules == (None,)


def test_the_square_that_is_needed_holds_all_that_is_known():
    for pixel_mm in (0.46, 0.7, 0.83, 0.98):
        one = window(1, 64, pixel_mm=pixel_mm)
        needed = pixels_needed([Place((0, 0), (64, 64), (0.0, 0.0))], pixel_mm, 1.0)
        exact = on_working_grid(joined([one]), 1.0, needed).known
        wider = on_working_grid(joined([one]), 1.0, needed + 32).known
        assert exact.all()
        assert exact.sum() == wider.sum()


def test_votes_lie_on_known_voxels_alone():
    one, other = window(2, 16, 2.0), window(2, 16, 2.0, first_yx=(0, 8), first_z=2.0)
    working = on_working_grid(joined([one, other]), 1.0, 32)
    for nodule in working.nodules:
        assert not nodule.votes[~working.known[nodule.box]].any()
        assert nodule.votes.any()
