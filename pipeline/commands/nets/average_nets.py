"""The mean of nets that went on from one net: `lungseg-cli models average`.

Nets that were trained on from the same weights, with other seeds, data or settings, lie in one
basin, and the mean of their weights does as well as an average of their answers, for the cost of
one (Wortsman et al., Model soups, ICML 2022).
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.fingerprint import identity_of_path
from lungseg.core.shown import many
from lungseg.model import inference
from lungseg.model.model_record import ModelRecord, read_model_record, save_with_record
from lungseg.model.nets import find_net
from lungseg.model.reducer.member import MEMBERS

# What nets must have in common for their mean to be a net.
COMMON = (
    "target", "classes", "kind", "network", "context", "low", "high", "inside_lungs", "spacing_mm",
    "halvings",
)  # fmt: skip


def average(names: Sequence[str], out: Path) -> str:
    """Write the mean of nets as `out`, without reducers; what was done, for a person.

    Whom any of them has learnt from, the mean has learnt from. Its threshold and calibration are
    those that nobody has measured yet.

    Parameters
    ----------
    names
        Nets: names, files, or work folders.
    out
        File of the new net.

    Raises
    ------
    ConfigError
        If there are fewer than two, no such net, or `out` is one of them.
    DataError
        If they differ in architecture or input.
    """
    if len(names) < 2:
        raise ConfigError(f"{len(names)} net is no mean; name two nets or more")
    files = [find_net(name) for name in names]
    if out.exists() and any(file.resolve() == out.resolve() for file in files):
        raise ConfigError(f"{out} is one of the nets; name another file for their mean")
    record = record_of_mean([read_model_record(file) for file in files], files)
    first = inference.load_net(files[0])
    total = [values.astype(np.float64) for values in first.get_weights()]
    for file in files[1:]:
        weights = inference.load_net(file).get_weights()
        total = [so_far + values for so_far, values in zip(total, weights, strict=True)]
    first.set_weights([(values / len(files)).astype(np.float32) for values in total])
    out.parent.mkdir(parents=True, exist_ok=True)
    save_with_record(first, record, out)
    patients = many(len(record.train_patients), "patient")
    return f"{out}  is the mean of {len(files)} nets that saw {patients}"


def record_of_mean(records: Sequence[ModelRecord], files: Sequence[Path]) -> ModelRecord:
    """What the file of the mean says: the first net's record, and all that any has seen.

    Raises
    ------
    DataError
        If they differ in what a mean must have in common.
    """
    first = records[0]
    for record, file in zip(records[1:], files[1:], strict=True):
        for name in COMMON:
            own, other = getattr(first, name), getattr(record, name)
            if own != other:
                raise DataError(
                    f"{file} has {name} {other} and {files[0]} has {own}; only nets of one form "
                    "that went on from the same net have a mean"
                )
    patients = {patient for record in records for patient in record.train_patients}
    scans = {scan for record in records for scan in record.train_scans}
    return dataclasses.replace(
        first,
        train_patients=sorted(patients),
        train_scans=sorted(scans),
        validation_patients=sorted(
            {p for record in records for p in record.validation_patients} - patients
        ),
        validation_scans=sorted({s for record in records for s in record.validation_scans} - scans),
        scores={},
        params={
            **first.params,
            "mean_of": [identity_of_path(file, "net", MEMBERS) for file in files],
        },
        threshold=0.5,
        sure=0.0,
        calibration={},
    )
