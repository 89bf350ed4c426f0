"""Which readings are of the same nodule."""

from collections.abc import Sequence

import numpy as np

from lungseg.ops.nodules.consensus import MOST_READERS
from lungseg.ops.nodules.contours import Reading
from lungseg.volume import FloatArray

# The tolerance of the clustering is lowered by this factor, and not below that many units.
LOWER_BY = 0.9
LOWEST_TOLERANCE = 0.1

# One number of a point: columns and rows are below 65,536.
_PLACES = np.array([1, 1 << 17, 1 << 34])


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
    Where every reading names its nodule, that is what counts.

    Parameters
    ----------
    readings
        All readings of one scan.
    tolerance
        Slice thickness of the scan, mm.
    slice_spacing_mm
        Distance of its slices, mm.

    Examples
    --------
    >>> from lungseg.ops.nodules.contours import Contour
    >>> square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
    >>> readings = [Reading(str(at), (Contour(0.0, square + at),)) for at in (0, 30, 1)]
    >>> cluster(readings, tolerance=2.5, slice_spacing_mm=1.0)
    [[0, 2], [1]]
    """
    from scipy.sparse.csgraph import connected_components

    if not readings:
        return []
    if all(reading.nodule for reading in readings):
        named = [reading.nodule for reading in readings]
        told = [[k for k, name in enumerate(named) if name == one] for one in dict.fromkeys(named)]
        return sorted(told, key=lambda group: (-len(group), group))
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
    """Smallest distance of each two clouds of whole points; infinite beyond `reach`."""
    from scipy.spatial import KDTree

    # Readings of a nodule mostly share a point, which is told sooner than how far others are.
    known = [np.unique(cloud.astype(np.int64) @ _PLACES) for cloud in clouds]
    distance = np.full((len(clouds), len(clouds)), np.inf)
    np.fill_diagonal(distance, 0.0)
    low = np.array([cloud.min(axis=0) for cloud in clouds])
    high = np.array([cloud.max(axis=0) for cloud in clouds])
    for i in range(len(clouds)):
        apart = np.maximum(low[i + 1 :] - high[i], low[i] - high[i + 1 :]).max(axis=1, initial=0)
        tree = None
        for j in (i + 1 + np.flatnonzero(apart <= reach)).tolist():
            if len(np.intersect1d(known[i], known[j], assume_unique=True)):
                distance[i, j] = distance[j, i] = 0.0
                continue
            tree = tree or KDTree(clouds[i])
            # a bound is exclusive in the tree, inclusive in the rule
            found, _ = tree.query(clouds[j], distance_upper_bound=np.nextafter(reach, np.inf))
            distance[i, j] = distance[j, i] = found.min()
    return distance
