"""Nodules out of readings: which are of one nodule, how many agree on a voxel, and sizes."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lungseg.ops.nodules.contours import IntArray, MaskArray, Patch, Reading
from lungseg.volume import FloatArray, Geometry

Labels = npt.NDArray[np.uint16]
Votes = npt.NDArray[np.uint8]

# Radiologists who read a LIDC scan; a cluster of more readings is of neighbours that touch, or of
# a nodule that one of them drew in parts.
MOST_READERS = 4
# The tolerance of the clustering is lowered by this factor, and not below that many units.
LOWER_BY = 0.9
LOWEST_TOLERANCE = 0.1


def cluster(
    readings: Sequence[Reading], tolerance: float, slice_spacing_mm: float
) -> list[list[int]]:
    """Which readings are of the same nodule: lists of their positions, largest list first.

    The rule is that of pylidc's ``Scan.cluster_annotations`` (Hancock and Magnan 2016, J Med
    Imaging 3:044504; https://pylidc.github.io/scan.html), from which the field's figure of 2,651
    nodules comes: two readings are linked when the points of their contours come within the
    tolerance; nodules are the connected components; while one has more than four readings, the
    tolerance is lowered. Its distances are taken between *indices* (column, row, slice), although
    the tolerance is the slice thickness in mm; kept, since with distances in mm three scans would
    come out otherwise (769, 491, 481, 896 nodules of 1 to 4 readers).

    Parameters
    ----------
    readings
        All readings of one scan.
    tolerance
        Slice thickness of the scan, mm.
    slice_spacing_mm
        Distance of its slices, mm.
    """
    from scipy.sparse.csgraph import connected_components

    if not readings:
        return []
    distance = _nearest_points([_points(r, slice_spacing_mm) for r in readings], tolerance)
    while True:
        _, names = connected_components(distance <= tolerance, directed=False)
        tolerance *= LOWER_BY
        if np.bincount(names).max() <= MOST_READERS or tolerance < LOWEST_TOLERANCE:
            break
    groups = [np.flatnonzero(names == name).tolist() for name in np.unique(names)]
    return sorted(groups, key=lambda group: (-len(group), group))


def _points(reading: Reading, slice_spacing_mm: float) -> FloatArray:
    layers = [
        np.column_stack(
            (line.points_xy, np.full(len(line.points_xy), np.rint(line.z_mm / slice_spacing_mm)))
        )
        for line in reading.contours
    ]
    return np.asarray(np.concatenate(layers), float)


def _nearest_points(clouds: Sequence[FloatArray], reach: float) -> FloatArray:
    """Smallest distance of each two clouds of points; infinite beyond `reach`."""
    from scipy.spatial import KDTree

    trees = [KDTree(cloud) for cloud in clouds]
    distance = np.full((len(clouds), len(clouds)), np.inf)
    np.fill_diagonal(distance, 0.0)
    low = np.array([cloud.min(axis=0) for cloud in clouds])
    high = np.array([cloud.max(axis=0) for cloud in clouds])
    for i in range(len(clouds)):
        apart = np.maximum(low[i + 1 :] - high[i], low[i] - high[i + 1 :]).max(axis=1, initial=0)
        for j in (i + 1 + np.flatnonzero(apart <= reach)).tolist():
            # a bound is exclusive in the tree, inclusive in the rule
            found, _ = trees[i].query(clouds[j], distance_upper_bound=np.nextafter(reach, np.inf))
            distance[i, j] = distance[j, i] = found.min()
    return distance


def resample_mask(patch: Patch, source: Geometry, target: Geometry) -> Patch:
    """A mask on another grid, with the volume it had.

    The voxels of the new grid are ranked by linear interpolation of the mask (of equal ones the
    nearest to its centre first), and taken until its volume is met to half a voxel, one at least.
    Over LIDC's readings on slices of at most 0.8 mm, thinned out to 2.5 mm, the volume is then off
    by 0.1 and 0.8 % above and below 6 mm (linear and half or more: 5.5 and 15 %; nearest: 5.7 and
    15 %), and the Dice against the thin original is the best of the three (`bench.regrid`).

    Parameters
    ----------
    patch
        A mask that is not empty, on the grid `source`.
    source, target
        The two grids; any two will do.

    Returns
    -------
    Patch
        On the grid `target`, which is taken to go on without end: clip it with `clipped`.
    """
    from scipy.ndimage import map_coordinates

    padded = np.pad(patch.mask, 1).astype(np.float32)
    first = np.asarray(patch.first_zyx) - 1
    corners = np.stack(np.meshgrid(*((0, n - 1) for n in padded.shape), indexing="ij"), axis=-1)
    reach = target.to_index(source.to_world(corners.reshape(-1, 3) + first))
    low = np.floor(reach.min(axis=0)).astype(np.int64)
    shape = np.ceil(reach.max(axis=0)).astype(np.int64) - low + 1
    index = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    where = source.to_index(target.to_world(index + low)) - first
    value = map_coordinates(padded, where.T, order=1, mode="constant").round(6)

    covered = np.flatnonzero(value > 0)
    centre = np.argwhere(padded).mean(axis=0)
    offset = (where[covered] - centre) * np.asarray(source.spacing_mm)
    best = np.lexsort(((offset**2).sum(axis=1).round(6), -value[covered]))
    wanted = max(1, round(float(patch.mask.sum()) * source.voxel_mm3 / target.voxel_mm3))
    mask = np.zeros(int(np.prod(shape)), bool)
    if covered.size:
        mask[covered[best[:wanted]]] = True
    else:
        # thinner than the new voxels: the one that its centre lies in
        mask[((where - centre) ** 2).sum(axis=1).argmin()] = True
    z, y, x = (int(n) for n in low)
    return _trimmed(Patch(mask.reshape(shape), (z, y, x)))


def _trimmed(patch: Patch) -> Patch:
    """The same mask in the smallest box."""
    index = np.argwhere(patch.mask)
    low, high = index.min(axis=0), index.max(axis=0) + 1
    z, y, x = (int(a + b) for a, b in zip(patch.first_zyx, low, strict=True))
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return Patch(patch.mask[box], (z, y, x))


def clipped(patch: Patch, shape: Sequence[int]) -> Patch | None:
    """The part of a mask on a grid of this `shape`; None if there is none."""
    box = [
        slice(max(0, -first), max(0, min(size, n - first)))
        for first, size, n in zip(patch.first_zyx, patch.mask.shape, shape, strict=True)
    ]
    mask = patch.mask[tuple(box)]
    if not mask.any():
        return None
    z, y, x = (first + s.start for first, s in zip(patch.first_zyx, box, strict=True))
    return _trimmed(Patch(mask, (z, y, x)))


def count_votes(patches: Sequence[Patch]) -> tuple[Votes, tuple[int, int, int]]:
    """How many of the masks hold each voxel, in the box of them all, and where that box lies."""
    low = np.min([p.first_zyx for p in patches], axis=0)
    high = np.max([np.add(p.first_zyx, p.mask.shape) for p in patches], axis=0)
    votes = np.zeros(high - low, np.uint8)
    for patch in patches:
        votes[Patch(patch.mask, _minus(patch.first_zyx, low)).box] += patch.mask
    return votes, _minus(low, np.zeros(3, np.int64))


def _minus(first: Sequence[int], other: IntArray) -> tuple[int, int, int]:
    z, y, x = (int(a - b) for a, b in zip(first, other, strict=True))
    return z, y, x


def votes_needed(readers: npt.ArrayLike, level: float = 0.5) -> npt.NDArray[np.int64]:
    """Least number of votes that makes a voxel part of a nodule with so many readers.

    A nodule with more readings than LIDC had radiologists per scan counts as read by all four:
    some of them drew it in parts, so a voxel never gets all its readings' votes.
    """
    counted = np.minimum(np.asarray(readers, np.int64), MOST_READERS)
    return np.maximum(1, np.ceil(level * counted - 1e-9)).astype(np.int64)


def consensus(
    votes: Votes,
    labels: Labels,
    readers: Mapping[int, int],
    min_readers: int = 3,
    level: float = 0.5,
) -> tuple[MaskArray, MaskArray]:
    """What is nodule, and what is neither nodule nor background.

    Parameters
    ----------
    votes : uint8
        Readers per voxel.
    labels : uint16
        Nodule per voxel, of the same shape (any number of axes).
    readers
        Readers of each nodule, by label.
    min_readers
        A nodule with fewer is ignored altogether.
    level
        A voxel belongs to a nodule where at least this share of its readers included it.

    Returns
    -------
    target, ignore
        Bool. `ignore` is every other voxel with a vote.
    """
    ignore = votes > 0
    # a handful of voxels of tens of millions has a vote
    where = np.nonzero(ignore)
    names, given = labels[where], votes[where]
    least = np.full(max([int(names.max(initial=0)), *readers]) + 1, 256)
    for label, count in readers.items():
        if count >= min_readers:
            least[label] = votes_needed(count, level)
    agreed = given >= least[names]
    target = np.zeros(votes.shape, bool)
    target[where] = agreed
    ignore[where] = ~agreed
    return target, ignore


def equivalent_diameter_mm(volume_mm3: float) -> float:
    """Diameter of the ball of this volume, mm."""
    return float(np.cbrt(6.0 * volume_mm3 / np.pi))


def axes_mm(mask: MaskArray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Shortest and longest axis of the ellipsoid with the mask's volume and second moments, mm.

    A voxel is a box and not a point, so its own second moment (a twelfth of its edge squared) is
    added along each axis.
    """
    spacing = np.asarray(spacing_mm, float)
    points = np.argwhere(mask) * spacing
    moments = np.cov(points.T, bias=True) if len(points) > 1 else np.zeros((3, 3))
    values = np.linalg.eigvalsh(moments + np.diag(spacing**2 / 12))
    axes = np.sqrt(values)
    volume = len(points) * float(np.prod(spacing))
    axes *= equivalent_diameter_mm(volume) / np.cbrt(np.prod(axes))
    return float(axes.min()), float(axes.max())


def dice(one: Patch, other: Patch) -> float:
    """Dice coefficient of two masks on the same grid: twice the shared volume over the sum."""
    votes, _ = count_votes([one, other])
    return 2.0 * int((votes == 2).sum()) / int(one.mask.sum() + other.mask.sum())
