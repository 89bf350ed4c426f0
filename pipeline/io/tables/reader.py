"""Reader of the table file: every slice of every scan in one HDF5 file.

``/image``, ``/lungs``, ``/votes`` and ``/nodule`` hold one cropped slice a row and a chunk, so
that a row is one read, and the rows of a scan lie together with z ascending, so that the
neighbours of a slice can be read as its context. ``/slices``, ``/scans`` and ``/nodules`` say
what the rows are. `lungseg.io.tables.writer` makes such files.
"""

import os
import threading
import weakref
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tables

from lungseg.core.errors import DataError
from lungseg.io.hdf5 import why_locked
from lungseg.io.tables.schema import (
    ARRAYS,
    FORMAT,
    FORMAT_VERSION,
)
from lungseg.ops.samples.context import neighbours

_BLOCK = 64

LOCK = threading.RLock()
"""Held around every call into HDF5: PyTables and its HDF5 are not safe under threads."""

Records = npt.NDArray[np.void]
_opened: "weakref.WeakSet[Tables]" = weakref.WeakSet()


class Tables:
    """A table file, read-only.

    Opened at first use, once per process, and again in a process that was forked or that
    unpickled it: only the path travels. May be used from several threads.

    Parameters
    ----------
    path
        The file ``tables.h5``.

    Raises
    ------
    DataError
        At first use, if the file is absent, damaged, unfinished or not one of ours.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._forget()
        _opened.add(self)

    def _forget(self) -> None:
        self._file: Any = None
        self._closing: Any = None
        self._records: dict[str, Records] = {}
        self._attributes: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, str]:
        return {"path": str(self.path)}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__(state["path"])  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Tables({str(self.path)!r})"

    def __len__(self) -> int:
        return len(self.slices)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with LOCK:
            if self._closing is not None:
                self._closing()
            self._forget()

    @property
    def attributes(self) -> dict[str, Any]:
        """What made the file: kind, size, spacing, parameters, versions, fingerprint."""
        self._open()
        return dict(self._attributes)

    @property
    def size(self) -> int:
        """Edge of the square images, voxels."""
        return int(self.attributes["size"])

    @property
    def slices(self) -> Records:
        """One record a row of the arrays; columns as in `SLICES`."""
        return self._table("slices")

    @property
    def scans(self) -> Records:
        """One record a scan; columns as in `SCANS`."""
        return self._table("scans")

    @property
    def nodules(self) -> Records:
        """One record a nodule, by row of `scans` and label; columns as in `NODULES`."""
        return self._table("nodules")

    def readers(self, scan_row: int) -> dict[int, int]:
        """How many readers drew each nodule of a scan, by label."""
        of_scan = self.nodules[self.nodules["scan_row"] == scan_row]
        return {int(n["label"]): int(n["readers"]) for n in of_scan}

    def read(self, name: str, rows: npt.ArrayLike) -> npt.NDArray[Any]:
        """Rows of one array: ``(n, size, size)`` of image, lungs, votes or nodule.

        Parameters
        ----------
        name
            ``image`` (HU int16), ``lungs`` (uint8), ``votes`` (uint8), ``nodule`` (uint16).
        rows
            In any order, repeated ones too.
        """
        if name not in ARRAYS:
            raise ValueError(f"no array {name!r}; there are {', '.join(ARRAYS)}")
        wanted, places = np.unique(self._checked(rows), return_inverse=True)
        size = self.size
        values = np.empty((len(wanted), size, size), ARRAYS[name])
        with LOCK:
            node = self._open().get_node(f"/{name}")
            for value, row in enumerate(wanted):
                try:
                    node.read(row, row + 1, out=values[value : value + 1])
                except tables.HDF5ExtError as error:
                    raise DataError(
                        f"row {row} of /{name} in {self.path} is damaged; delete the folder "
                        "it is in and build the tables again"
                    ) from error
        return values[places] if not _counts_up(places) else values

    def images(self, rows: npt.ArrayLike, context: int = 0) -> npt.NDArray[np.int16]:
        """Images with their neighbours: ``(n, 2 * context + 1, size, size)`` HU int16.

        A neighbour is the next slice of the same scan. Where that is not in the file (the end
        of the scan, or a slice that was left out), the last one before it is repeated.
        """
        stacks = self.neighbours(rows, context)
        images = self.read("image", stacks.ravel())
        return images.reshape(*stacks.shape, *images.shape[1:])

    def neighbours(self, rows: npt.ArrayLike, context: int) -> npt.NDArray[np.int64]:
        """Rows that `images` reads, ``(n, 2 * context + 1)``, z ascending."""
        slices = self.slices
        return neighbours(self._checked(rows), context, slices["z_index"], slices["scan_row"])

    def _checked(self, rows: npt.ArrayLike) -> npt.NDArray[np.int64]:
        wanted = np.atleast_1d(np.asarray(rows, np.int64))
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(
                f"rows run from 0 to {len(self) - 1} in {self.path}, "
                f"not from {wanted.min()} to {wanted.max()}"
            )
        return wanted

    def _table(self, name: str) -> Records:
        with LOCK:
            if name not in self._records:
                values = self._open().get_node(f"/{name}").read()
                values.flags.writeable = False
                self._records[name] = values
            return self._records[name]

    def _open(self) -> Any:
        with LOCK:
            if self._file is None:
                self._file = open_checked(self.path)
                self._closing = weakref.finalize(self, _close, self._file)
                self._attributes = attributes_of(self._file)
            return self._file


def _close(file: Any) -> None:
    with LOCK:
        if file.isopen:
            file.close()


def _after_fork() -> None:
    # The lock may have been held by a thread that does not exist in the child, and the file's
    # state is the parent's: the child starts with neither.
    global LOCK  # noqa: PLW0603
    LOCK = threading.RLock()
    for each in list(_opened):
        if each._closing is not None:
            each._closing.detach()
        each._forget()


os.register_at_fork(after_in_child=_after_fork)


def open_checked(path: Path, mode: str = "r") -> Any:
    """Open a table file as a PyTables file.

    Raises
    ------
    DataError
        If it is absent, damaged, unfinished or not one of ours.
    """
    again = "build the tables again"
    try:
        file = tables.open_file(str(path), mode)
    except (OSError, ValueError, tables.HDF5ExtError) as error:
        locked = why_locked(error)
        if locked:
            raise DataError(f"{path} {locked}") from error
        what = "cannot be read as HDF5" if path.is_file() else "does not exist"
        raise DataError(f"{path} {what}; {again}") from error
    try:
        _check(file, path, again)
    except BaseException:
        file.close()
        raise
    return file


def _check(file: Any, path: Path, again: str) -> None:
    found = attributes_of(file)
    if found.get("format") != FORMAT:
        raise DataError(f"{path} is an HDF5 file, but not a table file of this program; {again}")
    if found.get("format_version") != FORMAT_VERSION:
        raise DataError(
            f"{path} has table format {found.get('format_version')}, this program reads "
            f"{FORMAT_VERSION}; {again}"
        )
    if not found.get("complete"):
        raise DataError(f"{path} was never finished; {again}")
    lengths = {name: _rows(file, name) for name in (*ARRAYS, "slices")}
    if len(set(lengths.values())) != 1 or lengths["slices"] < 0:
        raise DataError(f"{path} has arrays of unequal length ({lengths}); {again}")


def inconsistencies(path: Path) -> list[str]:
    """What is inconsistent in a table file, in words; every row of every array is read.

    Raises
    ------
    DataError
        If it is no table file at all.
    """
    with Tables(path) as table:
        faults = _uncounted(table)
        if faults:
            return faults
        spacing = table.attributes["spacing_mm"]
        pixel_mm2 = float(spacing[1] * spacing[2])
        for start in range(0, len(table), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(table)))
            try:
                blocks = {name: table.read(name, rows) for name in ARRAYS}
            except DataError as error:
                faults.append(str(error))
                continue
            for name, column in (("lungs", "lung_mm2"), ("votes", "nodule_mm2_1")):
                filled = np.count_nonzero(blocks[name].reshape(len(rows), -1), axis=1)
                told = table.slices[column][rows]
                wrong = rows[~np.isclose(filled * pixel_mm2, told, rtol=1e-5)]
                faults += [f"row {row}: {column} is not the area of /{name}" for row in wrong]
    return faults


def _uncounted(table: Tables) -> list[str]:
    slices, scans, nodules = table.slices, table.scans, table.nodules
    ends = np.cumsum(scans["n_rows"], dtype=np.int64)
    if len(slices) != (ends[-1] if len(ends) else 0):
        return [f"/scans counts {ends[-1] if len(ends) else 0} rows, /slices has {len(slices)}"]
    faults = []
    if (scans["first_row"] != ends - scans["n_rows"]).any():
        faults.append("the scans of /scans do not follow each other without gaps")
    if (slices["scan_row"] != np.repeat(np.arange(len(scans)), scans["n_rows"])).any():
        faults.append("the rows of /slices are not those of the scans that /scans says")
    elif (np.diff(slices["z_index"])[np.diff(slices["scan_row"]) == 0] <= 0).any():
        faults.append("the rows of a scan do not ascend in z")
    listed = np.bincount(nodules["scan_row"], minlength=len(scans))
    if len(listed) != len(scans) or (listed != scans["nodules"]).any():
        faults.append("/nodules does not hold as many nodules of each scan as /scans says")
    return faults


def _rows(file: Any, name: str) -> int:
    # Asked of the group, which opens no array or index to answer.
    return int(file.get_node(f"/{name}").nrows) if name in file.root else -1


def attributes_of(file: Any) -> dict[str, Any]:
    """Attributes of the file as plain Python values."""
    names = file.root._v_attrs._f_list("user")
    values = {name: file.root._v_attrs[name] for name in names}
    return {name: v.item() if isinstance(v, np.generic) else v for name, v in values.items()}


def _counts_up(places: npt.NDArray[np.intp]) -> bool:
    return bool((places == np.arange(len(places))).all())
