"""Schedule: learning rate, best epoch and early stopping as functions of the log so far.

Nothing else is remembered, so a run that was killed continues exactly as it would have.
"""

import math
from collections.abc import Sequence

SCHEDULES = ("constant", "plateau", "cosine")
# Keras's classes.
OPTIMIZERS = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}
PLATEAU_FACTOR, PLATEAU_FLOOR = 0.5, 1e-3


def is_better(value: float, best: float) -> bool:
    """Whether a score (larger is better) is higher than `best`; NaN, no score, never is."""
    return not math.isnan(value) and (math.isnan(best) or value > best)


def best_epoch(scores: Sequence[float]) -> int | None:
    """Index of the highest score, the first of several; None if there is no score."""
    best, best_at = math.nan, None
    for epoch, score in enumerate(scores):
        if is_better(score, best):
            best, best_at = score, epoch
    return best_at


def epochs_without_gain(scores: Sequence[float]) -> int:
    """Number of epochs from the best one to the last that has a score.

    An epoch that was not validated has no score (NaN), and does not count as one without gain.
    """
    best = best_epoch(scores)
    if best is None:
        return 0
    return max(epoch for epoch, score in enumerate(scores) if not math.isnan(score)) - best


def plateau_rate(rate: float, scores: Sequence[float], patience: int) -> float:
    """Learning rate after these scores: halved after each `patience` epochs without gain.

    It changes only after an epoch that has a score, and never falls below a thousandth of `rate`.
    """
    best, since, share = math.nan, 0, 1.0
    for epoch, score in enumerate(scores):
        if is_better(score, best):
            best, since = score, epoch
        elif not math.isnan(score) and epoch - since >= patience:
            share, since = max(share * PLATEAU_FACTOR, PLATEAU_FLOOR), epoch
    return rate * share
