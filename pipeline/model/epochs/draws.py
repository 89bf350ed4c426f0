"""Draws: the samples of one epoch in their order, which the seed and the epoch alone decide."""

from dataclasses import dataclass

import numpy as np

from lungseg.model.epochs.mining import Places, drawn
from lungseg.model.samples import Centres, Rows
from lungseg.model.selection import Selection

BALANCES = ("slices", "nodules")


@dataclass(frozen=True, eq=False)
class Draws:
    """Samples of one epoch in their order: rows, and ``(n, 2)`` the y and x that crops show.

    Where a centre is NaN the crop is around a target of the row or anywhere in the lungs.
    """

    rows: Rows
    centres: Centres


def epoch_rows(
    selection: Selection,
    key: tuple[int, int],
    negatives_per_positive: float,
    slices: int = 0,
) -> Rows:
    """Rows of one epoch in their order, which ``key = (seed, epoch)`` alone decides.

    Parameters
    ----------
    selection
        Rows to choose from.
    key
        Seed and epoch.
    negatives_per_positive
        Number of negatives for each positive, drawn again for each epoch; below 0 takes all. So
        does a selection without positives.
    slices
        Number of rows: so many of the positives and the negatives drawn, some of them repeated
        where there are fewer; 0 takes each once.
    """
    rng = np.random.default_rng(key)
    positives, negatives = selection.positives, selection.negatives
    wanted = (
        len(negatives)
        if negatives_per_positive < 0 or not positives.size
        else round(negatives_per_positive * len(positives))
    )
    drawn = rng.permutation(negatives)[:wanted]
    rows = rng.permutation(np.concatenate([positives, drawn]))
    if not slices or not rows.size:
        return rows
    # More than there are: the same rows again, in another order and with another augmentation.
    again = [rng.permutation(rows) for _ in range((slices - 1) // len(rows))]
    return np.concatenate([rows, *again])[:slices]


def nodule_draws(
    selection: Selection,
    key: tuple[int, int],
    negatives_per_positive: float,
    samples: int = 0,
) -> Draws:
    """Samples of an epoch that shows each nodule equally often, on one of its rows at random.

    Parameters
    ----------
    selection
        Rows to choose from, with their nodules.
    key
        Seed and epoch.
    negatives_per_positive
        As for `epoch_rows`; a negative is drawn again only when all others have been.
    samples
        Number of samples; 0 shows each nodule once.
    """
    rng = np.random.default_rng(key)
    nodules, negatives = selection.nodules, selection.negatives
    ratio = negatives_per_positive
    if ratio < 0 or not negatives.size:
        ratio = len(negatives) / len(nodules)
    positive = round(samples / (1 + ratio)) if samples else len(nodules)
    negative = (samples or round(positive * (1 + ratio))) - positive
    shown = [nodules[k] for k in _in_turn(len(nodules), positive, rng)]
    rows = [rng.choice(nodule.rows) for nodule in shown]
    centres = np.full((positive + negative, 2), np.nan)
    centres[:positive] = [nodule.centre for nodule in shown]
    without = negatives[_in_turn(len(negatives), negative, rng)]
    order = rng.permutation(positive + negative)
    return Draws(np.concatenate([rows, without]).astype(np.int64)[order], centres[order])


def with_hard_negatives(
    draws: Draws, negatives: Rows, places: Places, share: float, key: tuple[int, int]
) -> Draws:
    """`draws` with a share of its negatives at mined places, the likelier the more often.

    Parameters
    ----------
    draws
        Samples of an epoch.
    negatives
        Rows without a target.
    places
        As `lungseg.model.epochs.mining.mine` returns them.
    share
        Of the negatives, 0 to 1.
    key
        Seed and epoch.
    """
    # A third number: what is drawn here must not be what the epoch's order was drawn by.
    rng = np.random.default_rng((*key, 1))
    replaceable = np.flatnonzero(np.isin(draws.rows, negatives))
    count = round(share * len(replaceable))
    if not count or not len(places):
        return draws
    rows, centres = draws.rows.copy(), draws.centres.copy()
    at = rng.permutation(replaceable)[:count]
    chosen = places[drawn(places, count, rng)]
    rows[at] = chosen["row"]
    centres[at] = np.stack([chosen["y"], chosen["x"]], 1)
    return Draws(rows, centres)


def _in_turn(count: int, wanted: int, rng: np.random.Generator) -> Rows:
    """`wanted` numbers below `count`, at random, none again before all have been."""
    if not wanted:
        return np.empty(0, np.int64)
    rounds = [rng.permutation(count) for _ in range(-(-wanted // count))]
    return np.concatenate(rounds)[:wanted]
