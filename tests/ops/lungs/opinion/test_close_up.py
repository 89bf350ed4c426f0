"""What a mask takes of the tumour net's answer: solid, thick, sure, and in the search region."""

import numpy as np
import pytest

from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.opinion.close_up import channels, folded, has_contrast, tumours, unfolded

MM = (2.0, 2.0, 2.0)
EVERYWHERE = np.ones((30, 30, 60), bool)


def two_lungs(ball_at=(15, 15, 22), radius=4.5, hu=40):
    """Two lungs with a bright vessel between, and a ball at the surface of the right one."""
    z, y, x = np.ogrid[:30, :30, :60]
    away = (z - ball_at[0]) ** 2 + (y - ball_at[1]) ** 2 + (x - ball_at[2]) ** 2
    ball = away < radius**2
    labels = np.zeros((30, 30, 60), np.uint8)
    labels[:, :, :22], labels[:, :, 38:] = RIGHT, LEFT
    labels[ball] = 0
    values = np.where(labels > 0, -850, 40).astype(np.int16)
    values[17:, :10, 24:37] = 200
    values[ball] = hu
    return Blocks(values, labels, MM), ball


def wide_chest(column):
    """Lungs 120 mm from wall to middle, no contrast medium, a ball at the right one's surface."""
    z, y, x = np.ogrid[:30, :30, :180]
    ball = (z - 15) ** 2 + (y - 15) ** 2 + (x - column) ** 2 < 4.5**2
    labels = np.zeros((30, 30, 180), np.uint8)
    labels[:, :, 20:80], labels[:, :, 100:160] = RIGHT, LEFT
    labels[ball] = 0
    values = np.where(labels > 0, -850, 40).astype(np.int16)
    return Blocks(values, labels, MM), ball


@pytest.mark.parametrize(("column", "added"), [(19, True), (80, False), (100, False), (160, True)])
def test_without_contrast_medium_nothing_is_believed_at_the_mediastinum(column, added):
    seen, ball = wide_chest(column)
    assert not has_contrast(seen, 89.5)
    found = tumours(seen, ball.astype(np.float32), np.ones(ball.shape, bool))
    assert np.array_equal(found > 0, ball & added)


def test_bright_vessels_in_front_are_contrast_medium_and_a_spine_behind_is_not():
    seen, ball = wide_chest(80)
    seen.hu[:, 20:, 82:98] = 200
    assert not has_contrast(seen, 89.5)
    assert not tumours(seen, ball.astype(np.float32), np.ones(ball.shape, bool)).any()
    seen.hu[:, 2:10, 84:96] = 200
    assert has_contrast(seen, 89.5)
    found = tumours(seen, ball.astype(np.float32), np.ones(ball.shape, bool))
    assert np.array_equal(found > 0, ball)


def test_beside_a_single_lung_the_mediastinum_is_anywhere():
    seen, ball = wide_chest(19)
    seen.labels[seen.labels == LEFT] = 0
    assert not tumours(seen, ball.astype(np.float32), np.ones(ball.shape, bool)).any()


@pytest.mark.parametrize(("column", "side"), [(22, RIGHT), (37, LEFT)])
def test_a_tumour_is_added_whole_on_the_side_of_the_nearer_lung(column, side):
    seen, ball = two_lungs((15, 15, column))
    added = tumours(seen, ball.astype(np.float32), EVERYWHERE)
    assert np.array_equal(added > 0, ball)
    assert set(np.unique(added[ball])) == {side}


@pytest.mark.parametrize("hu", [-150, 200])
def test_fat_and_vessels_full_of_contrast_medium_are_no_tumours(hu):
    seen, ball = two_lungs(hu=hu)
    assert not tumours(seen, ball.astype(np.float32), EVERYWHERE).any()


def test_a_vessel_and_a_crumb_are_not_added_and_air_never():
    seen, ball = two_lungs()
    likely = np.zeros(ball.shape, np.float32)
    likely[10, 10, 22:38] = likely[20:22, 20:22, 22:38] = 1
    assert not tumours(seen, likely, EVERYWHERE).any()
    seen.hu[ball] = -700
    assert not tumours(seen, ball.astype(np.float32), EVERYWHERE).any()
    crumb, small = two_lungs(radius=1.2)
    # 0.06 ml of the 0.1 that are asked for.
    assert small.sum() * 0.008 == pytest.approx(0.056)
    assert not tumours(crumb, small.astype(np.float32), EVERYWHERE).any()


def test_where_the_net_is_nowhere_sure_nothing_is_added():
    seen, ball = two_lungs()
    likely = np.where(ball, np.float32(0.9), np.float32(0))
    assert not tumours(seen, likely, EVERYWHERE).any()
    likely[14:18, 14:18, 22:26] = 0.98
    assert np.array_equal(tumours(seen, likely, EVERYWHERE) > 0, ball)


def test_the_unsure_edge_of_a_tumour_belongs_to_it_for_two_blocks():
    seen, ball = two_lungs()
    likely = ball.astype(np.float32)
    likely[15, 15, 26:36] = 0.3
    added = tumours(seen, likely, EVERYWHERE)
    assert np.flatnonzero(added[15, 15]).tolist() == list(range(22 - 4, 26 + 3))
    likely[15, 15, 27:36] = 0.2
    assert np.flatnonzero(tumours(seen, likely, EVERYWHERE)[15, 15])[-1] == 26


def test_half_of_a_tumour_lies_in_the_region_and_the_rest_near_it():
    seen, ball = two_lungs()
    region = np.zeros(ball.shape, bool)
    region[:, :, :23] = True
    likely = ball.astype(np.float32)
    assert ball[region].sum() > 0.5 * ball.sum()
    assert np.array_equal(tumours(seen, likely, region) > 0, ball)
    region[:, :, 21:] = False
    assert not tumours(seen, likely, region).any()


def test_eight_blocks_stand_side_by_side_in_one_and_come_apart_again():
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 300, (4, 6, 8)).astype(np.int16)
    mask = rng.random(hu.shape) > 0.5
    image = channels(hu, mask)
    assert image.shape == (2, 3, 4, 24)
    # The block (1, 0, 1) of the eight of (1, 2, 3), three windows each.
    held = image[1, 2, 3, 3 * 5 : 3 * 6]
    value = float(hu[3, 4, 7])
    assert held[0] == pytest.approx((min(value, 0) + 500) / 500)
    assert held[1] == pytest.approx((max(value, -150) - 40) / 120)
    assert held[2] == mask[3, 4, 7]
    values = rng.random((4, 6, 8, 3)).astype(np.float32)
    assert np.array_equal(unfolded(folded(values)), values)
