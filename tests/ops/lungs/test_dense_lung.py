"""Dense lung is followed, the blurred skin of a lung is not."""

import numpy as np
from scipy import ndimage

from lungseg.ops.lungs.dense_lung import dense_lung
from tests.ops.lungs.lung_shapes import ellipsoid, torso

SPACING = (2.0, 2.0, 2.0)


def test_a_dependent_part_is_lung():
    ct, lungs = torso()
    haze = (lungs == 1) & (np.indices(ct.shape)[1] > 40)
    ct[haze] = -300
    known = (lungs > 0) & ~haze
    nothing = np.zeros_like(known)
    found = dense_lung(ct, known, nothing, SPACING)
    assert found[haze].mean() > 0.7
    assert not found[lungs == 0].any()
    assert not dense_lung(ct, known, haze, SPACING).any()


def test_blur_is_no_haze_and_fat_is_no_lung():
    ct, lungs = torso()
    blurred = ndimage.gaussian_filter(ct.astype(float), 1.2).astype(np.int16)
    known = blurred < -450
    known &= ndimage.binary_dilation(lungs > 0, iterations=3)
    assert not dense_lung(blurred, known, np.zeros_like(known), SPACING)[4:-4].any()
    fat = ellipsoid(ct.shape, (20, 30, 45), (8, 8, 6)) & (lungs == 0)
    ct[fat] = -105
    assert not dense_lung(ct, lungs > 0, np.zeros_like(known), SPACING).any()


def test_no_lung_has_no_haze():
    ct, lungs = torso()
    assert not dense_lung(ct, np.zeros(ct.shape, bool), lungs > 0, SPACING).any()
