"""Model record: what a trained net needs as input and how it was made, saved with the net.

It stands beside the net as ``model.json``, for people to read, and in the net's own file, which
may be moved alone. Keras ignores files in its archives that it does not know.
"""

import dataclasses
import json
import tempfile
import zipfile
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lungseg.core.errors import DataError
from lungseg.core.json_file import json_text, write_text
from lungseg.core.limits import as_size, check_memory
from lungseg.io.sources.pseudonyms import comparable, other_marks, pseudonym
from lungseg.io.sources.scan_ids import series_of
from lungseg.model.samples import InputSpec

FILE = "model.json"
NET = "model.keras"
LAST = "last.keras"
MEMBER = "lungseg-cli.json"
UNKNOWN = "unknown"
"""Part of a patient of whom it cannot be told whether the net has seen them."""

FORMAT = 1

_LARGEST_NET = 4 << 30
_LARGEST_RECORD = 256 << 20


def _has(names: list[str], patient: str, key: bytes | None) -> bool:
    if patient in names:
        return True
    return bool(key) and pseudonym(patient, key or b"") in _hashed(tuple(names), key or b"")


@lru_cache(maxsize=8)
def _hashed(names: tuple[str, ...], key: bytes) -> frozenset[str]:
    return frozenset(pseudonym(name, key) for name in names)


@lru_cache(maxsize=8)
def _series(scans: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(series_of, scans))


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """How a net was made and what it needs as input.

    Attributes
    ----------
    target
        ``nodules`` or ``lungs``.
    classes
        Names of the output's channels, the foreground last.
    kind
        ``ct`` or ``pictures``: what the table was made of.
    network
        Settings of the network, see `lungseg.model.networks.NetworkSettings`.
    context, low, high, inside_lungs
        How slices become its input, see `lungseg.model.samples.InputSpec`.
    crop_px, spacing_mm
        Edge of its input, and spacing ``(z, y, x)`` of its voxels.
    table_fingerprint, split_hash
        The table and the split it was trained on.
    train_patients, validation_patients
        Patients it was trained on, and those on whom its best epoch was chosen.
    train_scans, validation_scans
        Ids of their scans in that table.
    scans_then
        Number of scans in that table.
    best_epoch
        Number of the epoch whose weights it has, from 1.
    picture_fit
        How pictures were put into the table's squares: ``pad`` or ``stretch``.
    picture_patient
        Regular expression that finds the patient in a picture's name; empty: the whole name.
    scores
        The best epoch's row of the log.
    params
        Parameters of `train`.
    packages
        Version of Keras and name of its backend.
    threshold
        Voxels of at least this probability are found, where it is scored nodule by nodule.
    sure
        Regions of such voxels that nowhere are as likely as this are not found there; 0: all are.
    calibration
        How likely a candidate of a score is a nodule, see `lungseg.ops.scores.calibration`; empty
        where nobody has measured it.
    halvings
        How many times a scan is also shown to it at half its size, see the stage `predict`.
    format
        Version of this record.
    """

    target: str
    classes: list[str]
    kind: str
    network: dict[str, Any]
    context: int
    low: float
    high: float
    inside_lungs: bool
    crop_px: int
    spacing_mm: list[float]
    table_fingerprint: str
    split_hash: str
    train_patients: list[str]
    validation_patients: list[str]
    best_epoch: int
    train_scans: list[str] = field(default_factory=list)
    validation_scans: list[str] = field(default_factory=list)
    scans_then: int = 0
    picture_fit: str = "pad"
    picture_patient: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    threshold: float = 0.5
    sure: float = 0.0
    calibration: dict[str, Any] = field(default_factory=dict)
    halvings: int = 0
    format: int = FORMAT

    def part_of(self, patient: str, scan: str = "", key: bytes | None = None) -> str:
        """What the net knows of a patient or a scan: ``train``, ``validation`` or ``test``.

        A scan of which it has seen a part, slices around a nodule perhaps, it has seen.
        With the `key` of pseudonyms, a patient's name and pseudonym are one. Where the net knows
        patients by pseudonyms of another key, those of whom it does not know the scan are
        ``unknown``: they may be among them.
        """
        train, validation = _series(tuple(self.train_scans)), _series(tuple(self.validation_scans))
        if _has(self.train_patients, patient, key) or series_of(scan) in train:
            return "train"
        if _has(self.validation_patients, patient, key) or series_of(scan) in validation:
            return "validation"
        known = (*self.train_patients, *self.validation_patients)
        return "test" if comparable(patient, known, key) else UNKNOWN

    def strangers(self, key: bytes | None) -> set[str]:
        """Marks of the keys by whose pseudonyms it knows patients, so that none can be compared."""
        return other_marks((*self.train_patients, *self.validation_patients), key)

    @property
    def grid_mm(self) -> float:
        """Voxel distance of the even grid that its slices were taken from."""
        return float(self.spacing_mm[1])

    @property
    def input_spec(self) -> InputSpec:
        """How slices become the net's input; without what matters in training only."""
        return InputSpec(
            target=self.target,
            context=self.context,
            low=self.low,
            high=self.high,
            inside_lungs=self.inside_lungs,
        )


def write_model_record(record: ModelRecord, folder: Path) -> None:
    """Write ``model.json`` into `folder`, and the same into the nets in it."""
    text = json_text(dataclasses.asdict(record)) + "\n"
    write_text(text, folder / FILE)
    for net in (folder / NET, folder / LAST):
        if net.is_file():
            with zipfile.ZipFile(net, "a") as archive:
                # Without a date, so that the same net is the same file.
                archive.writestr(zipfile.ZipInfo(MEMBER), text)


def copy_with_record(net: Path, record: ModelRecord, out: Path) -> None:
    """Write the net's file `net` as `out`, with another record in it."""
    text = json_text(dataclasses.asdict(record)) + "\n"
    partial = out.with_name(f"{out.name}.partial")
    with zipfile.ZipFile(net) as source, zipfile.ZipFile(partial, "w") as target:
        for item in source.infolist():
            if item.filename != MEMBER:
                target.writestr(item, source.read(item), item.compress_type)
        target.writestr(zipfile.ZipInfo(MEMBER), text)
    partial.replace(out)


def save_with_record(net: Any, record: ModelRecord, out: Path) -> None:
    """Write a net that is in memory, a `keras.Model`, as `out`, with its record in it."""
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / NET
        net.save(whole)
        copy_with_record(whole, record, out)


def copy_with_halvings(net: Path, halvings: int, out: Path) -> None:
    """Write the net's file `net` as `out`, to be shown scans at half their size so many times."""
    copy_with_record(net, dataclasses.replace(read_model_record(net), halvings=halvings), out)


def read_model_record(place: Path) -> ModelRecord:
    """Read the record of a net.

    Parameters
    ----------
    place
        The folder that `train` wrote, or the net's file, which may have been moved.

    Raises
    ------
    DataError
        If there is none, or another version of this program wrote it. What lies beside a net's
        file is not asked: it may be of another net.
    """
    file = place / FILE if place.is_dir() else place
    try:
        raw = json.loads(file.read_text("utf-8") if place.is_dir() else _within(file))
        if raw.get("format") != FORMAT:
            raise DataError(
                f"{file} has format {raw.get('format')}, this program reads {FORMAT}; train again"
            )
        return ModelRecord(**raw)
    except (OSError, ValueError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file} has no record of a trained net ({error}); give a net's file or folder that "
            "`train` wrote, or train again"
        ) from error


def _within(net: Path) -> str:
    """The record in a net's file.

    Raises
    ------
    ValueError
        If there is none.
    """
    if not zipfile.is_zipfile(net):
        raise ValueError("it is no .keras file" if net.is_file() else "there is no such file")
    check_archive(net)
    with zipfile.ZipFile(net) as archive:
        if MEMBER not in archive.namelist():
            raise ValueError("it was not trained by this program")
        return archive.read(MEMBER).decode("utf-8")


def check_archive(net: Path, name: str = "") -> None:
    """See from the directory of a net's file that what is in it can be read into memory.

    A file of a few MB may hold members of any size. What is no archive at all is left to its
    reader to refuse. In messages it is called `name`; without one, by its path.

    Raises
    ------
    DataError
        If it holds more than any net has.
    LimitError
        If memory is too small for it.
    """
    try:
        with zipfile.ZipFile(net) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return
    total, text = sum(sizes.values()), sizes.get(MEMBER, 0)
    if total > _LARGEST_NET or text > _LARGEST_RECORD:
        size = as_size(total if total > _LARGEST_NET else text)
        raise DataError(
            f"{name or net} unpacks to {size}, and no net has more than {as_size(_LARGEST_NET)} "
            f"(its record {as_size(_LARGEST_RECORD)}); it is damaged or made to do harm: give "
            "another"
        )
    # Its bytes, the arrays in them, and the net's own.
    check_memory(3.0 * total, name or f"the net {net}")
