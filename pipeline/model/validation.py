"""Validation: scores over a whole part, pooled from sums, never a mean of batches' scores."""

from typing import Any

import numpy as np

from pipeline.model.dataset import Feed
from pipeline.model.networks import foreground


def score(model: Any, feed: Feed, loss: Any, threshold: float = 0.5) -> dict[str, float]:
    """Loss, Dice, IoU, accuracy, sensitivity and precision over all batches of `feed`.

    Pixels of weight 0 count nowhere. A score without anything to count is no number. The feed's
    batches are best all of one size, filled up with what weighs nothing: another size may have
    the net compiled anew.
    """
    from keras import ops

    hits = alarms = misses = rest = 0
    losses: list[float] = []
    sizes: list[int] = []
    for x, y in feed:
        # A model mirrored on several devices gives each the whole batch, and all their answers.
        predicted = model.predict_on_batch(x)[: len(x)]
        losses.append(float(ops.mean(loss(y, predicted))))
        sizes.append(int(np.count_nonzero(y[..., 1].any(axis=(1, 2)))))
        found = foreground(predicted) >= threshold
        truth, counts = y[..., 0] > 0, y[..., 1] > 0
        hits += int(np.count_nonzero(found & truth & counts))
        alarms += int(np.count_nonzero(found & ~truth & counts))
        misses += int(np.count_nonzero(~found & truth & counts))
        rest += int(np.count_nonzero(~found & ~truth & counts))
    return {
        "loss": float(np.dot(losses, sizes) / max(sum(sizes), 1)),
        "dice": _ratio(2 * hits, 2 * hits + alarms + misses),
        "iou": _ratio(hits, hits + alarms + misses),
        "accuracy": _ratio(hits + rest, hits + alarms + misses + rest),
        "sensitivity": _ratio(hits, hits + misses),
        "precision": _ratio(hits, hits + alarms),
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
