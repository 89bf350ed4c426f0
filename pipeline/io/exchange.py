"""MetaImage, NIfTI and NRRD, read and written by SimpleITK, after their headers were checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.core.errors import ConfigError, ScanError
from pipeline.io.exchange_headers import (
    SUFFIXES,
    check_header,
    check_length_of_nifti,
    suffix_of,
)
from pipeline.ops.slices import orthonormal, skew_degrees
from pipeline.volume import HU, AnyVolume, Geometry, Volume

_WIDE_SLABS = 4


@dataclass(frozen=True)
class ExchangeNotes:
    """What came of a file's voxels on their way to HU.

    Attributes
    ----------
    rounded
        True if there were fractions, rounded to the nearest HU.
    skew_degrees
        How far the file's directions were from right angles, before they were put right.
    unoriented
        True if the file does not say how the patient lies (a NIfTI without sform and qform).
    """

    rounded: bool
    skew_degrees: float
    unoriented: bool


def read_exchange(path: Path, angle_tolerance_degrees: float = 0.1) -> AnyVolume:
    """Read a ``.mhd``, ``.mha``, ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.nhdr`` as it is.

    Raises
    ------
    ScanError
        If it is damaged, not 3-D, has more than one value a voxel, or its axes are no right angles.
    """
    reader = _reader(path)
    geometry, _ = _geometry(path, reader, angle_tolerance_degrees)
    return Volume(_voxels(path, reader), geometry)


def read_exchange_hu(
    path: Path, angle_tolerance_degrees: float = 0.1
) -> tuple[Volume[HU], ExchangeNotes]:
    """Read the HU of a CT, int16, and say what came of them.

    Raises
    ------
    ScanError
        As `read_exchange`; or if a value is no number or fits no HU.
    """
    reader = _reader(path)
    geometry, skew = _geometry(path, reader, angle_tolerance_degrees)
    hu, rounded = _hu(path, reader)
    return Volume(hu, geometry), ExchangeNotes(rounded, skew, _unoriented(reader))


def write_exchange(volume: AnyVolume, path: Path) -> None:
    """Write a volume in the format that the suffix of `path` names; bool becomes uint8.

    Raises
    ------
    ConfigError
        If the suffix names no format.
    """
    import SimpleITK as sitk  # noqa: N813

    if suffix_of(path) not in SUFFIXES:
        raise ConfigError(
            f"{path.name}: no format of this name is known; end it in one of "
            f"{', '.join(sorted(SUFFIXES))}"
        )
    array = volume.array
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.geometry.origin_xyz_mm)
    image.SetDirection(volume.geometry.direction_xyz)
    sitk.WriteImage(image, str(path), useCompression=True)


def _reader(path: Path) -> Any:
    import SimpleITK as sitk  # noqa: N813

    if not path.is_file():
        raise ScanError(f"unreadable: {path} is not there")
    check_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ScanError(
            f"header: {path} cannot be read ({_last_line(error)}); it is damaged, or its "
            "directions are no right angles"
        ) from error
    size = list(reader.GetSize())
    while len(size) > 3 and size[-1] == 1:
        size.pop()
    if len(size) != 3:
        raise ScanError(
            f"dimensions: {path} has {len(size)} axes ({' x '.join(map(str, size))}); a scan has "
            "three: export one volume"
        )
    if reader.GetNumberOfComponents() != 1 or "vector" in sitk.GetPixelIDValueAsString(
        reader.GetPixelID()
    ):
        raise ScanError(
            f"samples: {path} has {reader.GetNumberOfComponents()} values a voxel; a CT has one: "
            "it is a picture, leave it out"
        )
    _check_nifti_length(path, reader)
    return reader


def _check_nifti_length(path: Path, reader: Any) -> None:
    # ITK takes what a NIfTI that was cut short leaves out for zeros, without a word.
    if not reader.HasMetaDataKey("vox_offset"):
        return
    bits, offset = (float(reader.GetMetaData(key)) for key in ("bitpix", "vox_offset"))
    check_length_of_nifti(path, int(offset + np.prod(reader.GetSize(), dtype=float) * bits / 8))


def _geometry(path: Path, reader: Any, angle_tolerance_degrees: float) -> tuple[Geometry, float]:
    axes = reader.GetDimension()
    direction = np.asarray(reader.GetDirection()).reshape(axes, axes)[:3, :3]
    skew = skew_degrees(direction)
    if not skew <= angle_tolerance_degrees:
        raise ScanError(
            f"orientation: the axes of {path} are {skew:.2f} degrees off right angles; "
            f"ingest.angle_tolerance_degrees allows {angle_tolerance_degrees:g}: resample it to an "
            "orthogonal grid first"
        )
    x, y, z = reader.GetSpacing()[:3]
    if not min(x, y, z) > 0:
        raise ScanError(f"spacing: {path} has spacing {(z, y, x)} mm; each must be above 0")
    geometry = Geometry(
        (z, y, x), tuple(reader.GetOrigin()[:3]), tuple(orthonormal(direction).ravel())
    )
    return geometry, skew


def _voxels(path: Path, reader: Any, first: int = 0, count: int = 0) -> Any:
    # All voxels, or `count` slices from `first`.
    import SimpleITK as sitk  # noqa: N813

    size = list(reader.GetSize())
    if count:
        reader.SetExtractIndex([0, 0, first] + [0] * (len(size) - 3))
        reader.SetExtractSize([size[0], size[1], count] + [0] * (len(size) - 3))
    elif len(size) > 3:
        reader.SetExtractSize(size[:3] + [0] * (len(size) - 3))
    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise ScanError(
            f"truncated: the voxels of {path} cannot be read ({_last_line(error)}); copy it again "
            "from where it came"
        ) from error
    return sitk.GetArrayFromImage(image)


def _hu(path: Path, reader: Any) -> tuple[Any, bool]:
    x, y, z = reader.GetSize()[:3]
    # Wide numbers are brought to int16 a part at a time, else they alone are 2 to 4 volumes.
    import SimpleITK as sitk  # noqa: N813

    narrow = {sitk.sitkInt16, sitk.sitkUInt16, sitk.sitkInt8, sitk.sitkUInt8}
    if reader.GetPixelID() in narrow:
        array = _voxels(path, reader)
        _check_range(path, array)
        return array.astype(np.int16, copy=False), False
    hu = np.empty((z, y, x), np.int16)
    rounded = False
    height = max(-(-z // _WIDE_SLABS), 1)
    for first in range(0, z, height):
        slab = _voxels(path, reader, first, min(height, z - first))
        _check_range(path, slab)
        part = hu[first : first + height]
        np.rint(slab, out=part, casting="unsafe")
        rounded = rounded or bool((np.abs(slab - part) > 1e-3).any())
    return hu, rounded


def _check_range(path: Path, array: Any) -> None:
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ScanError(
            f"hu-range: {path} holds values that are not numbers; replace them by the HU of "
            "padding, e.g. -2048"
        )
    if low < -32768 or high > 32767:
        raise ScanError(
            f"hu-range: {path} holds values from {low:g} to {high:g}, which no CT has in HU"
        )


def _unoriented(reader: Any) -> bool:
    keys = ("qform_code", "sform_code")
    if not all(reader.HasMetaDataKey(key) for key in keys):
        return False
    return all(reader.GetMetaData(key).strip() in {"0", ""} for key in keys)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
