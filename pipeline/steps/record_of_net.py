"""Record of net: all that a trained net is to be known by, from its settings, table and split."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import decoded
from lungseg.model.devices import packages
from lungseg.model.model_record import ModelRecord, read_model_record
from lungseg.model.networks.settings import NetworkSettings
from lungseg.model.samples import Samples
from lungseg.steps.learnt_rows import TAUGHT

Seen = dict[str, set[str]]
# Settings that name files: a net goes to people whom the folders do not concern.
FILES = ("encoder_weights", "start_from")


def record_of_net(  # noqa: PLR0913, PLR0917 - all that describes the net
    target: str,
    params: Mapping[str, Any],
    samples: Samples,
    network: NetworkSettings,
    split: Mapping[str, Any],
    best_epoch: int,
    best: Mapping[str, float],
) -> ModelRecord:
    """The record of a net that was trained on the table of `samples`.

    Parameters
    ----------
    target
        What it finds.
    params
        Parameters of `train`. If they name a net to start from, whom that one had seen, this one
        has seen, too.
    samples
        How rows became its input.
    network
        Settings of the network.
    split
        The document of split-patients.
    best_epoch, best
        Number of the epoch that was kept, from 1, and its row of the log.
    """
    table, spec = samples.tables.attributes, samples.input_spec
    table_params = json.loads(table["params"])
    patients = {part: set(split["parts"][part]) for part in TAUGHT}
    scans = _scans_by_part(samples.tables, patients)
    if params["start_from"]:
        _add_those_seen_before(read_model_record(Path(params["start_from"])), patients, scans)
    return ModelRecord(
        target=target,
        classes=["background", target],
        kind=str(table["kind"]),
        network=dataclasses.asdict(network),
        context=spec.context,
        low=spec.low,
        high=spec.high,
        inside_lungs=spec.inside_lungs,
        crop_px=samples.tables.size,
        spacing_mm=[float(mm) for mm in table["spacing_mm"]],
        table_fingerprint=str(table["fingerprint"]),
        split_hash=str(split["hash"]),
        train_patients=sorted(patients["train"]),
        validation_patients=sorted(patients["validation"]),
        train_scans=sorted(scans["train"]),
        validation_scans=sorted(scans["validation"]),
        scans_then=len(samples.tables.scans),
        best_epoch=best_epoch,
        picture_fit=str(table_params.get("picture_fit", "pad")),
        picture_patient=str(table_params.get("picture_patient", "")),
        scores={name: value for name, value in best.items() if not math.isnan(value)},
        params=dict(params) | {name: Path(params[name]).name for name in FILES},
        packages=packages(),
    )


def _scans_by_part(tables: Tables, patients: Seen) -> Seen:
    of_patient = list(
        zip(decoded(tables.scans["scan"]), decoded(tables.scans["patient"]), strict=True)
    )
    return {
        part: {scan for scan, patient in of_patient if patient in patients[part]} for part in TAUGHT
    }


def _add_those_seen_before(earlier: ModelRecord, patients: Seen, scans: Seen) -> None:
    """Add whom an earlier net has seen; one that either has learnt from is no validation."""
    patients["train"] |= set(earlier.train_patients)
    scans["train"] |= set(earlier.train_scans)
    patients["validation"] |= set(earlier.validation_patients)
    scans["validation"] |= set(earlier.validation_scans)
    patients["validation"] -= patients["train"]
    scans["validation"] -= scans["train"]
