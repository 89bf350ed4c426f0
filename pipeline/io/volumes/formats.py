"""MetaImage, NIfTI and NRRD, read and written by SimpleITK, after their headers were checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError, ScanError
from lungseg.io.volumes.headers import SUFFIXES, Checked, check_header
from lungseg.io.volumes.voxels import read_voxels, voxels_of
from lungseg.ops.grid.slices import orthonormal, skew_degrees
from lungseg.volume import HU, AnyVolume, Geometry, Volume

# What masks are handed out in: one file each, whose ending tells how to read it.
FORMATS = ("nii.gz", "nrrd", "mha")


@dataclass(frozen=True)
class FormatNotes:
    """What was noticed when a file's voxels became HU.

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


def read_volume(path: Path, angle_tolerance_degrees: float = 0.1) -> AnyVolume:
    """Read a ``.mhd``, ``.mha``, ``.nii``, ``.nii.gz``, ``.nrrd`` or ``.nhdr`` as it is.

    Raises
    ------
    ScanError
        If it is damaged, not 3-D, has more than one value a voxel, or its axes are not at right
        angles.
    """
    reader, checked = _reader(path)
    geometry, _ = _geometry(path, reader, angle_tolerance_degrees)
    voxels = voxels_of(path, checked)
    if voxels is None:
        return Volume(_by_itk(path, reader), geometry)
    array: Any = np.empty(_shape(reader), np.float64 if voxels.is_scaled else voxels.dtype)
    read_voxels(voxels, array.shape, array, lambda part, place: np.copyto(place, part))
    return Volume(array.astype(array.dtype.newbyteorder("="), copy=False), geometry)


def read_hu_file(
    path: Path, angle_tolerance_degrees: float = 0.1
) -> tuple[Volume[HU], FormatNotes]:
    """Read the HU of a CT, int16, and say what was noticed.

    Raises
    ------
    ScanError
        As `read_volume`; or if a value is not a number or does not fit into int16.
    """
    reader, checked = _reader(path)
    geometry, skew = _geometry(path, reader, angle_tolerance_degrees)
    hu, rounded = _hu(path, reader, checked)
    return Volume(hu, geometry), FormatNotes(rounded, skew, _unoriented(reader))


def write_volume(volume: AnyVolume, path: Path) -> None:
    """Write a volume in the format that the suffix of `path` names; bool becomes uint8.

    Raises
    ------
    ConfigError
        If the suffix names no format.
    """
    import SimpleITK as sitk  # noqa: N813

    # In lower case: ITK does not write a.NII, and writes a.MHD under another name.
    if not path.name.endswith(tuple(SUFFIXES)):
        raise ConfigError(
            f"{path.name}: the name tells no format; end it in one of {', '.join(SUFFIXES)}"
        )
    array = volume.array
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    image.SetSpacing(volume.spacing_mm[::-1])
    image.SetOrigin(volume.geometry.origin_xyz_mm)
    image.SetDirection(volume.geometry.direction_xyz)
    sitk.WriteImage(image, str(path), useCompression=True)


def _reader(path: Path) -> tuple[Any, Checked]:
    import SimpleITK as sitk  # noqa: N813

    if not path.is_file():
        raise ScanError(f"unreadable: {path} is not there")
    checked = check_header(path)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise ScanError(
            f"header: {path} cannot be read ({_last_line(error)}); it is damaged, or its "
            "directions are not at right angles"
        ) from error
    size = reader.GetSize()
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
    return reader, checked


def _geometry(path: Path, reader: Any, angle_tolerance_degrees: float) -> tuple[Geometry, float]:
    direction = np.asarray(reader.GetDirection()).reshape(3, 3)
    skew = skew_degrees(direction)
    if not skew <= angle_tolerance_degrees:
        raise ScanError(
            f"orientation: the axes of {path} are {skew:.2f} degrees off right angles; "
            f"at most {angle_tolerance_degrees:g} are allowed: resample it to an orthogonal grid "
            "first",
            setting="angle_tolerance_degrees higher to accept it",
        )
    x, y, z = reader.GetSpacing()
    if not min(x, y, z) > 0:
        raise ScanError(f"spacing: {path} has spacing {(z, y, x)} mm; each must be above 0")
    geometry = Geometry((z, y, x), tuple(reader.GetOrigin()), tuple(orthonormal(direction).ravel()))
    return geometry, skew


def _shape(reader: Any) -> tuple[int, int, int]:
    x, y, z = reader.GetSize()
    return z, y, x


def _by_itk(path: Path, reader: Any) -> Any:
    # Voxels of the rare forms that are not read here.
    import SimpleITK as sitk  # noqa: N813

    try:
        image = reader.Execute()
    except RuntimeError as error:
        raise ScanError(
            f"truncated: the voxels of {path} cannot be read ({_last_line(error)}); copy it again "
            "from where it came"
        ) from error
    return sitk.GetArrayFromImage(image)


def _hu(path: Path, reader: Any, checked: Checked) -> tuple[Any, bool]:
    hu = np.empty(_shape(reader), np.int16)
    rounded = False

    def take(part: Any, place: Any) -> None:
        nonlocal rounded
        _check_range(path, part)
        if part.dtype.kind == "f":
            whole = np.rint(part)
            rounded = rounded or bool((np.abs(part - whole) > 1e-3).any())
            part = whole
        np.copyto(place, part, casting="unsafe")

    voxels = voxels_of(path, checked)
    if voxels is None:
        take(_by_itk(path, reader), hu)
    else:
        read_voxels(voxels, hu.shape, hu, take)
    return hu, rounded


def _check_range(path: Path, array: Any) -> None:
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ScanError(
            f"hu-range: {path} holds values that are not numbers; replace them by the HU of "
            "padding, e.g. -2048"
        )
    limits = np.iinfo(np.int16)
    if low < limits.min or high > limits.max:
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
