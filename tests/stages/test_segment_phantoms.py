"""The stage on phantoms of what lung masks get wrong: the goals, and what is reached.

A floor below a goal is what the stage reaches now: raise it when the stage does better.
"""

import numpy as np
import pytest

from lungseg.phantom.cases import case, organ
from lungseg.stages.segment_lungs import SegmentLungs, segment
from tests.hard_cases import hard

TUMOUR_GOAL, CONSOLIDATION_GOAL, COLLAPSE_GOAL, BULLA_GOAL = 0.95, 0.80, 0.60, 0.99
BOWEL_GOAL_ML, FLUID_GOAL_SHARE = 20.0, 0.03
# Those of the common suite, on a grid as coarse as the tumour net is asked of; others on their own.
COMMON = {
    "tumour-vessel-30-hilum-50",
    "consolidation-right-lower",
    "effusion-left-large",
    "emphysema",
}


def masked(name):
    phantom = case(name, spacing_mm=(2.5, 2.5, 2.5) if name in COMMON else None)
    labels, verdict = segment(phantom.ct, None, SegmentLungs())
    return phantom, labels.array > 0, verdict


def share(mask, part):
    return float(mask[part].mean())


def tissue_inside_ml(phantom, mask):
    """Heart, liver and spine in the mask, ml; the outline's rim alone makes some 25."""
    parts = [organ(phantom, name) for name in ("heart", "liver", "spine")]
    return sum(np.count_nonzero(mask & part) for part in parts) * phantom.ct.voxel_ml


# Least share of the tumour in the right and in the left lung.
@pytest.mark.parametrize(
    ("name", "right", "left"),
    [
        hard("tumour-free-15-wall-70", TUMOUR_GOAL, TUMOUR_GOAL),
        ("tumour-vessel-30-hilum-50", TUMOUR_GOAL, TUMOUR_GOAL),
        hard("tumour-wall-15-diaphragm-70", TUMOUR_GOAL, 0.93),
        hard("tumour-apex-70-vessel-15", TUMOUR_GOAL, TUMOUR_GOAL),
        hard("tumour-diaphragm-15-free-70", TUMOUR_GOAL, TUMOUR_GOAL),
    ],
)
def test_tumours_are_lung(name, right, left):
    phantom, mask, _ = masked(name)
    assert share(mask, phantom.nodules.array == 1) >= right
    assert share(mask, phantom.nodules.array == 2) >= left
    assert tissue_inside_ml(phantom, mask) < 35


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("consolidation-right-lower", CONSOLIDATION_GOAL),
        hard("collapse-left-lower", 0.55),
        hard("bullae", BULLA_GOAL),
        hard("bulla-on-diaphragm", BULLA_GOAL),
    ],
)
def test_bullae_are_lung_and_lobes_without_air_are_told(name, least):
    phantom, mask, verdict = masked(name)
    assert share(mask, phantom.findings.array > 0) >= least
    assert tissue_inside_ml(phantom, mask) < 35
    told = [reason for reason in verdict.reasons if "lung without air" in reason]
    assert len(told) == len(verdict.reasons) == (0 if least == BULLA_GOAL else 1)
    assert all(name.split("-")[1] in reason for reason in told)


def test_fluid_is_not_lung():
    phantom, mask, _ = masked("effusion-left-large")
    fluid = organ(phantom, "effusion")
    assert share(mask, fluid) <= FLUID_GOAL_SHARE
    assert share(mask, phantom.lungs.array == 1) > 0.93


@pytest.mark.parametrize("name", ["gas-left-5", hard("gas-right-2.5")])
def test_gas_under_the_diaphragm_is_not_lung_or_the_mask_is_doubted(name):
    phantom, mask, verdict = masked(name)
    gas_ml = np.count_nonzero(mask & organ(phantom, "gas")) * phantom.ct.voxel_ml
    assert gas_ml < BOWEL_GOAL_ML or verdict.reasons


def test_emphysema_is_lung_and_no_reason_for_doubt():
    phantom, mask, verdict = masked("emphysema")
    truth = phantom.lungs.array > 0
    assert 2 * np.count_nonzero(mask & truth) / (mask.sum() + truth.sum()) > 0.97
    assert np.count_nonzero(mask & phantom.airways.array) * phantom.ct.voxel_ml < 8
    assert verdict.reasons == ()
