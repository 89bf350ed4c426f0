"""Volumes in the cache's own files: HDF5 by PyTables, one volume per file.

A chunk is one slice, compressed as `lungseg.io.hdf5` says. The file is made in memory and its bytes
written by ourselves: HDF5 does not pass on every error of writing, and a disk that was full for a
moment left files with other voxels.
"""

import contextlib
import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tables

from lungseg.core.disk.handed_on import hand_on, taken
from lungseg.core.disk.whole_file import write_bytes
from lungseg.core.errors import DamagedOutputError, NotProvenError, ScanError
from lungseg.io.hdf5 import FILTERS, why_locked
from lungseg.volume import HU, AnyVolume, Geometry, Mask, Volume

_GROWTH = 1 << 22  # bytes by which a file in memory grows


def write(volume: AnyVolume, path: Path, **attributes: str | float | int) -> None:
    """Write one volume to `path` (``.h5``) with its geometry and further `attributes`.

    Raises
    ------
    OSError
        If it could not be written, or what is on the disk is not what was written.
    """
    write_bytes(_image(volume, attributes, str(path)), path)
    # Masks compress so well that to read them costs little.
    if volume.array.dtype == HU and volume.array.flags.c_contiguous:
        hand_on(path, volume)


def _image(volume: AnyVolume, attributes: Mapping[str, str | float | int], label: str) -> bytes:
    # No file of this name is made; PyTables wants one for each open file.
    _, y, x = volume.shape
    with tables.open_file(
        label,
        "w",
        driver="H5FD_CORE",
        driver_core_backing_store=0,
        driver_core_increment=_GROWTH,
    ) as h5:
        node = h5.create_carray(
            "/",
            "volume",
            tables.Atom.from_dtype(volume.array.dtype),
            volume.shape,
            filters=FILTERS,
            chunkshape=(1, y, x),
        )
        for run in _runs_of_slices(volume.array):
            node[run] = volume.array[run]
        node.attrs.spacing_mm = np.asarray(volume.geometry.spacing_mm)
        node.attrs.origin_xyz_mm = np.asarray(volume.geometry.origin_xyz_mm)
        node.attrs.direction_xyz = np.asarray(volume.geometry.direction_xyz)
        for name, value in attributes.items():
            node.attrs[name] = value
        h5.flush()
        image: bytes = h5.get_file_image()
    return image


def _runs_of_slices(array: npt.NDArray[Any]) -> list[slice]:
    """Slices that have any value but 0, in runs; HDF5 gives 0 for what was never written.

    Most slices of a mask of nodules are empty, and to compress nothing takes its time, too.
    """
    # A CT's first voxel is hardly ever 0 HU; so only masks are read for it.
    full = np.array([bool(axial.flat[0]) or bool(axial.any()) for axial in array])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], full, [0]])))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def read(path: Path) -> AnyVolume:
    """Read a volume that `write` made; one that was written just now is handed on as it is.

    Raises
    ------
    DamagedOutputError
        If it cannot be read, is not such a file, or is gone.
    """
    held = taken(path)
    if isinstance(held, Volume):
        return held
    with _opened(path) as node:
        return Volume(node.read(), _geometry(node))


def read_hu(path: Path) -> Volume[HU]:
    """Read a CT volume, HU int16.

    Raises
    ------
    DamagedOutputError
        As `read`.
    ScanError
        If its voxels are of another type.
    """
    volume = read(path)
    if volume.array.dtype != np.int16:
        raise ScanError(f"{path} holds {volume.array.dtype}, not HU as int16")
    return volume


def read_mask(path: Path) -> Volume[Mask]:
    """Read a mask, bool; what is not 0 is True.

    Raises
    ------
    DamagedOutputError
        As `read`.
    """
    volume = read(path)
    return volume.like(volume.array.astype(bool, copy=False))


def read_geometry(path: Path) -> tuple[tuple[int, int, int], Geometry]:
    """Shape (z, y, x) and geometry of a volume without reading its voxels.

    Raises
    ------
    DamagedOutputError
        As `read`.
    """
    with _opened(path) as node:
        z, y, x = node.shape
        return (int(z), int(y), int(x)), _geometry(node)


def read_attribute(path: Path, name: str) -> Any:
    """One of the attributes that `write` was given.

    Raises
    ------
    DamagedOutputError
        As `read`.
    """
    with _opened(path) as node:
        return node.attrs[name]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with tables.open_file(str(path), "r") as h5:
            yield h5.get_node("/volume")
    except _UNREADABLE as error:
        locked = why_locked(error)
        if locked:
            raise NotProvenError(f"{path} {locked}") from error
        raise DamagedOutputError(
            f"{path} cannot be read as a volume of this cache ({_last_line(error)}); "
            "it must be made again"
        ) from error


# What PyTables, numpy and pickled attributes raise on damaged bytes.
_UNREADABLE = (
    tables.HDF5ExtError, tables.NoSuchNodeError, AttributeError, OSError, KeyError, TypeError,
    ValueError, IndexError, EOFError, pickle.UnpicklingError,
)  # fmt: skip


def _geometry(node: Any) -> Geometry:
    return Geometry(
        spacing_mm=tuple(node.attrs.spacing_mm),
        origin_xyz_mm=tuple(node.attrs.origin_xyz_mm),
        direction_xyz=tuple(node.attrs.direction_xyz),
    )


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else repr(error)
