"""Where in the lungs a nodule lies: side, third of the lung's height, distance to its edge."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import widened
from lungseg.ops.nodules.patches import Patch
from lungseg.volume import AnyVolume, Box, MaskArray

THIRDS = ("lower", "middle", "upper")
# Farther from the edge than this, a nodule is deep inside, and the distance is not measured.
FARTHEST_MM = 20.0
# So far around a nodule the edge is looked for first.
NEAR_MM = 6.0


@dataclass(frozen=True)
class Location:
    """Where a nodule lies.

    Attributes
    ----------
    side
        Name of the lung that holds most of it, or is nearest; empty if none is within 20 mm.
    third
        ``lower``, ``middle`` or ``upper``: where its centre lies in that lung's height.
    edge_mm
        Distance to the edge of the lungs, 0 where it touches it or lies outside; 20 mm at most.
    """

    side: str
    third: str
    edge_mm: float


Heights = Mapping[int, tuple[float, float]]


def lung_heights(lungs: AnyVolume) -> dict[int, tuple[float, float]]:
    """World z of the lowest and the highest voxel of each lung, mm, by its label.

    Examples
    --------
    >>> from lungseg.volume import Geometry, Volume
    >>> labels = np.zeros((5, 1, 2), np.uint8)
    >>> labels[1:4, 0, 0] = 1
    >>> lung_heights(Volume(labels, Geometry((2.0, 1.0, 1.0))))
    {1: (2.0, 6.0)}
    """
    from scipy.ndimage import find_objects

    heights = {}
    for label, box in enumerate(find_objects(lungs.array), 1):
        if box is not None:
            ends = (box[0].start, box[0].stop - 1)
            mm = [float(lungs.geometry.to_world((k, 0, 0))[2]) for k in ends]
            heights[label] = (min(mm), max(mm))
    return heights


def locate(nodule: Patch, lungs: AnyVolume, sides: Mapping[int, str], heights: Heights) -> Location:
    """Where a nodule lies in the lungs.

    Parameters
    ----------
    nodule
        Its mask, not empty, on the grid of `lungs`.
    lungs : (z, y, x)
        A label for each lung, 0 outside.
    sides
        Name of each label.
    heights
        As `lung_heights` gives them.

    Examples
    --------
    >>> from lungseg.volume import Geometry, Volume
    >>> labels = np.zeros((30, 20, 20), np.uint8)
    >>> labels[:, 2:18, 2:18] = 1
    >>> lungs = Volume(labels, Geometry((1.0, 1.0, 1.0)))
    >>> nodule = Patch(np.ones((2, 2, 2), bool), (25, 9, 5))
    >>> locate(nodule, lungs, {1: "right"}, lung_heights(lungs))
    Location(side='right', third='upper', edge_mm=3.0)
    """
    steps = np.asarray(lungs.geometry.spacing_mm)
    box = _around(nodule, steps, lungs.array.shape)
    labels = lungs.array[box]
    mine = np.zeros(labels.shape, bool)
    first = [at - part.start for at, part in zip(nodule.first_zyx, box, strict=True)]
    place = Patch(nodule.mask, (first[0], first[1], first[2])).box
    mine[place] = nodule.mask
    label = _label(labels, mine, steps)
    if not label:
        return Location("", "", 0.0)
    index = np.argwhere(nodule.mask).mean(axis=0) + nodule.first_zyx
    low, high = heights[label]
    share = (float(lungs.geometry.to_world(index)[2]) - low) / max(high - low, 1e-9)
    third = THIRDS[int(np.clip(share * 3, 0, 2))]
    return Location(sides[label], third, _to_edge(labels > 0, mine, place, steps))


def _around(
    nodule: Patch, steps: npt.NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[slice, ...]:
    margin = np.ceil(FARTHEST_MM / steps).astype(int) + 1
    return tuple(
        slice(max(0, part.start - m), min(n, part.stop + m))
        for part, m, n in zip(nodule.box, margin.tolist(), shape, strict=True)
    )


def _label(labels: npt.NDArray[np.uint8], mine: MaskArray, steps: npt.NDArray[np.float64]) -> int:
    """The lung that holds most of the nodule, else the nearest; 0 without one."""
    from scipy.ndimage import distance_transform_edt

    inside = np.bincount(labels[mine])
    inside[0] = 0
    if inside.any():
        return int(inside.argmax())
    away = np.asarray(distance_transform_edt(~mine, sampling=steps))
    away[labels == 0] = np.inf
    nearest = away.argmin()
    return int(labels.flat[nearest]) if away.flat[nearest] <= FARTHEST_MM else 0


def _to_edge(
    lung: MaskArray, mine: MaskArray, around: Box, steps: npt.NDArray[np.float64]
) -> float:
    """From the nodule's voxels to the nearest outside the lungs, less one voxel: touching is 0."""
    from scipy.ndimage import distance_transform_edt

    # Most lie near the edge, and a box that just reaches it is a tenth of the whole one.
    near = widened(around, np.ceil(NEAR_MM / steps).astype(int).tolist(), lung.shape)
    everything = (slice(None), slice(None), slice(None))
    for box, known_mm in ((near, NEAR_MM), (everything, np.inf)):
        if not lung[box].all():
            away = np.asarray(distance_transform_edt(lung[box], sampling=steps))[mine[box]].min()
            if away <= known_mm:
                return float(np.clip(away - steps.min(), 0.0, FARTHEST_MM))
    return FARTHEST_MM
