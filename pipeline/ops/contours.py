"""What a radiologist drew, as voxels: polygons on slices -> a mask on the scan's own grid.

LIDC's contours run on the first pixels *outside* the nodule (Armato et al. 2011, Med Phys 38:915,
section II.C), so a pixel belongs to the nodule only where it lies strictly inside the polygon. A
contour with ``inclusion = False`` outlines what is not nodule, by the same rule: its own pixels
are not nodule either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from pipeline.volume import FloatArray, Geometry, Mask

IntArray = npt.NDArray[np.int64]
MaskArray = npt.NDArray[Mask]


@dataclass(frozen=True, eq=False)
class Contour:
    """One closed line on one slice.

    Attributes
    ----------
    z_mm
        World z of the slice (the third number of its ImagePositionPatient), mm.
    points_xy
        Vertices ``(n, 2)``: column and row, 0-based, in pixels of the image as stored.
    inclusion
        False for a line around what does not belong to the nodule.
    """

    z_mm: float
    points_xy: IntArray
    inclusion: bool = True


@dataclass(frozen=True, eq=False)
class Reading:
    """One nodule as one radiologist drew it.

    Attributes
    ----------
    key
        Its name in the source, e.g. the annotation's number in the database.
    contours
        Its lines, at least one.
    ratings
        The nine LIDC ratings by name, each 1 to 5 (internalStructure to 4, calcification to 6).
    """

    key: str
    contours: tuple[Contour, ...]
    ratings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Mark:
    """One point on one slice, that a reader set without drawing anything.

    Attributes
    ----------
    kind
        What it marks: ``"nodule < 3 mm"``, ``"non-nodule"`` and so on.
    key
        Its name in the source.
    pixel_xy
        Column and row, 0-based, in pixels of the image as stored.
    z_mm
        World z of the slice, mm.
    """

    kind: str
    key: str
    pixel_xy: tuple[float, float]
    z_mm: float


@dataclass(frozen=True, eq=False)
class Patch:
    """A mask in its bounding box, and where the box lies.

    Attributes
    ----------
    mask
        ``(z, y, x)`` bool.
    first_zyx
        Index of the box's voxel ``[0, 0, 0]`` on the whole grid; may be negative.
    """

    mask: MaskArray
    first_zyx: tuple[int, int, int]

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Slices of the box on the whole grid."""
        z, y, x = (
            slice(first, first + size)
            for first, size in zip(self.first_zyx, self.mask.shape, strict=True)
        )
        return z, y, x


def interior(points_xy: IntArray) -> tuple[MaskArray, MaskArray]:
    """Pixels strictly inside a closed polygon, and those on its line, in its bounding box.

    Parameters
    ----------
    points_xy
        Integer vertices ``(n, 2)``, column and row; the last may repeat the first. Inside is
        where the winding number is not 0, so a line traced twice or crossing itself loses
        nothing.

    Returns
    -------
    inside, line
        ``(rows, columns)`` bool; pixel ``[0, 0]`` is at the smallest row and column of the
        polygon.
    """
    points = np.asarray(points_xy, np.int64)
    points = points - points.min(axis=0)
    columns, rows = points.max(axis=0) + 1
    start, step = points, np.roll(points, -1, axis=0) - points

    # Every edge adds its direction to all pixels right of where it crosses a row; an edge owns
    # its upper end and not its lower one, so no vertex counts twice.
    height = np.abs(step[:, 1])
    edge = np.repeat(np.arange(len(step)), height)
    nth = _counting(height)
    up = np.sign(step[edge, 1])
    offset = np.where(up > 0, nth, -nth - 1)
    row = start[edge, 1] + offset
    column = start[edge, 0] + offset * step[edge, 0] / np.where(up == 0, 1, step[edge, 1])
    winding = np.zeros((rows, columns + 1), np.int64)
    np.add.at(winding, (row, np.floor(column).astype(np.int64) + 1), up)

    line = np.zeros((rows, columns), bool)
    parts = np.gcd(np.abs(step[:, 0]), np.abs(step[:, 1]))
    edge = np.repeat(np.arange(len(step)), parts)
    along = start[edge] + _counting(parts)[:, None] * (step[edge] // parts[edge, None])
    line[along[:, 1], along[:, 0]] = True
    line[start[:, 1], start[:, 0]] = True
    inside = (np.cumsum(winding, axis=1)[:, :columns] != 0) & ~line
    return inside, line


def _counting(counts: IntArray) -> IntArray:
    """``0..n-1`` for each n of `counts`, one after the other."""
    ends = np.cumsum(counts)
    return np.asarray(np.arange(counts.sum()) - np.repeat(ends - counts, counts))


def slice_z_mm(shape: Sequence[int], geometry: Geometry) -> FloatArray:
    """World z of the first pixel of every slice of a grid, mm: DICOM's ImagePositionPatient."""
    index = np.zeros((shape[0], 3))
    index[:, 0] = np.arange(shape[0])
    return np.asarray(geometry.to_world(index)[:, 2])


def on_slices(contours: Sequence[Contour], z_mm: FloatArray) -> tuple[IntArray, npt.NDArray[Mask]]:
    """Nearest slice of each contour, and whether it lies within the stack.

    Parameters
    ----------
    contours
        Lines with their world z.
    z_mm
        World z of the stack's slices, rising or falling.

    Returns
    -------
    slice_index, within
        A contour is within if some slice is no further than half the distance of neighbouring
        slices (1 mm for a single slice); the rest of a rounding error is let pass.
    """
    wanted = np.asarray([contour.z_mm for contour in contours])
    away = np.abs(wanted[:, None] - z_mm[None, :])
    nearest = np.asarray(away.argmin(axis=1))
    step = float(np.median(np.abs(np.diff(z_mm)))) if len(z_mm) > 1 else 2.0
    return nearest, away[np.arange(len(wanted)), nearest] <= step / 2 + 1e-3


def rasterise(reading: Reading, z_mm: FloatArray) -> tuple[Patch | None, int]:
    """The voxels of one reading on the stack it was drawn on.

    Parameters
    ----------
    reading
        Its contours, in pixels of the images as stored.
    z_mm
        World z of the stack's slices.

    Returns
    -------
    patch, outside
        The mask in the box of its contours, None if none of its contours lies within the stack;
        and how many of its contours do not.

    Notes
    -----
    A reading whose lines enclose no pixel at all (strokes one or two pixels wide) is drawn by
    its lines: somebody saw a nodule there, and it must not vanish.
    """
    nearest, within = on_slices(reading.contours, z_mm)
    outside = int((~within).sum())
    kept = [
        (int(k), line)
        for k, line, good in zip(nearest, reading.contours, within, strict=True)
        if good
    ]
    if not kept:
        return None, outside
    points = np.concatenate([line.points_xy for _, line in kept])
    x0, y0 = points.min(axis=0)
    x1, y1 = points.max(axis=0) + 1
    z0 = min(k for k, _ in kept)
    z1 = max(k for k, _ in kept) + 1
    mask, lines, cut = (np.zeros((z1 - z0, y1 - y0, x1 - x0), bool) for _ in range(3))
    for k, contour in kept:
        inside, line = interior(contour.points_xy)
        x, y = contour.points_xy.min(axis=0) - (x0, y0)
        window = (k - z0, slice(y, y + inside.shape[0]), slice(x, x + inside.shape[1]))
        if contour.inclusion:
            mask[window] |= inside
            lines[window] |= line
        else:
            cut[window] |= inside | line
    mask &= ~cut
    return Patch(mask if mask.any() else lines, (z0, int(y0), int(x0))), outside
