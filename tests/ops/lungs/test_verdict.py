"""Facts of a mask, by hand, and what raises doubt."""

import re

import numpy as np
import pytest

from lungseg.ops.lungs.verdict import judge
from lungseg.volume import Geometry, Volume
from tests.ops.lungs.lung_shapes import torso

GRID = Geometry((8.0, 4.0, 4.0))


def told(ct, labels, trachea_ml=20.0, grid=GRID):
    return judge(Volume(ct, grid), Volume(labels, grid), -450.0, trachea_ml)


def test_facts_are_those_counted_by_hand():
    ct, lungs = torso()
    facts = told(ct, lungs).as_facts()
    right, left = (lungs == 1).sum() * 0.128, (lungs == 2).sum() * 0.128
    assert facts["right_ml"] == pytest.approx(right, abs=0.1)
    assert facts["lung_ml"] == pytest.approx(right + left, abs=0.1)
    assert facts["right_left_ratio"] == pytest.approx(right / left, abs=1e-3)
    assert (facts["components"], facts["soft_tissue_share"]) == (2, 0.0)
    assert facts["mean_hu"] == -850.0
    assert (facts["verdict"], facts["reasons"]) == ("good", "")
    ends = [facts[f"touches_{end}"] for end in ("top", "bottom", "sides")]
    assert ends == [False, False, False]
    cut = told(ct[10:], lungs[10:]).facts
    assert (cut["touches_bottom"], cut["touches_top"]) == (True, False)
    assert told(ct[:25], lungs[:25]).facts["touches_top"]
    assert told(ct[:, :, 20:], lungs[:, :, 20:]).facts["touches_sides"]


def scattered(ct, lungs):
    crumbs = np.zeros_like(lungs)
    for z in range(4, 36, 8):
        crumbs[z : z + 4, 22:38, 20:32] = 1
        crumbs[z : z + 4, 22:38, 58:70] = 2
    return np.where(crumbs > 0, np.int16(-850), ct), crumbs


@pytest.mark.parametrize(
    ("change", "trachea_ml", "reason"),
    [
        (
            lambda ct, lungs: (ct, lungs * (lungs == 2)),
            20,
            r"only a left lung was found \(\d+ ml\)",
        ),
        (
            lambda ct, lungs: (ct, lungs * ((lungs == 1) | (np.indices(lungs.shape)[0] > 24))),
            20,
            r"right lung has \d\.\d+ times the volume of the left, not 0.5 to 2.2",
        ),
        (
            lambda ct, lungs: (np.where(np.indices(ct.shape)[1] > 33, np.int16(30), ct), lungs),
            20,
            r"\d+% of the mask is soft tissue \(at most 25%\)",
        ),
        (
            lambda ct, lungs: (np.where(lungs > 0, np.int16(-1000), ct), lungs),
            20,
            r"mean density is -1000 HU, not between -960 and -550",
        ),
        (scattered, 20, r"8 separate parts \(at most 4\)"),
        (lambda ct, lungs: (ct, lungs), 0, r"no trachea was found"),
    ],
)
def test_each_doubt_is_a_reason(change, trachea_ml, reason):
    verdict = told(*change(*torso()), trachea_ml)
    facts = verdict.as_facts()
    assert facts["verdict"] == "suspect"
    assert any(re.search(reason, told_reason) for told_reason in verdict.reasons), verdict.reasons


def test_two_lungs_too_large_are_doubted():
    ct, lungs = torso()
    verdict = told(ct, lungs, grid=Geometry((16.0, 8.0, 8.0)))
    assert any("more than two lungs hold" in reason for reason in verdict.reasons)


def test_an_empty_mask_is_suspect():
    ct, lungs = torso()
    assert told(ct, lungs * 0).as_facts()["reasons"] == "the mask is empty"
