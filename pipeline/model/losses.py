"""The losses of segmentation, by name; every one sees the same targets.

``y_true`` is ``(n, h, w, 2) float32``: channel 0 the target, 0 or 1, or the share of readers who
included the pixel; channel 1 the weight, 0 where nothing may be learnt, else 1 (or a weight map).
``y_pred`` is what a network of `lungseg.model.networks` predicts: ``(n, h, w, 2)``, the
probabilities of background and foreground. But for `soft_dice_bce` the sums run over the whole
batch, not over each slice: most slices hold no nodule, and an overlap per slice is not defined
there.

In a batch without any foreground no overlap is defined either, and the usual formula, with 1 added
to numerator and denominator, has a gradient of 1e-10 per pixel: nothing is learnt from it. There
the overlap losses are the mean foreground probability, which is at most 1 and has the same gradient
at every pixel.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from lungseg.core.errors import ConfigError

Tensor = Any
Loss = Callable[[Tensor, Tensor], Tensor]

# The smallest probability of which a logarithm is taken; float32 cannot tell 1 - 1e-8 from 1.
TINY = 1e-7
# Factor on the foreground in the cross-entropy of `gdl_wce`.
FOREGROUND_WEIGHT = 7.0
# Abraham & Khan 2019 (their beta, alpha and 1 / gamma): a missed pixel costs more than a false
# one, which favours sensitivity; the exponent below 1 keeps the loss steep when the overlap is
# nearly right.
FALSE_COST, MISSED_COST, FOCUS = 0.3, 0.7, 0.75


def loss_named(name: str, bce_weight: float = 1.0) -> Loss:
    """The loss of this name, one of `LOSSES`: ``(y_true, y_pred) -> scalar``.

    Parameters
    ----------
    name
        The loss.
    bce_weight
        Factor on the cross-entropy of `soft_dice_bce`.

    Raises
    ------
    ConfigError
        If there is no such loss.
    """
    if name not in LOSSES:
        raise ConfigError(f"there is no loss {name!r}; choose one of {', '.join(LOSSES)}")
    if name == soft_dice_bce.__name__:
        return partial(soft_dice_bce, bce_weight=bce_weight)
    return LOSSES[name]


def gdl_wce(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Generalised Dice (Sudre et al. 2017) plus cross-entropy with the foreground weighted."""
    return generalised_dice(y_true, y_pred) + _cross_entropy(y_true, y_pred, FOREGROUND_WEIGHT)


def generalised_dice(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 - the Dice of both classes, each weighted by 1 / (its pixels in the target)^2.

    A class of which the batch has no pixel gets the weight of the other one, not 1 / 0.
    """
    from keras import ops

    target, weight, p0, p1 = _split(y_true, y_pred)
    sizes = [ops.sum(weight * (1 - target)), ops.sum(weight * target)]
    marked = [ops.sum(weight * p0), ops.sum(weight * p1)]
    hits = [ops.sum(weight * (1 - target) * p0), ops.sum(weight * target * p1)]
    # The smaller class has the weight 1: only the ratio of the weights matters, and the squares of
    # pixel counts have more digits than float32.
    smallest = ops.where(
        ops.minimum(*sizes) > 0, ops.minimum(*sizes), ops.maximum(ops.maximum(*sizes), TINY)
    )
    weights = [ops.square(smallest / ops.where(size > 0, size, smallest)) for size in sizes]
    overlap = sum(w * hit for w, hit in zip(weights, hits, strict=True))
    total = sum(w * (s + m) for w, s, m in zip(weights, sizes, marked, strict=True))
    return 1 - (2 * overlap + TINY) / (total + TINY)


def dice(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 - soft Dice of the foreground over the batch."""
    return 1 - _tversky(y_true, y_pred, 0.5, 0.5)


def bce(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy, nats: the mean over the pixels, weighted."""
    return _cross_entropy(y_true, y_pred, 1.0)


def bce_dice(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """The mean of cross-entropy and Dice loss."""
    return 0.5 * bce(y_true, y_pred) + 0.5 * dice(y_true, y_pred)


def soft_dice_bce(y_true: Tensor, y_pred: Tensor, bce_weight: float = 1.0) -> Tensor:
    """Cross-entropy, plus the mean over slices with a target of 1 - their Dice for soft labels.

    Per slice, so that a small nodule weighs as much as a large one; a slice without any target has
    the cross-entropy alone. That Dice, (|x| + |y| - |x - y|) / (|x| + |y|) with sums of absolute
    values, is the usual one for a hard target, and highest at ``x = y`` for a soft one, where the
    usual one is not (Wang et al. 2023, Dice semimetric losses).
    """
    from keras import ops

    target, weight, _, p1 = _split(y_true, y_pred)
    over_slice = (1, 2)
    size = ops.sum(weight * target, over_slice)
    both = size + ops.sum(weight * p1, over_slice)
    apart = ops.sum(weight * ops.abs(p1 - target), over_slice)
    present = ops.cast(size > 0, "float32")
    missing = present * apart / ops.maximum(both, TINY)
    dice_part = ops.sum(missing) / ops.maximum(ops.sum(present), 1)
    return bce_weight * bce(y_true, y_pred) + dice_part


def focal_tversky(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """(1 - Tversky index)^`FOCUS` (Abraham & Khan 2019)."""
    from keras import ops

    missing = 1 - _tversky(y_true, y_pred, FALSE_COST, MISSED_COST)
    # The gradient of a root is infinite at 0; TINY keeps it finite, and the loss 0 at 0.
    return ops.power(ops.maximum(missing, 0) + TINY, FOCUS) - TINY**FOCUS


def border_weighted(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy, nats, with U-Net's weight map: the mean over the pixels of any weight.

    The map is `lungseg.ops.samples.border_weights`, given as the weight channel. Unlike in `bce`
    the sum is not divided by the weights: a batch with narrow gaps costs more than one without.
    """
    from keras import ops

    target, weight, p0, p1 = _split(y_true, y_pred)
    counted = ops.cast(weight > 0, "float32")
    entropy = _entropy(target, p0, p1, 1.0)
    return ops.sum(weight * entropy) / ops.maximum(ops.sum(counted), 1)


def _split(y_true: Tensor, y_pred: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target, weight, background and foreground probability, each ``(n, h, w) float32``."""
    from keras import ops

    y_true, y_pred = ops.cast(y_true, "float32"), ops.cast(y_pred, "float32")
    return y_true[..., 0], y_true[..., 1], y_pred[..., 0], y_pred[..., 1]


def _cross_entropy(y_true: Tensor, y_pred: Tensor, foreground_weight: float) -> Tensor:
    from keras import ops

    target, weight, p0, p1 = _split(y_true, y_pred)
    entropy = _entropy(target, p0, p1, foreground_weight)
    return ops.sum(weight * entropy) / ops.maximum(ops.sum(weight), TINY)


def _entropy(target: Tensor, p0: Tensor, p1: Tensor, foreground_weight: float) -> Tensor:
    from keras import ops

    log0, log1 = (ops.log(ops.clip(p, TINY, 1.0)) for p in (p0, p1))
    return -(foreground_weight * target * log1 + (1 - target) * log0)


def _tversky(y_true: Tensor, y_pred: Tensor, false_cost: float, missed_cost: float) -> Tensor:
    """Tversky index of the batch; without any foreground, the mean background probability."""
    from keras import ops

    target, weight, _, p1 = _split(y_true, y_pred)
    hits = ops.sum(weight * target * p1)
    false = ops.sum(weight * (1 - target) * p1)
    missed = ops.sum(weight * target * (1 - p1))
    size = ops.sum(weight * target)
    index = hits / ops.maximum(hits + false_cost * false + missed_cost * missed, TINY)
    unmarked = 1 - false / ops.maximum(ops.sum(weight), TINY)
    return ops.where(size > 0, index, unmarked)


LOSSES: dict[str, Loss] = {
    function.__name__: function
    for function in (gdl_wce, dice, bce, bce_dice, soft_dice_bce, focal_tversky, border_weighted)
}
