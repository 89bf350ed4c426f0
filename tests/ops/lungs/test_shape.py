"""Vessels and wall nodules come back, the hollows of heart and diaphragm do not."""

import numpy as np

from lungseg.ops.lungs.shape import filled_lung, wall_bulges
from tests.ops.lungs.lung_shapes import SPACING, ellipsoid, torso

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
