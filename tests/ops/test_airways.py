"""Windpipe and bronchi, grown from tubes between the lungs."""

import numpy as np
import pytest

from pipeline.ops.airways import find_airways
from tests.ops.lung_shapes import SPACING, torso

AIR = -1000.0


def chest(windpipe=True, lung_hu=-850):
    ct, lungs = torso(lung_hu=lung_hu)
    tube = np.zeros(ct.shape, bool)
    if windpipe:
        tube[20:, 27:33, 42:48] = True
        for side in (-1, 1):
            for step in range(1, 10):
                x = 45 + side * step
                z = 20 - step // 3
                tube[z - 1 : z + 2, 28:32, x] = True
    tube &= lungs == 0
    ct[tube] = -990
    inside = (lungs > 0) | tube
    return ct, lungs, tube, inside


def test_windpipe_and_bronchi_are_found_and_no_lung_is():
    ct, lungs, tube, inside = chest()
    found = find_airways(ct, inside, AIR, SPACING)
    assert found.lumen[tube].mean() > 0.95
    assert found.lumen[lungs > 0].mean() < 0.005
    assert found.wall[found.lumen].all()


def test_growth_stops_before_it_leaks_into_emphysema():
    ct, lungs, tube, inside = chest(lung_hu=-930)
    found = find_airways(ct, inside, AIR, SPACING)
    assert found.lumen[lungs > 0].mean() < 0.01
    assert found.lumen[tube].mean() > 0.8


def test_without_a_windpipe_nothing_is_found():
    ct, _, _, inside = chest(windpipe=False)
    assert not find_airways(ct, inside, AIR, SPACING).lumen.any()


def test_without_air_nothing_is_found():
    ct = np.full((4, 5, 6), 40, np.int16)
    assert not find_airways(ct, np.zeros(ct.shape, bool), AIR, SPACING).wall.any()


@pytest.mark.parametrize("x", [15, 70])
def test_a_tip_of_lung_is_no_tube(x):
    ct, _, _, inside = chest(windpipe=False)
    # An emphysematous tongue that hangs from a lung into the recess beside the spine.
    for z in range(4, 22):
        ct[z, 38:44, x : x + 5] = -985
        inside[z, 38:44, x : x + 5] = True
    found = find_airways(ct, inside, AIR, SPACING)
    assert not found.lumen.any()
