"""What raises doubt about a mask's place in the body, one fault at a time."""

import re

import numpy as np
import pytest

from lungseg.ops.lungs.doubts import doubts
from lungseg.ops.lungs.in_blocks import in_blocks
from lungseg.volume import Geometry, Volume
from tests.ops.lungs.lung_shapes import ellipsoid, torso

GRID = Geometry((4.0, 4.0, 4.0))


def told(ct, labels, grid=GRID):
    return doubts(in_blocks(Volume(ct, grid), Volume(labels, grid)))


def without(lungs, where):
    labels = lungs.copy()
    labels[where] = 0
    return labels


def with_tube(ct, lungs, x=45):
    ct, labels = ct.copy(), lungs.copy()
    ct[20:, 28:32, x - 2 : x + 2] = -1000
    labels[20:, 28:32, x - 2 : x + 2] = 1
    return ct, labels


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            lambda ct, lungs: (ct, without(lungs, lungs == 1)),
            r"^\d+ ml of air like the lungs' lie beside the mask$",
        ),
        (
            lambda ct, lungs: (ct, without(lungs, np.s_[22:])),
            r"^the right lung ends flat at the top, as if cut$",
        ),
        (
            lambda ct, lungs: (ct, without(lungs, np.s_[:22])),
            r"^the left lung ends flat at the bottom, as if cut$",
        ),
        (
            lambda ct, lungs: (ct, without(lungs, np.s_[24:, :, :45])),
            r"^the right lung ends 52 mm below the left$",
        ),
        (
            lambda ct, lungs: (ct, without(lungs, np.s_[:24, :, 45:])),
            r"^the right lung begins \d\d mm below the left$",
        ),
        (
            lambda ct, lungs: (ct, np.where(np.indices(ct.shape)[1] < 3, np.uint8(1), lungs)),
            r"^\d+ ml of the mask lie outside the body$",
        ),
        (with_tube, r"^a tube of air 7\d mm long near the midline may be the trachea$"),
        (lambda ct, lungs: (ct, (3 - lungs) * (lungs > 0)), r"^the right lung lies left of"),
    ],
)
def test_each_fault_is_told(fault, reason):
    ct, lungs = torso()
    assert told(ct, lungs) == ()
    found = told(*fault(ct, lungs))
    assert any(re.search(reason, one) for one in found), found


def test_lungs_that_the_scan_cuts_are_not_doubted():
    ct, lungs = torso()
    cut = np.s_[12:28]
    assert told(ct[cut], lungs[cut]) == ()
    # Cut by the picture's frame at the sides, too: what lies there is no outside air.
    sides = np.s_[:, :, 20:70]
    assert told(ct[sides], lungs[sides]) == ()


def test_bowel_gas_and_airways_are_not_lung_that_was_left_out():
    ct, lungs = torso()
    ct[8:16, 12:20, 41:49] = -990
    assert told(ct, lungs) == ()


def test_a_bulla_beside_the_midline_is_no_trachea():
    ct, lungs = torso()
    ct[ellipsoid(ct.shape, (20, 30, 34), (6, 6, 6))] = -990
    lungs[ellipsoid(ct.shape, (20, 30, 34), (6, 6, 6))] = 1
    assert told(ct, lungs) == ()


def test_an_empty_mask_is_left_to_others():
    ct, lungs = torso()
    assert told(ct, lungs * 0) == ()


def test_what_is_lung_to_a_net_is_no_trachea():
    ct, lungs = torso()
    ct, labels = with_tube(ct, lungs)
    seen = in_blocks(Volume(ct, GRID), Volume(labels, GRID))
    likely = np.zeros(ct.shape, np.float32)
    assert any("may be the trachea" in reason for reason in doubts(seen, likely))
    likely[20:, 28:32, 43:47] = 0.6
    assert not any("may be the trachea" in reason for reason in doubts(seen, likely))
