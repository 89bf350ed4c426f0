"""Teaching a reducer: candidates that are nodules, and candidates that are none.

Half of each batch are nodules, since candidates of scans are hardly ever. A nodule that few of its
readers drew is taught as the share of four readers who did. What is learnt depends on the seed and
the examples alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungseg.core.errors import DataError
from lungseg.model.reducer.network import WIDTH, Floats, build, shown
from lungseg.ops.samples.stacks import EDGE, SLICES
from lungseg.volume import HuArray

MARGIN = 6
"""Voxels by which examples are larger than a stack on each side, to be shifted."""

WIDE = EDGE + 2 * MARGIN
"""Edge of an example."""

# Largest shift of a stack, voxels: candidates lie off a nodule's middle by about as much.
SHIFT = 3
# Standard deviation of what is added to a stack as a whole, and the largest to its voxels, HU.
OFFSET_HU, NOISE_HU = 15.0, 20.0
BATCH = 32
STEPS = 100
FEWEST = 8
"""Nodules, and others, that there must be."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates to learn from.

    Attributes
    ----------
    hu
        ``(n, SLICES, WIDE, WIDE)`` int16.
    target
        ``(n,)``: 0 of what is no nodule; of a nodule the share of four readers who drew it.
    patients, scans
        Whose they are, each once.
    """

    hu: HuArray
    target: Floats
    patients: tuple[str, ...]
    scans: tuple[str, ...]

    @property
    def nodules(self) -> int:
        """How many are nodules."""
        return int((self.target > 0).sum())


def together(parts: Sequence[Examples]) -> Examples:
    """All examples of several parts."""
    empty = np.empty((0, SLICES, WIDE, WIDE), np.int16)
    return Examples(
        np.concatenate([empty, *(part.hu for part in parts)]),
        np.concatenate([np.empty(0, np.float32), *(part.target for part in parts)]),
        tuple(sorted({patient for part in parts for patient in part.patients})),
        tuple(sorted({scan for part in parts for scan in part.scans})),
    )


def teach(
    examples: Examples,
    epochs: int,
    seed: int,
    width: int = WIDTH,
    tell: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> Any:
    """A reducer taught for `epochs` of `STEPS` batches, a `keras.Model`.

    Raises
    ------
    DataError
        If there are too few examples of either kind.
    """
    import keras

    others = len(examples.target) - examples.nodules
    if min(examples.nodules, others) < FEWEST:
        raise DataError(
            f"there are {examples.nodules} candidates that are nodules and {others} that are none; "
            f"at least {FEWEST} of each are needed: name more scans of training patients, or "
            "slices around nodules"
        )
    keras.utils.set_random_seed(seed)
    net = build(width)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, epochs * STEPS, warmup_target=2e-3, warmup_steps=min(STEPS, epochs * STEPS // 2)
    )
    net.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4), "binary_crossentropy")
    for epoch in range(epochs):
        rng = np.random.default_rng((seed, epoch))
        batches = (batch(examples, rng) for _ in range(STEPS))
        losses = [float(net.train_on_batch(x, y)) for x, y in batches]
        # Keras tells the mean of the losses so far, over the whole epoch.
        tell(epoch + 1, losses[-1])
        net.reset_metrics()
    return net


def batch(examples: Examples, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One batch ``(n, y, x, slice)`` and its targets ``(n, 1)``: half of it nodules.

    Each example is shifted, turned, mirrored along x and z, and made lighter and noisier.
    """
    nodules = np.flatnonzero(examples.target > 0)
    others = np.flatnonzero(examples.target == 0)
    half = BATCH // 2
    chosen = np.concatenate([rng.choice(nodules, half), rng.choice(others, BATCH - half)])
    stacks = np.stack([_changed(examples.hu[k], rng) for k in chosen])
    return shown(stacks), examples.target[chosen, None].astype(np.float32)


def _changed(hu: HuArray, rng: np.random.Generator) -> Floats:
    y, x = MARGIN + rng.integers(-SHIFT, SHIFT + 1, 2)
    stack = hu[:, y : y + EDGE, x : x + EDGE].astype(np.float32)
    stack = np.rot90(stack, int(rng.integers(4)), (1, 2))
    if rng.random() < 0.5:
        stack = stack[:, :, ::-1]
    if rng.random() < 0.5:
        stack = stack[::-1]
    noise = rng.standard_normal(stack.shape, np.float32) * np.float32(rng.uniform(0, NOISE_HU))
    offset = np.float32(rng.normal(0, OFFSET_HU))
    changed: Floats = stack + offset + noise
    return changed
