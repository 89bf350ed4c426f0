"""Readings of one scan, joined to nodules, as masks."""

from collections.abc import Iterator, Sequence

from lungseg.ops.nodules.clusters import cluster
from lungseg.ops.nodules.contours import Reading, rasterise
from lungseg.ops.nodules.patches import Patch
from lungseg.volume import FloatArray


def nodule_masks(
    readings: Sequence[Reading], z_mm: FloatArray, tolerance_mm: float, slice_spacing_mm: float
) -> Iterator[tuple[list[Reading], list[Patch]]]:
    """The readings of each nodule, and their masks on the scan's own slices.

    Parameters
    ----------
    readings
        All that was drawn on one scan.
    z_mm : (slices,)
        Positions of its slices.
    tolerance_mm
        Readings no further apart than this may be one nodule (LIDC: the slice thickness).
    slice_spacing_mm
        Distance of its slices.

    Yields
    ------
    members, masks
        A reading without a voxel inside has no mask, so there may be fewer masks than members.

    Examples
    --------
    >>> import numpy as np
    >>> from lungseg.ops.nodules.contours import Contour
    >>> square = np.array([(0, 0), (4, 0), (4, 4), (0, 4)])
    >>> readings = [Reading(str(at), (Contour(0.0, square + at),)) for at in (0, 30, 1)]
    >>> nodules = nodule_masks(readings, np.array([0.0, 1.0]), 2.5, slice_spacing_mm=1.0)
    >>> [[reading.key for reading in members] for members, _ in nodules]
    [['0', '1'], ['30']]
    """
    for group in cluster(readings, tolerance_mm, slice_spacing_mm):
        members = [readings[k] for k in group]
        yield members, [mask for reading in members if (mask := rasterise(reading, z_mm)[0])]
