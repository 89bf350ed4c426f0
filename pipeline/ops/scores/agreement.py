"""How well radiologists agree on a nodule: the ceiling of any model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lungseg.ops.nodules.consensus import agreed, count_votes
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.sizes import equivalent_diameter_mm
from lungseg.ops.nodules.sphere import ball
from lungseg.ops.scores.segmentation import patch_dice
from lungseg.volume import Geometry


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
    """How well the masks of one nodule's readings agree, on the grid they were drawn on.

    Examples
    --------
    >>> masks = [Patch(np.ones((1, 1, 2), bool), (0, 0, at)) for at in (0, 0, 1)]
    >>> found = agreement(masks, Geometry((1.0, 1.0, 1.0)))
    >>> found.between_readers, found.with_consensus
    ((1.0, 0.5, 0.5), (1.0, 1.0, 0.5))
    """
    votes, first = count_votes(masks)
    consensus = Patch(agreed(votes, len(masks)), first)
    index = np.argwhere(consensus.mask) + first
    x, y, z = grid.to_world(index.mean(axis=0)).tolist()
    diameter_mm = equivalent_diameter_mm(len(index) * grid.voxel_mm3)
    return Agreement(
        between_readers=tuple(patch_dice(a, b) for a, b in combinations(masks, 2)),
        with_consensus=tuple(patch_dice(mask, consensus) for mask in masks),
        ball=patch_dice(ball((x, y, z), diameter_mm, grid), consensus),
        consensus=consensus,
        diameter_mm=diameter_mm,
    )
