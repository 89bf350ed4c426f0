"""Scores of the whole set while training: the counts of `lungseg.ops.scores.counts`, kept by Keras.

Keras's mean over batches of a batch's Dice depends on the batching; these add up voxels and make
the score at the end of the epoch, and equal `lungseg.ops.scores.counts` on the same voxels.
"""

from functools import cache
from typing import Any

from lungseg.core.errors import ConfigError

SCORES = ("dice", "iou", "sensitivity", "accuracy")
# Counts are kept in float32, the one type every device adds fast, as two digits to this base, each
# exact up to 2^24: together 2^36 voxels.
BASE = 4096


def make(names: tuple[str, ...] = SCORES, threshold: float = 0.5) -> list[Any]:
    """Keras metrics of these names, pooled over all that they see.

    Parameters
    ----------
    names
        Of ``dice``, ``iou``, ``sensitivity``, ``accuracy``.
    threshold
        A voxel is marked where its foreground probability is at least this.

    Raises
    ------
    ConfigError
        If there is no score of a name.
    """
    if unknown := [name for name in names if name not in SCORES]:
        raise ConfigError(
            f"there is no score {', '.join(unknown)}; choose from {', '.join(SCORES)}"
        )
    return [pooled_class()(score=name, threshold=threshold, name=name) for name in names]


@cache
def pooled_class() -> type:
    """The metric's class; made on demand, because Keras is imported on demand."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable("lungseg")
    class Pooled(keras.metrics.Metric):  # type: ignore[misc, unused-ignore]
        """One score from the voxels counted since the last reset."""

        def __init__(self, score: str, threshold: float = 0.5, **rest: Any) -> None:
            super().__init__(**rest)
            self.score, self.threshold = score, threshold
            self.high = self.add_variable((4,), "zeros", name="high")
            self.low = self.add_variable((4,), "zeros", name="low")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            """Count a batch; `sample_weight` is not used, weights are in `y_true`."""
            marked = ops.cast(y_pred[..., -1] >= self.threshold, "float32")
            target = ops.cast(y_true[..., 0] >= 0.5, "float32")
            counted = ops.cast(y_true[..., 1] > 0, "float32")
            hit, miss = counted * target, counted * (1 - target)
            parts = (hit * marked, miss * marked, hit * (1 - marked), miss * (1 - marked))
            slices = ops.stack([ops.sum(part, axis=(1, 2)) for part in parts], axis=-1)
            high = ops.floor(slices / BASE)
            low = self.low + ops.sum(slices - high * BASE, axis=0)
            carry = ops.floor(low / BASE)
            self.high.assign(self.high + ops.sum(high, axis=0) + carry)
            self.low.assign(low - carry * BASE)

        def result(self) -> Any:
            """The score of all voxels counted."""
            hit, false, missed, right = ops.split(self.high * BASE + self.low, 4)
            above, below, empty = {
                "dice": (2 * hit, 2 * hit + false + missed, 1.0),
                "iou": (hit, hit + false + missed, 1.0),
                "sensitivity": (hit, hit + missed, float("nan")),
                "accuracy": (hit + right, hit + false + missed + right, float("nan")),
            }[self.score]
            quotient = ops.where(below > 0, above / ops.maximum(below, 1), empty)
            return ops.squeeze(quotient)

        def get_config(self) -> dict[str, Any]:
            """What it takes to make this metric again."""
            return {**super().get_config(), "score": self.score, "threshold": self.threshold}

    made: type = Pooled
    return made
