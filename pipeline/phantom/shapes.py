"""Soft shapes on a grid: how much of each voxel a shape fills, from 0 to 1.

A shape is an *occupancy*: float32, 1 inside, 0 outside, a ramp as wide as a voxel across its
surface, so that edges carry the partial volume of a real scan. Occupancies combine as solids
do: union by maximum, intersection by minimum, complement by 1 - occupancy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32, Box, FloatArray, Geometry, IntArray, Shape, Triple

# Tubes whose boxes hold at most so many voxels are drawn together, so many voxels at a time.
SMALL_TUBE, TOGETHER = 4096, 100_000
SHARPEST_MM = 0.9  # width of an edge on the finest grid: the blur of the scanner itself


def edge(depth_mm: F32, width_mm: float | F32) -> F32:
    """Occupancy 0.5 at depth 0, rising to 1 half a width inside (depth is positive inside)."""
    filled = np.divide(depth_mm, width_mm, dtype=np.float32)
    filled += np.float32(0.5)
    return np.clip(filled, 0.0, 1.0, out=filled)


def profile(at: F32, knots: Sequence[float], values: Sequence[float]) -> F32:
    """Piecewise linear function of one coordinate."""
    return np.interp(at, knots, values).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Frame:
    """The body coordinates of a grid's voxels, mm: x to the left, y to the back, z to the head.

    The three coordinate arrays broadcast to `shape`; on a grid along the body's axes each of
    them varies along one axis only, which is what makes whole chests cheap.
    """

    shape: Shape
    x: F32
    y: F32
    z: F32
    matrix: FloatArray
    origin: FloatArray

    @classmethod
    def of(
        cls,
        shape: Shape,
        geometry: Geometry,
        centre_xyz_mm: Triple = (0.0, 0.0, 0.0),
        scale_xyz: Triple = (1.0, 1.0, 1.0),
    ) -> "Frame":
        """Frame of a grid in a body that lies at `centre_xyz_mm` and is scaled by `scale_xyz`."""
        scale = np.asarray(scale_xyz)
        matrix = geometry.matrix / scale[:, None]
        origin = (np.asarray(geometry.origin_xyz_mm) - np.asarray(centre_xyz_mm)) / scale
        return cls(shape, *_coordinates(shape, matrix, origin), matrix, origin)

    @property
    def width_xy(self) -> float:
        """Width of an upright edge, mm: the voxel's extent in the axial plane."""
        return max(SHARPEST_MM, float(np.abs(self.matrix[:2]).sum() / 2))

    @property
    def width_z(self) -> float:
        """Width of a level edge, mm: the voxel's extent from foot to head."""
        return max(SHARPEST_MM, float(np.abs(self.matrix[2]).sum()))

    def box(self, low_xyz: npt.ArrayLike, high_xyz: npt.ArrayLike) -> Box | None:
        """Index box that holds the body box from `low_xyz` to `high_xyz`; None if off the grid."""
        corners = np.stack([low_xyz, high_xyz]).astype(float)
        pick = np.indices((2, 2, 2)).reshape(3, 8).T
        points = corners[pick, np.arange(3)] - self.origin
        index = (points @ np.linalg.inv(self.matrix).T)[:, ::-1]
        low = np.maximum(np.floor(index.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 1, self.shape)
        if (low >= high).any():
            return None
        return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])

    def part(self, box: Box) -> tuple[F32, F32, F32]:
        """The coordinates inside an index box."""
        x, y, z = (_part(values, box) for values in (self.x, self.y, self.z))
        return x, y, z

    def blur(self, dx: F32, dy: F32, dz: F32, distance: F32) -> F32:
        """Width of an edge whose normal is ``(dx, dy, dz) / distance``, mm."""
        flat = (dx * dx + dy * dy) * np.float32(self.width_xy**2)
        squared = flat + dz * dz * np.float32(self.width_z**2)
        width = np.sqrt(squared, dtype=np.float32) / np.maximum(distance, np.float32(1e-3))
        return np.maximum(width, np.float32(SHARPEST_MM), out=width)


def _part(values: F32, box: Box) -> F32:
    """The part of an array that broadcasts to the grid."""
    index = tuple(s if n > 1 else slice(None) for s, n in zip(box, values.shape, strict=True))
    return np.asarray(values[index])


def _coordinates(shape: Shape, matrix: FloatArray, origin: FloatArray) -> tuple[F32, F32, F32]:
    index = [
        np.arange(n, dtype=float).reshape([n if a == axis else 1 for a in range(3)])
        for axis, n in enumerate(shape)
    ]
    world = []
    for row, start in zip(matrix, origin, strict=True):
        total = np.full((1, 1, 1), start)
        for k in range(3):
            # Tiny cosines of a nearly straight grid are noise, and would cost a full array.
            if abs(row[k]) > 1e-7:
                total = total + row[k] * index[2 - k]
        world.append(total.astype(np.float32))
    return world[0], world[1], world[2]


def ellipsoid(
    frame: Frame, centre: Triple, radii: Triple, lean_xz: float = 0.0
) -> tuple[Box, F32] | None:
    """Occupancy of an ellipsoid in its box; `lean_xz` shifts x by that much per mm of z."""
    c, r = np.asarray(centre), np.asarray(radii)
    reach = r + np.array([abs(lean_xz) * r[2] + frame.width_xy, frame.width_xy, frame.width_z])
    box = frame.box(c - reach, c + reach)
    if box is None:
        return None
    x, y, z = frame.part(box)
    dz = z - np.float32(c[2])
    u: F32 = np.asarray(
        (x - np.float32(c[0]) - np.float32(lean_xz) * dz) / np.float32(r[0]), np.float32
    )
    v = (y - np.float32(c[1])) / np.float32(r[1])
    w = dz / np.float32(r[2])
    norm: F32 = np.sqrt(u * u + v * v + w * w)
    nx: F32 = np.asarray(u / np.float32(r[0]), np.float32)
    ny, nz = v / np.float32(r[1]), w / np.float32(r[2])
    slope: F32 = np.sqrt(nx * nx + ny * ny + nz * nz, dtype=np.float32)
    slope += np.float32(1e-6)
    depth = (1 - norm) * norm / slope
    return box, edge(depth, frame.blur(nx, ny, nz, slope))


def draw_tubes(frame: Frame, target: F32, tubes: FloatArray) -> None:
    """Unite an occupancy with tapered round-ended tubes, in place.

    A tube thinner than a voxel is drawn about a voxel wide and fainter, so that it keeps its
    volume; this is what small vessels look like in thick slices.

    Parameters
    ----------
    frame
        The grid of `target`.
    target
        Occupancy to draw into.
    tubes
        ``(n, 8)``: start x, y, z, end x, y, z, radius at the start and at the end, mm.
    """
    if len(tubes) == 0:
        return
    low, high = _tube_boxes(frame, tubes)
    extents = high - low
    voxels = np.where((extents > 0).all(axis=1), extents.prod(axis=1), 0)
    for k in np.flatnonzero(voxels > SMALL_TUBE):
        box = tuple(slice(a, b) for a, b in zip(low[k], high[k], strict=True))
        part = target[box]
        filled = _tube(frame, *frame.part((box[0], box[1], box[2])), tubes[k])
        np.maximum(part, filled, out=part)
    small = np.flatnonzero((voxels > 0) & (voxels <= SMALL_TUBE))
    batches = np.cumsum(voxels[small]) // TOGETHER
    for some in np.split(small, np.flatnonzero(np.diff(batches)) + 1):
        _draw_together(frame, target, tubes[some], low[some], extents[some])


def _draw_together(
    frame: Frame, target: F32, tubes: FloatArray, low: IntArray, extents: IntArray
) -> None:
    """Small tubes, the voxels of all their boxes in one row: a call for each costs more."""
    voxels = extents.prod(axis=1)
    tube = np.repeat(np.arange(len(tubes)), voxels)
    within = np.arange(voxels.sum()) - (np.cumsum(voxels) - voxels)[tube]
    _, rows, columns = extents.T
    index = (
        low[tube, 0] + within // (rows * columns)[tube],
        low[tube, 1] + within // columns[tube] % rows[tube],
        low[tube, 2] + within % columns[tube],
    )
    x, y, z = (
        np.broadcast_to(values, frame.shape)[index] for values in (frame.x, frame.y, frame.z)
    )
    # Boxes overlap: a voxel may be met more than once.
    np.maximum.at(target, index, _tube(frame, x, y, z, tubes.T[:, tube]))


def _tube_boxes(frame: Frame, tubes: FloatArray) -> tuple[IntArray, IntArray]:
    start, end = tubes[:, :3], tubes[:, 3:6]
    reach = tubes[:, 6:].max(axis=1)[:, None] + [frame.width_xy, frame.width_xy, frame.width_z]
    half = np.abs(end - start) / 2 + reach
    inverse = np.linalg.inv(frame.matrix)
    middle = (((start + end) / 2 - frame.origin) @ inverse.T)[:, ::-1]
    extent = (half @ np.abs(inverse).T)[:, ::-1]
    low = np.maximum(np.floor(middle - extent).astype(np.int64), 0)
    high = np.minimum(np.ceil(middle + extent).astype(np.int64) + 1, frame.shape)
    return low, high


def _tube(frame: Frame, x: F32, y: F32, z: F32, row: FloatArray) -> F32:
    """Occupancy of a tube, a row of `draw_tubes`; or of one for each voxel, ``(8, n)``."""
    sx, sy, sz, ex, ey, ez, first, last = row.astype(np.float32)
    x, y, z = x - sx, y - sy, z - sz
    ax, ay, az = ex - sx, ey - sy, ez - sz
    along = (x * ax + y * ay + z * az) / np.maximum(ax * ax + ay * ay + az * az, np.float32(1e-6))
    along = np.clip(along, 0.0, 1.0, out=along)
    dx, dy, dz = x - along * ax, y - along * ay, z - along * az
    distance = np.sqrt(dx * dx + dy * dy + dz * dz)
    width = frame.blur(dx, dy, dz, distance)
    true = first + along * (last - first)
    # A disc whose rim is a ramp of this width has the area pi (radius^2 + width^2 / 12).
    rim = width * width / np.float32(12.0)
    drawn = np.maximum(true * true - rim, (np.float32(0.47) * width) ** 2)
    filled = edge(np.sqrt(drawn) - distance, width)
    filled *= np.minimum(true * true / (drawn + rim), np.float32(1.0))
    return filled


def join(target: F32, shape: tuple[Box, F32] | None) -> None:
    """Unite an occupancy with a shape, in place."""
    if shape is not None:
        part = target[shape[0]]
        np.maximum(part, shape[1], out=part)


def paint(ct: F32, shape: tuple[Box, F32] | None, hu: float) -> None:
    """Paint a shape of `hu` over an image, in place."""
    if shape is not None:
        part = ct[shape[0]]
        part += shape[1] * (np.float32(hu) - part)


def cover(ct: F32, filled: F32, hu: float | F32) -> None:
    """Paint an occupancy of the whole grid over an image, in place."""
    step: F32 = np.subtract(np.asarray(hu, np.float32), ct)
    step *= filled
    ct += step


def cover_sparsely(ct: F32, filled: F32, hu: float) -> None:
    """As `cover`, but faster for an occupancy that is 0 almost everywhere."""
    at = np.flatnonzero(filled > 0)
    flat, share = ct.reshape(-1), filled.reshape(-1)[at]
    flat[at] += share * (np.float32(hu) - flat[at])
