"""A reducer in the file of the net whose candidates it judges: put there, and read.

It travels with its net, so that neither can be used with another, and a net's content tells both.
Keras ignores files in its archives that it does not know.
"""

import dataclasses
import json
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lungseg.core.errors import DataError, LungsegError
from lungseg.core.json_file import json_text
from lungseg.model.devices import quiet_keras
from lungseg.model.model_record import check_archive, copy_with_record, read_model_record
from lungseg.model.shipping.half_precision import Sparing, write_half

NET = "lungseg-reducer.keras"
TOLD = "lungseg-reducer.json"
MEMBERS = (NET, TOLD)
# Its kernels keep seven significant bits: its answers change by a thousandth.
SMALL = 1 << 10
SPARING: Sparing = ((SMALL, 4),)


@dataclass(frozen=True, kw_only=True)
class ReducerRecord:
    """How a reducer was taught.

    Attributes
    ----------
    nodules, others
        Candidates it learnt from.
    patients
        How many patients they are of.
    epochs, seed, width
        How it was taught.
    calibration
        How likely a candidate that it has judged is a nodule, by its probability; see
        `lungseg.ops.scores.calibration`. Empty where nobody has measured it.
    """

    nodules: int
    others: int
    patients: int
    epochs: int
    seed: int
    width: int
    calibration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reducer:
    """A reducer, a `keras.Model`, and how it was taught."""

    net: Any
    record: ReducerRecord


def attach(  # noqa: PLR0913, PLR0917 - a net, a reducer, whom it has seen, and where to
    net: Path,
    reducer: Any,
    record: ReducerRecord,
    patients: tuple[str, ...],
    scans: tuple[str, ...],
    out: Path,
) -> None:
    """Write the net's file `net` as `out`, with a reducer in it.

    Whom the reducer has seen, the net has seen: they are added to the net's own record.
    """
    of_net = read_model_record(net)
    new = set(patients) - set(of_net.train_patients)
    # Scans of patients it knows need not be listed: predictions that stand are of the same net.
    of_both = dataclasses.replace(
        of_net,
        train_patients=sorted({*of_net.train_patients, *new}),
        train_scans=sorted({*of_net.train_scans, *(scans if new else ())}),
        validation_patients=[p for p in of_net.validation_patients if p not in new],
        validation_scans=[s for s in of_net.validation_scans if not new or s not in scans],
    )
    with tempfile.TemporaryDirectory() as folder:
        whole, packed = Path(folder) / "whole.keras", Path(folder) / NET
        reducer.save(whole)
        write_half(whole, packed, SPARING, SMALL)
        content = packed.read_bytes()
    partial = out.with_name(f"{out.name}.reducer")
    without(net, partial)
    with zipfile.ZipFile(partial, "a") as archive:
        # Without a date, so that the same net is the same file.
        archive.writestr(zipfile.ZipInfo(NET), content)
        archive.writestr(zipfile.ZipInfo(TOLD), json_text(dataclasses.asdict(record)) + "\n")
    # The record's own bytes stay where nothing is new.
    if new:
        copy_with_record(partial, of_both, out)
        partial.unlink()
    else:
        partial.replace(out)


def without(net: Path, out: Path) -> None:
    """Write the net's file `net` as `out`, without the reducer that may be in it."""
    with zipfile.ZipFile(net) as source, zipfile.ZipFile(out, "w") as target:
        for item in source.infolist():
            if item.filename not in MEMBERS:
                target.writestr(item, source.read(item), item.compress_type)


def calibrated(net: Path, calibration: dict[str, Any], out: Path) -> None:
    """Write the net's file `net` as `out`, its reducer's probabilities calibrated by a curve.

    Raises
    ------
    DataError
        If it has no reducer.
    """
    record = read_reducer_record(net)
    if record is None:
        raise DataError(f"{net} has no reducer to be calibrated")
    text = json_text(dataclasses.asdict(dataclasses.replace(record, calibration=calibration)))
    partial = out.with_name(f"{out.name}.partial")
    with zipfile.ZipFile(net) as source, zipfile.ZipFile(partial, "w") as target:
        for item in source.infolist():
            content = (text + "\n").encode() if item.filename == TOLD else source.read(item)
            target.writestr(item, content, item.compress_type)
    partial.replace(out)


def read_reducer_record(net: Path) -> ReducerRecord | None:
    """How the reducer in the file `net` was taught; None if there is none.

    Raises
    ------
    DataError
        If there is one of another version of this program, or the file holds more than any net.
    LimitError
        If memory is too small for it.
    """
    check_archive(net)
    with zipfile.ZipFile(net) as archive:
        if TOLD not in archive.namelist():
            return None
        try:
            return ReducerRecord(**json.loads(archive.read(TOLD).decode("utf-8")))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{net} has a reducer that another version of this program taught ({error}); "
                "teach it again"
            ) from error


def read_reducer(net: Path) -> Reducer | None:
    """The reducer in the file `net`; loaded once as long as the file stays the same.

    Raises
    ------
    DataError
        If there is one that cannot be loaded.
    """
    record = read_reducer_record(net)
    return None if record is None else Reducer(_load(str(net), net.stat().st_mtime_ns), record)


@lru_cache(maxsize=1)
def _load(net: str, _: int) -> Any:
    quiet_keras()
    import keras

    try:
        with zipfile.ZipFile(net) as archive, tempfile.TemporaryDirectory() as folder:
            path = Path(archive.extract(NET, folder))
            # It is an archive itself, of which the outer one's directory does not tell.
            check_archive(path, f"the reducer in {net}")
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except LungsegError:
        raise
    except Exception as error:
        raise DataError(
            f"the reducer in {net} cannot be loaded ({type(error).__name__}); teach it again, or "
            "do without it"
        ) from error
