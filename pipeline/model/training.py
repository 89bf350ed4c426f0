"""Training: a recipe, samples of a table and patients -> the best and the last weights of a net.

An epoch is one call of Keras's `fit` on a dataset of its own, whose rows, order and augmentation
depend on the seed and the epoch's number alone. Between epochs the state is saved, so that a run
that was killed continues from there and ends as it would have.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import DataError
from lungseg.model import devices, inference, schedule
from lungseg.model.checkpoints import Checkpoints, History, Row, Weights, restore, state_of
from lungseg.model.dataset import Epoch, Feed, Workers
from lungseg.model.epochs import mining
from lungseg.model.epochs.draws import Draws, epoch_rows, nodule_draws, with_hard_negatives
from lungseg.model.epochs.fit import OnBatch, fit, restore_trained
from lungseg.model.epochs.squares import SQUARE_PX, squares_of
from lungseg.model.losses import loss_named
from lungseg.model.networks import NetworkSettings, build
from lungseg.model.samples import Rows, Samples
from lungseg.model.selection import Selection, select
from lungseg.model.training_heads import TrainingHeads
from lungseg.model.validation import score


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a net is trained; `lungseg.stages.train.Train` explains the fields and sets defaults.

    `network` has the size of the table's slices; at this size the net is validated and saved.
    """

    network: NetworkSettings
    start_from: str
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
    balance: str
    negatives_per_positive: float
    slices_per_epoch: int
    mine_every: int
    mine_step: int
    hard_share: float
    average_weights: float
    bce_weight: float
    validate_every: int
    validate_step: int
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
    windows = not mining.whole_rows(samples.tables).all()
    by_nodule = recipe.balance == "nodules" or windows
    training, validation = (select(samples, names, by_nodule=by_nodule) for names in patients)
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
            run.places = checkpoints.places()
            run.shown = run.net.get_weights()
        elif recipe.start_from and recipe.mine_every:
            # It knows enough already for its false alarms to teach it.
            run.places = run.mine()
        while len(history) < recipe.epochs and not _stalled(recipe, history):
            row = run.epoch(history, on_batch)
            history.append(row)
            better = schedule.best_epoch(_scores(history)) == len(history) - 1
            weights = run.shown if better or len(history) == 1 else None
            checkpoints.keep(history, state_of(run.model), weights, run.places)
            on_epoch(row)
        last = run.shown
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
    shown
        The weights that the last epoch was validated with: where weights are averaged, the mean.
    places
        Places of the last mining, None before the first.
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
        self.samples = samples
        self.places: mining.Places | None = None
        steps = math.ceil(len(self._draws(0).rows) / recipe.batch_size)
        self.heads = TrainingHeads(loss_named(recipe.loss, recipe.bce_weight), recipe.slice_weight)
        crop = samples.input_spec.crop_px or recipe.network.height
        self.policy = devices.policy_of(recipe.mixed_precision)
        self._nets: dict[tuple[int, int], Any] = {}
        self._whole = mining.whole_rows(samples.tables)
        self._squares = squares_of(validation, self._whole)
        with devices.seeded(recipe.seed), devices.dtype_policy(self.policy):
            self.net = build(replace(recipe.network, height=crop, width=crop))
            self._nets[crop, crop] = self.net
            if recipe.start_from:
                inference.hand_over(recipe.start_from, self.net)
            self.model = self.heads.training_model(self.net)
            self.model.compile(
                optimizer=optimizer(recipe, steps),
                jit_compile=recipe.jit,
                **self.heads.compile_settings(self.model, device_count),
            )
            # If its variables were made in the first step, TensorFlow would trace the step twice,
            # which takes three quarters of a minute with NASNetMobile.
            self.model.optimizer.build(self.model.trainable_variables)
        self.shown: Weights = self.net.get_weights()

    def epoch(self, history: History, on_batch: OnBatch) -> Row:
        """Train the next epoch and validate; returns its row of the log."""
        from keras import ops

        recipe, number = self.recipe, len(history)
        if recipe.schedule == "plateau":
            self.model.optimizer.learning_rate = schedule.plateau_rate(
                recipe.learning_rate, _scores(history), recipe.plateau_patience
            )
        draws = self._draws(number)
        rows, key = draws.rows, (recipe.seed, number)
        epoch = Epoch(rows, recipe.batch_size, key, self.device_count, draws.centres)
        with _out_of_memory_explained(recipe):
            feed = Feed(self.workers, epoch)
            fitted, trained = fit(self.model, feed, on_batch, self._targets)
            row = {
                "epoch": number + 1,
                "learning_rate": float(ops.convert_to_numpy(self.model.optimizer.learning_rate)),
                **fitted,
                "images_per_second": round(len(rows) / fitted["seconds"], 3),
            }
            # Keras's `fit` ends with the averaged weights, if they are averaged.
            self.shown = self.net.get_weights()
            last = number + 1 == recipe.epochs
            if len(self.validation.rows) and (last or (number + 1) % recipe.validate_every == 0):
                row |= self._validate()
            if recipe.mine_every and not last and (number + 1) % recipe.mine_every == 0:
                self.places = self.mine()
                row["mined"] = len(self.places)
            restore_trained(self.model, trained)
        # The best epoch is that of the highest score; Dice means nothing without any target.
        has_target = self.validation.positives.size > 0
        chosen_by = "val_nodule_dice" if self._squares else "val_dice"
        row["score"] = row.get(chosen_by, math.nan) if has_target else -row["loss"]
        if not math.isfinite(row["loss"]):
            lower = f"{recipe.learning_rate / 10:g}"
            raise DataError(
                f"the loss is {row['loss']} in epoch {number + 1}: training has diverged",
                setting=(f"learning_rate={lower}", "clip_norm=1"),
            )
        return row

    def _draws(self, number: int) -> Draws:
        recipe, training = self.recipe, self.training
        key = (recipe.seed, number)
        amounts = recipe.negatives_per_positive, recipe.slices_per_epoch
        if training.nodules and recipe.balance == "nodules":
            draws = nodule_draws(training, key, *amounts)
        else:
            rows = epoch_rows(training, key, *amounts)
            draws = Draws(rows, np.full((len(rows), 2), np.nan))
        if self.places is None:
            return draws
        return with_hard_negatives(draws, training.negatives, self.places, recipe.hard_share, key)

    def _targets(self, y: Any) -> Any:
        return self.heads.targets(self.model, y)

    def _net_of(self, height: int, width: int) -> Any:
        """The net of another size, with the weights of `shown`."""
        if (height, width) not in self._nets:
            settings = replace(self.recipe.network, height=height, width=width)
            with devices.seeded(self.recipe.seed), devices.dtype_policy(self.policy):
                self._nets[height, width] = build(settings)
        net = self._nets[height, width]
        if net is not self.net:
            net.set_weights(self.shown)
        return net

    def _validate(self) -> Row:
        recipe, squares = self.recipe, self._squares
        rows = self.validation.rows
        found: Row = {}
        if squares:
            size = min(SQUARE_PX, recipe.network.height)
            found = self._scores(squares.draws, size, squares.nodules)
            rows = rows[self._whole[rows]]
        rows = rows[:: recipe.validate_step]
        if len(rows):
            found |= self._scores(Draws(rows, np.full((len(rows), 2), np.nan)))
        return {f"val_{name}": value for name, value in found.items()}

    def _scores(self, draws: Draws, size: int = 0, nodules: Rows | None = None) -> Row:
        batch = self.recipe.batch_size
        centres = draws.centres if size else None
        multiple = math.lcm(batch, self.device_count)
        epoch = Epoch(draws.rows, batch, None, multiple, centres, size)
        edge = size or self.recipe.network.height
        feed = Feed(self.workers, epoch)
        return score(self._net_of(edge, edge), feed, self.heads, nodules=nodules)

    def mine(self) -> mining.Places:
        """Places where the net finds nodules in the training patients' scans and nobody did."""
        rows = self.training.rows
        return mining.mine(
            self._net_of, self.samples, rows[self._whole[rows]], self.recipe.mine_step
        )


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
    if recipe.average_weights:
        common |= {"use_ema": True, "ema_momentum": recipe.average_weights}
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
