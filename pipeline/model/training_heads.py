"""TrainingHeads: which outputs a net has while it learns, and what each is told.

A net that is used gives one mask, and with a slice head the probability that the slice holds
anything at all. While it learns, every head of a deeply supervised U-Net++ has a loss of its own
(Zhou et al. 2018): a loss on their mean alone would let one head be wrong where another makes up
for it, and none could be used without the others.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.model.devices import loss_of_each
from lungseg.model.losses import TINY, Loss
from lungseg.model.networks import mask_heads

Tensor = Any
Floats = npt.NDArray[np.float32]
Targets = Floats | dict[str, Floats]

SLICE = "slice"


@dataclass(frozen=True)
class TrainingHeads:
    """The losses of a net's outputs.

    Attributes
    ----------
    loss
        Of each mask.
    slice_weight
        What the slice head's cross-entropy is multiplied with.
    """

    loss: Loss
    slice_weight: float = 1.0

    def training_model(self, net: Any) -> Any:
        """`net` with the outputs that are taught; they share all weights."""
        import keras

        outputs = _taught(net)
        if outputs is None:
            return net
        return keras.Model(net.input, outputs, name=net.name)

    def compile_settings(self, training_model: Any, devices: int) -> dict[str, Any]:
        """``loss`` and ``loss_weights`` to compile with; the masks share a weight of 1."""
        if not isinstance(training_model.output, dict):
            return {"loss": loss_of_each(self.loss, devices)}
        masks = [name for name in training_model.output if name != SLICE]
        made: dict[str, Loss] = dict.fromkeys(masks, loss_of_each(self.loss, devices))
        weights = dict.fromkeys(masks, 1 / len(masks))
        if SLICE in training_model.output:
            made[SLICE] = loss_of_each(slice_loss, devices)
            weights[SLICE] = self.slice_weight
        return {"loss": made, "loss_weights": weights}

    def targets(self, training_model: Any, y: Floats) -> Targets:
        """What `training_model` is told of a batch whose truth is `y`."""
        if not isinstance(training_model.output, dict):
            return y
        return {name: slice_truth(y) if name == SLICE else y for name in training_model.output}

    def loss_of(self, y: Floats, predicted: Any) -> float:
        """The loss of what a net in use gives for a batch, as a number."""
        from keras import ops

        if not isinstance(predicted, dict):
            return float(ops.mean(self.loss(y, predicted)))
        mask = self.loss(y, predicted["mask"])
        verdict = slice_loss(slice_truth(y), predicted[SLICE])
        return float(ops.mean(mask)) + self.slice_weight * float(verdict)


def slice_truth(y: Floats) -> Floats:
    """Whether each slice of ``y (n, h, w, 2)`` holds a target, and whether that counts.

    Returns
    -------
    ndarray
        ``(n, 2)``: 1 if any pixel is a target; weight 1, or 0 for a slice on which only disputed
        pixels could be one.
    """
    holds = (y[..., 0] > 0).any(axis=(1, 2))
    sure = (y[..., 1] > 0).all(axis=(1, 2))
    return np.stack([holds, holds | sure], axis=1).astype(np.float32)


def slice_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy, nats, of ``y_pred (n, 1)``; the mean over the slices that count."""
    from keras import ops

    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    holds, counts, p = y_true[:, 0], y_true[:, 1], y_pred[:, 0]
    log1, log0 = (ops.log(ops.clip(q, TINY, 1.0)) for q in (p, 1 - p))
    entropy = -(holds * log1 + (1 - holds) * log0)
    return ops.sum(counts * entropy) / ops.maximum(ops.sum(counts), TINY)


def _taught(net: Any) -> dict[str, Tensor] | None:
    """Outputs to be taught, or None where they are the net's own and it has but one."""
    heads = mask_heads(net)
    own = net.output if isinstance(net.output, dict) else {"mask": net.output}
    if heads:
        return {**heads, **{name: out for name, out in own.items() if name != "mask"}}
    return own if len(own) > 1 else None
