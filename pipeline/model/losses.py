"""The losses of segmentation, by name; every one sees the same targets.

``y_true`` is ``(n, h, w, 2) float32``: channel 0 the target, 0 or 1; channel 1 the weight, 0 where
the readers disagree and nothing may be learnt, else 1 (or a weight map). ``y_pred`` is what a
network of `lungseg.model.networks` gives: ``(n, h, w, 2)`` from a softmax or ``(n, h, w, 1)`` from
a sigmoid. The sums run over the whole batch, not over each slice: most slices hold no nodule,
and an overlap per slice would say nothing there.

A batch without any foreground has no overlap to speak of, and the usual quotient with one added
above and below then has a gradient of 1e-10 per pixel: nothing is learnt from it. There the overlap
losses are the share of the voxels that is marked, which is 0 when none is, at most 1, and has the
same slope at every voxel.
"""

from collections.abc import Callable
from typing import Any

from lungseg.core.errors import ConfigError

Tensor = Any
Loss = Callable[[Tensor, Tensor], Tensor]

# The least probability a logarithm sees; float32 cannot tell 1 - 1e-8 from 1.
TINY = 1e-7


def make(name: str, **settings: float) -> Loss:
    """The loss of this name, ``(y_true, y_pred) -> scalar``.

    Parameters
    ----------
    name
        ``gdl_wce``, ``dice``, ``bce``, ``bce_dice``, ``focal_tversky`` or ``border_weighted``.
    **settings
        What that loss can be told; see its function.

    Raises
    ------
    ConfigError
        If there is no such loss, or it has no such setting.
    """
    if name not in LOSSES:
        raise ConfigError(f"there is no loss {name!r}; choose one of {', '.join(LOSSES)}")
    function = LOSSES[name]
    known = function.__kwdefaults__ or {}
    if unknown := sorted(set(settings) - set(known)):
        raise ConfigError(
            f"loss {name} has no setting {', '.join(unknown)}; it has {', '.join(known) or 'none'}"
        )

    def loss(y_true: Tensor, y_pred: Tensor) -> Tensor:
        return function(y_true, y_pred, **settings)

    # Keras names the loss by this in its logs.
    loss.__name__ = name
    return loss


def gdl_wce(y_true: Tensor, y_pred: Tensor, *, foreground_weight: float = 7.0) -> Tensor:
    """Generalised Dice (Sudre et al. 2017) plus cross-entropy with the foreground weighted."""
    return generalised_dice(y_true, y_pred) + bce(
        y_true, y_pred, foreground_weight=foreground_weight
    )


def generalised_dice(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 - the Dice of both classes, each weighted by 1 / (its voxels in the target)^2.

    A class that the batch does not hold has the weight of the other one, not 1 / 0.
    """
    from keras import ops

    target, weight, p0, p1 = _split(y_true, y_pred)
    sizes = [ops.sum(weight * (1 - target)), ops.sum(weight * target)]
    marked = [ops.sum(weight * p0), ops.sum(weight * p1)]
    hits = [ops.sum(weight * (1 - target) * p0), ops.sum(weight * target * p1)]
    # The smaller class has the weight 1; only the quotient of the weights matters, and squares of
    # voxel counts leave float32's digits.
    smallest = ops.where(
        ops.minimum(*sizes) > 0, ops.minimum(*sizes), ops.maximum(ops.maximum(*sizes), TINY)
    )
    weights = [ops.square(smallest / ops.where(size > 0, size, smallest)) for size in sizes]
    above = sum(w * hit for w, hit in zip(weights, hits, strict=True))
    below = sum(w * (s + m) for w, s, m in zip(weights, sizes, marked, strict=True))
    return 1 - (2 * above + TINY) / (below + TINY)


def dice(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """1 - soft Dice of the foreground over the batch."""
    return 1 - _tversky(y_true, y_pred, 0.5, 0.5)


def bce(y_true: Tensor, y_pred: Tensor, *, foreground_weight: float = 1.0) -> Tensor:
    """Cross-entropy, nats, the mean over the weights; `foreground_weight` multiplies the target."""
    from keras import ops

    target, weight, p0, p1 = _split(y_true, y_pred)
    entropy = _entropy(target, p0, p1, foreground_weight)
    return ops.sum(weight * entropy) / ops.maximum(ops.sum(weight), TINY)


def bce_dice(y_true: Tensor, y_pred: Tensor, *, dice_share: float = 0.5) -> Tensor:
    """Cross-entropy and Dice, mixed."""
    return (1 - dice_share) * bce(y_true, y_pred) + dice_share * dice(y_true, y_pred)


def focal_tversky(
    y_true: Tensor, y_pred: Tensor, *, alpha: float = 0.3, beta: float = 0.7, gamma: float = 0.75
) -> Tensor:
    """(1 - Tversky index)^gamma (Abraham & Khan 2019).

    Parameters
    ----------
    alpha, beta
        What a false and what a missed voxel cost in the index; beta above alpha asks for
        sensitivity.
    gamma
        Below 1, the loss stays steep when the overlap is nearly right.
    """
    from keras import ops

    missing = 1 - _tversky(y_true, y_pred, alpha, beta)
    # A root has no slope at 0; the shift keeps it finite, the difference keeps 0 at 0.
    return ops.power(ops.maximum(missing, 0) + TINY, gamma) - TINY**gamma


def border_weighted(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """Cross-entropy under a weight map (U-Net's), the mean over the voxels that count.

    The map is `lungseg.ops.samples.border_weights`, given as the weight channel. Unlike in `bce`
    the weights are not divided out: a batch with narrow gaps costs more than one without.
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
    p1 = y_pred[..., -1]
    p0 = y_pred[..., 0] if y_pred.shape[-1] == 2 else 1 - p1
    return y_true[..., 0], y_true[..., 1], p0, p1


def _entropy(target: Tensor, p0: Tensor, p1: Tensor, foreground_weight: float) -> Tensor:
    from keras import ops

    log0, log1 = (ops.log(ops.clip(p, TINY, 1.0)) for p in (p0, p1))
    return -(foreground_weight * target * log1 + (1 - target) * log0)


def _tversky(y_true: Tensor, y_pred: Tensor, alpha: float, beta: float) -> Tensor:
    """Tversky index of the batch; without any foreground, the share of voxels left unmarked."""
    from keras import ops

    target, weight, _, p1 = _split(y_true, y_pred)
    hits = ops.sum(weight * target * p1)
    false = ops.sum(weight * (1 - target) * p1)
    missed = ops.sum(weight * target * (1 - p1))
    size = ops.sum(weight * target)
    index = hits / ops.maximum(hits + alpha * false + beta * missed, TINY)
    unmarked = 1 - false / ops.maximum(ops.sum(weight), TINY)
    return ops.where(size > 0, index, unmarked)


LOSSES: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (gdl_wce, dice, bce, bce_dice, focal_tversky, border_weighted)
}
