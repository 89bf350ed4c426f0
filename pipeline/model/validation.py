"""Validation: scores over a whole part, pooled from counts, never a mean of batches' scores."""

from typing import Any

import numpy as np

from lungseg.model.dataset import Feed
from lungseg.model.networks import foreground
from lungseg.model.training_heads import SLICE, TrainingHeads, slice_truth
from lungseg.ops.scores.counts import Tally, count


def score(model: Any, feed: Feed, heads: TrainingHeads, threshold: float = 0.5) -> dict[str, float]:
    """Loss and scores over all batches of `feed`, counted as `evaluate` counts.

    Pixels of weight 0 count nowhere. A score without anything to count is no number, and Dice and
    IoU are 1 where nothing is to be found and nothing was. The feed's batches are best all of one
    size, filled up with what weighs nothing: another size may have the net compiled anew.

    Returns
    -------
    dict
        ``loss``; pooled ``dice``, ``iou``, ``accuracy``, ``sensitivity`` and ``precision``;
        ``slice_dice`` and ``slice_iou``, means over the slices that hold a target, and
        ``empty_clean``, the share of the others that were left unmarked; of a slice head
        ``slice_sensitivity`` and ``slice_specificity``.
    """
    tally = Tally()
    losses: list[float] = []
    sizes: list[int] = []
    verdicts: list[Any] = []
    truths: list[Any] = []
    for x, y in feed:
        # A model mirrored on several devices gives each the whole batch, and all their answers.
        predicted = _first(model.predict_on_batch(x), len(x))
        losses.append(heads.loss_of(y, predicted))
        counted = y[..., 1] > 0
        real = counted.any(axis=(1, 2))
        sizes.append(int(np.count_nonzero(real)))
        found = foreground(predicted) >= threshold
        tally.add(found[real], y[real, ..., 0] > 0, counted[real])
        if isinstance(predicted, dict):
            verdicts.append(np.asarray(predicted[SLICE])[:, 0])
            truths.append(slice_truth(y))
    pooled, slices = tally.pooled(), tally.per_slice()
    scores = {
        "loss": float(np.dot(losses, sizes) / max(sum(sizes), 1)),
        "dice": pooled.dice,
        "iou": pooled.iou,
        "accuracy": pooled.accuracy,
        "sensitivity": pooled.sensitivity,
        "precision": pooled.precision,
        "slice_dice": slices.dice,
        "slice_iou": slices.iou,
        "empty_clean": slices.empty_clean,
    }
    if verdicts:
        truth = np.concatenate(truths)
        said = np.concatenate(verdicts) >= threshold
        counts = count(said, truth[:, 0] > 0, truth[:, 1] > 0)
        scores["slice_sensitivity"] = counts.sensitivity
        scores["slice_specificity"] = counts.specificity
    return scores


def _first(predicted: Any, count_: int) -> Any:
    if isinstance(predicted, dict):
        return {name: values[:count_] for name, values in predicted.items()}
    return predicted[:count_]
