"""Schedule: learning rate, best epoch and early stop, each a function of the log so far.

Nothing here remembers anything, so a run that was killed goes on exactly as it would have.
"""

import math
from collections.abc import Sequence


def is_better(value: float, best: float) -> bool:
    """Whether a score (larger is better) beats `best`; nothing beats by being no number."""
    return not math.isnan(value) and (math.isnan(best) or value > best)


def best_epoch(scores: Sequence[float]) -> int | None:
    """Place of the first best score; None if there is none."""
    best, place = math.nan, None
    for epoch, score in enumerate(scores):
        if is_better(score, best):
            best, place = score, epoch
    return place


def epochs_without_gain(scores: Sequence[float]) -> int:
    """Epochs from the best one to the last that has a score.

    An epoch that was not validated has none (NaN), and nothing is known of its gain.
    """
    best = best_epoch(scores)
    if best is None:
        return 0
    return max(epoch for epoch, score in enumerate(scores) if not math.isnan(score)) - best


def plateau_rate(
    rate: float, scores: Sequence[float], patience: int, factor: float = 0.5, least: float = 1e-3
) -> float:
    """Learning rate after these scores: `factor` times less after each `patience` without gain.

    It changes only where there is a score to judge by, and does not fall below `least` times the
    rate.
    """
    best, since, share = math.nan, 0, 1.0
    for epoch, score in enumerate(scores):
        if is_better(score, best):
            best, since = score, epoch
        elif not math.isnan(score) and epoch - since >= patience:
            share, since = max(share * factor, least), epoch
    return rate * share
