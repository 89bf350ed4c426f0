"""Teaching the lung net and the tumour net: chests and phantoms, made ill anew for every example.

What is learnt depends on the seed and the chests alone; what was broken off goes on with the epoch
after the last whole one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import DataError
from lungseg.model.lung_net.network import TUMOUR_WIDTHS, WIDTHS, build
from lungseg.ops.lungs.opinion.close_up import ANSWERS, CHANNELS
from lungseg.ops.lungs.opinion.examples import Chest, Example, example
from lungseg.ops.lungs.opinion.painted import close_up, turned
from lungseg.volume import F32

BATCH, TUMOUR_BATCH = 2, 4
STEPS = 50
"""Batches of an epoch."""

# How many examples are of phantoms, whose illness is drawn with their anatomy; and how many of
# either kind are left as they are.
OF_PHANTOMS, SOUND, SOUND_PHANTOMS = 0.3, 0.2, 0.65
RATE, LAST_RATE, WARM_UP = 3e-3, 0.01, 60
DECAY, CLIP = 1e-4, 1.0
# How many times each chest is there for the tumour net: once as it is, and turned.
TURNED = 4
# Weight of cross-entropy beside Dice, and blocks added to both sides of Dice's fraction, so that a
# lung that is not there counts little.
ENTROPY, SMOOTH = 4.0, 100.0
NEAR_0 = 1e-5


@dataclass(frozen=True)
class HowToTeach:
    """How long, by which chance, and in which float type.

    Attributes
    ----------
    epochs
        Of `STEPS` batches, of `BATCH` examples for the lung net and `TUMOUR_BATCH` for the other.
    precision
        ``float32``, or ``mixed_bfloat16``: half the time on processors with AMX.
    """

    epochs: int = 30
    seed: int = 1
    precision: str = "float32"


def teach(
    chests: Sequence[Chest],
    phantoms: Sequence[Chest],
    how: HowToTeach,
    kept: Path,
    tell: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> Any:
    """A lung net, a `keras.Model` in single precision.

    Parameters
    ----------
    chests, phantoms
        Real ones, and such whose illness is drawn already; either may be missing.
    how
        How it is taught.
    kept
        Folder for what a run that is broken off goes on from; gone at the end.
    tell
        Called after each epoch with its number and its loss.

    Raises
    ------
    DataError
        If there is no chest.
    """
    if not chests and not phantoms:
        raise DataError("no chest to learn lungs from: no scan has a sound lung mask")

    def one(rng: np.random.Generator) -> tuple[F32, F32]:
        drawn = one_of(chests, phantoms, rng)
        return drawn.image, np.concatenate([drawn.lungs, drawn.counts], axis=-1)

    return _taught(_Lesson(partial(build, WIDTHS), loss, one, BATCH), how, kept, tell)


def teach_tumours(
    chests: Sequence[Chest],
    how: HowToTeach,
    kept: Path,
    tell: Callable[[int, float], None] = lambda _epoch, _loss: None,
) -> Any:
    """A tumour net, as `teach` makes a lung net; every chest is turned in `TURNED` ways."""
    if not chests:
        raise DataError("no chest to learn tumours from: no scan has a sound lung mask")
    chances = [None, *(np.random.default_rng((how.seed, k)) for k in range(1, TURNED))]
    those = [turned(chest, chance) for chest in chests for chance in chances]

    def one(rng: np.random.Generator) -> tuple[F32, F32]:
        seen = close_up(those[int(rng.integers(len(those)))], rng)
        return seen.image, np.concatenate([seen.lungs, seen.counts, seen.missing], axis=-1)

    network = partial(build, TUMOUR_WIDTHS, channels=CHANNELS, answers=ANSWERS)
    lesson = _Lesson(network, loss_of_tumours, one, TUMOUR_BATCH)
    return _taught(lesson, how, kept, tell)


@dataclass(frozen=True, eq=False)
class _Lesson:
    """Which network learns by which loss: `one` makes an image and its truth by chance."""

    build: Callable[..., Any]
    loss: Callable[[Any, Any], Any]
    one: Callable[[np.random.Generator], tuple[F32, F32]]
    batch: int


def _taught(
    lesson: _Lesson, how: HowToTeach, kept: Path, tell: Callable[[int, float], None]
) -> Any:
    import keras

    keras.utils.set_random_seed(how.seed)
    net = lesson.build(precision=how.precision)
    steps = how.epochs * STEPS
    warm = min(WARM_UP, steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        RATE / 100, max(1, steps - warm), alpha=LAST_RATE, warmup_target=RATE, warmup_steps=warm
    )
    net.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY, clipnorm=CLIP), loss=lesson.loss)
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: tell(epoch + 1, float(logs["loss"]))
    )
    net.fit(
        _examples(lesson, how.seed, _epochs_done(kept)),
        epochs=how.epochs,
        # Each batch is of chance anyway; a run that goes on must meet them in the same order.
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.BackupAndRestore(kept), told],
    )
    single = lesson.build()
    single.set_weights(net.get_weights())
    return single


def _epochs_done(kept: Path) -> int:
    """How many epochs a run that was broken off had finished, as `BackupAndRestore` notes it."""
    noted = kept / "training_metadata.json"
    return int(json.loads(noted.read_text("utf-8"))["epoch"]) if noted.is_file() else 0


def loss(truth: Any, said: Any) -> Any:
    """Cross-entropy and Dice, of the blocks that count.

    Parameters
    ----------
    truth : (n, z, y, x, 3)
        Share of right and of left lung, and how much each block counts.
    said : (n, z, y, x, 2)
        Probabilities.
    """
    from keras import ops

    share, counts = truth[..., :2], truth[..., 2:]
    said = ops.clip(said, NEAR_0, 1 - NEAR_0)
    entropy = -(share * ops.log(said) + (1 - share) * ops.log(1 - said))
    mean = ops.sum(entropy * counts) / (2 * ops.sum(counts))
    both = ops.sum(said * share * counts, axis=(1, 2, 3))
    all_of = ops.sum((said + share) * counts, axis=(1, 2, 3))
    dice = (2 * both + SMOOTH) / (all_of + SMOOTH)
    return ENTROPY * mean + 1 - ops.mean(dice)


def loss_of_tumours(truth: Any, said: Any) -> Any:
    """Cross-entropy of what counts, and Dice of that of it which the mask has not.

    Parameters
    ----------
    truth : (n, z, y, x, 24)
        Share of lung, how much it counts, and 1 outside of the mask, of each of eight blocks.
    said : (n, z, y, x, 8)
        Probabilities.
    """
    from keras import ops

    share, counts, missing = (truth[..., k * ANSWERS : (k + 1) * ANSWERS] for k in range(3))
    said = ops.clip(said, NEAR_0, 1 - NEAR_0)
    entropy = -(share * ops.log(said) + (1 - share) * ops.log(1 - said))
    mean = ops.sum(entropy * counts) / ops.sum(counts)
    weights = counts * missing
    both, all_of = ops.sum(said * share * weights), ops.sum((said + share) * weights)
    return ENTROPY * mean + 1 - (2 * both + SMOOTH / 2) / (all_of + SMOOTH / 2)


def one_of(chests: Sequence[Chest], phantoms: Sequence[Chest], rng: np.random.Generator) -> Example:
    """An example of a chest or a phantom, as chance has it."""
    drawn = not chests or (phantoms and rng.random() < OF_PHANTOMS)
    those = phantoms if drawn else chests
    return example(those[int(rng.integers(len(those)))], rng, SOUND_PHANTOMS if drawn else SOUND)


def _examples(lesson: _Lesson, seed: int, first: int) -> Any:
    """Batches from epoch `first` on, each by chance of its own, whichever thread makes it."""
    import keras

    class Examples(keras.utils.PyDataset):  # type: ignore[misc]
        epoch = first

        def __len__(self) -> int:
            return STEPS

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            rng = np.random.default_rng((seed, self.epoch, index))
            images, truths = zip(*(lesson.one(rng) for _ in range(lesson.batch)), strict=True)
            return np.stack(images), np.stack(truths)

        def on_epoch_end(self) -> None:
            self.epoch += 1

    return Examples(workers=2, max_queue_size=8)
