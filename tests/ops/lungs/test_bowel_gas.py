"""Gas of the bowel beside a lung is told from bullae and emphysema."""

import numpy as np
import pytest

from lungseg.ops.lungs.bowel_gas import (
    BOWEL,
    DOUBTFUL,
    LUNG,
    air_pockets,
    bowel_gas,
    gas_doubts,
)
from lungseg.ops.lungs.find import find_lungs
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT
from lungseg.ops.scores.counts import count
from lungseg.phantom.cases import case, organ

SPACING = (4.0, 4.0, 4.0)
AIR_HU = -1000.0


def chest():
    """Tissue with one lung, in blocks of 4 mm: HU."""
    ct = np.full((50, 40, 40), 40, np.int16)
    ct[20:46, 5:35, 5:35] = -850
    return ct


def kinds(ct):
    return [pocket.kind for pocket in air_pockets(ct, ct < -500, AIR_HU, SPACING)]


@pytest.mark.parametrize("name", ["gas-right-2.5", "gas-left-5", "hernia-5"])
def test_gas_that_a_thin_diaphragm_joins_to_a_lung_is_none(name):
    phantom = case(name)
    lungs = find_lungs(phantom.ct).labels.array > 0
    gas = organ(phantom, "gas")
    assert (gas & lungs).sum() * phantom.ct.voxel_ml < 8
    assert gas.sum() * phantom.ct.voxel_ml > 70
    assert count(lungs, phantom.lungs.array > 0).dice > 0.98


def test_without_the_search_for_gas_those_phantoms_would_be_wrong(monkeypatch):
    phantom = case("gas-left-5")
    monkeypatch.setattr(
        "lungseg.ops.lungs.find.bowel_gas", lambda ct, lungs, air_hu, spacing: lungs & False
    )
    lungs = find_lungs(phantom.ct).labels.array > 0
    assert (organ(phantom, "gas") & lungs).sum() * phantom.ct.voxel_ml > 200


@pytest.mark.parametrize("name", ["giant-bulla", "bulla-on-diaphragm", "emphysema"])
def test_bullae_and_emphysema_stay_lung(name):
    phantom = case(name)
    lungs = find_lungs(phantom.ct).labels.array > 0
    truth = phantom.lungs.array > 0
    assert count(lungs, truth).dice > 0.98
    assert (truth & ~lungs).sum() * phantom.ct.voxel_ml < 10


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


@pytest.mark.parametrize(("likely", "told"), [(None, 1), (0.69, 1), (0.71, 0)])
def test_gas_in_a_mask_that_is_lung_to_a_net_is_not_told(likely, told):
    ct = chest()
    ct[10:20, 12:24, 12:24] = AIR_HU
    labels = np.where(ct < -500, LEFT, 0).astype(np.uint8)
    net = None if likely is None else np.where(ct == AIR_HU, likely, 0.0).astype(np.float32)
    assert len(gas_doubts(Blocks(ct, labels, SPACING), -500.0, net)) == told


def test_little_air_is_no_pocket():
    ct = chest()
    ct[14:20, 14:18, 14:18] = AIR_HU
    assert kinds(ct) == []


def test_the_wall_goes_with_the_gas_and_the_lung_beyond_stays():
    ct = np.full((60, 48, 48), 40, np.int16)
    ct[24:56, 8:40, 8:40] = -850
    ct[6:23, 14:34, 14:34] = AIR_HU
    ct[23, 14:34, 14:34] = -600
    gas = bowel_gas(ct, ct < -500, AIR_HU, (2.0, 2.0, 2.0))
    assert gas[23, 14:34, 14:34].all()
    assert not gas[24:].any()
