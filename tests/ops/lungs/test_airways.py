"""Trachea and bronchi, grown from tubes between the lungs."""

import numpy as np
import pytest
from scipy import ndimage

from lungseg.ops.lungs import airways
from lungseg.ops.lungs.airways import find_airways
from tests.ops.lungs.lung_shapes import SPACING, torso

AIR = -1000.0


def chest(trachea=True, lung_hu=-850):
    ct, lungs = torso(lung_hu=lung_hu)
    tube = np.zeros(ct.shape, bool)
    if trachea:
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


def test_trachea_and_bronchi_are_found_and_no_lung_is():
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


def in_a_torso_of_120_mm(monkeypatch):
    monkeypatch.setattr(airways, "WHOLE_MM", 100.0)
    monkeypatch.setattr(airways, "AIRWAY_MM", 50.0)


@pytest.mark.parametrize(("lung_hu", "noise_hu"), [(-850, 50), (-890, 30), (-890, 50), (-930, 40)])
def test_a_trachea_is_found_in_noise_in_which_holes_of_the_lung_are_as_dark(
    lung_hu, noise_hu, monkeypatch
):
    in_a_torso_of_120_mm(monkeypatch)
    ct, lungs, tube, inside = chest(lung_hu=lung_hu)
    noisy = ct + np.random.default_rng(1).normal(0, noise_hu, ct.shape)
    found = find_airways(noisy.clip(-1024, 3000).astype(np.int16), inside, AIR, SPACING)
    assert found.lumen[tube].mean() > 0.88
    assert found.lumen[lungs > 0].mean() < 0.02


def test_a_trachea_is_found_that_a_blur_has_filled(monkeypatch):
    in_a_torso_of_120_mm(monkeypatch)
    ct, lungs, tube, _ = chest()
    blurred = ndimage.gaussian_filter(ct.astype(np.float32), 1.0).astype(np.int16)
    found = find_airways(blurred, blurred < -400, AIR, SPACING)
    # What of it is dark still: its middle.
    assert found.lumen[tube].mean() > 0.35
    assert not found.lumen[lungs > 0].any()
    # Of a part of a chest, which may show no trachea, nothing else is tried, and what is found of a
    # whole one is too short for a trachea.
    for rule in ("WHOLE_MM", "AIRWAY_MM"):
        in_a_torso_of_120_mm(monkeypatch)
        monkeypatch.setattr(airways, rule, 200.0)
        assert not find_airways(blurred, blurred < -400, AIR, SPACING).lumen.any()


@pytest.mark.parametrize(
    ("place", "way", "hu", "rules"),
    [
        # 14 ml, and a way to it from the left main bronchus: as a leak of all too small.
        (np.s_[14:22, 26:34, 68:76], np.s_[16:20, 28:32, 50:68], -870, ("FAR_ML", "BRANCH_ML")),
        # 4 ml, too small for that, too.
        (np.s_[15:20, 28:33, 70:75], np.s_[16:20, 28:32, 50:70], -920, ("BRANCH_ML",)),
    ],
)
def test_dark_lung_beyond_the_bronchi_is_no_airway_although_it_is_small(
    place, way, hu, rules, monkeypatch
):
    ct, lungs, tube, inside = chest()
    dark = np.zeros(ct.shape, bool)
    dark[place] = dark[way] = True
    dark &= lungs > 0
    ct[dark] = hu
    found = find_airways(ct, inside, AIR, SPACING)
    assert not found.lumen[dark].any()
    assert found.lumen[tube].mean() > 0.95
    for rule in rules:
        monkeypatch.setattr(airways, rule, 1000.0)
    assert find_airways(ct, inside, AIR, SPACING).lumen[dark].all()


@pytest.mark.parametrize(("core", "found"), [(-930, False), (-970, True)])
def test_a_hole_low_in_a_lung_is_no_tube_unless_it_is_pure_air_as_bowel_is(core, found):
    ct, _, tube, inside = chest()
    top = np.flatnonzero(inside.any(axis=(1, 2)))[[0, -1]] @ [0.7, 0.3]
    hole = np.zeros(ct.shape, bool)
    hole[int(top) - 7 : int(top), 26:32, 54:60] = True
    edge = np.zeros(ct.shape, bool)
    edge[int(top) - 7 : int(top), 24:34, 52:62] = True
    # Between the aorta and the spine: dense enough around for a bronchus.
    ct[edge], inside = -380, inside | hole
    ct[hole] = core
    seen = find_airways(ct, inside, AIR, SPACING)
    assert bool(seen.lumen[hole].any()) is found
    assert seen.lumen[tube].mean() > 0.95


def test_without_a_trachea_nothing_is_found():
    ct, _, _, inside = chest(trachea=False)
    assert not find_airways(ct, inside, AIR, SPACING).lumen.any()


def test_without_air_nothing_is_found():
    ct = np.full((4, 5, 6), 40, np.int16)
    assert not find_airways(ct, np.zeros(ct.shape, bool), AIR, SPACING).wall.any()


def lung_in_tissue():
    """One large dark lung in the upper half of a block of tissue."""
    ct = np.full((40, 60, 90), 40, np.int16)
    ct[18:, 10:50, 10:80] = -850
    return ct


def test_a_tip_of_lung_is_no_tube():
    ct = lung_in_tissue()
    ct[ct < 0] = -930
    # An emphysematous tongue that hangs from the lung into the recess beside the spine.
    ct[4:18, 27:33, 42:48] = -985
    assert not find_airways(ct, ct < -450, AIR, SPACING).lumen.any()
    # The same from above is a trachea.
    flipped = np.ascontiguousarray(ct[::-1])
    assert find_airways(flipped, flipped < -450, AIR, SPACING).lumen.any()


def test_a_bulla_in_lung_is_no_tube():
    ct = lung_in_tissue()
    ct[22:36, 27:33, 42:48] = -985
    assert not find_airways(ct, ct < -450, AIR, SPACING).lumen.any()


def test_a_long_trachea_is_found_where_the_picture_of_one_lung_ends():
    ct = lung_in_tissue()
    ct[:, 27:33, 82:88] = -995
    found = find_airways(ct, ct < -450, AIR, SPACING).lumen
    assert found[:, 27:33, 82:88].all()
    assert found.sum() == 40 * 36


@pytest.mark.parametrize(("rows", "tube"), [((9, 15), False), ((20, 26), True)])
@pytest.mark.parametrize("first", [4, 18, 34])
def test_a_tube_at_the_front_is_the_edge_of_a_lung_unless_it_lies_below_or_above(first, rows, tube):
    ct, lungs = torso()
    low = np.s_[first : first + 6, rows[0] : rows[1], 42:48]
    ct[low] = -985
    inside = (lungs > 0) | (ct == -985)
    found = find_airways(ct, inside, AIR, SPACING).lumen
    assert found[low].all() == (tube or first != 18)
