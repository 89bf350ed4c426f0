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
    """Epochs since the best one."""
    best = best_epoch(scores)
    return len(scores) if best is None else len(scores) - 1 - best


def plateau_rate(
    rate: float, scores: Sequence[float], patience: int, factor: float = 0.5, least: float = 1e-3
) -> float:
    """Learning rate after these scores: `factor` times less after each `patience` without gain.

    It does not fall below `least` times the rate.
    """
    best, waited, share = math.nan, 0, 1.0
    for score in scores:
        waited = 0 if is_better(score, best) else waited + 1
        best = score if is_better(score, best) else best
        if waited >= patience:
            share, waited = max(share * factor, least), 0
    return rate * share
