"""Gas of the bowel beside a lung is told from bullae and emphysema."""

import numpy as np
import pytest

from lungseg.ops.lungs.bowel.gas import bowel_gas, gas_doubts
from lungseg.ops.lungs.find import find_lungs
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT
from lungseg.ops.scores.counts import count
from lungseg.phantom.cases import case, organ
from tests.hard_cases import hard
from tests.ops.lungs.bowel.chests import AIR_HU, SPACING, chest, without


@pytest.mark.parametrize("name", [hard("gas-right-2.5"), "gas-left-5", hard("hernia-5")])
def test_gas_that_a_thin_diaphragm_joins_to_a_lung_is_none(name):
    phantom = case(name)
    lungs = find_lungs(phantom.ct).labels.array > 0
    gas = organ(phantom, "gas")
    assert (gas & lungs).sum() * phantom.ct.voxel_ml < 8
    assert gas.sum() * phantom.ct.voxel_ml > 70
    assert count(lungs, phantom.lungs.array > 0).dice > 0.98


def test_without_the_search_for_gas_those_phantoms_would_be_wrong(monkeypatch):
    phantom = case("gas-left-5")
    without(monkeypatch, "bowel_gas", "hanging_bowel")
    lungs = find_lungs(phantom.ct).labels.array > 0
    assert (organ(phantom, "gas") & lungs).sum() * phantom.ct.voxel_ml > 200


@pytest.mark.parametrize("name", [hard("giant-bulla"), "bulla-on-diaphragm", hard("emphysema")])
def test_bullae_and_emphysema_stay_lung(name):
    phantom = case(name)
    lungs = find_lungs(phantom.ct).labels.array > 0
    truth = phantom.lungs.array > 0
    assert count(lungs, truth).dice > 0.98
    assert (truth & ~lungs).sum() * phantom.ct.voxel_ml < 10


@pytest.mark.parametrize(("likely", "told"), [(None, 1), (0.69, 1), (0.71, 0)])
def test_gas_in_a_mask_that_is_lung_to_a_net_is_not_told(likely, told):
    ct = chest()
    ct[10:20, 12:24, 12:24] = AIR_HU
    labels = np.where(ct < -500, LEFT, 0).astype(np.uint8)
    net = None if likely is None else np.where(ct == AIR_HU, likely, 0.0).astype(np.float32)
    assert len(gas_doubts(Blocks(ct, labels, SPACING), -500.0, net)) == told


def test_the_wall_goes_with_the_gas_and_the_lung_beyond_stays():
    ct = np.full((60, 48, 48), 40, np.int16)
    ct[24:56, 8:40, 8:40] = -850
    ct[6:23, 14:34, 14:34] = AIR_HU
    ct[23, 14:34, 14:34] = -600
    gas = bowel_gas(ct, ct < -500, AIR_HU, (2.0, 2.0, 2.0))
    assert gas[23, 14:34, 14:34].all()
    assert not gas[24:].any()
