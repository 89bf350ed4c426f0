"""Schedule: decisions from the log alone."""

import math

import pytest

from lungseg.model.schedule import best_epoch, epochs_without_gain, plateau_rate

NAN = math.nan


@pytest.mark.parametrize(
    ("scores", "best", "without"),
    [
        ([], None, 0),
        ([NAN, NAN], None, 0),
        ([0.1], 0, 0),
        ([0.1, 0.3, 0.3, 0.2], 1, 2),
        ([NAN, 0.0, NAN, NAN], 1, 0),
        ([NAN, 0.3, NAN, 0.2, NAN], 1, 2),
        ([-0.7, -0.5], 1, 0),
    ],
)
def test_the_best_epoch_is_the_first_of_the_highest_score_and_nan_is_no_score(
    scores, best, without
):
    assert best_epoch(scores) == best
    assert epochs_without_gain(scores) == without


@pytest.mark.parametrize(
    ("scores", "share"),
    [
        ([], 1),
        ([0.5, 0.4], 1),
        ([0.5, 0.4, 0.4], 0.5),
        ([0.5, 0.4, 0.4, 0.4], 0.5),
        ([0.5, 0.4, 0.4, 0.4, 0.4], 0.25),
        ([0.5, 0.4, 0.4, 0.6, 0.5], 0.5),
        ([0.5, 0.4, 0.6, 0.5], 1),
        ([NAN, NAN, NAN, 0.5], 1),
        ([NAN, 0.5, NAN, NAN, NAN], 1),
        ([NAN, 0.5, NAN, 0.4, NAN], 0.5),
    ],
)
def test_the_rate_is_halved_after_each_two_epochs_without_gain(scores, share):
    assert plateau_rate(0.1, scores, 2) == pytest.approx(0.1 * share)


def test_the_rate_has_a_floor():
    assert plateau_rate(1.0, [0.5] + [0.1] * 100, 1) == 1e-3
