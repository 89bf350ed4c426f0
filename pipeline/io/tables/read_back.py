"""Reading a finished table file back: every row on the disk is what was appended.

HDF5 does not pass on every error of writing: a disk that is full for a moment leaves a file that
opens, with other voxels. So digests of all rows are made while they are appended, and made again
from the file after it was closed.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tables
import xxhash

from lungseg.core.disk.whole_file import differs, force_to_disk
from lungseg.core.errors import DataError
from lungseg.io.tables import reader
from lungseg.io.tables.schema import ARRAYS

_BLOCK = 64
_RECORDS = ("slices", "scans", "nodules")


class RowDigests:
    """Digests of all rows of a table file, array by array and column by column."""

    def __init__(self) -> None:
        self._states: dict[str, Any] = {}

    def add(self, name: str, rows: npt.NDArray[Any]) -> None:
        """Rows were appended to (or read from) the array or table `name`."""
        for column in rows.dtype.names or ("",):
            values = np.ascontiguousarray(rows[column] if column else rows)
            state = self._states.setdefault(f"{name}/{column}", xxhash.xxh3_128())
            state.update(values.view(np.uint8) if values.size else b"")

    def add_file(self, file: Any) -> None:
        """Add every row of an open file."""
        for name in ARRAYS:
            node = file.get_node(f"/{name}")
            for start in range(0, int(node.nrows), _BLOCK):
                self.add(name, node.read(start, start + _BLOCK))
        for name in _RECORDS:
            self.add(name, file.get_node(f"/{name}").read())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowDigests) and self._digests() == other._digests()

    __hash__ = None  # type: ignore[assignment]

    def _digests(self) -> dict[str, str]:
        empty = xxhash.xxh3_128().hexdigest()
        found = {name: state.hexdigest() for name, state in self._states.items()}
        return {name: digest for name, digest in found.items() if digest != empty}


def check_written(path: Path, meant: RowDigests, attributes: Mapping[str, Any]) -> None:
    """See that a file that was closed holds the rows and attributes that were meant.

    Raises
    ------
    OSError
        If it could not be written, or holds others.
    """
    force_to_disk(path)
    try:
        with reader.LOCK, reader.open_checked(path) as file:
            found = RowDigests()
            found.add_file(file)
            there = reader.attributes_of(file)
            sound = found == meant and all(_indexes_hold(file))
    except (tables.HDF5ExtError, DataError) as error:
        raise differs(path) from error
    if not sound or any(not _same(there.get(name), value) for name, value in attributes.items()):
        raise differs(path)


def as_os_error(error: Exception, path: Path) -> OSError:
    """What HDF5 says about a failed write, as the system's own error."""
    told = re.search(r"errno = (\d+), error message = '([^']*)'", str(error))
    if told is None:
        return differs(path)
    return OSError(int(told[1]), told[2], str(path))


def _indexes_hold(file: Any) -> Iterator[bool]:
    for name in _RECORDS:
        table = file.get_node(f"/{name}")
        for column in table.colpathnames:
            if not table.cols._f_col(column).is_indexed:
                continue
            values, order = table.col(column), table.cols._f_col(column).index.read_indices()
            yield len(order) == len(values) and bool(
                (np.sort(order) == np.arange(len(values))).all()
            )
            ascending = values[order]
            yield bool((ascending[1:] >= ascending[:-1]).all())


def _same(found: Any, meant: Any) -> bool:
    return bool(np.array_equal(np.asarray(found), np.asarray(meant)))
