"""Train: the tables and the split -> a net.

reads   build-tables/tables.h5, split-patients/split.json
writes  model.keras (best epoch), last.keras, model.json (what it is and expects), log.csv,
        and, if asked for, tensorboard/

A net is known by what it learns from: the rows of the patients it is trained and validated on, and
its settings. A scan that nobody annotated, or one of a test patient, comes and goes without harm.

The best epoch is the one of the highest Dice pooled over all voxels of the validation part, not
the mean of batches. The seed decides every order, crop and change, epoch by epoch, so a run that
was killed goes on at the epoch it had reached: its checkpoints lie beside the output, under a
name made of the parameters and the inputs, until the output is complete.
"""

import dataclasses
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.fingerprint import digest_of, effective_params
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, as_dict, param
from lungseg.io.annotations.nodule_list import UNANNOTATED
from lungseg.io.results.tensorboard import EventFile
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import decoded
from lungseg.model.devices import backend, quiet_keras, runs_on
from lungseg.model.model_record import LAST, NET, ModelRecord, write_model_record
from lungseg.model.networks import NetworkSettings
from lungseg.model.samples import InputSpec, Samples
from lungseg.ops.samples.augment import Augmentation
from lungseg.steps.training_progress import TrainingProgress

log = logging.getLogger(__name__)

TOLD = ("loss", "val_dice", "val_sensitivity", "val_slice_sensitivity", "val_slice_specificity")
# The parts of the split that a net learns from, or is chosen on.
TAUGHT = ("train", "validation")
# Settings of build-tables that choose scans and pictures; the rows themselves tell what came of it.
WHICH_SCANS = ("unannotated", "leave_out_suspect", "leave_out_misfits", "images", "masks")
LOSSES = ("gdl_wce", "dice", "bce", "bce_dice", "focal_tversky", "border_weighted")


@dataclass(frozen=True, kw_only=True)
class Train(Params):
    """Parameters of this stage."""

    target: str = param("nodules", "what the net finds", choices=("nodules", "lungs"))
    network: str = param("nasnet_gcn_se", "the net", choices=("nasnet_gcn_se", "unet", "unetpp"))
    base_width: int = param(64, "filters of the first level (unet, unetpp)", ge=1)
    depth: int = param(5, "levels (unet, unetpp)", ge=2, le=8)
    dropout: float = param(0.0, "share dropped in the two deepest levels", ge=0, lt=1)
    decoder: str = param("full", "of nasnet_gcn_se", choices=("full", "lite"))
    blocks: int = param(4, "cells a stage of nasnet_gcn_se's encoder; NASNetMobile's 4", ge=1)
    deep_supervision: bool = param(False, "a head on each row's end of unetpp, with its own loss")
    slice_head: bool = param(False, "a second head: does the slice hold any target at all?")
    slice_weight: float = param(1.0, "weight of the second head's cross-entropy", gt=0)
    encoder: str = param("", "network of keras.applications as unet's encoder; empty: its own")
    encoder_weights: str = param("", "file of the encoder's weights; empty: none", path=True)
    imagenet: bool = param(False, "encoder weights by Keras's own loader, over the network")
    norm_momentum: float = param(
        0.99, "share of the running statistics that a step keeps; lower for short runs",
        gt=0, lt=1,
    )  # fmt: skip
    context: int = param(0, "neighbouring slices on each side, as channels", ge=0, le=8)
    hu_low: float = param(-1000.0, "HU (of pictures: grey value) that becomes 0")
    hu_high: float = param(400.0, "HU (of pictures: grey value) that becomes 1")
    inside_lungs: bool = param(False, "show everything outside the lung mask as hu_low")
    min_readers: int = param(3, "readers who must have drawn a nodule for it to count", ge=1)
    consensus_level: float = param(
        0.5, "share of a nodule's readers who must agree on a voxel", gt=0, le=1
    )
    loss: str = param("gdl_wce", "the loss", choices=LOSSES)
    epochs: int = param(40, "rounds over the data", ge=1)
    batch_size: int = param(8, "slices in a step", ge=1)
    crop_px: int = param(
        0, "edge of the square shown in training, around a target or in the lungs; 0: whole slices",
        ge=0,
    )  # fmt: skip
    slices_per_epoch: int = param(0, "slices in an epoch; 0: all positives, each once", ge=0)
    negatives_per_positive: float = param(
        1.0, "slices without a nodule with each that has one, drawn anew each epoch; -1: all",
        ge=-1,
    )  # fmt: skip
    optimizer: str = param("adam", "the optimiser", choices=("adam", "adamw", "sgd"))
    learning_rate: float = param(1e-3, "step size at its largest", gt=0)
    weight_decay: float = param(0.0, "pull of the weights towards 0", ge=0)
    schedule: str = param(
        "cosine", "course of the learning rate", choices=("constant", "plateau", "cosine")
    )
    warmup_epochs: float = param(1.0, "epochs of linear rise (cosine)", ge=0)
    plateau_patience: int = param(5, "epochs without gain before it is halved (plateau)", ge=1)
    validate_every: int = param(1, "epochs from one validation to the next", ge=1)
    early_stopping_patience: int = param(
        0, "epochs from the best to a later validated one that end it; 0: never", ge=0
    )
    clip_norm: float = param(1.0, "largest norm of all gradients; 0: any", ge=0)
    mixed_precision: str = param(
        "none",
        "float type of the layers' arithmetic; auto: what the accelerator is best at, none without",
        choices=("none", "auto", "float16", "bfloat16"),
    )
    jit: bool = param(False, "compile the step by XLA")
    seed: int = param(1, "of weights, order, crops and changes", ge=0)
    flip_x: float = param(0.5, "probability of a left-right mirror", ge=0, le=1)
    flip_y: float = param(0.0, "probability of a front-back mirror", ge=0, le=1)
    rotate_degrees: float = param(6.0, "largest rotation, either way", ge=0, le=180)
    shift_px: float = param(8.0, "largest shift, either way", ge=0)
    zoom: float = param(0.1, "largest change of scale", ge=0, le=4)
    pad_px: float = param(0.0, "widest border put around a slice before it is shrunk", ge=0)
    elastic_px: float = param(0.0, "sd of the elastic displacements on a 3x3 grid", ge=0)
    brightness: float = param(0.05, "largest shift, as a part of the window", ge=0)
    contrast: float = param(0.1, "largest change of the contrast's factor", ge=0)
    noise: float = param(0.01, "largest sd of added noise, as a part of the window", ge=0)
    devices: int = param(1, "accelerators to share out each batch to; 0: all", ge=0)
    workers: int = param(2, "makers of batches; 0: none ahead", ge=0, affects_output=False)
    worker_processes: bool = param(False, "makers are processes, not threads", affects_output=False)
    tensorboard: bool = param(False, "write the log for TensorBoard too")


def run(params: Train, inputs: DatasetInputs, out: Path) -> Facts:
    """Train, or go on training, and write the nets and what they are."""
    quiet_keras()
    from lungseg.model.checkpoints import resumable
    from lungseg.model.training import train, write_log

    tables = inputs.stages["build-tables"] / "tables.h5"
    split = json.loads((inputs.stages["split-patients"] / "split.json").read_text("utf-8"))
    samples = Samples(tables, input_spec_of(params))
    recipe = recipe_of(params, samples.tables)
    patients = (split["parts"]["train"], split["parts"]["validation"])
    board = EventFile(out / "tensorboard") if params.tensorboard else None
    progress = TrainingProgress(params.epochs, board)
    digest = _digest(params, learnt_from(params, inputs.stages))
    with resumable(out.parent, digest) as checkpoints:
        progress.begin(runs_on(params.devices), len(checkpoints.history))
        done = train(recipe, samples, patients, checkpoints, progress.epoch, progress.batch)
        done.best.save(out / NET)
        done.last.save(out / LAST)
        write_log(done.history, out / "log.csv")
        best = done.history[done.best_epoch - 1]
        record = _record(params, samples, recipe.network, split, done.best_epoch, best)
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
        **{name: round(best[name], 4) for name in TOLD
           if not math.isnan(best.get(name, math.nan))},
        "parameters": int(done.best.count_params()),
        "images_per_second": round(images / seconds, 2),
        "waiting_share": round(waited / seconds, 4),
        "train_seconds": round(seconds, 1),
        "resumed_at_epoch": done.resumed_at,
    }  # fmt: skip


def input_spec_of(params: Train) -> InputSpec:
    """How the table is looked at.

    Raises
    ------
    ConfigError
        If the window is empty.
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
        crop_px=params.crop_px,
        border_weighted=params.loss == "border_weighted",
        augmentation=Augmentation(**amounts),
    )


def recipe_of(params: Train, tables: Tables) -> Any:
    """How the net is trained on `tables`.

    Raises
    ------
    ConfigError
        If the settings do not go together.
    DataError
        If the tables do not hold what is to be found, or the crop is larger than they are.
    """
    from lungseg.model.training import Recipe

    pictures = tables.attributes["kind"] == "pictures"
    if pictures and params.target == "nodules":
        raise DataError(
            "the tables hold pictures with lung masks and no nodules; set train.target = lungs "
            "(the preset xray does), or build tables of scans"
        )
    if params.crop_px > tables.size:
        raise DataError(
            f"train.crop_px {params.crop_px} is larger than the tables' slices of {tables.size} "
            "pixels; lower it, or build tables with a larger crop"
        )
    if params.slice_head and params.crop_px:
        raise ConfigError(
            "train.slice_head judges whole slices and train.crop_px shows parts of them; "
            "set train.crop_px = 0, or do without the slice head"
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
    same = {spec.name for spec in dataclasses.fields(Recipe)} - {"network"}
    return Recipe(network=network, **{name: getattr(params, name) for name in same})


def learnt_from(params: Train, folders: Mapping[str, Path]) -> str:
    """Identity of the rows that a net learns from: those of its train and validation patients.

    Parameters
    ----------
    params
        A net of nodules learns from annotated scans alone.
    folders
        Of the complete outputs of build-tables and split-patients.
    """
    split = json.loads((folders["split-patients"] / "split.json").read_text("utf-8"))
    part_of = {p: part for part in TAUGHT for p in split["parts"].get(part, ())}
    with Tables(folders["build-tables"] / "tables.h5") as table:
        made_with = json.loads(table.attributes["params"])
        rows = [
            [part_of[patient], scan, made_of]
            for scan, patient, made_of, truth in zip(
                *(
                    decoded(table.scans[name])
                    for name in ("scan", "patient", "fingerprint", "truth")
                ),
                strict=True,
            )
            if patient in part_of and (truth != UNANNOTATED or params.target == "lungs")
        ]
        spacing = [float(mm) for mm in table.attributes["spacing_mm"]]
    settings = {name: value for name, value in made_with.items() if name not in WHICH_SCANS}
    return digest_of([settings, spacing, sorted(rows)])


def _digest(params: Train, learnt: str) -> str:
    return digest_of([STAGE.version, effective_params(params), learnt])


def _record(  # noqa: PLR0913, PLR0917 - everything that is known of the net
    params: Train,
    samples: Samples,
    network: NetworkSettings,
    split: Mapping[str, Any],
    best_epoch: int,
    best: Mapping[str, float],
) -> ModelRecord:
    found = samples.tables.attributes
    scans = _scans_by_part(samples.tables, split)
    made_with = json.loads(found["params"])
    scores = {name: value for name, value in best.items() if not math.isnan(value)}
    return ModelRecord(
        target=params.target,
        classes=["background", params.target],
        kind=str(found["kind"]),
        network=dataclasses.asdict(network),
        context=params.context,
        low=params.hu_low,
        high=params.hu_high,
        inside_lungs=params.inside_lungs,
        crop_px=samples.tables.size,
        spacing_mm=[float(mm) for mm in found["spacing_mm"]],
        table_fingerprint=str(found["fingerprint"]),
        split_hash=str(split["hash"]),
        train_patients=list(split["parts"]["train"]),
        validation_patients=list(split["parts"]["validation"]),
        train_scans=scans["train"],
        validation_scans=scans["validation"],
        scans_then=len(samples.tables.scans),
        best_epoch=best_epoch,
        picture_fit=str(made_with.get("picture_fit", "pad")),
        picture_patient=str(made_with.get("picture_patient", "")),
        scores=scores,
        params=as_dict(params),
        packages={"keras": version("keras"), "backend": backend()},
    )


def _scans_by_part(tables: Tables, split: Mapping[str, Any]) -> dict[str, list[str]]:
    of_patient = list(
        zip(decoded(tables.scans["scan"]), decoded(tables.scans["patient"]), strict=True)
    )
    return {
        part: sorted(scan for scan, patient in of_patient if patient in set(split["parts"][part]))
        for part in TAUGHT
    }


STAGE = DatasetStage(
    name="train",
    version=4,
    help="train the net on the tables' training part",
    params=Train,
    needs=("build-tables", "split-patients"),
    run=run,
    reads=learnt_from,
)
"""The stage, for `lungseg.flow`."""
