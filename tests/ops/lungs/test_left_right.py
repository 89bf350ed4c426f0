"""Right and left, also where lungs touch."""

import numpy as np
import pytest

from lungseg.ops.lungs.left_right import LEFT, RIGHT, separate_sides
from tests.ops.lungs.lung_shapes import SHAPE, SPACING, ellipsoid, torso


def test_separate_lungs_are_labelled_by_their_side():
    ct, lungs = torso()
    np.testing.assert_array_equal(separate_sides(ct, lungs > 0, SPACING), lungs)


def test_lungs_that_touch_are_parted_at_the_junction_line():
    ct, lungs = torso()
    bridge = np.zeros(SHAPE, bool)
    bridge[14:26, 16:20, 26:64] = True
    lungs[bridge & (lungs == 0)] = 3
    ct[lungs > 0] = -850
    # The line itself is off the middle, and denser.
    ct[14:26, 10:24, 49] = -600
    sides = separate_sides(ct, lungs > 0, SPACING)
    assert ((sides > 0) == (lungs > 0)).all()
    for side in (RIGHT, LEFT):
        assert (sides[lungs == side] == side).mean() > 0.995
    assert (sides[14:26, 16:20, 41:48] == RIGHT).mean() > 0.97
    assert (sides[14:26, 16:20, 51:56] == LEFT).mean() > 0.97


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_a_lung_alone_in_the_picture_is_not_cut(side):
    ct, lungs = torso()
    kept = lungs == side
    # Its hollow for the heart lies on the inner side.
    kept &= ~ellipsoid(SHAPE, (18, 26, 45), (14, 12, 14))
    ct[(lungs > 0) & ~kept] = 40
    columns = slice(8, 50) if side == RIGHT else slice(40, 82)
    sides = separate_sides(ct[:, :, columns], kept[:, :, columns], SPACING)
    np.testing.assert_array_equal(sides, kept[:, :, columns] * np.uint8(side))


def test_a_lung_that_reaches_across_the_middle_stays_whole():
    ct, lungs = torso()
    tongue = np.zeros(SHAPE, bool)
    # In front of the left lung, farther than the line may go around.
    tongue[18:23, 9:11, 24:71] = True
    tongue[18:23, 9:14, 24:28] = True
    lungs[tongue & (lungs == 0)] = RIGHT
    assert tongue.sum() < 0.05 * (lungs == RIGHT).sum()
    ct[lungs > 0] = -850
    sides = separate_sides(ct, lungs > 0, SPACING)
    np.testing.assert_array_equal(sides, lungs)


def test_nothing_has_no_sides():
    ct, _ = torso()
    assert not separate_sides(ct, np.zeros(SHAPE, bool), SPACING).any()
