"""A DICOM series to a stack of slices in HU, in order along their normal, and where they lie."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.core.limits import check_memory
from lungseg.io.dicom import header as dh
from lungseg.io.dicom.copies import one_of_each, readable_planes
from lungseg.io.dicom.pixels import read_plane
from lungseg.io.dicom.planes import HuRules, Plane
from lungseg.io.dicom.rescales import check_rescales
from lungseg.ops.grid.acquisitions import overlapping_by
from lungseg.ops.grid.rounded import Rounding, rounding_of
from lungseg.ops.grid.slices import (
    Axes,
    SliceRules,
    StackGeometry,
    axes_of,
    same_places,
    stack_geometry_of,
)
from lungseg.volume import FloatArray, HuArray


@dataclass(frozen=True, eq=False)
class Series:
    """HU of one series on the files' own grid, and what was noticed on the way.

    Attributes
    ----------
    array
        ``(z, y, x) int16`` HU, slices ascending along the normal.
    stack_geometry
        Where they lie along and across the normal.
    axes
        Directions of columns, rows and slices.
    origin_xyz_mm
        World position of the first pixel of the first slice.
    spacing_yx_mm
        Distance of rows, then of columns.
    manufacturer
        Manufacturer of the first file.
    duplicates
        Slices left out because an equal one lies at the same place.
    broken
        What is wrong with each file that is left out because an intact copy is there.
    rounded
        True if slope and intercept gave fractions, rounded to the nearest HU.
    mended
        Number of slices whose padding lay outside what their header allows.
    lossy
        Number of files whose LossyImageCompression is 01.
    rescale_type
        RescaleType of the files where it is not HU, several separated by commas.
    """

    array: HuArray
    stack_geometry: StackGeometry
    axes: Axes
    origin_xyz_mm: FloatArray
    spacing_yx_mm: tuple[float, float]
    manufacturer: str
    duplicates: int
    broken: tuple[str, ...]
    rounded: bool
    mended: int
    lossy: int
    rescale_type: str


def read_series(
    files: Sequence[Path], rules: SliceRules, hu_rules: HuRules | None = None
) -> Series:
    """Read one series.

    Parameters
    ----------
    files
        All files of the series, classic or enhanced, in any order.
    rules
        What is noise and what is accepted of the slices' places.
    hu_rules
        What is accepted of the headers that HU rest on; None: nothing that is uncertain.

    Raises
    ------
    ScanError
        If a file cannot be read, or the slices do not make a volume of known geometry.
    """
    hu_rules = hu_rules or HuRules()
    headers = [_header(path) for path in files]
    found = readable_planes(headers, hu_rules)
    headers, planes = found.headers, found.planes
    _check_alike(headers, planes)
    axes = axes_of([plane.axes_xyz for plane in planes], rules)
    coordinates = axes.along([plane.position_xyz_mm for plane in planes])
    if not hu_rules.join_acquisitions:
        _check_acquisitions(planes, coordinates)
    groups = same_places(coordinates, rules)
    first, duplicates = one_of_each(found, coordinates, groups, rules)
    stack_geometry = stack_geometry_of(
        coordinates[first], rules, _rounding(headers, [planes[i] for i in first], axes)
    )
    shape = len(first), planes[0].rows, planes[0].columns
    check_memory(2 * math.prod(shape) + 8 * shape[1] * shape[2], _size_of(files[0], shape))
    array = np.empty(shape, np.int16)
    notes = [read_plane(planes[i], array[k]) for k, i in enumerate(first)]
    if not hu_rules.accept_rescale_outliers:
        check_rescales([planes[i] for i in first], array)
    y, x = planes[0].spacing_yx_mm
    # Of rounded positions the first is off as well.
    moved = stack_geometry.z_mm[0] - coordinates[first[0], 2]
    origin = np.asarray(planes[first[0]].position_xyz_mm) + moved * axes.matrix_xyz[:, 2]
    units = {header.text(dh.RESCALE_TYPE) for header in headers} - {"", "HU"}
    return Series(
        array=array,
        stack_geometry=stack_geometry,
        axes=axes,
        origin_xyz_mm=origin,
        spacing_yx_mm=(y, x),
        manufacturer=headers[0].words(dh.MANUFACTURER),
        duplicates=duplicates,
        broken=tuple(found.broken),
        lossy=sum(header.text(dh.LOSSY) == "01" for header in headers),
        rescale_type=",".join(sorted(units)),
        rounded=any(note.rounded for note in notes),
        mended=sum(note.mended for note in notes),
    )


def _header(path: Path) -> dh.Header:
    try:
        return dh.read_header(path)
    except dh.NotDicomError as error:
        raise ScanError(
            f"truncated: {path} is not a DICOM file any more; it was when the series was "
            "found: copy it again from where it came"
        ) from error
    except OSError as error:
        raise ScanError(f"unreadable: {path}: {error.strerror or error}") from error


def _size_of(path: Path, shape: tuple[int, int, int]) -> str:
    return f"the series of {path.name} with {' x '.join(map(str, shape[::-1]))} voxels"


def _rounding(headers: Sequence[dh.Header], planes: Sequence[Plane], axes: Axes) -> Rounding:
    stated = []
    for tag in (dh.STEP, dh.THICKNESS):
        values = {header.text(tag) for header in headers}
        with contextlib.suppress(ValueError):  # absent, or not alike: nothing is stated
            stated += [float(value) for value in values] if len(values) == 1 else []
    positions = np.array([plane.position_xyz_mm for plane in planes])
    return rounding_of(positions, axes.matrix_xyz[:, 2], stated)


def _check_acquisitions(planes: Sequence[Plane], coordinates: FloatArray) -> None:
    kind = overlapping_by([plane.acquisition for plane in planes], coordinates[:, 2])
    if kind:
        raise ScanError(
            f"acquisitions: the series holds groups of slices of different {kind} that overlap "
            f"along the normal ({len(planes)} slices, {coordinates[:, 2].min():.1f} to "
            f"{coordinates[:, 2].max():.1f} mm): breath-holds, phases or kernels, which mixed are "
            "no volume",
            setting=(
                "acquisitions=split to make a scan of each",
                "acquisitions=join to take them for one",
            ),
        )


def _check_alike(headers: Sequence[dh.Header], planes: Sequence[Plane]) -> None:
    patients = sorted({header.words(dh.PATIENT_ID) for header in headers} - {""})
    if len(patients) > 1:
        raise ScanError(
            f"patients: the files of one series have {len(patients)} different PatientIDs; a scan "
            "is of one patient: export the series again, or correct the ids"
        )
    first = planes[0]
    for plane in planes:
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise ScanError(
                f"matrix: {plane.path} is {plane.rows} x {plane.columns} and {first.path.name} "
                f"{first.rows} x {first.columns}; slices of one volume have one size"
            )
        if not np.allclose(plane.spacing_yx_mm, first.spacing_yx_mm, rtol=1e-4, atol=0):
            raise ScanError(
                f"pixel-spacing: {plane.path} has {plane.spacing_yx_mm} mm and {first.path.name} "
                f"{first.spacing_yx_mm} mm; slices of one volume have one spacing"
            )
