"""Volumes and masks on another grid whose axes are parallel to their own.

The working grid is the scan's own, turned so that its axes run closest to world axes and sampled
evenly; between two such grids interpolation is separable, so a scan takes two small matrix
products a slice and one weighted sum of slices, and the positions are exact to rounding. A scan of
275 x 512 x 512 takes 0.19 CPU-s with its clipping, against 0.84 by SimpleITK's filters
(`bench.resample`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import bounding_box, on_whole, widened
from lungseg.ops.grid.ranking import highest_ranked
from lungseg.volume import Box, FloatArray, Geometry, IndexArray, Mask, MaskArray, Shape, Volume

T = TypeVar("T", bound=np.generic)
Order = Literal["linear", "nearest"]

# Voxels next to each other may be this far off a common line over a whole grid, mm.
SKEW_MM = 0.01
# A position this close to a voxel's centre, in voxels, is that centre.
SNAP = 1e-6
# Output rows a matrix product yields at once: small keeps the band of zeros in it small.
BAND = 16
# Levels of the coverage by which a label's voxels are ranked.
LEVELS = 60_000


def working_grid(shape: Shape, geometry: Geometry, spacing_mm: float) -> tuple[Shape, Geometry]:
    """Shape and geometry of the even grid on which all stages work.

    Axes are permuted and flipped so that the direction is nearest to identity (z up to the
    head, y to the back, x to the patient's left); an oblique scan stays oblique. The first voxel
    centre, after the flips, is kept, and the grid ends at or before the last one: centre to
    centre, nothing is extrapolated.

    Parameters
    ----------
    shape : (z, y, x)
        Shape of the source grid.
    geometry
        The source grid's.
    spacing_mm
        Distance of voxel centres on the working grid, all three axes, mm; above 0.

    Examples
    --------
    >>> shape, grid = working_grid((3, 5, 5), Geometry((5.0, 1.0, 1.0)), spacing_mm=2.0)
    >>> shape, grid.spacing_mm
    ((6, 3, 3), (2.0, 2.0, 2.0))
    """
    direction = np.asarray(geometry.direction_xyz).reshape(3, 3)
    size_xyz = np.asarray(shape[::-1])
    world = np.arange(3)
    axes = np.asarray(
        max(permutations(range(3)), key=lambda p: round(abs(direction[world, p]).sum(), 6))
    )
    sign = np.where(direction[world, axes] < 0, -1.0, 1.0)

    corner_xyz = np.zeros(3)
    corner_xyz[axes] = np.where(sign < 0, size_xyz[axes] - 1, 0)
    x, y, z = geometry.to_world(corner_xyz[::-1])
    extent_mm = ((size_xyz - 1) * np.asarray(geometry.spacing_mm[::-1]))[axes]
    n_x, n_y, n_z = (int(n) for n in np.floor(extent_mm / spacing_mm + SNAP) + 1)
    grid = Geometry(
        spacing_mm=(spacing_mm, spacing_mm, spacing_mm),
        origin_xyz_mm=(float(x), float(y), float(z)),
        # Adding zero makes 0 of -0.
        direction_xyz=tuple((direction[:, axes] * sign + 0.0).ravel()),
    )
    return (n_z, n_y, n_x), grid


def to_grid(  # noqa: PLR0913 - two grids and how to go from one to the other
    volume: Volume[T],
    shape: Shape,
    geometry: Geometry,
    order: Order = "linear",
    outside: float = 0,
    *,
    anti_alias: bool = False,
    clip: tuple[float, float] | None = None,
) -> Volume[T]:
    """`volume` sampled at the voxel centres of another grid, in its own dtype.

    Parameters
    ----------
    volume
        Finite values; integers come out rounded half to even, bool as "half or more".
    shape, geometry
        The grid wanted; its axes are parallel to the volume's, permuted or flipped at will.
    order
        "linear", or "nearest" for labels.
    outside
        Value of voxels whose centre lies more than half a voxel beyond the volume's outermost
        centres; in between, the outermost value holds (as in ITK).
    anti_alias
        Widen the linear kernel to the output's spacing along axes that are sampled down, so
        that every input voxel counts.
    clip
        Lower and upper bound that values are held to before they are interpolated; saves the
        caller a copy of the volume.

    Raises
    ------
    ValueError
        If the two grids are oblique to each other.

    Examples
    --------
    >>> ct = Volume(np.array([[[0, 10]]], np.int16), Geometry((1.0, 1.0, 1.0)))
    >>> to_grid(ct, (1, 1, 3), Geometry((1.0, 1.0, 0.5))).array.tolist()
    [[[0, 5, 10]]]
    """
    axes = _axes(volume, shape, geometry, order, anti_alias=anti_alias, reach=0.5)
    return Volume(_sampled(volume.array, axes, outside, clip), geometry)


def labels_to_grid(labels: Volume[T], shape: Shape, geometry: Geometry) -> Volume[T]:
    """Label map on another grid, every label with the volume it had.

    Sampling, nearest or linear, gains or loses tens of per cent of a small object where slices
    are thick. Here the voxels of the new grid are ranked by how much of the label they cover and
    the best are taken until its volume is met: it is off by half a voxel at most, and no label
    within the grid vanishes. A label that touches the end of its own grid, where its volume says
    nothing, takes the voxels it covers by half or more.

    Raises
    ------
    ValueError
        If the two grids are oblique to each other.

    Examples
    --------
    >>> labels = Volume(np.zeros((6, 6, 6), np.uint8), Geometry((1.0, 1.0, 1.0)))
    >>> labels.array[1:5, 1:5, 1:5] = 7
    >>> moved = labels_to_grid(labels, (3, 6, 6), Geometry((2.0, 1.0, 1.0)))
    >>> int((moved.array == 7).sum()) * moved.voxel_ml == 64 * labels.voxel_ml
    True
    """
    moved = np.zeros(shape, labels.array.dtype)
    ratio = labels.geometry.voxel_mm3 / geometry.voxel_mm3
    for label, box, count in _bounding_boxes(labels.array):
        cut = any(s.start == 0 or s.stop == n for s, n in zip(box, labels.shape, strict=True))
        source = labels.crop(widened(box, (1, 1, 1), labels.shape))
        target = _box_on(source, shape, geometry)
        if target is None:
            continue
        goal = moved[target]
        grid = geometry.moved([s.start for s in target])
        covers = (source.array == label) * np.uint16(LEVELS)
        axes = _axes(source, goal.shape, grid, "linear", anti_alias=True, reach=1.0)
        rank = _sampled(covers, axes, 0, None)
        rank[goal != 0] = 0
        if cut:
            goal[rank >= LEVELS // 2] = label
        else:
            goal[highest_ranked(rank, max(1, round(count * ratio)), above=0)] = label
    return Volume(moved, geometry)


def mask_to_grid(mask: Volume[Mask], shape: Shape, geometry: Geometry) -> Volume[Mask]:
    """Mask on another grid, every connected part with the volume it had; see `labels_to_grid`.

    Examples
    --------
    >>> mask = Volume(np.zeros((6, 6, 6), bool), Geometry((1.0, 1.0, 1.0)))
    >>> mask.array[1:5, 1:5, 1:5] = True
    >>> int(mask_to_grid(mask, (3, 3, 3), Geometry((2.0, 2.0, 2.0))).array.sum())
    8
    """
    import cc3d

    parts = cc3d.connected_components(mask.array.view(np.uint8), connectivity=26)
    moved = labels_to_grid(mask.like(parts), shape, geometry)
    return moved.like(moved.array != 0)


@dataclass(frozen=True)
class _Axis:
    """One output axis: which input voxels each output voxel is made of, and how.

    Attributes
    ----------
    along
        The input's axis that runs along it.
    index, weight
        Input voxels and what they count, each ``(n_out, taps)``.
    inside
        Which output voxels lie within the input, ``(n_out,)``.
    n_in
        Voxels of the input.
    """

    along: int
    index: IndexArray
    weight: FloatArray
    inside: MaskArray
    n_in: int

    def gathered(self) -> IndexArray | None:
        """The one input voxel of each output voxel, or None if some are made of several."""
        if not ((self.weight == 0) | (self.weight == 1)).all():
            return None
        voxels: IndexArray = np.take_along_axis(
            self.index, self.weight.argmax(axis=1)[:, None], axis=1
        )
        return voxels[:, 0]

    def bands(self, dtype: npt.DTypeLike) -> list[tuple[slice, slice, npt.NDArray[Any]]]:
        """Blocks ``(output rows, input columns, weights)`` of the matrix that samples it."""
        n_out = len(self.index)
        dense = np.zeros((n_out, self.n_in))
        np.add.at(dense, (np.arange(n_out)[:, None], self.index), self.weight)
        blocks = []
        for start in range(0, n_out, BAND):
            rows = slice(start, min(start + BAND, n_out))
            index = self.index[rows][self.weight[rows] > 0]
            columns = slice(int(index.min()), int(index.max()) + 1)
            blocks.append((rows, columns, np.ascontiguousarray(dense[rows, columns], dtype)))
        return blocks


def _axes(  # noqa: PLR0913
    volume: Volume[Any],
    shape: Shape,
    geometry: Geometry,
    order: Order,
    *,
    anti_alias: bool,
    reach: float,
) -> tuple[_Axis, ...]:
    # Index on the volume = step @ index on the output + first, both (z, y, x).
    step = (np.linalg.inv(volume.geometry.matrix) @ geometry.matrix)[::-1, ::-1]
    first = volume.geometry.to_index(geometry.origin_xyz_mm)
    along = np.abs(step).argmax(axis=0)
    skew = step.copy()
    skew[along, range(3)] = 0
    off_mm = np.abs(skew * (np.asarray(shape) - 1)).sum(axis=1) * volume.spacing_mm
    if sorted(along) != [0, 1, 2] or off_mm.max() > SKEW_MM:
        raise ValueError(
            f"the grids are oblique to each other (they part by {off_mm.max():.3g} mm over their "
            f"length, {SKEW_MM:g} mm is the most); resample with SimpleITK's filter instead"
        )
    axes = []
    for k in range(3):
        source = int(along[k])
        rate = float(step[source, k])
        positions = first[source] + rate * np.arange(shape[k])
        widen = max(1.0, abs(rate)) if anti_alias else 1.0
        axes.append(_axis(source, positions, volume.shape[source], order, widen, reach))
    return tuple(axes)


def _axis(  # noqa: PLR0913, PLR0917
    along: int, positions: FloatArray, n_in: int, order: Order, widen: float, reach: float
) -> _Axis:
    whole = np.rint(positions)
    positions = np.where(np.abs(positions - whole) < SNAP, whole, positions)
    inside = (positions >= -reach) & (positions <= n_in - 1 + reach)
    positions = positions.clip(0, n_in - 1)
    if order == "nearest":
        index = np.floor(positions + 0.5).astype(np.intp)[:, None].clip(0, n_in - 1)
        return _Axis(along, index, np.ones(index.shape), inside, n_in)
    # A triangle as wide as the coarser of the two grids; at width 1 it is linear interpolation.
    taps = np.floor(positions - widen).astype(np.intp)[:, None] + np.arange(
        1, int(np.ceil(2 * widen)) + 1
    )
    weight = np.maximum(0.0, 1.0 - np.abs(taps - positions[:, None]) / widen)
    weight[(taps < 0) | (taps >= n_in)] = 0
    weight /= weight.sum(axis=1, keepdims=True)
    return _Axis(along, taps.clip(0, n_in - 1), weight, inside, n_in)


def _sampled(
    array: npt.NDArray[T],
    axes: tuple[_Axis, ...],
    outside: float,
    clip: tuple[float, float] | None,
) -> npt.NDArray[T]:
    """`array` sampled along all axes, a few planes in memory at a time."""
    planes = array.transpose([axis.along for axis in axes])
    z_axis, y_axis, x_axis = axes
    # float32 holds every 16-bit integer; wider numbers keep their digits in float64.
    exact = array.dtype.itemsize <= 2 or array.dtype == np.float32
    working = np.dtype(np.float32 if exact else np.float64)
    gathers = all(axis.gathered() is not None for axis in axes)
    along_y, along_x = _sampler(y_axis, 0, working), _sampler(x_axis, 1, working)

    def sampled_plane(i: int) -> npt.NDArray[Any]:
        plane = planes[i] if clip is None else planes[i].clip(*clip)
        return along_x(along_y(plane if gathers else plane.astype(working)))

    out = np.empty([len(axis.index) for axis in axes], array.dtype)
    held: dict[int, npt.NDArray[Any]] = {}
    for k, (index, weight) in enumerate(zip(z_axis.index, z_axis.weight, strict=True)):
        taps = {int(i): working.type(w) for i, w in zip(index, weight, strict=True) if w > 0}
        held = {i: held[i] if i in held else sampled_plane(i) for i in taps}
        if len(taps) == 1:
            (mixed,) = held.values()
        else:
            mixed = np.add.reduce([held[i] * w for i, w in taps.items()])
        out[k] = mixed if gathers else _as_type(mixed, array.dtype)
    for k, axis in enumerate(axes):
        if not axis.inside.all():
            np.moveaxis(out, k, 0)[~axis.inside] = outside
    return out


def _sampler(
    axis: _Axis, k: int, working: np.dtype[Any]
) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """What samples axis `k` (0 or 1) of a plane."""
    voxels = axis.gathered()
    if voxels is not None:
        if np.array_equal(voxels, np.arange(axis.n_in)):
            return lambda plane: plane
        return lambda plane: plane.take(voxels, axis=k)
    bands = axis.bands(working)

    def sample(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        shape = list(plane.shape)
        shape[k] = len(axis.index)
        out = np.empty(shape, working)
        for rows, columns, weight in bands:
            if k == 0:
                np.matmul(weight, plane[columns], out=out[rows])
            else:
                np.matmul(plane[:, columns], weight.T, out=out[:, rows])
        return out

    return sample


def _as_type(values: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype == np.bool_:
        return values >= 0.5
    return np.rint(values) if np.issubdtype(dtype, np.integer) else values


def _bounding_boxes(labels: npt.NDArray[Any]) -> list[tuple[int, Box, int]]:
    """Label, box and voxels of every label but 0, the largest first."""
    import cc3d

    within = bounding_box(labels != 0)
    if within is None:
        return []
    if int(labels[within].max()) >= labels[within].size:
        # cc3d takes no label that is larger than the number of voxels.
        within = widened(within, labels.shape, labels.shape)
    found = cc3d.statistics(labels[within])
    counts, boxes = found["voxel_counts"], found["bounding_boxes"]
    present = [k for k in range(1, len(counts)) if counts[k]]
    present.sort(key=lambda k: -int(counts[k]))
    return [(k, on_whole(boxes[k], within), int(counts[k])) for k in present]


def _box_on(volume: Volume[Any], shape: Shape, geometry: Geometry) -> tuple[slice, ...] | None:
    """Box of the voxels of another grid that lie within a voxel of `volume`, or None."""
    ends = np.asarray(list(product(*[(-1, n) for n in volume.shape])))
    index = geometry.to_index(volume.geometry.to_world(ends))
    first = np.ceil(index.min(axis=0) - SNAP).clip(0, None).astype(int)
    stop = np.minimum(np.floor(index.max(axis=0) + SNAP).astype(int) + 1, shape)
    if (first >= stop).any():
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(first, stop, strict=True))
