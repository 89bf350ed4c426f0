"""A nodule's mask out of a position and a diameter: the closed surface where its edge is.

Cell Magic Wand's idea (T. Walker, Max Planck Florida): unroll the picture around a seed and find
the closed path of strongest edge by dynamic programming. Here it is done in 3-D and in millimetres:
rays leave a seed evenly in all directions, each ray has a cost for every radius at which the nodule
may end, neighbouring rays must end at about the same radius, and messages passed between
neighbours (dynamic programming on a closed net) find the surface of least cost. Several seeds vote.

A ray's cost asks for a fall of HU (the radial gradient) and for nothing darker than half-way to
lung on its way, and leans to the ball of the given size. What lies beyond the edge costs nothing,
so that a nodule may touch a vessel or the wall without following it. Voxels are then ranked by
their distance to the surface and by their own HU, between the smallest and the largest diameter
and within the lungs. Where the diameter is that of the ball of equal volume (LUNA16's is: over LIDC
its ratio to the consensus' own is 0.99, sd 0.04), the best are taken until that volume is met;
else those that lie inside the surface.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from lungseg.ops.grid.morphology import fill, largest
from lungseg.ops.grid.ranking import highest_ranked
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.sizes import ball_mm3
from lungseg.ops.nodules.sphere import ball
from lungseg.volume import (
    F32,
    HU,
    AnyVolume,
    FloatArray,
    Geometry,
    IntArray,
    MaskArray,
    Triple,
    Volume,
)

# Where one diameter is known alone, the mask holds the ball of the one share and ends at the other.
SMALLEST, LARGEST = 0.5, 1.6
# Rays of a seed; radii tried on each; the seeds' distance from the centre, in radii of the ball.
RAYS, RADII, SEED_SHIFT = 300, 28, 0.3
# Blur of the CT before gradients are taken, mm.
BLUR_MM = 0.5
# HU beyond these say nothing on where a nodule ends (air, bone and calcium).
DARKEST, BRIGHTEST = -1000.0, 150.0
# Least difference of a nodule and what is around it, HU; noise alone, blurred, stays below half.
LEAST_CONTRAST = 60.0
# Weights of a ray's cost. A fall of the whole contrast within half a radius is an edge of 1; one
# radius of darkness costs DARK. Radii differ from the ball's by a factor of sd SIZE_SD (log), from
# their neighbours' by NEIGHBOUR_SD radii and never by more than STEEPEST steps. LIDC's own shapes
# have 0.17 and 0.13; wider here, for ground glass and vessels blur a surface more than it bends.
EDGE, DARK, SIZE_SD, NEIGHBOUR_SD, STEEPEST = 3.0, 20.0, 0.3, 0.22, 3
ROUNDS = 12
# A voxel as dark as lung counts as lying this many radii of the ball further outside, one as
# bright as the nodule so much of that further inside: bright may be wall or vessel, too.
BRIGHT_PULL, MOST_BRIGHT = 0.35, 0.6
# The nodule's HU are taken within that share of the ball's radius, the lung's between those.
CORE, SHELL = 0.8, (1.1, 1.6)
# Cost of one radius outside the lungs, and of a radius out of bounds.
OUTSIDE_LUNGS, FORBIDDEN = 30.0, 1e3
# Cells of the table of directions: polar angle, azimuth.
TABLE = (90, 180)
# A lung mask that holds less of the ball has lost the nodule and is no bound.
LEAST_IN_LUNGS = 0.7


@dataclass(frozen=True, eq=False)
class Wanded:
    """A mask, and whether it follows an edge.

    Attributes
    ----------
    patch
        On the CT's grid, which is taken to go on without end: clip it with `clipped`.
    fallback
        Why the mask is a plain ball; empty where an edge was followed.
    """

    patch: Patch
    fallback: str = ""


@dataclass(frozen=True, eq=False)
class _Surroundings:
    """The CT around a position, in a box that may go beyond the grid (its edge goes on)."""

    hu: F32
    blurred: F32
    lungs: MaskArray
    first: IntArray
    geometry: Geometry
    centre: FloatArray
    away_mm: FloatArray


def wand(  # noqa: PLR0913 - a position, three lengths, and where to look
    ct: Volume[HU],
    centre_xyz_mm: Triple,
    min_diameter_mm: float,
    max_diameter_mm: float,
    *,
    diameter_mm: float | None = None,
    lungs: AnyVolume | None = None,
) -> Wanded:
    """Mask that follows a nodule's edge between two diameters; a ball where there is no edge.

    Parameters
    ----------
    ct
        Any spacing and direction.
    centre_xyz_mm
        World position, within the CT.
    min_diameter_mm, max_diameter_mm
        Voxels centred within the ball of the one, and in the lungs, belong to the mask; none
        outside the ball of the other does (but for the voxel at the centre).
    diameter_mm
        Of the ball of equal volume, if known: the mask gets that volume, within what the bounds
        allow. Without it the surface alone decides, starting from the geometric mean of the two.
    lungs
        Mask or labels on the CT's grid, not zero in the lungs. It bounds the mask, unless it lacks
        much of the nodule.

    Returns
    -------
    Wanded
        Never empty; the same for the same arguments.

    Raises
    ------
    ValueError
        If the diameters are not above 0 and in order, the position lies outside the CT, or the lung
        mask is on another grid.

    Examples
    --------
    A ball of 10 mm; its volume, 523.6 mm3, is met:

    >>> ct = np.full((24, 24, 24), -850, HU)
    >>> ct[((np.indices(ct.shape) - 12) ** 2).sum(axis=0) <= 25] = 0
    >>> ct = Volume(ct, Geometry((1.0, 1.0, 1.0)))
    >>> found = wand(ct, (12.0, 12.0, 12.0), 6.0, 14.0, diameter_mm=10.0)
    >>> int(found.patch.mask.sum()), found.fallback
    (524, '')
    """
    size = diameter_mm or float(np.sqrt(max(min_diameter_mm * max_diameter_mm, 0.0)))
    _check(ct, lungs, centre_xyz_mm, (min_diameter_mm, size, max_diameter_mm))
    radius, reach = size / 2, max_diameter_mm / 2
    around = _surroundings(ct, lungs, centre_xyz_mm, radius, reach)
    inside, outside = _levels(around, radius)
    contrast = inside - outside
    if contrast < LEAST_CONTRAST:
        reason = (
            f"no edge: {inside:.0f} HU inside and {outside:.0f} around; the difference is "
            f"{contrast:.0f}, an edge needs {LEAST_CONTRAST:.0f}"
        )
        return Wanded(ball(centre_xyz_mm, size, ct.geometry), reason)

    middle = (inside + outside) / 2
    limits = (min_diameter_mm / 2, radius, reach)
    depth = _depth_mm(around, (around.blurred - middle) / contrast, limits)
    depth += BRIGHT_PULL * radius * np.clip(2 * (around.hu - middle) / contrast, -1.0, MOST_BRIGHT)
    allowed = around.lungs & (around.away_mm <= reach + 1e-6)
    surely = allowed & (around.away_mm <= min_diameter_mm / 2 + 1e-6)
    surely.flat[np.argmin(around.away_mm)] = True
    wanted = None
    if diameter_mm:
        wanted = max(1, round(ball_mm3(diameter_mm) / ct.geometry.voxel_mm3))
    mask = _chosen(depth, allowed, surely, wanted)
    z, y, x = (int(n) for n in around.first)
    return Wanded(Patch(mask, (z, y, x)))


def _check(
    ct: AnyVolume, lungs: AnyVolume | None, centre_xyz_mm: Triple, sizes: Sequence[float]
) -> None:
    least, size, most = sizes
    if not 0 < least <= size <= most < np.inf:
        raise ValueError(
            f"the wand needs 0 < min <= diameter <= max, not {least:g}, {size:g} and {most:g} mm"
        )
    index = ct.geometry.to_index(centre_xyz_mm)
    if not ((index >= -0.5).all() and (index <= np.asarray(ct.shape) - 0.5).all()):
        raise ValueError(f"position {centre_xyz_mm} mm lies outside the CT of shape {ct.shape}")
    if lungs is not None and lungs.shape != ct.shape:
        raise ValueError(f"lungs of shape {lungs.shape} are not on the CT's grid, {ct.shape}")


def _surroundings(
    ct: Volume[HU], lungs: AnyVolume | None, centre_xyz_mm: Triple, radius: float, reach: float
) -> _Surroundings:
    from scipy.ndimage import gaussian_filter

    spacing = np.asarray(ct.spacing_mm)
    centre = ct.geometry.to_index(centre_xyz_mm)
    half = (max(reach, SHELL[1] * radius) + 2) / spacing
    first = np.floor(centre - half).astype(np.int64)
    beyond = np.ceil(centre + half).astype(np.int64) + 1
    axes = [np.arange(a, b) for a, b in zip(first, beyond, strict=True)]
    offsets = [(axis - c) * mm for axis, c, mm in zip(axes, centre, spacing, strict=True)]
    # the direction is orthonormal, so distances along the axes are distances in the world
    z, y, x = np.meshgrid(*(offset**2 for offset in offsets), indexing="ij", sparse=True)
    away = np.sqrt(z + y + x)
    box = np.ix_(*(np.clip(axis, 0, n - 1) for axis, n in zip(axes, ct.shape, strict=True)))
    hu = np.clip(ct.array[box].astype(np.float32), DARKEST, BRIGHTEST)
    inside = np.ones(away.shape, bool)
    if lungs is not None:
        held = np.asarray(lungs.array[box] > 0)
        nodule = away <= max(radius, float(away.min()))
        if held[nodule].mean() >= LEAST_IN_LUNGS:
            inside = held
    return _Surroundings(
        hu=hu,
        blurred=gaussian_filter(hu, BLUR_MM / spacing, mode="nearest"),
        lungs=inside,
        first=first,
        geometry=ct.geometry.moved(first),
        centre=np.asarray(centre_xyz_mm, float),
        away_mm=away,
    )


def _levels(around: _Surroundings, radius: float) -> tuple[float, float]:
    """HU of the nodule, and of what it lies in."""
    core = around.away_mm <= max(CORE * radius, float(around.away_mm.min()))
    ring = around.lungs & (around.away_mm > SHELL[0] * radius)
    ring &= around.away_mm <= SHELL[1] * radius + max(around.geometry.spacing_mm)
    if not ring.any():
        ring = ~core
    # vessels and wall are no more than two thirds of what is around
    outside = np.percentile(around.blurred[ring], 30)
    return float(np.median(around.blurred[core])), float(outside)


def _depth_mm(around: _Surroundings, signal: F32, limits: Sequence[float]) -> FloatArray:
    """How deep each voxel lies under the surface, mm, as the mean over the seeds.

    `signal` is +0.5 in the nodule and -0.5 in the lung; `limits` are the radii of the smallest
    ball, of the ball of the nodule's size, and of the largest.
    """
    from scipy.ndimage import map_coordinates

    radius = limits[1]
    ways = _net().ways
    seeds = SEED_SHIFT * radius * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    radii = np.linspace(0.0, limits[2] + SEED_SHIFT * radius, RADII)
    points = seeds[:, None, None] + radii[:, None] * ways[:, None]
    index = np.moveaxis(around.geometry.to_index(around.centre + points), -1, 0)
    along = map_coordinates(np.clip(signal, -0.6, 0.6), index, order=1, mode="nearest")
    lungs = map_coordinates(around.lungs.astype(np.float32), index, order=1, mode="nearest")

    step = radii[1] / radius
    fall = -np.gradient(along, axis=-1) / step
    cost = -EDGE * np.clip(fall / 2, 0.0, 1.0)
    cost += DARK * step * np.cumsum(np.maximum(-along, 0.0), axis=-1)
    cost += OUTSIDE_LUNGS * step * np.cumsum(lungs < 0.5, axis=-1)
    least, usual, most = (_to_sphere(seeds, ways, limit)[..., None] for limit in limits)
    apart = np.log(np.maximum(radii, 1e-2 * radius) / usual) / SIZE_SD
    cost += apart**2 / 2
    cost[(radii < least) | (radii > most)] += FORBIDDEN
    surface = _closed_surface(cost.astype(np.float32), (step / NEIGHBOUR_SD) ** 2 / 2) * radii[1]

    z, y, x = np.ogrid[tuple(slice(n) for n in around.away_mm.shape)]
    matrix = around.geometry.matrix
    corner = around.geometry.to_world((0, 0, 0)) - around.centre
    depth = np.zeros(around.away_mm.shape)
    for seed, lengths in zip(seeds, surface, strict=True):
        wx, wy, wz = (
            matrix[k, 0] * x + matrix[k, 1] * y + matrix[k, 2] * z + (corner - seed)[k]
            for k in range(3)
        )
        depth += _net().lengths_towards(lengths, wx, wy, wz)
        depth -= np.sqrt(wx**2 + wy**2 + wz**2)
    return depth / len(seeds)


def _to_sphere(seeds: FloatArray, ways: FloatArray, radius: float) -> FloatArray:
    """Length of each ray from each seed to the sphere about the centre, ``(seeds, rays)``; >= 0."""
    along = seeds @ ways.T
    square = along**2 - (seeds**2).sum(axis=1)[:, None] + radius**2
    return np.asarray(np.maximum(np.sqrt(np.maximum(square, 0.0)) - along, 0.0))


def _closed_surface(cost: F32, bend: float) -> FloatArray:
    """Radius of least cost of each ray, in steps and parts of one: min-sum messages on the net.

    Parameters
    ----------
    cost : (seeds, rays, radii) float32
    bend
        Cost of one step's difference between neighbours; it grows with the square.
    """
    net = _net()
    sent = np.zeros((len(cost), len(net.source), cost.shape[2]), np.float32)
    for _ in range(ROUNDS):
        told = (cost + np.add.reduceat(sent, net.starts, axis=1))[:, net.source]
        told -= sent[:, net.reverse]
        best = told.copy()
        for shift in range(1, STEEPEST + 1):
            dear = told + np.float32(bend * shift**2)
            np.minimum(best[..., shift:], dear[..., :-shift], out=best[..., shift:])
            np.minimum(best[..., :-shift], dear[..., shift:], out=best[..., :-shift])
        best -= best.min(axis=-1, keepdims=True)
        # half of the old message is kept, else the rounds may swing for ever
        sent = np.float32(0.5) * (sent + best)
    belief = cost + np.add.reduceat(sent, net.starts, axis=1)
    lowest = np.clip(belief.argmin(axis=-1), 1, cost.shape[2] - 2)[..., None]
    below, here, above = (
        np.take_along_axis(belief, lowest + k, axis=-1)[..., 0].astype(float) for k in (-1, 0, 1)
    )
    curve = np.maximum(below - 2 * here + above, 1e-6)
    return np.asarray(lowest[..., 0] + np.clip((below - above) / (2 * curve), -0.5, 0.5))


@dataclass(frozen=True, eq=False)
class _Net:
    """Directions spread evenly over the sphere, and which of them are neighbours.

    Attributes
    ----------
    ways
        ``(rays, 3)`` unit vectors.
    source, reverse
        Of each message: the ray that sends it, and the message the other way. They are sorted by
        the ray that receives them, and `starts` tells where each ray's begin.
    near, share
        For each cell of a table over polar angle and azimuth: three rays nearby and their weights.
    """

    ways: FloatArray
    source: IntArray
    reverse: IntArray
    starts: IntArray
    near: IntArray
    share: FloatArray

    def lengths_towards(self, lengths: FloatArray, x: Any, y: Any, z: Any) -> FloatArray:
        """What the surface measures from its seed towards each ``(x, y, z)`` of any length."""
        table = (lengths[self.near] * self.share).sum(axis=-1)
        flat = np.sqrt(x * x + y * y)
        row = np.arctan2(flat, z) * (TABLE[0] / np.pi)
        column = (np.arctan2(y, x) + np.pi) * (TABLE[1] / (2 * np.pi))
        rows = np.minimum(row.astype(np.int64), TABLE[0] - 1)
        return np.asarray(table[rows, np.minimum(column.astype(np.int64), TABLE[1] - 1)])


@lru_cache(maxsize=1)
def _net() -> _Net:
    from scipy.spatial import ConvexHull, KDTree

    # a Fibonacci spiral: equal areas, one turn of the golden angle after the other
    k = np.arange(RAYS)
    height, turn = 1 - (2 * k + 1) / RAYS, np.pi * (1 + np.sqrt(5)) * (k + 0.5)
    flat = np.sqrt(1 - height**2)
    ways = np.stack([flat * np.cos(turn), flat * np.sin(turn), height], axis=1)
    corners = ConvexHull(ways).simplices
    sides = np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    sides = np.unique(np.concatenate([sides, sides[:, ::-1]]), axis=0)
    receiver, source = sides.T
    reverse = np.searchsorted(receiver * RAYS + source, source * RAYS + receiver)

    polar, azimuth = ((np.arange(n) + 0.5) / n for n in TABLE)
    down, round_ = np.meshgrid(np.pi * polar, np.pi * (2 * azimuth - 1), indexing="ij")
    cells = [np.sin(down) * np.cos(round_), np.sin(down) * np.sin(round_), np.cos(down)]
    distance, near = KDTree(ways).query(np.stack(cells, axis=-1), k=3)
    share = 1 / (distance + 1e-3) ** 2
    return _Net(
        ways=ways,
        source=source,
        reverse=reverse,
        starts=np.searchsorted(receiver, k),
        near=near,
        share=share / share.sum(axis=-1, keepdims=True),
    )


def _chosen(
    depth: FloatArray, allowed: MaskArray, surely: MaskArray, wanted: int | None
) -> MaskArray:
    """One piece without holes: the deepest `wanted` voxels, or all that lie under the surface."""
    depth = np.where(allowed, depth.round(6), -np.inf)
    depth[surely] = np.inf
    mask = depth > 0 if wanted is None else highest_ranked(depth, wanted) & allowed
    return (fill(largest(mask, connectivity=6)) & allowed) | surely
