"""Volumes in the cache's own files: HDF5 by PyTables, one volume per file.

A chunk is one slice, compressed as `lungseg.io.hdf5` says.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tables

from lungseg.core.errors import DamagedOutputError, ScanError
from lungseg.io.hdf5 import FILTERS
from lungseg.volume import HU, AnyVolume, Geometry, Mask, Volume


def write(volume: AnyVolume, path: Path, **attributes: str | float | int) -> None:
    """Write one volume to `path` (``.h5``) with its geometry and further `attributes`."""
    _, y, x = volume.shape
    with tables.open_file(str(path), "w") as h5:
        node = h5.create_carray(
            "/", "volume", obj=volume.array, filters=FILTERS, chunkshape=(1, y, x)
        )
        node.attrs.spacing_mm = np.asarray(volume.geometry.spacing_mm)
        node.attrs.origin_xyz_mm = np.asarray(volume.geometry.origin_xyz_mm)
        node.attrs.direction_xyz = np.asarray(volume.geometry.direction_xyz)
        for name, value in attributes.items():
            node.attrs[name] = value


def read(path: Path) -> AnyVolume:
    """Read a volume that `write` made.

    Raises
    ------
    DamagedOutputError
        If it cannot be read, is not such a file, or is gone.
    """
    try:
        with tables.open_file(str(path), "r") as h5:
            node = h5.get_node("/volume")
            return Volume(node.read(), _geometry(node))
    except (tables.HDF5ExtError, tables.NoSuchNodeError, AttributeError, OSError) as error:
        raise DamagedOutputError(
            f"{path} cannot be read as a volume of this cache ({_last_line(error)}); "
            "it must be made again"
        ) from error


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
    """Shape (z, y, x) and geometry of a volume without reading its voxels."""
    with tables.open_file(str(path), "r") as h5:
        node = h5.get_node("/volume")
        z, y, x = node.shape
        return (int(z), int(y), int(x)), _geometry(node)


def read_attribute(path: Path, name: str) -> Any:
    """One of the attributes that `write` was given."""
    with tables.open_file(str(path), "r") as h5:
        return h5.get_node("/volume").attrs[name]


def _geometry(node: Any) -> Geometry:
    return Geometry(
        spacing_mm=tuple(node.attrs.spacing_mm),
        origin_xyz_mm=tuple(node.attrs.origin_xyz_mm),
        direction_xyz=tuple(node.attrs.direction_xyz),
    )


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip() if str(error).strip() else repr(error)
