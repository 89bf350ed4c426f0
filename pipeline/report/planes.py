"""Planes of a volume for a page: sheets of many slices as WebP, and outlines as SVG paths.

A sheet holds the slices of a plane side by side, in greys that stand for HU on a scale that is
finer in soft tissue than in lung (`HU_KNOTS`); the page shows any window of it by a filter,
without another picture. An outline is a path per slice, along the edges of pixels.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import HU, AnyVolume, MaskArray, Volume

# HU and the greys that stand for them, between which greys run straight: lung takes 96 greys, soft
# tissue 120, air outside and bone what is left.
HU_KNOTS = (-1200.0, -1000.0, -300.0, -200.0, 300.0, 1000.0)
GREY_KNOTS = (0.0, 16.0, 106.0, 120.0, 240.0, 255.0)
# Slices of a sheet: few enough to be loaded in a moment, many enough to be few files.
ACROSS, DOWN = 4, 4
PER_SHEET = ACROSS * DOWN
# WebP compresses squares of this side: a slice that ends within one would bleed into the next.
_SQUARE = 16
_QUALITY, _EFFORT = 55, 2
# A line may leave the pixels' edges by this much, pixels: stairs become slopes.
_TOLERANCE_PX = 0.4
_PASSES, _FEWEST = 10, 24

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Axis:
    """One of the three planes: which axis its slices run along, how many of them are shown.

    Attributes
    ----------
    name
        ``axial``, ``coronal`` or ``sagittal``.
    along
        The axis of the array that the slider runs along.
    every
        One slice in so many is shown.
    """

    name: str
    along: int
    every: int


def axes_of(spacing_mm: Sequence[float], every_mm: Sequence[float] = (1.0, 2.0, 2.0)) -> list[Axis]:
    """The three planes, with a slice every so many mm, or every slice where they are further apart.

    Examples
    --------
    >>> [(axis.name, axis.every) for axis in axes_of((2.5, 0.7, 0.7))]
    [('axial', 1), ('coronal', 3), ('sagittal', 3)]
    """
    names = ("axial", "coronal", "sagittal")
    return [
        Axis(name, along, max(1, round(every_mm[along] / spacing_mm[along])))
        for along, name in enumerate(names)
    ]


def slices_of(array: npt.NDArray[Any], axis: Axis) -> Iterator[npt.NDArray[Any]]:
    """The slices of a plane as they are looked at: rows run to the feet or to the back.

    Examples
    --------
    >>> volume = np.arange(8).reshape(2, 2, 2)
    >>> [s.tolist() for s in slices_of(volume, Axis("coronal", 1, 1))]
    [[[4, 5], [0, 1]], [[6, 7], [2, 3]]]
    """
    for plane in np.moveaxis(array, axis.along, 0)[:: axis.every]:
        # The first row of a coronal or sagittal plane is the lowest slice: it goes to the bottom.
        yield plane if axis.along == 0 else plane[::-1]


def greys(hu: npt.NDArray[HU]) -> Picture:
    """HU as greys on the sheets' scale.

    Examples
    --------
    >>> greys(np.array([-3000, -1000, -300, 50, 300, 4000], np.int16)).tolist()
    [0, 16, 106, 180, 240, 255]
    """
    table = np.rint(np.interp(np.arange(-1200, 1001), HU_KNOTS, GREY_KNOTS)).astype(np.uint8)
    return np.asarray(table[np.clip(hu, -1200, 1000) + 1200])


def window_table(low_hu: float, high_hu: float, steps: int = 64) -> list[float]:
    """A filter's table that shows a sheet's greys from black at `low_hu` to white at `high_hu`.

    Entry *k* is the brightness, 0 to 1, of grey ``k / (steps - 1)``; browsers go straight between.

    Examples
    --------
    >>> window_table(-1000, 300, 4)
    [0.0, 0.413, 0.776, 1.0]
    """
    hu = np.interp(np.linspace(0, 255, steps), GREY_KNOTS, HU_KNOTS)
    shown = ((hu - low_hu) / (high_hu - low_hu)).clip(0, 1)
    return [round(float(v), 3) for v in shown]


def sheets_of(ct: Volume[HU], axis: Axis) -> Iterator[bytes]:
    """The sheets of a plane, each a WebP of up to `PER_SHEET` slices, row by row."""
    from PIL import Image

    slices = list(slices_of(greys(ct.array), axis))
    rows, columns = (-(-n // _SQUARE) * _SQUARE for n in slices[0].shape)
    for first in range(0, len(slices), PER_SHEET):
        some = slices[first : first + PER_SHEET]
        sheet = np.zeros((rows * -(-len(some) // ACROSS), columns * ACROSS), np.uint8)
        for k, plane in enumerate(some):
            y, x = rows * (k // ACROSS), columns * (k % ACROSS)
            # Filled up with its own edge: a black one would bleed into the slice.
            room = [(0, full - n) for full, n in zip((rows, columns), plane.shape, strict=True)]
            sheet[y : y + rows, x : x + columns] = np.pad(plane, room, mode="edge")
        file = io.BytesIO()
        Image.fromarray(sheet).save(file, "WEBP", quality=_QUALITY, method=_EFFORT)
        yield file.getvalue()


def tile_px(shape: Sequence[int], axis: Axis) -> tuple[int, int]:
    """Rows and columns that a slice takes up on a sheet.

    Examples
    --------
    >>> tile_px((10, 200, 300), Axis("axial", 0, 1))
    (208, 304)
    """
    rows, columns = (n for k, n in enumerate(shape) if k != axis.along)
    return -(-rows // _SQUARE) * _SQUARE, -(-columns // _SQUARE) * _SQUARE


def paths_of(labels: AnyVolume, axis: Axis, low: int = 1, high: int | None = None) -> list[str]:
    """An SVG path for each slice of a plane around the voxels with a value in ``low .. high``.

    Its unit is the pixel; a slice without such a voxel has an empty path.
    """
    inside = labels.array >= low
    if high is not None:
        inside &= labels.array <= high
    return [outline(mask) for mask in slices_of(inside, axis)]


def outline(mask: MaskArray) -> str:
    """An SVG path around a mask, in pixels: ``(0, 0)`` is the corner of its first.

    Examples
    --------
    >>> outline(np.ones((2, 3), bool))
    'M2.5 2l-1 0-1 0-.5-.5 0-1 .5-.5 1 0 1 0 .5 .5 0 1z'
    >>> outline(np.zeros((2, 3), bool))
    ''
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return ""
    from skimage.measure import find_contours

    y0, x0 = int(rows[0]), int(columns[0])
    part = np.pad(mask[y0 : rows[-1] + 1, x0 : columns[-1] + 1], 1).astype(np.float32)
    # Contours run through pixels' centres; one pixel of padding stands before the first.
    return "".join(
        _path(fewer_points(ring[:-1] - 0.5 + (y0, x0))) for ring in find_contours(part, 0.5)
    )


def fewer_points(ring: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A closed ring ``(points, 2)`` without the points that its line hardly needs.

    In each pass every second point goes if the line between its neighbours passes close by; much
    faster than to look for the fewest points, and stairs become slopes all the same.

    Examples
    --------
    >>> side = np.linspace(0, 16, 17)[:-1]
    >>> edge = np.column_stack([side, np.zeros(16)])
    >>> half = np.concatenate([edge, edge[:, ::-1] + (16, 0)])
    >>> square = np.concatenate([half, 16 - half])
    >>> len(square), len(fewer_points(square))
    (64, 20)
    """
    for number in range(_PASSES):
        n = len(ring)
        if n < _FEWEST:
            break
        before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
        way, off = after - before, ring - before
        length = np.hypot(way[:, 0], way[:, 1])
        away = np.abs(way[:, 0] * off[:, 1] - way[:, 1] * off[:, 0]) / np.maximum(length, 1e-9)
        # The last of an odd number stays: its neighbour, the first, might be the one that goes.
        turn = (np.arange(n) % 2 == (number + 1) % 2) & (np.arange(n) < n - n % 2)
        ring = ring[~(turn & (away <= _TOLERANCE_PX))]
    return ring


def _path(points_yx: npt.NDArray[np.float64]) -> str:
    tenths = np.rint(points_yx[:, ::-1] * 10).astype(int)
    start, steps = tenths[0].tolist(), np.diff(tenths, axis=0).tolist()
    told = [f"M{_tenths(start[0])} {_tenths(start[1])}l"]
    for x, y in steps:
        told.append(f"{_tenths(x)} {_tenths(y)} ")
    return "".join(told).strip().replace(" -", "-") + "z"


def _tenths(value: int) -> str:
    whole, rest = divmod(abs(value), 10)
    sign = "-" if value < 0 else ""
    return f"{sign}{whole}" if not rest else f"{sign}{whole or ''}.{rest}"
