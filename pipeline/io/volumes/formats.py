"""MetaImage, NIfTI and NRRD: read here to the byte, written by SimpleITK."""

import errno
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError, ScanError
from lungseg.core.limits import check_memory
from lungseg.core.shown import shown
from lungseg.core.stage import Scalar
from lungseg.io.volumes.headers import SUFFIXES, read_header
from lungseg.io.volumes.layout import TEXT, VolumeHeader
from lungseg.io.volumes.placement import PlaceRules, facts_of, moved, place
from lungseg.io.volumes.voxels import read_voxels
from lungseg.ops.grid.straighten import straighten
from lungseg.ops.hu.padding import find_padding
from lungseg.volume import HU, AnyVolume, HuArray, Volume

# What masks are handed out in: one file each, whose ending tells how to read it.
FORMATS = ("nii.gz", "nrrd", "mha")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]")
_HU_BYTES = 2
# Of a number that is written as text, while it becomes one.
_WORD_BYTES = 60


@dataclass(frozen=True)
class HuFile:
    """A CT that was read from a file, and what was noticed.

    Attributes
    ----------
    volume
        HU on an even, orthogonal grid.
    padding_hu
        Voxels of this HU or less are padding; None if there is none.
    facts
        Whether fractions were rounded (`rounded_hu`), how far the axes were from right angles
        (`skew_degrees`), the gantry's tilt that was taken back (`tilt_degrees`), whether the file
        says how the patient lies (`orientation_known`), and by what (`geometry_from`).
    """

    volume: Volume[HU]
    padding_hu: int | None
    facts: dict[str, Scalar]


def read_volume(path: Path, angle_tolerance_degrees: float = 0.1) -> AnyVolume:
    """Read a ``.mhd``, ``.mha``, ``.nii``, ``.nii.gz``, ``.hdr``, ``.nrrd`` or ``.nhdr`` as it is.

    Raises
    ------
    ScanError
        If it is damaged, not 3-D, has more than one value a voxel, or its axes are not at right
        angles.
    LimitError
        If it does not fit into memory.
    """
    header = read_header(path)
    rules = PlaceRules(angle_tolerance_degrees=angle_tolerance_degrees, correct_tilt=False)
    geometry = place(header, rules).geometry
    voxels = header.voxels
    _check_memory(header, 8 if voxels.is_scaled else voxels.dtype.itemsize)
    array: Any = np.empty(header.shape, np.float64 if voxels.is_scaled else voxels.dtype)
    read_voxels(voxels, array.shape, array, lambda part, place: np.copyto(place, part))
    return Volume(array.astype(array.dtype.newbyteorder("="), copy=False), geometry)


def read_hu_file(path: Path, rules: PlaceRules | None = None) -> HuFile:
    """Read the HU of a CT, int16, and say what was noticed.

    Raises
    ------
    ScanError
        As `read_volume`; or if a value is not a number or does not fit into int16.
    LimitError
        If it does not fit into memory.
    """
    header = read_header(path)
    placed = place(header, rules or PlaceRules())
    _check_memory(header, _HU_BYTES if placed.tilt is None else 2 * _HU_BYTES)
    hu, rounded = _hu(path, header)
    padding_hu = find_padding(hu)
    geometry = placed.geometry
    if placed.tilt is not None:
        _, y, x = geometry.spacing_mm
        hu, first_xy_mm, padding_hu = straighten(hu, placed.tilt, (y, x), padding_hu)
        geometry = moved(geometry, first_xy_mm)
    facts = {"rounded_hu": rounded, **facts_of(placed, header)}
    return HuFile(Volume(hu, geometry), padding_hu, facts)


def write_volume(volume: AnyVolume, path: Path) -> None:
    """Write a volume in the format that the suffix of `path` names; bool becomes uint8.

    Raises
    ------
    ConfigError
        If the suffix names no format.
    OSError
        If the file system does not take it.
    """
    # In lower case: ITK does not write a.NII, and writes a.MHD under another name.
    if not path.name.endswith(tuple(SUFFIXES)):
        raise ConfigError(
            f"{shown(path.name)}: the name tells no format; end it in one of {', '.join(SUFFIXES)}"
        )
    if shown(path) == str(path):
        _write_by_itk(volume, path)
        return
    # ITK ends the whole process at a path that is no UTF-8.
    with tempfile.TemporaryDirectory(prefix="lungseg-") as folder:
        plain = Path(folder) / _FOREIGN.sub("_", path.name)
        _write_by_itk(volume, plain)
        for file in Path(folder).iterdir():
            shutil.move(file, path if file == plain else path.parent / file.name)


def _write_by_itk(volume: AnyVolume, path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    array = volume.array
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.geometry.origin_xyz_mm)
    image.SetDirection(volume.geometry.direction_xyz)
    # ITK says of no fault what it is: the file system is asked first, in its own words.
    with path.open("ab"):
        pass
    try:
        sitk.WriteImage(image, str(path), useCompression=True)
    except RuntimeError as error:
        path.unlink(missing_ok=True)
        raise OSError(errno.EIO, "it could not be written whole", str(path)) from error


def _check_memory(header: VolumeHeader, bytes_each: int) -> None:
    if header.voxels.packing == TEXT:
        bytes_each += _WORD_BYTES
    z, y, x = header.shape
    check_memory(x * y * z * bytes_each, f"{shown(header.path)} with {x} x {y} x {z} voxels")


def _hu(path: Path, header: VolumeHeader) -> tuple[HuArray, bool]:
    hu = np.empty(header.shape, np.int16)
    rounded = False

    def take(part: Any, place: Any) -> None:
        nonlocal rounded
        _check_range(path, part)
        if part.dtype.kind == "f":
            whole = np.rint(part)
            rounded = rounded or bool((np.abs(part - whole) > 1e-3).any())
            part = whole
        np.copyto(place, part, casting="unsafe")

    read_voxels(header.voxels, hu.shape, hu, take)
    return hu, rounded


def _check_range(path: Path, array: Any) -> None:
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ScanError(
            f"hu-range: {shown(path)} holds values that are not numbers; replace them by the HU of "
            "padding, e.g. -2048"
        )
    limits = np.iinfo(np.int16)
    if low < limits.min or high > limits.max:
        raise ScanError(
            f"hu-range: {shown(path)} holds values from {low:g} to {high:g}, which no CT has in HU"
        )
