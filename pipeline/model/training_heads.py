"""Training heads: the outputs that a net has in training, each with its loss and its targets.

In use a net has one mask and, with a slice head, the probability that the slice has any target. In
training every head of a U-Net++ with deep supervision has a loss of its own (Zhou et al. 2018): a
loss on their mean alone would let one head be wrong where another compensates for it, and none
could be used without the others.
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
    """The losses of a net's outputs in training.

    Attributes
    ----------
    loss
        The loss of each mask.
    slice_weight
        Factor on the slice head's cross-entropy.
    """

    loss: Loss
    slice_weight: float = 1.0

    def training_model(self, net: Any) -> Any:
        """`net` with the outputs of training; both share all weights."""
        import keras

        outputs = _training_outputs(net)
        if outputs is None:
            return net
        return keras.Model(net.input, outputs, name=net.name)

    def compile_settings(self, training_model: Any, devices: int) -> dict[str, Any]:
        """``loss`` and ``loss_weights`` for `compile`; the weights of the masks sum to 1."""
        if not isinstance(training_model.output, dict):
            return {"loss": loss_of_each(self.loss, devices)}
        masks = [name for name in training_model.output if name != SLICE]
        losses: dict[str, Loss] = dict.fromkeys(masks, loss_of_each(self.loss, devices))
        weights = dict.fromkeys(masks, 1 / len(masks))
        if SLICE in training_model.output:
            losses[SLICE] = loss_of_each(slice_loss, devices)
            weights[SLICE] = self.slice_weight
        return {"loss": losses, "loss_weights": weights}

    def targets(self, training_model: Any, y: Floats) -> Targets:
        """Targets of each output of `training_model` for a batch's ``y (n, h, w, 2)``."""
        if not isinstance(training_model.output, dict):
            return y
        return {name: slice_truth(y) if name == SLICE else y for name in training_model.output}

    def loss_of(self, y: Floats, predicted: Any) -> float:
        """Loss of a net's prediction of a batch: of its mask and, if it has one, its slice head."""
        from keras import ops

        if not isinstance(predicted, dict):
            return float(ops.mean(self.loss(y, predicted)))
        mask = self.loss(y, predicted["mask"])
        slices = slice_loss(slice_truth(y), predicted[SLICE])
        return float(ops.mean(mask)) + self.slice_weight * float(slices)


def slice_truth(y: Floats) -> Floats:
    """Whether each slice of ``y (n, h, w, 2)`` has a target, and its weight.

    Returns
    -------
    (n, 2) float32
        1 if any pixel is a target (of a soft one, at least half), else 0; weight 1, or 0 for a
        slice without a target in which some pixels are ignored, since it may have one there.
    """
    present = (y[..., 0] >= 0.5).any(axis=(1, 2))
    sure = (y[..., 1] > 0).all(axis=(1, 2))
    return np.stack([present, present | sure], axis=1).astype(np.float32)


def slice_loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy, nats, of ``y_pred (n, 1)``: the mean over the slices of weight 1."""
    from keras import ops

    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    present, weight, p = y_true[:, 0], y_true[:, 1], y_pred[:, 0]
    log1, log0 = (ops.log(ops.clip(q, TINY, 1.0)) for q in (p, 1 - p))
    entropy = -(present * log1 + (1 - present) * log0)
    return ops.sum(weight * entropy) / ops.maximum(ops.sum(weight), TINY)


def _training_outputs(net: Any) -> dict[str, Tensor] | None:
    """Outputs with a loss of their own by name; None where the net has but one output."""
    heads = mask_heads(net)
    own = net.output if isinstance(net.output, dict) else {"mask": net.output}
    if heads:
        return {**heads, **{name: out for name, out in own.items() if name != "mask"}}
    return own if len(own) > 1 else None
