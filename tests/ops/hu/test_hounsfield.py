"""Values that are not HU are reported."""

import re

import numpy as np
import pytest

from lungseg.ops.hu.hounsfield import OK, hu_check


def chest(shift=0, scale=1.0, padding=None):
    rng = np.random.default_rng(0)
    stack = rng.normal(-990, 15, (10, 40, 40))
    stack[:, 8:32, 8:32] = rng.normal(45, 20, (10, 24, 24))
    stack[:, 14:26, 10:18] = rng.normal(-850, 30, (10, 12, 8))
    stack = stack * scale + shift
    if padding is not None:
        stack[:, :4, :4] = padding
    return np.rint(stack).astype(np.int16)


def test_a_chest_in_hu_is_right():
    assert hu_check(chest()) == OK
    assert hu_check(chest(padding=-2000), -2000) == OK


def test_padding_that_interpolation_has_smeared_is_not_the_intercepts_fault():
    ct = chest().astype(float)
    ct[:, :20] = ct[:, 20:] = -3024
    ct[:, 18:22] = np.linspace(-3024, -990, 4)[:, None]
    ct[:, 8:32, 8:32] = chest()[:, 8:32, 8:32]
    smeared = ct.astype(np.int16)
    assert (smeared < -1100).mean() > 0.5
    assert hu_check(smeared) == OK


def test_lung_at_the_frame_is_not_taken_for_the_air_around():
    rng = np.random.default_rng(0)
    ct = rng.normal(-850, 45, (10, 40, 40))
    ct[:, :10] = rng.normal(40, 20, (10, 10, 40))
    ct[:, 20:24, 20:24] = -990
    assert hu_check(np.rint(ct).astype(np.int16)) == OK


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        (chest(shift=1024), "no air below -500 HU: is the rescale intercept right"),
        (chest(shift=-1024), "air peaks at -.*no tissue above -500 HU"),
        (
            chest(shift=200),
            "^the air around the patient is at -7.. HU, not near -1000: is the resc",
        ),
        (chest(shift=90), "^the air around the patient is at -8.. HU, not near"),
        (chest(shift=500, scale=1.5), "soft tissue peaks at 5.. HU"),
        (np.zeros((4, 8, 8), np.int16), "between 0 and 0; this is no CT picture"),
        (np.full((4, 8, 8), -2000, np.int16), "between -2000 and -2000"),
        (np.full((4, 8, 8), 40, np.int16) - 500 * np.eye(8, dtype=np.int16), "no air below -500"),
    ],
)
def test_wrong_values_are_reported(stack, told):
    assert re.search(told, hu_check(stack)), hu_check(stack)


def test_a_scan_of_nothing_but_padding_is_reported():
    assert hu_check(np.full((4, 8, 8), -2000, np.int16), -2000) == "there is nothing but padding"
