"""Calibration, on scores whose worth is known, and against scikit-learn's calibration curve."""

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from lungseg.ops.scores.calibration import FEWEST, Calibration, fitted, reliability


def too_sure(n=20_000, seed=0):
    """Scores twice as sure (in logits) as the nodules' share, and one too high."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.02, 0.98, n)
    return expit(2 * logit(true) + 1), rng.random(n) < true, true


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_a_score_becomes_the_share_of_nodules(method):
    score, hit, true = too_sure()
    curve = fitted(score, hit, method)
    np.testing.assert_allclose(curve.of(score), true, atol=0.06)
    assert np.abs(curve.of(score) - true).mean() < 0.015


def test_of_candidates_with_eight_tenths_eight_in_ten_are_nodules():
    curve = fitted(*too_sure()[:2])
    score, hit, _ = too_sure(seed=1)
    probability = curve.of(score)
    near = np.abs(probability - 0.8) < 0.05
    assert hit[near].mean() == pytest.approx(0.8, abs=0.03)
    assert reliability(probability, hit).ece < 0.015
    assert reliability(score, hit).ece > 0.08


@pytest.mark.parametrize("method", ["platt", "isotonic"])
@pytest.mark.parametrize("seed", range(3))
def test_the_curve_rises_and_stays_within_0_and_1(method, seed):
    rng = np.random.default_rng(seed)
    curve = fitted(rng.random(40), rng.random(40) < 0.3, method)
    values = curve.of(np.linspace(0, 1, 500))
    assert (np.diff(values) >= 0).all()
    assert values.min() >= 0
    assert values.max() <= 1


def test_a_logistic_curve_keeps_the_order_of_candidates():
    score, hit, _ = too_sure(400)
    order = np.argsort(score)
    assert (np.diff(fitted(score, hit).of(score[order])) > 0).all()


def test_a_net_that_scores_upside_down_is_level_and_not_falling():
    score, hit, _ = too_sure(2000)
    values = fitted(score, ~hit).of(np.linspace(0, 1, 50))
    assert (np.diff(values) >= 0).all()


def test_too_few_candidates_are_not_fitted():
    score = np.linspace(0, 1, 20)
    assert fitted(score, np.arange(20) < FEWEST - 1) is None
    assert fitted(score, np.arange(20) > FEWEST - 2) is None
    assert fitted(score, np.arange(20) >= 20 - FEWEST) is not None


def test_bins_are_those_of_scikit_learn():
    score, hit, _ = too_sure(500)
    observed, predicted = calibration_curve(hit, score, n_bins=10)
    found = reliability(score, hit)
    assert found.predicted == pytest.approx(predicted)
    assert found.observed == pytest.approx(observed)
    counts = np.histogram(score, np.linspace(0, 1, 11))[0]
    assert found.count == tuple(counts[counts > 0])


def test_the_error_by_hand():
    found = reliability([0.15, 0.15, 0.15, 0.95], [0, 0, 1, 1])
    assert found.ece == pytest.approx((3 * (1 / 3 - 0.15) + 0.05) / 4)
    assert np.isnan(reliability([], []).ece)


def test_beyond_its_ends_the_curve_is_level():
    assert Calibration((0.2, 0.5), (0.1, 0.7)).of([0.0, 1.0]).tolist() == [0.1, 0.7]
