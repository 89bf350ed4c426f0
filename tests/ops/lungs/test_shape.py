"""Vessels and wall nodules come back, the hollows of heart and diaphragm do not."""

import numpy as np
import pytest

from lungseg.ops.lungs.left_right import RIGHT
from lungseg.ops.lungs.shape import filled_lung, search_region, wall_bulges
from tests.ops.lungs.lung_shapes import SPACING, ellipsoid, torso

GRID = (2.0, 2.0, 2.0)
MIDDLE = np.tile([30.0, 45.0], (40, 1))


def right_lung():
    ct, lungs = torso()
    return ct, lungs == 1


def test_vessels_and_what_they_enclose_are_filled():
    _, lung = right_lung()
    vessel = np.zeros_like(lung)
    vessel[20, 30, 20:45] = True
    nodule = ellipsoid(lung.shape, (20, 30, 24), (4, 4, 4))
    seen = lung & ~vessel & ~nodule
    filled = filled_lung(seen, np.ones_like(lung), 4.0, SPACING)
    assert filled[(vessel | nodule) & lung].mean() > 0.95
    assert not filled[:, :, 45:].any()
    free = ~nodule
    assert not filled_lung(seen, free, 4.0, SPACING)[nodule].any()


def test_a_nodule_on_the_chest_wall_comes_back_with_its_cap():
    ct, lung = right_lung()
    nodule = ellipsoid(lung.shape, (20, 30, 13), (3, 3, 4)) & lung
    seen = lung & ~nodule
    ct[nodule] = 30
    found = wall_bulges(seen, np.ones_like(lung), ct, MIDDLE, 18.0, SPACING)
    assert found[nodule].mean() > 0.85
    assert (found & ~lung).sum() < 2 * nodule.sum()


def test_a_rib_does_not():
    ct, lung = right_lung()
    rib = ellipsoid(lung.shape, (20, 30, 13), (3, 3, 4)) & lung
    ct[rib] = 400
    seen = lung & ~rib
    assert not wall_bulges(seen, np.ones_like(lung), ct, MIDDLE, 18.0, SPACING)[rib].any()


def test_the_hollow_of_the_heart_stays_hollow():
    ct, lung = right_lung()
    heart = ellipsoid(lung.shape, (20, 30, 42), (6, 6, 8))
    seen = lung & ~heart
    ct[heart] = 40
    found = wall_bulges(seen, np.ones_like(lung), ct, MIDDLE, 18.0, SPACING)
    assert found[heart].mean() < 0.02


def test_the_liver_stays_out_of_the_thin_lung_beside_it():
    ct, lung = right_lung()
    liver = (np.indices(lung.shape)[2] > 19) | ellipsoid(lung.shape, (20, 30, 20), (3, 4, 4))
    seen = lung & ~liver
    ct[liver] = 60
    found = wall_bulges(seen, np.ones_like(lung), ct, MIDDLE, 18.0, SPACING)
    assert not found[liver].any()


def test_the_mediastinum_is_no_wall():
    ct, lung = right_lung()
    nodule = ellipsoid(lung.shape, (20, 30, 13), (3, 3, 4)) & lung
    seen = lung & ~nodule
    ct[nodule] = 30
    # The same bulge, were the middle of the chest here.
    middle = np.tile([30.0, 20.0], (40, 1))
    assert not wall_bulges(seen, np.ones_like(lung), ct, middle, 18.0, SPACING)[nodule].any()


def test_no_lung_has_no_bulges_and_no_ball_finds_none():
    ct, lung = right_lung()
    everywhere = np.ones_like(lung)
    assert not wall_bulges(~everywhere, everywhere, ct, MIDDLE, 18.0, SPACING).any()
    assert not wall_bulges(lung, everywhere, ct, MIDDLE, 0.0, SPACING).any()


def lung_on_a_dome():
    """The right lung of a chest, 2 mm, on a dome of the diaphragm; the middle lies at column 75."""
    z, y, x = np.indices((60, 70, 80))
    lung = (z > 14 - ((y - 35) ** 2 + (x - 35) ** 2) / 120) & (z < 55)
    lung &= (y > 5) & (y < 65) & (x > 5) & (x < 65)
    return lung, np.tile([35.0, 75.0], (60, 1))


def on_the_dome(body):
    """What of a body that stands on the dome comes back, and all that does."""
    lung, middle = lung_on_a_dome()
    part = body & lung
    ct = np.where(lung & ~body, np.int16(-850), np.int16(40))
    whole = filled_lung(lung & ~body, ~(lung & ~body), 4.0, GRID)
    found = wall_bulges(whole, ~whole, ct, middle, 18.0, GRID) | whole
    return found[part].mean(), found & ~lung


@pytest.mark.parametrize("radius", [3, 4, 6, 8])
def test_a_nodule_on_the_diaphragm_comes_back(radius):
    nodule = ellipsoid((60, 70, 80), (14 + radius / 2, 35, 35), (radius,) * 3)
    share, besides = on_the_dome(nodule)
    assert share > 0.9
    assert besides.sum() < nodule.sum()


def test_a_band_between_diaphragm_and_wall_is_lung():
    z, y, x = np.indices((60, 70, 80))
    band = (z < 30) & (abs(y - 35 - (z - 14) / 2) < 2.5) & (x > 5) & (x < 30)
    share, _ = on_the_dome(band)
    assert share > 0.7


@pytest.mark.parametrize(
    ("centre", "radii", "most"),
    [
        # The heart's tip, a dome higher on one side, and a fold from wall to wall.
        ((22, 30, 66), (12, 16, 20), 0.01),
        ((12, 35, 30), (14, 22, 20), 0.01),
        ((14, 35, 40), (5, 40, 5), 0.35),
    ],
)
def test_heart_and_diaphragm_themselves_do_not(centre, radii, most):
    share, _ = on_the_dome(ellipsoid((60, 70, 80), centre, radii))
    assert share < most


def test_what_may_be_a_mass_lies_in_the_region_with_a_margin():
    sides = np.zeros((40, 40, 60), np.uint8)
    sides[5:35, 5:35, 5:25] = RIGHT
    maybe = np.zeros(sides.shape, bool)
    maybe[15:25, 15:25, 30:40] = True
    alone, both = (search_region(sides, (2.0, 2.0, 2.0), also) for also in (None, maybe))
    assert not alone[20, 20, 32:].any()
    assert both[15:25, 15:25, 28:42].all()
    assert not both[:, :, 43:].any()
    assert (both >= alone).all()
