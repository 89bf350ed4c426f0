"""Loops of bowel with stool are known by the neck they hang by."""

import numpy as np
import pytest

from lungseg.ops.lungs.bowel.gas import bowel_gas
from lungseg.ops.lungs.bowel.loops import hanging_bowel
from lungseg.ops.lungs.find import find_lungs
from lungseg.volume import Geometry, Volume
from tests.ops.lungs.bowel.chests import AIR_HU, without


def chest_with_loop(air_hu=AIR_HU, neck=slice(22, 26)):
    """A lung, and a loop with stool under it that `neck` joins to it, in blocks of 2 mm: HU."""
    ct = np.full((80, 60, 60), 40, np.int16)
    ct[36:76, 8:52, 8:52] = -850
    loop = np.zeros(ct.shape, bool)
    loop[4:26, 20:40, 20:40] = True
    ct[loop] = -600
    # Gas in every third sheet: too thin for a pocket.
    ct[4:26:3, 20:40, 20:40] = air_hu
    ct[26:36, neck, neck] = -600
    return ct, loop


def hangs(ct):
    return hanging_bowel(ct, ct < -500, AIR_HU, (2.0, 2.0, 2.0))


def test_a_loop_with_stool_that_hangs_below_a_lung_is_bowel_though_no_pocket_of_gas():
    ct, loop = chest_with_loop()
    assert not bowel_gas(ct, ct < -500, AIR_HU, (2.0, 2.0, 2.0)).any()
    bowel = hangs(ct)
    assert bowel[loop].mean() > 0.98
    assert not bowel[36:].any()


@pytest.mark.parametrize("shift", [0, 40])
def test_lung_that_hangs_by_a_neck_has_no_gas(shift):
    # Below a band of collapse a piece of the base hangs so; a scan's own air may be off.
    ct, _ = chest_with_loop(air_hu=-900)
    assert not hanging_bowel(ct, ct < -500, AIR_HU - shift, (2.0, 2.0, 2.0)).any()


def test_what_hangs_by_a_broad_neck_is_lung():
    ct, _ = chest_with_loop(neck=slice(14, 46))
    assert not hangs(ct).any()


def test_what_hangs_by_a_neck_higher_up_is_lung():
    ct, _ = chest_with_loop()
    assert hangs(ct).any()
    assert not hangs(ct[::-1]).any()


@pytest.mark.parametrize("lung_under", [False, True])
def test_what_hangs_by_a_neck_is_bowel_under_a_high_dome_but_lung_where_lung_lies_under_it(
    lung_under,
):
    ct = np.full((96, 62, 60), 40, np.int16)
    ct[52:92, 8:58, 8:52] = ct[2:52, 44:58, 8:52] = -850
    ct[20:42, 18:38, 20:40] = -600
    ct[20:42:3, 18:38, 20:40] = AIR_HU
    ct[42:52, 26:30, 28:32] = -600
    if lung_under:
        ct[2:16, 14:44, 16:44] = -850
    assert hangs(ct).any() != lung_under


def test_a_loop_with_stool_is_not_in_the_mask(monkeypatch):
    array = np.full((100, 100, 120), -1000, np.int16)
    array[:, 8:92, 8:112] = 40
    array[44:92, 20:80, 16:52] = array[44:92, 20:80, 68:104] = -850
    array[10:30, 40:60, 78:98] = -600
    array[10:30:3, 40:60, 78:98] = -1000
    array[30:44, 48:52, 86:90] = -600
    ct = Volume(array, Geometry((2.0, 2.0, 2.0)))
    assert not find_lungs(ct).labels.array[:30].any()
    without(monkeypatch, "hanging_bowel")
    assert find_lungs(ct).labels.array[:30].sum() * ct.voxel_ml > 30
