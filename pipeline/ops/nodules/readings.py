"""Readings of one scan, joined to nodules: their masks, and how well they agree."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lungseg.ops.nodules.clusters import (
    cluster,
    count_votes,
    dice,
    equivalent_diameter_mm,
    votes_needed,
)
from lungseg.ops.nodules.contours import Patch, Reading, rasterise
from lungseg.ops.nodules.sphere import ball
from lungseg.volume import FloatArray, Geometry


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
    """
    for group in cluster(readings, tolerance_mm, slice_spacing_mm):
        members = [readings[k] for k in group]
        yield members, [mask for reading in members if (mask := rasterise(reading, z_mm)[0])]


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well the readings of one nodule agree, as 3-D Dice coefficients.

    Attributes
    ----------
    between_readers
        Of each two readings.
    with_consensus
        Of each reading with the consensus of all.
    ball
        Of a ball of the consensus' centre and volume with the consensus.
    consensus
        Voxels that at least half of the readers included.
    diameter_mm
        Of that ball.
    """

    between_readers: tuple[float, ...]
    with_consensus: tuple[float, ...]
    ball: float
    consensus: Patch
    diameter_mm: float


def agreement(masks: Sequence[Patch], grid: Geometry) -> Agreement:
    """How well the masks of one nodule's readings agree, on the grid they were drawn on."""
    votes, first = count_votes(masks)
    consensus = Patch(votes >= votes_needed(len(masks)), first)
    index = np.argwhere(consensus.mask) + first
    x, y, z = grid.to_world(index.mean(axis=0)).tolist()
    diameter_mm = equivalent_diameter_mm(len(index) * grid.voxel_mm3)
    return Agreement(
        between_readers=tuple(dice(a, b) for a, b in combinations(masks, 2)),
        with_consensus=tuple(dice(mask, consensus) for mask in masks),
        ball=dice(ball((x, y, z), diameter_mm, grid), consensus),
        consensus=consensus,
        diameter_mm=diameter_mm,
    )
