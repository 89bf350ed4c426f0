"""Planes of a CT: one for each classic slice or enhanced frame, with what its HU and place need."""

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungseg.core.errors import ScanError
from lungseg.io.dicom import header as dh
from lungseg.io.dicom.acquisitions import acquisition_of
from lungseg.io.dicom.header import Header

_GRAY = {"", "MONOCHROME1", "MONOCHROME2"}
# RescaleType of HU, as the standard and as people write it.
_HU = {"", "HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS"}
# What may stand behind the pixels: an element has an even length, and some writers pad to 16.
_MOST_BEHIND = 16


@dataclass(frozen=True, kw_only=True)
class HuRules:
    """What is accepted of the headers that HU rest on.

    Attributes
    ----------
    accept_missing_rescale
        Take stored values for HU where a file has no slope and intercept.
    accept_rescale_type
        Take rescaled values for HU where RescaleType is another unit.
    accept_rescale_outliers
        Take slope and intercept of each slice as they are stated, however they fit the others'.
    join_acquisitions
        Take acquisitions that overlap for one.
    """

    accept_missing_rescale: bool = False
    accept_rescale_type: bool = False
    accept_rescale_outliers: bool = False
    join_acquisitions: bool = False


@dataclass(frozen=True, slots=True)
class Plane:
    """One slice that can be read: its place, its matrix, and how its numbers become HU.

    Attributes
    ----------
    path, frame
        The file, and the frame in it from 0.
    position_xyz_mm
        World position of the centre of the first pixel.
    axes_xyz
        Direction in which the column index grows, then that of the row index.
    spacing_yx_mm
        Distance of rows, then of columns.
    rows, columns
        Size of the matrix.
    slope, intercept
        HU = slope * stored value + intercept.
    bits_allocated, bits_stored, signed
        Form of the stored values.
    syntax
        Transfer syntax UID.
    at
        Offset in the file of plain pixels; -1 if a decoder is needed.
    overlay_bits
        True if the bits above the stored ones hold an overlay.
    padding
        Stored values that are padding by the header: lowest and highest of each range.
    acquisition
        What tells its acquisition from others of the series.
    """

    path: Path
    frame: int
    position_xyz_mm: tuple[float, ...]
    axes_xyz: tuple[float, ...]
    spacing_yx_mm: tuple[float, ...]
    rows: int
    columns: int
    slope: float
    intercept: float
    bits_allocated: int
    bits_stored: int
    signed: bool
    syntax: str
    at: int
    overlay_bits: bool = False
    padding: tuple[tuple[int, int], ...] = ()
    acquisition: str = ""

    @property
    def name(self) -> str:
        """The file, and the frame where it is not the first."""
        return f"{self.path.name} frame {self.frame + 1}" if self.frame else self.path.name


def planes_of(header: Header, rules: HuRules | None = None) -> list[Plane]:
    """Planes of one file, in the order it keeps them.

    Parameters
    ----------
    header
        The file's header.
    rules
        What is accepted; None: nothing that is uncertain.

    Raises
    ------
    ScanError
        If anything that place or HU rest on is missing or impossible.
    """
    rules = rules or HuRules()
    _check_form(header)
    if dh.FRAME_GROUPS in header.values:
        return _enhanced(header, rules)
    if header.frames > 1:
        raise ScanError(
            f"frame-positions: {header.path} holds {header.frames} frames and no position for "
            "each; export it as single slices or as enhanced CT"
        )
    numbers = header.numbers
    _check_unit(header, header.text(dh.RESCALE_TYPE), rules)
    slope, intercept = numbers(dh.SLOPE, 1), numbers(dh.INTERCEPT, 1)
    return [
        _plane(
            header,
            0,
            numbers(dh.POSITION, 3),
            numbers(dh.ORIENTATION, 6),
            numbers(dh.PIXEL_SPACING, 2),
            _rescale(header, slope, intercept, rules.accept_missing_rescale),
        )
    ]


def _check_form(header: Header) -> None:
    samples = header.whole(dh.SAMPLES, 1)
    if samples != 1:
        raise ScanError(
            f"samples: {header.path} has {samples} values a pixel "
            f"({header.text(dh.PHOTOMETRIC) or 'colour'}); a CT has one: it is a picture, "
            "leave it out"
        )
    photometric = header.text(dh.PHOTOMETRIC)
    if photometric not in _GRAY:
        raise ScanError(
            f"photometric: {header.path} has PhotometricInterpretation {photometric!r}; values of "
            "HU are MONOCHROME2: it is a picture with a palette, or its header is damaged"
        )
    if not header.has_pixels:
        raise ScanError(
            f"truncated: {header.path} ends before its pixels; copy it again from where it came, "
            "or take it out of the series"
        )
    allocated = header.whole(dh.BITS_ALLOCATED)
    stored = header.whole(dh.BITS_STORED, allocated)
    if allocated not in {8, 16} or not 1 <= stored <= allocated:
        raise ScanError(
            f"bits: {header.path} keeps {stored} of {allocated} bits a pixel; "
            "CT is read from 8 or 16 allocated bits"
        )
    needed = {dh.BITS_STORED: "BitsStored", dh.SIGNED: "PixelRepresentation"}
    absent = [name for tag, name in needed.items() if not header.values.get(tag)]
    if absent and header.pixel_bytes < 0:
        raise ScanError(
            f"bits: {header.path} states no {' and no '.join(absent)}, without which its "
            "compressed pixels mean nothing; the file's header is damaged"
        )
    if header.whole(dh.SIGNED, 0) not in {0, 1}:
        raise ScanError(
            f"bits: {header.path} has PixelRepresentation {header.whole(dh.SIGNED)}, not 0 or 1; "
            "the file's header is damaged"
        )
    if not (header.whole(dh.ROWS) and header.whole(dh.COLUMNS)):
        raise ScanError(f"matrix: {header.path} has no rows or no columns; the file is damaged")


def _check_unit(header: Header, unit: str, rules: HuRules) -> None:
    if unit.upper() not in _HU and not rules.accept_rescale_type:
        raise ScanError(
            f"rescale-type: {header.path} has values in {unit!r} by its RescaleType, not in HU: a "
            "spectral map, or a unit that was left unspecified (US)",
            setting="accept_rescale_type=true if they are HU all the same",
        )


def _rescale(
    header: Header,
    slope: tuple[float, ...] | None,
    intercept: tuple[float, ...] | None,
    accept_missing: bool,
) -> tuple[float, float]:
    if slope is None or intercept is None:
        if not accept_missing:
            raise ScanError(
                f"rescale: {header.path} states no RescaleSlope and RescaleIntercept, so its HU "
                "are unknown",
                setting="accept_missing_rescale=true if its stored values are HU already",
            )
        return (slope or (1.0,))[0], (intercept or (0.0,))[0]
    if not (math.isfinite(slope[0]) and math.isfinite(intercept[0]) and slope[0] != 0):
        raise ScanError(
            f"rescale: {header.path} has slope {slope[0]:g} and intercept {intercept[0]:g}; "
            "HU cannot be computed from them"
        )
    return slope[0], intercept[0]


def _plane(  # noqa: PLR0913, PLR0917 - the parts come from different places in the two forms
    header: Header,
    frame: int,
    position: tuple[float, ...] | None,
    axes: tuple[float, ...] | None,
    spacing: tuple[float, ...] | None,
    rescale: tuple[float, float],
) -> Plane:
    where = f"{header.path} frame {frame + 1}" if frame else str(header.path)
    if position is None or axes is None or spacing is None:
        names = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
        missing = [
            name
            for name, value in zip(names, (position, axes, spacing), strict=True)
            if value is None
        ]
        raise ScanError(
            f"position: {where} has no {', no '.join(missing)}; without it the place "
            "of the slice is unknown"
        )
    if not all(math.isfinite(value) for value in (*position, *axes, *spacing)):
        raise ScanError(f"position: {where} has a position or spacing that is not a number")
    if min(spacing) <= 0:
        raise ScanError(f"position: {where} has PixelSpacing {spacing}; both must be above 0 mm")
    rows, columns = header.whole(dh.ROWS), header.whole(dh.COLUMNS)
    allocated = header.whole(dh.BITS_ALLOCATED)
    size = rows * columns * allocated // 8
    _check_length(header, where, size, frame)
    at = header.pixels_at
    return Plane(
        path=header.path,
        frame=frame,
        position_xyz_mm=position,
        axes_xyz=axes,
        spacing_yx_mm=spacing,
        rows=rows,
        columns=columns,
        slope=rescale[0],
        intercept=rescale[1],
        bits_allocated=allocated,
        bits_stored=header.whole(dh.BITS_STORED, allocated),
        signed=header.whole(dh.SIGNED, 0) == 1,
        syntax=header.syntax,
        at=at + frame * size if at >= 0 else -1,
        overlay_bits=header.overlay_bits,
        padding=_padding(header),
        acquisition=acquisition_of(header),
    )


def _check_length(header: Header, where: str, size: int, frame: int) -> None:
    # What follows the pixel element in the file would else be read as pixels; and a pixel element
    # that is too long shows that rows or columns are wrong.
    length, frames = header.pixel_bytes, header.frames
    if length < 0:
        return
    if length < (frame + 1) * size:
        raise ScanError(
            f"truncated: {where} needs {(frame + 1) * size} bytes of pixels, and the pixel "
            f"element has {length}; copy the file again from where it came, or take it out of "
            "the series"
        )
    # Rows or columns that are wrong by one are off by a column or a row of pixels at least.
    shorter = min(header.whole(dh.ROWS), header.whole(dh.COLUMNS))
    if length > frames * size + min(_MOST_BEHIND, max(shorter - 1, 1)):
        many = f" in {frames} frames" if frames > 1 else ""
        raise ScanError(
            f"matrix: {where} has {length} bytes of pixels, and {header.whole(dh.ROWS)} rows of "
            f"{header.whole(dh.COLUMNS)} columns{many} need {frames * size}; Rows, Columns or "
            "BitsAllocated are wrong: export the series again"
        )


def _padding(header: Header) -> tuple[tuple[int, int], ...]:
    # PS3.3, C.7.5.1.1.2: one value, or all between it and the limit, whichever is the larger.
    values, limits = header.stored(dh.PADDING), header.stored(dh.PADDING_LIMIT)
    if values and limits:
        return ((min(values[0], limits[0]), max(values[0], limits[0])),)
    return tuple((value, value) for value in values)


def _enhanced(header: Header, rules: HuRules) -> list[Plane]:
    # PS3.3, C.7.6.16: each property is in the frame's own group, or in the one all share; files
    # made of classic slices keep some at the top.
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(header.path, stop_before_pixels=True, force=True)
            frames = list(dataset.PerFrameFunctionalGroupsSequence)
            shared = (dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
            parts = [_frame_parts(frame, shared, dataset) for frame in frames]
            units = {_frame_unit(frame, shared, dataset) for frame in frames}
    except Exception as error:  # a damaged file makes pydicom raise nearly anything
        raise ScanError(
            f"frame-positions: the groups of {header.path}'s frames cannot be read ({error}); "
            "the file is damaged, or is not an enhanced CT"
        ) from error
    if len(parts) != header.frames:
        raise ScanError(
            f"frame-positions: {header.path} says {header.frames} frames and describes "
            f"{len(parts)}; the file is damaged"
        )
    for unit in sorted(units):
        _check_unit(header, unit, rules)
    planes = []
    for k, (position, axes, spacing, slope, intercept) in enumerate(parts):
        rescale = _rescale(header, slope, intercept, rules.accept_missing_rescale)
        planes.append(_plane(header, k, position, axes, spacing, rescale))
    return planes


def _frame_unit(frame: Any, shared: Any, top: Any) -> str:
    for group in (frame, shared):
        items = group.get("PixelValueTransformationSequence")
        if items and items[0].get("RescaleType"):
            return str(items[0].RescaleType)
    return str(top.get("RescaleType") or "")


def _frame_parts(frame: Any, shared: Any, top: Any) -> list[tuple[float, ...] | None]:
    wanted = (
        ("PlanePositionSequence", "ImagePositionPatient", 3),
        ("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        ("PixelMeasuresSequence", "PixelSpacing", 2),
        ("PixelValueTransformationSequence", "RescaleSlope", 1),
        ("PixelValueTransformationSequence", "RescaleIntercept", 1),
    )
    parts: list[tuple[float, ...] | None] = []
    for sequence, keyword, count in wanted:
        value = None
        for group in (frame, shared):
            items = group.get(sequence)
            if items and value is None:
                value = items[0].get(keyword)
        value = top.get(keyword) if value is None else value
        if value is None:
            parts.append(None)
            continue
        numbers = tuple(float(v) for v in ([value] if count == 1 else value))
        parts.append(numbers if len(numbers) == count else None)
    return parts
