"""Results on the same nodules: by hand, and differences against draws made one by one."""

import math

import numpy as np
import pytest

from lungseg.ops.scores.comparison import (
    NoduleOutcome,
    ScanOutcome,
    common_nodules,
    difference,
    hits_of,
    measure,
    threshold_at,
)
from lungseg.ops.scores.detection import ScoredCandidates

NAN = float("nan")


def nodule(x, diameter=8.0, probability=0.9, dice=0.5):
    return NoduleOutcome((x, 0.0, 0.0), diameter, probability, dice)


def outcomes(seed, n=12):
    rng = np.random.default_rng(seed)
    scans = []
    for _ in range(n):
        found = [p if rng.random() < 0.7 else NAN for p in rng.random(rng.integers(0, 4))]
        nodules = tuple(nodule(50.0 * k, probability=p) for k, p in enumerate(found))
        scans.append(ScanOutcome(nodules, rng.random(rng.integers(0, 30))))
    return scans


def test_the_same_nodules_lie_within_the_radius_of_the_smaller():
    one = [nodule(0.0), nodule(20.0), nodule(90.0)]
    other = [nodule(91.9, 4.0), nodule(20.0), nodule(2.1, 4.0), nodule(-3.0)]
    assert common_nodules([one, other]) == [(0, 3), (1, 1), (2, 0)]
    assert common_nodules([one, other, [nodule(20.5, None)]]) == [(1, 1, 0)]
    assert common_nodules([[nodule(5.0, 0.0)], [nodule(5.0, 0.0)]]) == [(0, 0)]


def test_a_nodule_has_one_partner_and_it_is_the_nearest():
    assert common_nodules([[nodule(0.0), nodule(1.0)], [nodule(1.2)]]) == [(1, 0)]


def test_differences_are_of_the_same_draws():
    a, b = outcomes(1), outcomes(2)
    one, other = measure(a, 40, seed=3), measure(b, 40, seed=3)
    rng = np.random.default_rng(3)
    expected = []
    for _ in range(40):
        drawn = rng.integers(0, len(a), len(a))
        curves = [ScoredCandidates([hits_of(of[k]) for k in drawn]).froc().cpm for of in (a, b)]
        expected.append(curves[1] - curves[0])
    told = difference(one["cpm"], other["cpm"])
    assert told["interval"] == pytest.approx(tuple(np.quantile(expected, [0.025, 0.975])))
    assert told["value"] == pytest.approx(other["cpm"].value - one["cpm"].value)
    # One result against itself differs in no draw.
    assert difference(one["cpm"], measure(a, 40, seed=3)["cpm"])["interval"] == (0.0, 0.0)
    alone = measure(a[:1], 40, seed=3)
    assert {difference(alone[name], alone[name])["interval"] for name in alone} == {None}


def test_figures_by_hand():
    scans = [
        ScanOutcome(
            (nodule(0.0, dice=0.8), nodule(50.0, probability=NAN, dice=0.0)), np.array([0.95])
        ),
        ScanOutcome((), np.array([0.1, 0.2])),
    ]
    found = {name: m.value for name, m in measure(scans, 5, seed=1).items()}
    assert found["sensitivity"] == 0.5
    assert found["false_positives_per_scan"] == 1.5
    assert found["dice"] == 0.4
    assert found["sensitivity_at_0.125"] == 0.0
    assert found["sensitivity_at_0.5"] == 0.5
    assert "dice" not in measure([ScanOutcome((nodule(0.0, dice=NAN),), np.zeros(0))], 0, 1)


def test_draws_without_a_nodule_have_no_sensitivity():
    scans = [ScanOutcome((nodule(0.0),), np.zeros(0)), ScanOutcome((), np.zeros(0))]
    drawn = measure(scans, 60, seed=1)["sensitivity"].drawn
    assert 0 < np.isnan(drawn).sum() < 60


def test_the_threshold_of_a_rate_lets_no_more_false_positives_through():
    scans = [ScanOutcome((nodule(0.0, probability=0.6),), np.array([0.9, 0.7, 0.5])),
             ScanOutcome((), np.array([0.8]))]  # fmt: skip
    assert threshold_at(scans, 0.4) == math.inf
    assert threshold_at(scans, 1.0) == 0.8
    assert threshold_at(scans, 1.5) == 0.6
    assert threshold_at(scans, 99.0) == 0.5
