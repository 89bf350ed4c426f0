"""Train: the tables and the split -> a net.

reads   build-tables/tables.h5, split-patients/split.json
writes  model.keras (best epoch), last.keras, model.json (what it is and expects), log.csv,
        and, with `tensorboard`, tensorboard/

A net is known by what it learns from: the rows of the patients it is trained and validated on, and
its settings. An unannotated scan, or one of a test patient, comes and goes without harm.

The best epoch is that of the highest Dice, pooled over all pixels of the validation part, not
averaged over batches; where there are windows around nodules, of the nodules' mean Dice. Order,
crops and augmentation depend on the seed and the epoch's number alone, so a run that was killed
continues at the epoch it had reached: its checkpoints stand beside the output, in a folder named
after the parameters and the inputs, until the output is complete.
"""

import dataclasses
import json
import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.fingerprint import digest_of, effective_params
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, as_dict, param
from lungseg.io.tables.reader import Tables
from lungseg.model.devices import PRECISIONS, quiet_keras, runs_on
from lungseg.model.epochs.draws import BALANCES
from lungseg.model.losses import LOSSES
from lungseg.model.model_record import LAST, NET, write_model_record
from lungseg.model.networks.settings import DECODERS, NETWORKS, NetworkSettings
from lungseg.model.samples import TARGETS, InputSpec, Samples
from lungseg.model.schedule import OPTIMIZERS, SCHEDULES
from lungseg.model.tensorboard import EventFile
from lungseg.ops.samples.augment import Augmentation
from lungseg.steps.learnt_rows import learnt_from
from lungseg.steps.record_of_net import record_of_net
from lungseg.steps.training_progress import TrainingProgress

log = logging.getLogger(__name__)

# Of the best epoch's row of the log.
FACTS = (
    "loss", "val_dice", "val_nodule_dice", "val_sensitivity", "val_slice_sensitivity",
    "val_slice_specificity",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Train(Params):
    """Parameters of this stage."""

    target: str = param(InputSpec.target, "what the net finds", choices=TARGETS)
    network: str = param("nasnet_gcn_se", "the network", choices=NETWORKS)
    base_width: int = param(
        NetworkSettings.base_width, "filters of the first level (unet, unetpp)", ge=1
    )
    depth: int = param(NetworkSettings.depth, "number of levels (unet, unetpp)", ge=2, le=8)
    dropout: float = param(
        NetworkSettings.dropout,
        "share of the activations dropped: in the two deepest levels (unet, unetpp), in each level "
        "of the decoder (nasnet_gcn_se)",
        ge=0, lt=1,
    )  # fmt: skip
    decoder: str = param(NetworkSettings.decoder, "the decoder (nasnet_gcn_se)", choices=DECODERS)
    blocks: int = param(
        NetworkSettings.blocks,
        "normal cells in each stage of the encoder (nasnet_gcn_se); NASNetMobile has 4",
        ge=1,
    )
    deep_supervision: bool = param(
        NetworkSettings.deep_supervision,
        "a head with its own loss at each step of the top row (unetpp)",
    )
    slice_head: bool = param(
        NetworkSettings.slice_head,
        "a second output: the probability that the slice has any target",
    )
    slice_weight: float = param(1.0, "weight of the second output's cross-entropy", gt=0)
    encoder: str = param(
        NetworkSettings.encoder,
        "network of keras.applications as the encoder (unet); empty: its own encoder",
    )
    encoder_weights: str = param(
        NetworkSettings.encoder_weights,
        ".keras file with weights of the encoder; empty: random weights",
        path=True,
    )
    imagenet: bool = param(False, "weights of the encoder from ImageNet; Keras downloads them")
    start_from: str = param(
        "",
        ".keras file of a net of the same settings that goes on to learn (its patients count as "
        "seen); empty: a new net",
        path=True,
    )
    norm_momentum: float = param(
        NetworkSettings.norm_momentum,
        "share of the batch normalisation's running statistics that each step keeps; lower it for "
        "short runs",
        gt=0, lt=1,
    )  # fmt: skip
    context: int = param(
        InputSpec.context, "neighbouring slices on each side, as channels", ge=0, le=8
    )
    hu_low: float = param(InputSpec.low, "HU (of pictures: grey value) that becomes 0")
    hu_high: float = param(InputSpec.high, "HU (of pictures: grey value) that becomes 1")
    inside_lungs: bool = param(
        InputSpec.inside_lungs, "set everything outside the lung mask to hu_low"
    )
    min_readers: int = param(
        InputSpec.min_readers, "readers who must have drawn a nodule for it to count", ge=1
    )
    consensus_level: float = param(
        InputSpec.level, "share of a nodule's readers who must agree on a voxel", gt=0, le=1
    )
    soft_targets: bool = param(
        InputSpec.soft_targets,
        "learn the share of a nodule's readers who included each voxel, not their consensus",
    )
    loss: str = param("gdl_wce", "the loss", choices=tuple(LOSSES))
    bce_weight: float = param(1.0, "factor on the cross-entropy in soft_dice_bce", gt=0)
    epochs: int = param(40, "number of epochs", ge=1)
    batch_size: int = param(8, "slices in each step", ge=1)
    crop_px: int = param(
        InputSpec.crop_px,
        "edge of the square cut out in training, around a target or in the lungs; 0: whole slices",
        ge=0,
    )
    balance: str = param(
        "slices",
        "slices: every slice with a target as often; nodules: every nodule, on any of its slices",
        choices=BALANCES,
    )
    slices_per_epoch: int = param(
        0,
        "slices in an epoch; 0: all positives (or nodules) and the negatives drawn, each once",
        ge=0,
    )
    negatives_per_positive: float = param(
        1.0,
        "slices without a nodule for each slice with one, drawn again for each epoch; -1: all",
        ge=-1,
    )
    mine_every: int = param(
        0,
        "epochs after which false alarms are sought anew in the training part's whole scans, to be "
        "shown as negatives; 0: never",
        ge=0,
    )
    mine_step: int = param(2, "every n-th slice is searched for false alarms", ge=1)
    hard_share: float = param(0.5, "share of the negatives that show a false alarm", ge=0, le=1)
    optimizer: str = param("adam", "the optimiser", choices=tuple(OPTIMIZERS))
    learning_rate: float = param(1e-3, "learning rate at its highest", gt=0)
    weight_decay: float = param(0.0, "weight decay", ge=0)
    schedule: str = param("cosine", "schedule of the learning rate", choices=SCHEDULES)
    warmup_epochs: float = param(1.0, "epochs in which the rate rises linearly (cosine)", ge=0)
    plateau_patience: int = param(
        5, "epochs without a better score after which the rate is halved (plateau)", ge=1
    )
    average_weights: float = param(
        0.0,
        "share of a running mean of the weights that each step keeps; the mean is validated and "
        "saved; 0: the weights themselves",
        ge=0, lt=1,
    )  # fmt: skip
    validate_every: int = param(1, "epochs from one validation to the next", ge=1)
    validate_step: int = param(1, "every n-th slice of whole scans is validated", ge=1)
    early_stopping_patience: int = param(
        0, "epochs without a better score after which training stops; 0: never", ge=0
    )
    clip_norm: float = param(1.0, "largest norm of all gradients together; 0: no limit", ge=0)
    mixed_precision: str = param(
        "none",
        "float type of the layers' arithmetic; auto: the fastest that the accelerator has, none "
        "without one",
        choices=PRECISIONS,
    )
    jit: bool = param(False, "compile the training step with XLA")
    seed: int = param(1, "seed of weights, order, crops and augmentation", ge=0)
    flip_x: float = param(0.5, "probability of a left-right mirror", ge=0, le=1)
    flip_y: float = param(0.0, "probability of a front-back mirror", ge=0, le=1)
    quarter_turns: float = param(0.0, "probability of a turn by 90, 180 or 270 degrees", ge=0, le=1)
    rotate_degrees: float = param(6.0, "largest rotation, either way", ge=0, le=180)
    shift_px: float = param(8.0, "largest shift, either way", ge=0)
    zoom: float = param(0.1, "largest change of scale", ge=0, le=4)
    pad_px: float = param(0.0, "widest border put around a slice before it is shrunk", ge=0)
    elastic_px: float = param(
        0.0, "standard deviation of the elastic displacements on a 3x3 grid", ge=0
    )
    brightness: float = param(0.05, "largest shift of the values, as a share of the window", ge=0)
    contrast: float = param(0.1, "largest change of the contrast's factor", ge=0)
    noise: float = param(
        0.01, "largest standard deviation of the noise added, as a share of the window", ge=0
    )
    invert: float = param(0.0, "probability of black for white, as in a negative", ge=0, le=1)
    gamma: float = param(
        0.0, "largest change of the grey values' exponent: other exposures", ge=0, le=4
    )
    sharpness: float = param(
        0.0, "largest blur or sharpening: at 1 a blur over 3 pixels, or its opposite", ge=0, le=1
    )
    context_dropout: float = param(
        0.0,
        "probability, for each side, that outer neighbours are not shown, as at a scan's end",
        ge=0, le=1,
    )  # fmt: skip
    devices: int = param(1, "accelerators that share each batch; 0: all", ge=0)
    workers: int = param(
        2, "workers that make batches in advance; 0: none", ge=0, affects_output=False
    )
    worker_processes: bool = param(
        False, "the workers are processes, not threads", affects_output=False
    )
    tensorboard: bool = param(False, "write the log for TensorBoard, too")


def run(params: Train, inputs: DatasetInputs, out: Path) -> Facts:
    """Train, or continue training, and write the nets with their record and the log."""
    quiet_keras()
    from lungseg.model.checkpoints import resumable
    from lungseg.model.training import train, write_log

    tables = inputs.stages["build-tables"] / "tables.h5"
    split = json.loads((inputs.stages["split-patients"] / "split.json").read_text("utf-8"))
    samples = Samples(tables, input_spec_of(params))
    recipe = recipe_of(params, samples.tables)
    patients = (split["parts"]["train"], split["parts"]["validation"])
    digest = _digest(params, learnt_from(params.target, inputs.stages))
    with ExitStack() as stack:
        events = None
        if params.tensorboard:
            events = stack.enter_context(EventFile(out / "tensorboard"))
        progress = TrainingProgress(params.epochs, events)
        checkpoints = stack.enter_context(resumable(out.parent, digest))
        progress.begin(runs_on(params.devices), len(checkpoints.history))
        done = train(recipe, samples, patients, checkpoints, progress.epoch, progress.batch)
        done.best.save(out / NET)
        done.last.save(out / LAST)
        write_log(done.history, out / "log.csv")
        best = done.history[done.best_epoch - 1]
        record = record_of_net(
            params.target, as_dict(params), samples, recipe.network, split, done.best_epoch, best
        )
        write_model_record(record, out)
    if not split["parts"]["validation"]:
        log.warning("no patient to validate on: the best epoch is that of the smallest loss")
    seconds = sum(row["seconds"] for row in done.history)
    waited = sum(row["seconds"] * row["waiting"] for row in done.history)
    images = sum(row["seconds"] * row["images_per_second"] for row in done.history)
    samples.tables.close()
    return {
        "epochs": len(done.history),
        "best_epoch": done.best_epoch,
        **{name: round(best[name], 4) for name in FACTS
           if not math.isnan(best.get(name, math.nan))},
        "parameters": int(done.best.count_params()),
        "images_per_second": round(images / seconds, 2),
        "waiting_share": round(waited / seconds, 4),
        "train_seconds": round(seconds, 1),
        "resumed_at_epoch": done.resumed_at,
    }  # fmt: skip


def input_spec_of(params: Train) -> InputSpec:
    """How the table's rows become the net's input and target.

    Raises
    ------
    ConfigError
        If `hu_low` is not below `hu_high`.
    """
    if params.hu_low >= params.hu_high:
        raise ConfigError(
            f"train.hu_low {params.hu_low:g} must be below train.hu_high {params.hu_high:g}"
        )
    amounts = {spec.name: getattr(params, spec.name) for spec in dataclasses.fields(Augmentation)}
    return InputSpec(
        target=params.target,
        context=params.context,
        low=params.hu_low,
        high=params.hu_high,
        inside_lungs=params.inside_lungs,
        min_readers=params.min_readers,
        level=params.consensus_level,
        soft_targets=params.soft_targets,
        crop_px=params.crop_px,
        border_weighted=params.loss == "border_weighted",
        augmentation=Augmentation(**amounts),
    )


def recipe_of(params: Train, tables: Tables) -> Any:
    """How the net is trained on `tables`.

    Raises
    ------
    ConfigError
        If the parameters contradict each other.
    DataError
        If the tables have no nodules to find, or the crop is larger than their slices.
    """
    from lungseg.model.training import Recipe

    pictures = tables.attributes["kind"] == "pictures"
    if pictures and params.target == "nodules":
        raise DataError(
            "the tables are of pictures with lung masks, without nodules; set train.target = lungs "
            "(as the preset xray does), or build tables of scans"
        )
    if params.crop_px > tables.size:
        raise DataError(
            f"train.crop_px {params.crop_px} is larger than the tables' slices of {tables.size} "
            "pixels; lower it, or build tables with a larger crop"
        )
    if params.slice_head and params.crop_px:
        raise ConfigError(
            "train.slice_head is for whole slices and train.crop_px cuts out parts of them; "
            "set train.crop_px = 0, or train.slice_head = false"
        )
    network = NetworkSettings(
        network=params.network,
        height=tables.size,
        width=tables.size,
        channels=2 * params.context + 1,
        base_width=params.base_width,
        depth=params.depth,
        dropout=params.dropout,
        norm_momentum=params.norm_momentum,
        decoder=params.decoder,
        deep_supervision=params.deep_supervision,
        blocks=params.blocks,
        slice_head=params.slice_head,
        encoder=params.encoder,
        encoder_weights="imagenet" if params.imagenet else params.encoder_weights,
    )
    names = {spec.name for spec in dataclasses.fields(Recipe)} - {"network"}
    return Recipe(network=network, **{name: getattr(params, name) for name in names})


def _digest(params: Train, learnt: str) -> str:
    return digest_of([STAGE.version, effective_params(params), learnt])


STAGE = DatasetStage(
    name="train",
    version=5,
    help="train the net on the tables' training part",
    params=Train,
    needs=("build-tables", "split-patients"),
    run=run,
    reads=lambda params, folders: learnt_from(params.target, folders),
)
"""The stage, for `lungseg.flow`."""
