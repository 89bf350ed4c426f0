"""Validation: scores of a net over a whole data set, by the counts of `lungseg.ops.scores`.

They are never a mean of the scores of batches, which would depend on how the slices were batched.
"""

from typing import Any

import numpy as np

from lungseg.model.dataset import Feed
from lungseg.model.networks import foreground
from lungseg.model.samples import Rows
from lungseg.model.training_heads import SLICE, TrainingHeads, slice_truth
from lungseg.ops.scores.counts import Counts, Tally, count
from lungseg.volume import IntArray

POOLED = ("dice", "iou", "accuracy", "sensitivity", "precision")


def score(
    model: Any,
    feed: Feed,
    heads: TrainingHeads,
    threshold: float = 0.5,
    nodules: Rows | None = None,
) -> dict[str, float]:
    """Loss and scores over all batches of `feed`.

    Pixels of weight 0 are ignored. A score that is not defined, e.g. the sensitivity without any
    target, is NaN; Dice and IoU are 1 where there is no target and nothing was marked. All batches
    should have one size, the last padded with slices of weight 0: for another size Keras may
    compile the net again.

    Parameters
    ----------
    model
        A net, not its training model.
    feed
        Batches ``x (n, y, x, channels), y (n, y, x, 2)``; of soft targets, at least half counts.
    heads
        The losses.
    threshold
        A pixel is marked where its probability is at least this, and a slice likewise.
    nodules
        Number of the nodule that each slice shows, in the order of the feed.

    Returns
    -------
    dict
        ``loss``; pooled ``dice``, ``iou``, ``accuracy``, ``sensitivity`` and ``precision``;
        ``slice_dice`` and ``slice_iou``, means over the slices that have a target, and
        ``empty_clean``, the share of the other slices in which nothing is marked; with a slice
        head also ``slice_sensitivity`` and ``slice_specificity``; with `nodules` also
        ``nodule_dice``, the mean of the nodules' Dice, each over all slices that show it.
    """
    tally = Tally()
    losses: list[float] = []
    sizes: list[int] = []
    slice_probabilities: list[Any] = []
    truths: list[Any] = []
    for x, y in feed:
        # A model mirrored on several devices predicts the whole batch on each and returns all.
        predicted = _first(model.predict_on_batch(x), len(x))
        losses.append(heads.loss_of(y, predicted))
        counted = y[..., 1] > 0
        real = counted.any(axis=(1, 2))
        sizes.append(int(np.count_nonzero(real)))
        marked = foreground(predicted) >= threshold
        tally.add(marked[real], y[real, ..., 0] >= 0.5, counted[real])
        if isinstance(predicted, dict):
            slice_probabilities.append(np.asarray(predicted[SLICE])[:, 0])
            truths.append(slice_truth(y))
    pooled, slices = tally.pooled(), tally.per_slice()
    scores = {
        "loss": float(np.dot(losses, sizes) / max(sum(sizes), 1)),
        **{name: float(getattr(pooled, name)) for name in POOLED},
        "slice_dice": slices.dice,
        "slice_iou": slices.iou,
        "empty_clean": slices.empty_clean,
    }
    if nodules is not None:
        scores["nodule_dice"] = nodule_dice(tally.table, nodules)
    if slice_probabilities:
        truth = np.concatenate(truths)
        marked = np.concatenate(slice_probabilities) >= threshold
        counts = count(marked, truth[:, 0] > 0, truth[:, 1] > 0)
        scores["slice_sensitivity"] = counts.sensitivity
        scores["slice_specificity"] = counts.specificity
    return scores


def nodule_dice(table: IntArray, nodules: Rows) -> float:
    """Mean over nodules of the Dice of their pooled slices.

    Parameters
    ----------
    table
        Counts ``(n, 4)`` of each slice, as `lungseg.ops.scores.counts.Tally` has them.
    nodules
        ``(n,)``: number of the nodule that each slice shows.
    """
    numbers, place = np.unique(nodules, return_inverse=True)
    pooled = np.zeros((len(numbers), table.shape[1]), np.int64)
    np.add.at(pooled, place, table)
    return float(np.mean([Counts(*row).dice for row in pooled.tolist()]))


def _first(predicted: Any, slices: int) -> Any:
    if isinstance(predicted, dict):
        return {name: values[:slices] for name, values in predicted.items()}
    return predicted[:slices]
