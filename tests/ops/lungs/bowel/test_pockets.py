"""Pockets of pure air are told from bullae and emphysema by their place."""

import numpy as np

from lungseg.ops.lungs.bowel.pockets import BOWEL, DOUBTFUL, LUNG, air_pockets
from tests.ops.lungs.bowel.chests import AIR_HU, SPACING, chest


def kinds(ct):
    return [pocket.kind for pocket in air_pockets(ct, ct < -500, AIR_HU, SPACING)]


def test_a_bulla_in_the_lung_is_lung():
    ct = chest()
    ct[28:38, 12:24, 12:24] = AIR_HU
    assert kinds(ct) == [LUNG]


def test_pure_air_under_the_lung_is_bowel():
    ct = chest()
    ct[10:20, 12:24, 12:24] = AIR_HU
    assert kinds(ct) == [BOWEL]


def test_loops_of_colon_do_not_vouch_for_each_other():
    ct = chest()
    for low in (2, 11):
        ct[low : low + 8, 8:32, 8:32] = AIR_HU
        ct[low + 8, 8:32, 8:32] = -700
    assert kinds(ct) == [BOWEL, BOWEL]


def test_a_small_pocket_beside_much_emphysema_is_doubtful_unless_it_has_a_fluid_level():
    ct = chest()
    ct[24:44, 8:32, 8:32] = AIR_HU
    ct[14:20, 10:18, 10:18] = AIR_HU
    ball = (np.indices((50, 40, 40)) - np.array([15, 20, 20])[:, None, None, None]) / 5.0
    round_one = (ball**2).sum(axis=0) < 1
    with_level = ct.copy()
    assert kinds(with_level) == [LUNG, BOWEL]
    ct[14:20, 10:18, 10:18] = 40
    ct[round_one & (np.indices(ct.shape)[0] < 20)] = AIR_HU
    assert kinds(ct) == [LUNG, DOUBTFUL]


def test_little_air_is_no_pocket():
    ct = chest()
    ct[14:20, 14:18, 14:18] = AIR_HU
    assert kinds(ct) == []


def test_a_pocket_in_the_upper_half_of_the_lungs_is_lung_whatever_lies_around():
    for low, kind in ((22, BOWEL), (36, LUNG)):
        ct = chest()
        # Beside the lung, from its front to its back, as beside a sternum.
        ct[low : low + 8, 5:20, 35:40] = AIR_HU
        assert kinds(ct) == [kind]
