"""Training: a recipe, samples of a table and patients -> the best and the last weights of a net.

An epoch is one call of Keras's `fit` on a dataset of its own, whose rows, order and augmentation
depend on the seed and the epoch's number alone. Between epochs the state is saved, so that a run
that was killed continues from there and ends as it would have.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lungseg.core.errors import DataError
from lungseg.model import devices, schedule
from lungseg.model.checkpoints import Checkpoints, History, Row, Weights, restore, state_of
from lungseg.model.dataset import Epoch, Feed, Workers, as_py_dataset
from lungseg.model.losses import loss_named
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.samples import Samples
from lungseg.model.selection import Selection, epoch_rows, select
from lungseg.model.training_heads import TrainingHeads
from lungseg.model.validation import score


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a net is trained; `lungseg.stages.train.Train` explains the fields and sets defaults.

    `network` has the size of the table's slices; at this size the net is validated and saved.
    """

    network: NetworkSettings
    loss: str
    slice_weight: float
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: str
    weight_decay: float
    schedule: str
    warmup_epochs: float
    plateau_patience: int
    early_stopping_patience: int
    clip_norm: float
    mixed_precision: str
    jit: bool
    seed: int
    negatives_per_positive: float
    slices_per_epoch: int
    validate_every: int
    workers: int
    worker_processes: bool
    devices: int


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The result of training.

    Attributes
    ----------
    best, last
        Nets with the weights of the best and of the last epoch, of the size of the table's slices
        and in single precision.
    history
        The log, one row for each epoch.
    best_epoch
        Number of the best epoch, from 1.
    resumed_at
        Number of epochs that an earlier run, which was interrupted, had completed.
    """

    best: Any
    last: Any
    history: History
    best_epoch: int
    resumed_at: int


OnEpoch = Callable[[Row], None]
OnBatch = Callable[[int, int, float], None]


def train(  # noqa: PLR0913, PLR0917 - how, on what, and two callbacks
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
        How to train.
    samples
        Makes the samples from the table.
    patients
        Patients to train on, and patients to validate on. If no slice of the latter has a target,
        the best epoch is that of the smallest loss.
    checkpoints
        Where the state is saved; if there is one of an earlier run, training continues from it.
    on_epoch, on_batch
        Called after each epoch with its row of the log, and after each batch with its number (from
        1), the number of batches and the loss; also before the first (number 0), which may take
        minutes.

    Raises
    ------
    DataError
        If no slice has a target, the loss is not finite, the device has too little memory, or a
        batch cannot be made.
    """
    training, validation = (select(samples, names) for names in patients)
    _check(training, samples)
    with (
        Workers(samples, recipe.workers, processes=recipe.worker_processes) as workers,
        devices.spread_over(recipe.devices) as device_count,
    ):
        run = _Run(recipe, samples, workers, training, validation, device_count)
        history = checkpoints.history
        resumed_at = len(history)
        if history:
            restore(run.model, checkpoints.state())
        while len(history) < recipe.epochs and not _stalled(recipe, history):
            row = run.epoch(history, on_batch)
            history.append(row)
            better = schedule.best_epoch(_scores(history)) == len(history) - 1
            weights = run.net.get_weights() if better or len(history) == 1 else None
            checkpoints.keep(history, state_of(run.model), weights)
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
    """The net that is trained and its data.

    Attributes
    ----------
    net, model
        The net that is trained, of the size of the crops, and its training model.
    full
        The net that is validated, of the size of whole slices.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the pieces of one run, put together in one place
        self,
        recipe: Recipe,
        samples: Samples,
        workers: Workers,
        training: Selection,
        validation: Selection,
        device_count: int,
    ) -> None:
        self.recipe, self.workers, self.device_count = recipe, workers, device_count
        self.training, self.validation = training, validation
        steps = math.ceil(len(self._rows(0)) / recipe.batch_size)
        self.heads = TrainingHeads(loss_named(recipe.loss), recipe.slice_weight)
        whole = recipe.network
        crop = samples.input_spec.crop_px or whole.height
        policy = devices.policy_of(recipe.mixed_precision)
        with devices.seeded(recipe.seed), devices.dtype_policy(policy):
            self.net = build(replace(whole, height=crop, width=crop))
            self.full = self.net if crop == whole.height else build(whole)
            self.model = self.heads.training_model(self.net)
            self.model.compile(
                optimizer=optimizer(recipe, steps),
                jit_compile=recipe.jit,
                **self.heads.compile_settings(self.model, device_count),
            )
            # If its variables were made in the first step, TensorFlow would trace the step twice,
            # which takes three quarters of a minute with NASNetMobile.
            self.model.optimizer.build(self.model.trainable_variables)

    def epoch(self, history: History, on_batch: OnBatch) -> Row:
        """Train the next epoch and validate; returns its row of the log."""
        from keras import ops

        recipe, number = self.recipe, len(history)
        if recipe.schedule == "plateau":
            self.model.optimizer.learning_rate = schedule.plateau_rate(
                recipe.learning_rate, _scores(history), recipe.plateau_patience
            )
        rows = self._rows(number)
        epoch = Epoch(rows, recipe.batch_size, (recipe.seed, number), self.device_count)
        with _out_of_memory_explained(recipe):
            fitted = fit(self.model, Feed(self.workers, epoch), on_batch, self._targets)
            row = {
                "epoch": number + 1,
                "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)),
                **fitted,
                "images_per_second": round(len(rows) / fitted["seconds"], 3),
            }
            last = number + 1 == recipe.epochs
            if len(self.validation.rows) and (last or (number + 1) % recipe.validate_every == 0):
                row |= self._validate()
        # The best epoch is that of the highest score; Dice means nothing without any target.
        has_target = self.validation.positives.size > 0
        row["score"] = row.get("val_dice", math.nan) if has_target else -row["loss"]
        if not math.isfinite(row["loss"]):
            lower = f"{recipe.learning_rate / 10:g}"
            raise DataError(
                f"the loss is {row['loss']} in epoch {number + 1}: training has diverged",
                setting=(f"learning_rate={lower}", "clip_norm=1"),
            )
        return row

    def _rows(self, number: int) -> Any:
        recipe = self.recipe
        return epoch_rows(
            self.training,
            (recipe.seed, number),
            recipe.negatives_per_positive,
            recipe.slices_per_epoch,
        )

    def _targets(self, y: Any) -> Any:
        return self.heads.targets(self.model, y)

    def _validate(self) -> Row:
        if self.full is not self.net:
            self.full.set_weights(self.net.get_weights())
        size = self.recipe.batch_size
        epoch = Epoch(self.validation.rows, size, None, math.lcm(size, self.device_count))
        scores = score(self.full, Feed(self.workers, epoch), self.heads)
        return {f"val_{name}": value for name, value in scores.items()}


def fit(model: Any, feed: Feed, on_batch: OnBatch, targets: Callable[[Any], Any]) -> Row:
    """Train one epoch on `feed`.

    Parameters
    ----------
    model
        A training model, compiled.
    feed
        The batches.
    on_batch
        As in `train`.
    targets
        As in `lungseg.model.dataset.as_py_dataset`.

    Returns
    -------
    dict
        ``loss``, the mean over the batches, ``seconds``, and ``waiting``, the share of them in
        which the model waited for data: from the end of a batch, when its loss is known, until the
        workers deliver the next.
    """
    import keras

    ended: list[float] = [time.perf_counter()]

    class Stopwatch(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            # Reading the loss waits for a device that computes asynchronously.
            loss = float((logs or {})["loss"])
            ended.append(time.perf_counter())
            on_batch(batch + 1, len(feed), loss)

    on_batch(0, len(feed), math.nan)
    # Not before `model.fit`, whose first call draws random numbers to build the net.
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
    seconds = time.perf_counter() - ended[0]
    waited = sum(max(feed.ready[i] - ended[i], 0.0) for i in range(len(feed)))
    return {
        "loss": float(log_of_fit.history["loss"][0]),
        "seconds": round(seconds, 3),
        "waiting": round(waited / seconds, 4),
    }


def optimizer(recipe: Recipe, steps: int) -> Any:
    """Keras's optimiser of the recipe, for epochs of `steps` batches."""
    from keras import optimizers

    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine":
        warmup = round(recipe.warmup_epochs * steps)
        # Down to a hundredth, not to zero, which would waste the last steps.
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
        common["momentum"] = 0.9
    return getattr(optimizers, schedule.OPTIMIZERS[recipe.optimizer])(**common)


def write_log(history: History, path: Path) -> None:
    """Write the log as CSV, one line for each epoch."""
    names = list(dict.fromkeys(name for row in history for name in row if name != "score"))
    lines = [",".join(names)]
    lines += [",".join(f"{row.get(name, math.nan):.6g}" for name in names) for row in history]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _scores(history: History) -> list[float]:
    return [row["score"] for row in history]


def _stalled(recipe: Recipe, history: History) -> bool:
    patience = recipe.early_stopping_patience
    return bool(patience) and schedule.epochs_without_gain(_scores(history)) >= patience > 0


def _net_of(recipe: Recipe, weights: Weights) -> Any:
    with devices.seeded(recipe.seed), devices.dtype_policy("float32"):
        net = build(recipe.network)
    net.set_weights(weights)
    return net


def _check(training: Selection, samples: Samples) -> None:
    if training.positives.size:
        return
    raise DataError(
        f"no slice of the training patients has {samples.input_spec.target} "
        f"({len(training.negatives)} slices without); are they annotated, and is the training "
        "part of the split large enough?"
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
        smaller = ("crop_px to a smaller square", "base_width to fewer filters")
        if size > 1:
            raise devices.DeviceMemoryError(
                f"the device ran out of memory with batches of {size} slices",
                setting=(f"batch_size={size // 2}", *smaller),
            ) from error
        raise devices.DeviceMemoryError(
            "the device ran out of memory with single slices",
            setting=(*smaller, "depth to fewer levels", "mixed_precision=bfloat16"),
        ) from error
