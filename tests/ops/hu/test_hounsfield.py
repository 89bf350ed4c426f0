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


@pytest.mark.parametrize(
    ("stack", "told"),
    [
        (chest(shift=1024), "no air below -500 HU: is the rescale intercept right"),
        (chest(shift=-1024), "air peaks at -.*no tissue above -500 HU"),
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
