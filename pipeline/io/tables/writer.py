"""Writer of table files: a new file, or a copy of an older one with more scans.

One scan at a time is in memory. The mark that a file is complete is written last, and the
reader refuses a file without it.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tables

from lungseg.core.disk.digests import digest_of_contents, has_digest
from lungseg.core.disk.whole_file import differs, force_to_disk
from lungseg.core.errors import DataError
from lungseg.io.hdf5 import FILTERS
from lungseg.io.tables import reader
from lungseg.io.tables.read_back import RowDigests, as_os_error, check_written
from lungseg.io.tables.schema import (
    ARRAYS,
    FORMAT,
    FORMAT_VERSION,
    NODULES,
    SCANS,
    SLICES,
    decoded,
    encoded,
)  # fmt: skip
from lungseg.volume import Geometry

INDEXED = {"slices": ("scan", "patient"), "scans": ("scan", "patient"), "nodules": ("scan_row",)}
"""Columns that have an index, so that `Table.where` on them does not scan the table."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanRows:
    """The rows of one scan.

    Attributes
    ----------
    scan, patient, fingerprint
        Ids, and a digest of what the rows were made from.
    geometry, shape_zyx, corner_zyx
        Grid of the scan before the crop, and the voxel of it where the crop begins.
    truth, verdict
        Kind of truth about the nodules; verdict on the lung mask.
    z_index
        Slice of the grid of each row, ascending.
    arrays
        ``image``, ``lungs``, ``votes``, ``nodule``, each ``(n, size, size)``.
    areas
        mm2 of each row: ``lung_mm2``, ``nodule_mm2_1`` to ``_4``, ``target_mm2``.
    nodules
        Records of `lungseg.io.tables.schema.NODULES`; their scan_row is filled in here.
    """

    scan: str
    patient: str
    fingerprint: str
    geometry: Geometry
    shape_zyx: tuple[int, int, int]
    corner_zyx: tuple[int, int, int]
    truth: str
    verdict: str
    z_index: npt.NDArray[np.int32]
    arrays: Mapping[str, npt.NDArray[Any]]
    areas: Mapping[str, npt.NDArray[np.float32]]
    nodules: npt.NDArray[np.void] = field(default_factory=lambda: np.empty(0, NODULES))


class TableWriter:
    """Writes a table file; use `create` or `extend`, then `add` each scan, as a context.

    Leaving the context without an error builds the indexes, marks the file complete and reads it
    back: OSError if it is not what was added.
    """

    def __init__(self, file: Any, attributes: Mapping[str, Any]) -> None:
        self._file = file
        # Held, since PyTables closes what nobody holds, and opens all indexes of a table with it.
        self._nodes = {name: file.get_node(f"/{name}") for name in (*ARRAYS, *_TABLES)}
        self._meant = RowDigests()
        self.final = dict(attributes)
        """Attributes of the file, written after the last scan; more may be added until then."""
        self.rows = int(self._nodes["slices"].nrows)
        self.scans = int(self._nodes["scans"].nrows)

    @classmethod
    def create(
        cls, path: Path, size: int, attributes: Mapping[str, Any], expected_rows: int = 10_000
    ) -> Self:
        """Begin an empty file of square images of `size` voxels.

        Raises
        ------
        OSError
            If it could not be written.
        """
        try:
            return cls(_empty_file(path, size, expected_rows), {**attributes, "size": size})
        except tables.HDF5ExtError as error:
            raise as_os_error(error, path) from error

    @classmethod
    def extend(cls, old: Path, path: Path, attributes: Mapping[str, Any]) -> Self:
        """Begin with a copy of the complete file `old`, which is not touched."""
        copy_file(old, path)
        file = reader.open_checked(path, "a")
        try:
            file.root._v_attrs["complete"] = False
            writer = cls(file, attributes)
            for name in _TABLES:
                writer._nodes[name].autoindex = False
            writer._meant.add_file(file)
        except tables.HDF5ExtError as error:
            with contextlib.suppress(tables.HDF5ExtError):
                file.close()
            raise as_os_error(error, path) from error
        return writer

    def add(self, rows: ScanRows) -> None:
        """Append one scan.

        Raises
        ------
        DataError
            If an id is too long for the tables.
        ValueError
            If the arrays do not have one square a row, or the rows do not ascend.
        """
        n = len(rows.z_index)
        size = int(self._nodes["image"].shape[1])
        _check_rows(rows, size)
        slices, scan = _slice_records(rows, self.scans, size), _scan_record(rows, self.rows)
        nodules = rows.nodules.copy()
        nodules["scan_row"] = self.scans
        try:
            with reader.LOCK:
                self._append(rows.arrays, {"slices": slices, "scans": scan, "nodules": nodules})
        except tables.HDF5ExtError as error:
            raise as_os_error(error, Path(self._file.filename)) from error
        self.rows += n
        self.scans += 1

    def _append(
        self, arrays: Mapping[str, npt.NDArray[Any]], records: Mapping[str, npt.NDArray[np.void]]
    ) -> None:
        for name, kind in ARRAYS.items():
            squares = np.asarray(arrays[name], kind)
            self._nodes[name].append(squares)
            self._meant.add(name, squares)
        for name, rows in records.items():
            if len(rows):
                self._nodes[name].append(rows)
                self._meant.add(name, rows)
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        path = Path(self._file.filename)
        try:
            with reader.LOCK:
                try:
                    if kind is None:
                        self._finish()
                finally:
                    self._file.close()
        except tables.HDF5ExtError as error:
            if kind is None:
                raise as_os_error(error, path) from error
        if kind is None:
            check_written(path, self._meant, self.final)

    def _finish(self) -> None:
        for name in _TABLES:
            self._nodes[name].reindex()
        for name, value in self.final.items():
            self._file.root._v_attrs[name] = value
        self._file.flush()
        self._file.root._v_attrs["complete"] = True


_TABLES = {"slices": SLICES, "scans": SCANS, "nodules": NODULES}


def _empty_file(path: Path, size: int, expected_rows: int) -> Any:
    file = tables.open_file(str(path), "w", title="CT slices with lungs and nodules")
    try:
        for name, kind in ARRAYS.items():
            file.create_earray(
                "/",
                name,
                atom=tables.Atom.from_dtype(np.dtype(kind)),
                shape=(0, size, size),
                chunkshape=(1, size, size),
                filters=FILTERS,
                expectedrows=expected_rows,
            )
        for name, columns in _TABLES.items():
            table = file.create_table("/", name, description=columns, filters=FILTERS)
            for column in INDEXED[name]:
                table.colinstances[column].create_csindex()
            table.autoindex = False
        file.root._v_attrs["format"] = FORMAT
        file.root._v_attrs["format_version"] = FORMAT_VERSION
        file.root._v_attrs["complete"] = False
    except BaseException:
        with contextlib.suppress(tables.HDF5ExtError):
            file.close()
        raise
    return file


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, sharing its blocks where the file system can.

    Raises
    ------
    OSError
        If it could not be written, or the copy differs.
    """
    left = source.stat().st_size
    try:
        with source.open("rb") as old, target.open("wb") as new:
            while left > 0:
                copied = os.copy_file_range(old.fileno(), new.fileno(), left)
                if copied == 0:
                    break
                left -= copied
    except (OSError, AttributeError):
        left = -1
    if left != 0:
        shutil.copyfile(source, target)
    force_to_disk(target)
    if not has_digest(target, digest_of_contents(source)):
        raise differs(target)


def _check_rows(rows: ScanRows, size: int) -> None:
    n = len(rows.z_index)
    if not n or (np.diff(rows.z_index) <= 0).any():
        raise ValueError(f"scan {rows.scan}: rows must be one or more, with z ascending")
    for name in ARRAYS:
        if rows.arrays[name].shape != (n, size, size):
            raise ValueError(
                f"scan {rows.scan}: {name} has shape {rows.arrays[name].shape}, "
                f"not {(n, size, size)}"
            )


def _slice_records(rows: ScanRows, scan_row: int, size: int) -> npt.NDArray[np.void]:
    records = np.zeros(len(rows.z_index), SLICES)
    records["scan"] = encoded(rows.scan, "scan")
    records["patient"] = encoded(rows.patient, "patient")
    records["scan_row"] = scan_row
    records["z_index"] = rows.z_index
    middle = np.zeros((len(rows.z_index), 3))
    middle[:, 0] = rows.z_index
    middle[:, 1:] = np.asarray(rows.corner_zyx[1:]) + (size - 1) / 2
    records["z_mm"] = rows.geometry.to_world(middle)[:, 2]
    for name, values in rows.areas.items():
        records[name] = values
    records["truth"] = _short(rows.truth, SLICES["truth"])
    records["verdict"] = _short(rows.verdict, SLICES["verdict"])
    return records


def _scan_record(rows: ScanRows, first_row: int) -> npt.NDArray[np.void]:
    record = np.zeros(1, SCANS)
    record["scan"] = encoded(rows.scan, "scan")
    record["patient"] = encoded(rows.patient, "patient")
    record["fingerprint"] = _short(rows.fingerprint, SCANS["fingerprint"])
    record["first_row"] = first_row
    record["n_rows"] = len(rows.z_index)
    record["spacing_mm"] = rows.geometry.spacing_mm
    record["origin_xyz_mm"] = rows.geometry.origin_xyz_mm
    record["direction_xyz"] = rows.geometry.direction_xyz
    record["crop_zyx"] = rows.corner_zyx
    record["shape_zyx"] = rows.shape_zyx
    record["truth"] = _short(rows.truth, SCANS["truth"])
    record["verdict"] = _short(rows.verdict, SCANS["verdict"])
    record["nodules"] = len(rows.nodules)
    return record


def _short(text: str, column: np.dtype[Any]) -> bytes:
    raw = text.encode("utf-8")
    if len(raw) > column.itemsize:
        raise DataError(f"{text!r} is longer than the {column.itemsize} bytes its column keeps")
    return raw


def fingerprints(path: Path) -> dict[str, str]:
    """Digest of what each scan's rows were made from, by scan id, in the file's order."""
    with reader.LOCK, reader.open_checked(path) as file:
        scans = file.root.scans.read()
    ids: Sequence[str] = decoded(scans["scan"])
    return dict(zip(ids, decoded(scans["fingerprint"]), strict=True))
