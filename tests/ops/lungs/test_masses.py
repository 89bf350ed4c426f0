"""Tumours of any size are lung; heart, liver and vessels are not."""

import numpy as np
import pytest

from lungseg.ops.lungs.enclosed.masses import enclosed_masses
from lungseg.ops.lungs.enclosed.vessel_nodules import vessel_nodules
from lungseg.ops.lungs.find import find_lungs
from lungseg.phantom.cases import case, organ
from tests.hard_cases import hard

MM = (2.0, 2.0, 2.0)


@pytest.mark.parametrize(
    "name",
    [
        hard("tumour-vessel-30-hilum-50"),
        "tumour-diaphragm-50-free-30",
    ],
)
def test_tumours_are_inside_and_the_region_holds_them_whole(name):
    phantom = case(name)
    found = find_lungs(phantom.ct)
    lungs, region = found.labels.array > 0, found.region.array
    for label in (1, 2):
        tumour = phantom.nodules.array == label
        assert lungs[tumour].mean() > 0.95
        assert region[tumour].mean() > 0.99
    assert region[lungs].all()
    assert region.sum() < 1.35 * lungs.sum()
    for other in ("heart", "liver", "spine"):
        assert lungs[organ(phantom, other)].mean() < 0.03


def chest_with(body):
    """A box of lung, 120 x 120 x 100 mm, the middle of the chest 40 mm to its left."""
    lung = np.zeros((70, 70, 60), bool)
    lung[5:65, 5:65, 5:55] = True
    left = lung & ~body
    ct = np.where(left, np.int16(-850), np.int16(40))
    middle_yx = np.tile([35.0, 75.0], (70, 1))
    return left, lung & body, ct, middle_yx


def ball(centre, radius):
    z, y, x = np.ogrid[:70, :70, :60]
    return (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2 < radius**2


def share_found(body, *, hu=40, lumen=None):
    lung, inside, ct, middle_yx = chest_with(body)
    ct = np.where(body, np.int16(hu), ct)
    lumen = np.zeros_like(lung) if lumen is None else lumen
    found = enclosed_masses(lung, ~lung, ct, lumen, middle_yx, MM).found
    return found[inside].mean()


def test_less_is_asked_of_a_mass_on_the_wall_than_of_one_on_the_mediastinum():
    # Somewhat less than half of a ball of 40 mm.
    wall, mediastinum = ball((35, 35, 1), 10), ball((35, 35, 58), 10)
    assert share_found(wall) > 0.8
    assert share_found(mediastinum) == 0


@pytest.mark.parametrize("radius", [5, 8, 12])
@pytest.mark.parametrize("share_outside", [0.0, 0.25])
def test_a_ball_on_the_mediastinum_is_a_mass_with_the_side_that_lies_in_it(radius, share_outside):
    body = ball((35, 35, 55 - radius * (1 - 2 * share_outside)), radius)
    assert share_found(body) > 0.75


@pytest.mark.parametrize(("radius", "nearly"), [(20, True), (24, False)])
def test_a_ball_of_80_mm_deep_in_the_mediastinum_is_nearly_a_mass_and_a_larger_one_heart(
    radius, nearly
):
    body = ball((35, 35, 55 - 0.3 * radius), radius)
    lung, inside, ct, middle_yx = chest_with(body)
    masses = enclosed_masses(lung, ~lung, ct, np.zeros_like(lung), middle_yx, MM)
    assert masses.found[inside].mean() == 0
    share = masses.nearly[inside].mean()
    assert share > 0.9 if nearly else share == 0


def test_what_is_nearly_a_mass_is_none_that_was_found():
    body = ball((35, 35, 49.6), 18)
    lung, inside, ct, middle_yx = chest_with(body)
    masses = enclosed_masses(lung, ~lung, ct, np.zeros_like(lung), middle_yx, MM)
    assert masses.found[inside].mean() > 0.75
    assert not (masses.found & masses.nearly).any()
    assert not (masses.nearly & lung).any()


def test_a_mass_on_the_wall_ends_within_a_block_or_two_of_the_lung_beside_it():
    z, y, x = np.ogrid[:70, :70, :80]
    body = (z - 35) ** 2 + (y - 35) ** 2 + (x - 22) ** 2 < 100
    # The lung is wider above the mass, so that what is computed reaches beyond the wall.
    lung = np.zeros((70, 70, 80), bool)
    lung[5:60, 5:65, 20:70] = lung[60:65, 5:65, 10:70] = True
    middle_yx = np.tile([35.0, 90.0], (70, 1))
    left = lung & ~body
    ct = np.where(left, np.int16(-850), np.int16(40))
    found = enclosed_masses(left, ~left, ct, np.zeros_like(lung), middle_yx, MM).found
    assert found[lung & body].mean() > 0.85
    assert not found[:, :, :16].any()


def test_an_aorta_that_bulges_is_no_mass_because_one_block_alone_is_seen_so(monkeypatch):
    z, y, x = np.ogrid[:70, :70, :60]
    bulge = ((z - 38) / 8) ** 2 + ((y - 36) / 15) ** 2 + ((x - 52.6) / 11) ** 2 < 1
    aorta = bulge | ((y - 36) ** 2 + (x - 56) ** 2 < 38) & (z >= 0)
    assert share_found(aorta) == 0
    monkeypatch.setattr("lungseg.ops.lungs.enclosed.masses._has_company", lambda blocks: blocks)
    assert share_found(aorta) > 0.3


@pytest.mark.parametrize("radius", [5, 6, 8])
def test_an_aorta_is_no_mass_because_it_is_open_along_itself(radius):
    z, y, x = np.ogrid[:70, :70, :60]
    aorta = ((y - 35) ** 2 + (x - 55) ** 2 < radius**2) & (z >= 0)
    assert share_found(aorta) < 0.02


def test_a_vessel_is_no_mass_because_it_is_thin():
    z, y, x = np.ogrid[:70, :70, :60]
    vessel = ((y - 35) ** 2 + (x - 30) ** 2 < 9) & (z >= 0)
    assert share_found(vessel) == 0
    assert share_found(ball((35, 35, 30), 6)) > 0.8


def test_what_is_as_bright_as_bone_is_no_mass():
    assert share_found(ball((35, 35, 30), 10), hu=300) == 0


def test_the_hilum_around_a_bronchus_is_no_mass():
    hilum = ball((35, 35, 50), 9)
    assert share_found(hilum) > 0.8
    assert share_found(hilum, lumen=ball((35, 35, 53), 3)) == 0


def test_without_the_middle_of_the_chest_a_mass_on_the_wall_is_judged_as_all_others():
    lung, _, ct, _ = chest_with(ball((35, 35, 1), 10))
    assert not enclosed_masses(lung, ~lung, ct, np.zeros_like(lung), None, MM).found.any()


def test_no_lung_has_no_masses():
    none = np.zeros((9, 9, 9), bool)
    assert not enclosed_masses(none, ~none, none.astype(np.int16), none, None, MM).found.any()


def nodule_on_vessels(lumen=None, *, hu=40, branches=1):
    """Share found of a nodule of 16 mm, tied to the mediastinum by a vessel of 9 mm."""
    z, y, x = np.ogrid[:70, :70, :60]
    vessels = ((y - 35) ** 2 + (z - 35) ** 2 < 5) & (x > 30)
    if branches == 2:
        vessels = vessels | (((y - 35) ** 2 + (z - 35) ** 2 < 5) & (x < 30))
    nodule = ball((35, 35, 30), 4.2)
    lung, _, ct, _ = chest_with(nodule | vessels)
    ct = np.where(nodule, np.int16(hu), ct)
    none = np.zeros_like(lung)
    found = vessel_nodules(lung, ~lung, ct, none if lumen is None else lumen, MM)
    return found[nodule].mean()


def test_a_nodule_at_a_vessel_s_end_is_lung():
    assert nodule_on_vessels() > 0.9


def test_a_swelling_within_a_vessel_a_bright_knot_and_one_of_the_hilum_are_no_nodules():
    assert nodule_on_vessels(branches=2) == 0
    assert nodule_on_vessels(hu=250) == 0
    assert nodule_on_vessels(ball((35, 35, 38), 1.1)) == 0


def test_an_empty_lung_has_no_nodules():
    none = np.zeros((9, 9, 9), bool)
    assert not vessel_nodules(none, ~none, none.astype(np.int16), none, MM).any()
