"""Readings to nodules: clusters, votes, consensus, volumes on another grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungseg.ops.nodules.clusters import (
    axes_mm,
    clipped,
    cluster,
    consensus,
    count_votes,
    dice,
    equivalent_diameter_mm,
    resample_mask,
    votes_needed,
)
from lungseg.ops.nodules.contours import Patch
from lungseg.ops.nodules.sphere import ball
from lungseg.volume import Geometry
from tests.readings import box_reading

Z = [0.0, 2.0, 4.0]
TURNED = (0.0, -1, 0, 1, 0, 0, 0, 0, -1)


def boxes(*corners, z_mm=Z):
    return [box_reading(str(k), z_mm, x, 0, x + 4, 4) for k, x in enumerate(corners)]


def test_readings_that_touch_are_of_one_nodule():
    assert cluster(boxes(0, 2, 40), 2.0, 2.0) == [[0, 1], [2]]
    assert cluster([], 2.0, 2.0) == []
    # vertices of the contours are at 5 and at 7: two apart, the tolerance still links them
    assert cluster(boxes(0, 8), 2.0, 2.0) == [[0, 1]]
    assert cluster(boxes(0, 9), 2.0, 2.0) == [[0], [1]]


def test_distance_along_the_stack_is_counted_in_slices():
    low, high = boxes(0, z_mm=[0.0])[0], boxes(0, z_mm=[4.0])[0]
    assert cluster([low, high], 2.0, 2.0) == [[0, 1]]
    assert cluster([low, high], 2.0, 1.0) == [[0], [1]]


def test_five_readings_are_pulled_apart_where_they_can_be():
    # four coincide, the fifth is two pixels off: below that tolerance it stands alone
    assert cluster(boxes(0, 0, 0, 0, 8), 3.0, 2.0) == [[0, 1, 2, 3], [4]]
    # and no further than need be: of gaps of two and of three, at most the wider is opened
    assert cluster(boxes(0, 0, 0, 8, -9), 3.0, 2.0) == [[0, 1, 2, 3], [4]]
    # five that coincide cannot be
    assert cluster(boxes(0, 0, 0, 0, 0), 3.0, 2.0) == [[0, 1, 2, 3, 4]]


shapes = st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))


@given(shapes, st.floats(0.5, 3.0), st.floats(0.4, 1.0), st.integers(0, 2**16))
def test_a_mask_keeps_its_volume_on_another_grid(shape, slice_mm, pixel_mm, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.7
    mask[0, 0, 0] = True
    source = Geometry((slice_mm, pixel_mm, pixel_mm), (3.3, -8.1, 2.2))
    target = Geometry((1.0, 1.0, 1.0), tuple(rng.uniform(-20, 20, 3)), TURNED)
    moved = resample_mask(Patch(mask, (5, 6, 7)), source, target)
    volume = mask.sum() * source.voxel_mm3
    assert moved.mask.sum() >= 1
    reachable = abs(moved.mask.sum() - volume) <= max(0.5 + 1e-6, 1.0 - volume)
    # scattered voxels thinner than the new ones cannot all be told apart
    assert reachable or min(mask.shape) < 3
    centre = source.to_world(np.add(np.argwhere(mask).mean(axis=0), (5, 6, 7)))
    moved_centre = target.to_world(np.argwhere(moved.mask).mean(axis=0) + moved.first_zyx)
    assert np.linalg.norm(centre - moved_centre) < 1.0 + slice_mm / 2


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
    assert dice(moved, ball((1.0, 2.0, 3.0), 12.0, fine)) > 0.93


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


def test_votes_are_counted_in_the_box_of_all():
    one, two = (
        Patch(np.ones((1, 2, 2), bool), (0, 0, 0)),
        Patch(np.ones((1, 2, 2), bool), (0, 1, 1)),
    )
    votes, first = count_votes([one, two])
    assert first == (0, 0, 0)
    assert votes.tolist() == [[[1, 1, 0], [1, 2, 1], [0, 1, 1]]]
    assert votes.dtype == np.uint8
    assert dice(one, two) == 0.25


@pytest.mark.parametrize(
    ("readers", "level", "needed"),
    [(1, 0.5, 1), (2, 0.5, 1), (3, 0.5, 2), (4, 0.5, 2), (8, 0.5, 2), (4, 1.0, 4), (3, 0.0, 1)],
)
def test_half_of_those_who_drew_it(readers, level, needed):
    assert votes_needed(readers, level) == needed


def test_consensus_is_target_the_rest_of_the_votes_is_ignored():
    votes = np.array([[[0, 1, 2, 3, 4, 1, 2]]], np.uint8)
    labels = np.array([[[0, 1, 1, 1, 1, 2, 2]]], np.uint16)
    target, ignore = consensus(votes, labels, {1: 4, 2: 2})
    assert target.tolist() == [[[False, False, True, True, True, False, False]]]
    assert ignore.tolist() == [[[False, True, False, False, False, True, True]]]
    target, _ = consensus(votes, labels, {1: 4, 2: 2}, min_readers=1, level=1.0)
    assert target.tolist() == [[[False, False, False, False, True, False, True]]]
    # a label that the list does not know is no truth
    target, ignore = consensus(votes, labels, {2: 2}, min_readers=2)
    assert target.tolist() == [[[False, False, False, False, False, True, True]]]
    assert (target | ignore).tolist() == [[[False, True, True, True, True, True, True]]]
    empty, _ = consensus(np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2, 2), np.uint16), {})
    assert not empty.any()


def test_sizes_of_known_bodies():
    assert equivalent_diameter_mm(4 / 3 * np.pi * 5**3) == pytest.approx(10.0)
    z, y, x = np.indices((41, 41, 41)) - 20
    egg = (z / 16.0) ** 2 + (y / 8.0) ** 2 + (x / 12.0) ** 2 <= 1
    assert axes_mm(egg, (0.5, 0.5, 0.5)) == pytest.approx((8.0, 16.0), rel=0.02)
    assert axes_mm(np.ones((1, 1, 1), bool), (1.0, 1.0, 1.0)) == pytest.approx(
        (equivalent_diameter_mm(1.0),) * 2
    )
