"""Calibrate a net: the curve that `evaluate` fitted goes into the net's own record."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lungseg.core.errors import ConfigError, DataError
from lungseg.core.shown import many
from lungseg.model.model_record import copy_with_record, read_model_record
from lungseg.model.nets import find_net
from lungseg.model.reducer.member import calibrated


def calibrate_net(
    name: str,
    scores: Path,
    out: Path,
    threshold: float | None = None,
    sure: float | None = None,
) -> str:
    """Write the net with the curve of `scores` as `out`; what was done, for a person.

    Parameters
    ----------
    name
        The net: a name, a file, or a work folder.
    scores
        ``scores.json`` of `evaluate`.
    out
        File of the net with the curve.
    threshold, sure
        For the net's record, if given: from which probability on a voxel is found, and how likely
        some voxel of a region must be.

    Raises
    ------
    ConfigError
        If there is no such net, or `out` is the net itself, which others may rely on.
    DataError
        If `scores` tells no curve, or one of patients that the net was trained on.
    """
    file = find_net(name)
    if out.exists() and out.resolve() == file.resolve():
        raise ConfigError(f"{out} is the net itself; name another file for the calibrated one")
    curve = _curve_of(scores)
    out.parent.mkdir(parents=True, exist_ok=True)
    record = read_model_record(file)
    of_reducer = bool(curve["settings"].get("reduced"))
    if not of_reducer:
        record = replace(record, calibration=curve)
    if threshold is not None:
        record = replace(record, threshold=threshold)
    if sure is not None:
        record = replace(record, sure=sure)
    copy_with_record(file, record, out)
    if of_reducer:
        calibrated(out, curve, out)
    parts = " and ".join(curve["parts"])
    return (
        f"{out}  calibrated ({curve['method']}) on {many(curve['candidates'], 'candidate')}, "
        f"{curve['hits']} of them {'a nodule' if curve['hits'] == 1 else 'nodules'}, in "
        f"{many(curve['scans'], 'scan')} of {parts} patients"
    )


def _curve_of(scores: Path) -> dict[str, Any]:
    try:
        told = json.loads(scores.read_text("utf-8"))
        seen, calibration = told["includes_training_patients"], told["calibration"]
        curve = calibration["fitted"] if calibration else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{scores} is no scores.json of this version's evaluate ({error}); run it again"
        ) from error
    if seen:
        raise DataError(
            f"{scores} is of patients that the net was trained on: what it scores them says "
            "nothing of others; score validation patients (predict.part and evaluate.part)"
        )
    if not curve:
        raise DataError(f"{scores} has too few hits or false positives to fit a curve to")
    return dict(curve)
