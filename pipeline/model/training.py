"""Training: a net, the table's rows of some patients and a recipe -> the best and last weights.

An epoch is one call of Keras's `fit` on a dataset of its own, whose rows, order and changes the
seed and the epoch's number decide. Between epochs the state is kept, so that a killed run goes
on from there and ends where it would have.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungseg.core.errors import DataError
from lungseg.model import checkpoints as kept
from lungseg.model import devices, losses, schedule
from lungseg.model.checkpoints import Checkpoints, History, Row
from lungseg.model.dataset import Epoch, Feed, Workers, as_py_dataset
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.samples import Samples
from lungseg.model.selection import Selection, epoch_rows, select
from lungseg.model.training_heads import TrainingHeads
from lungseg.model.validation import score


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a net is trained; the fields are explained where they are set, in `train`'s params.

    `network` has the size of the table's slices, in which the net is validated and kept.
    """

    network: NetworkSettings
    loss: str = "gdl_wce"
    slice_weight: float = 1.0
    epochs: int = 10
    batch_size: int = 8
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup_epochs: float = 0.0
    plateau_patience: int = 5
    early_stopping_patience: int = 0
    clip_norm: float = 0.0
    mixed_precision: str = "none"
    jit: bool = False
    seed: int = 1
    negatives_per_positive: float = 1.0
    slices_per_epoch: int = 0
    validate_every: int = 1
    workers: int = 2
    worker_processes: bool = False
    devices: int = 1


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training came to.

    Attributes
    ----------
    best, last
        Nets of the size of the table's slices, in single precision.
    history
        The log, one row an epoch.
    best_epoch
        Number of the best one, from 1.
    """

    best: Any
    last: Any
    history: History
    best_epoch: int
    resumed_at: int


OnEpoch = Callable[[Row], None]
OnBatch = Callable[[int, int, float], None]


def train(  # noqa: PLR0913, PLR0917 - what, how, and whom to tell
    recipe: Recipe,
    samples: Samples,
    patients: tuple[Iterable[str], Iterable[str]],
    checkpoints: Checkpoints,
    on_epoch: OnEpoch = lambda _: None,
    on_batch: OnBatch = lambda *_: None,
) -> Trained:
    """Train a net on the first of `patients` and choose its best epoch on the second.

    Parameters
    ----------
    recipe
        How.
    samples
        The table and the way to look at it.
    patients
        Those to train on, those to validate on. Without any of the latter that has something to
        find, the best epoch is the one of the smallest loss.
    checkpoints
        Where the state is kept; a run that finds one there goes on from it.
    on_epoch, on_batch
        Told of each epoch's row of the log, and of each batch (done, of how many, loss); also
        before the first, which may take minutes.

    Raises
    ------
    DataError
        If there is nothing to train on, or the device has too little memory.
    """
    chosen, held_out = (select(samples, names) for names in patients)
    _check(chosen, samples)
    with (
        Workers(samples, recipe.workers, processes=recipe.worker_processes) as workers,
        devices.spread_over(recipe.devices) as spread,
    ):
        run = _Run(recipe, samples, workers, chosen, held_out, spread)
        history = checkpoints.history
        resumed_at = len(history)
        if history:
            kept.restore(run.model, checkpoints.state())
        while len(history) < recipe.epochs and not _stalled(recipe, history):
            row = run.epoch(history, on_batch)
            history.append(row)
            better = schedule.best_epoch(_scores(history)) == len(history) - 1
            weights = run.net.get_weights() if better or len(history) == 1 else None
            checkpoints.keep(history, kept.state_of(run.model), weights)
            on_epoch(row)
        last = run.net.get_weights()
    best = schedule.best_epoch(_scores(history)) or 0
    return Trained(
        best=_net_of(recipe, checkpoints.best()),
        last=_net_of(recipe, last),
        history=history,
        best_epoch=best + 1,
        resumed_at=resumed_at,
    )


class _Run:
    """The net in training and what feeds it."""

    def __init__(  # noqa: PLR0913, PLR0917 - the pieces of one run, put together in one place
        self,
        recipe: Recipe,
        samples: Samples,
        workers: Workers,
        chosen: Selection,
        held_out: Selection,
        spread: int,
    ) -> None:
        self.recipe, self.workers = recipe, workers
        self.chosen, self.held_out, self.spread = chosen, held_out, spread
        first = self._rows(0)
        self.steps = -(-len(first) // recipe.batch_size)
        self.heads = TrainingHeads(losses.make(recipe.loss), recipe.slice_weight)
        full = recipe.network
        crop = samples.input_spec.crop_px or full.height
        policy = devices.policy_of(recipe.mixed_precision)
        with devices.seeded(recipe.seed), devices.dtype_policy(policy):
            self.net = build(_resized(full, crop))
            self.full = self.net if crop == full.height else build(full)
            self.model = self.heads.training_model(self.net)
            self.model.compile(
                optimizer=optimizer(recipe, self.steps),
                jit_compile=recipe.jit,
                **self.heads.compile_settings(self.model, spread),
            )
            # Made within the first step, its variables would have TensorFlow trace the step twice:
            # with NASNetMobile three quarters of a minute.
            self.model.optimizer.build(self.model.trainable_variables)

    def epoch(self, history: History, on_batch: OnBatch) -> Row:
        """Train the next epoch and validate; its row of the log."""
        from keras import ops

        recipe, number = self.recipe, len(history)
        if recipe.schedule == "plateau":
            self.model.optimizer.learning_rate = schedule.plateau_rate(
                recipe.learning_rate, _scores(history), recipe.plateau_patience
            )
        rows = self._rows(number)
        key = (recipe.seed, number)
        epoch = Epoch(rows, recipe.batch_size, key, self.spread)
        with _out_of_memory_explained(recipe):
            took = fit(self.model, Feed(self.workers, epoch), on_batch, self._targets)
            row = {
                "epoch": number + 1,
                "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)),
                **took,
                "images_per_second": round(len(rows) / took["seconds"], 3),
            }
            last = number + 1 == recipe.epochs
            if len(self.held_out.rows) and (last or (number + 1) % recipe.validate_every == 0):
                row |= self._validated()
        # By this the best epoch is chosen; without a target to find, Dice says nothing.
        judged = self.held_out.positives.size > 0
        row["score"] = row.get("val_dice", math.nan) if judged else -row["loss"]
        if not math.isfinite(row["loss"]):
            raise DataError(
                f"the loss is {row['loss']} in epoch {number + 1}: training has diverged; try "
                f"train.learning_rate={recipe.learning_rate / 10:g} or train.clip_norm=1"
            )
        return row

    def _rows(self, number: int) -> Any:
        recipe = self.recipe
        return epoch_rows(
            self.chosen,
            (recipe.seed, number),
            recipe.negatives_per_positive,
            recipe.slices_per_epoch,
        )

    def _targets(self, y: Any) -> Any:
        return self.heads.targets(self.model, y)

    def _validated(self) -> Row:
        if self.full is not self.net:
            self.full.set_weights(self.net.get_weights())
        size = self.recipe.batch_size
        filled_up = size * self.spread // math.gcd(size, self.spread)
        epoch = Epoch(self.held_out.rows, size, None, filled_up)
        found = score(self.full, Feed(self.workers, epoch), self.heads)
        return {f"val_{name}": value for name, value in found.items()}


def fit(
    model: Any,
    feed: Feed,
    on_batch: OnBatch = lambda *_: None,
    targets: Callable[[Any], Any] = lambda y: y,
) -> Row:
    """Train one epoch on `feed`: the loss, the seconds and the share of them spent waiting.

    The model waits for a batch from the end of the one before, when its loss is known, to the
    moment that the workers hand the next one over.
    """
    import keras

    done: list[float] = [time.perf_counter()]

    class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            # Reading the loss waits for a device that works on its own.
            loss = float((logs or {})["loss"])
            done.append(time.perf_counter())
            on_batch(batch + 1, len(feed), loss)

    begin = done[0]
    on_batch(0, len(feed), math.nan)
    # Not before `model.fit`, which at its first call draws some to build the net.
    reseed = keras.callbacks.LambdaCallback(on_train_begin=lambda _: devices.reseed(feed.epoch.key))
    try:
        log_of_fit = model.fit(
            as_py_dataset(feed, targets),
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=[reseed, Stopwatch()],
        )
    except Exception as error:
        if feed.failure is not None:
            raise feed.failure from error
        raise
    seconds = time.perf_counter() - begin
    waited = sum(max(feed.ready[i] - done[i], 0.0) for i in range(len(feed)))
    return {
        "loss": float(log_of_fit.history["loss"][0]),
        "seconds": round(seconds, 3),
        "waiting": round(waited / seconds, 4),
    }


def optimizer(recipe: Recipe, steps: int) -> Any:
    """Keras's optimiser of the recipe; `steps` are those of an epoch."""
    from keras import optimizers

    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = round(recipe.warmup_epochs * steps)
        # Down to a hundredth, not to zero, where the last steps would be wasted.
        rate = optimizers.schedules.CosineDecay(
            rate / 100 if warmup else rate,
            max(recipe.epochs * steps - warmup, 1),
            alpha=0.01,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    common: dict[str, Any] = {"learning_rate": rate}
    if recipe.clip_norm:
        common["global_clipnorm"] = recipe.clip_norm
    if recipe.weight_decay:
        common["weight_decay"] = recipe.weight_decay
    if recipe.optimizer == "sgd":
        return optimizers.SGD(momentum=0.9, **common)
    if recipe.optimizer == "adamw":
        return optimizers.AdamW(**common)
    return optimizers.Adam(**common)


def write_log(history: History, path: Path) -> None:
    """Write the log as CSV."""
    names = list(dict.fromkeys(name for row in history for name in row if name != "score"))
    lines = [",".join(names)]
    lines += [",".join(f"{row.get(name, math.nan):.6g}" for name in names) for row in history]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _scores(history: History) -> list[float]:
    return [row["score"] for row in history]


def _stalled(recipe: Recipe, history: History) -> bool:
    patience = recipe.early_stopping_patience
    return bool(patience) and schedule.epochs_without_gain(_scores(history)) >= patience > 0


def _net_of(recipe: Recipe, weights: kept.Weights) -> Any:
    with devices.seeded(recipe.seed), devices.dtype_policy("float32"):
        net = build(recipe.network)
    net.set_weights(weights)
    return net


def _resized(settings: NetworkSettings, px: int) -> NetworkSettings:
    from dataclasses import replace

    return replace(settings, height=px, width=px)


def _check(chosen: Selection, samples: Samples) -> None:
    if chosen.positives.size:
        return
    raise DataError(
        f"no slice of the training patients shows {samples.input_spec.target} "
        f"({len(chosen.negatives)} slices without); are they annotated, and is the split's "
        "training part large enough? `lungseg-cli status` tells the counts"
    )


class _out_of_memory_explained:  # noqa: N801 - reads as a statement
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or not devices.is_out_of_memory(error):
            return
        size = self.recipe.batch_size
        if size > 1:
            raise DataError(
                f"the device ran out of memory with train.batch_size={size}; try "
                f"train.batch_size={size // 2}, or a smaller train.crop_px or train.base_width"
            ) from error
        raise DataError(
            "the device ran out of memory with single slices; try a smaller train.crop_px, "
            "train.base_width or train.depth, or train.mixed_precision=bfloat16"
        ) from error
