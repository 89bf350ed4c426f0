"""Row areas: what each row of the table shows of lung, votes and target, mm2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.io.tables.schema import VOTE_LEVELS
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.nodules.consensus import consensus
from lungseg.ops.samples.tabulate import mask_areas, vote_areas


@dataclass(frozen=True)
class Target:
    """Which voxels count as nodule; see `lungseg.ops.nodules.consensus.consensus`."""

    min_readers: int
    level: float


def row_areas(
    arrays: Mapping[str, npt.NDArray[Any]],
    readers: Mapping[int, int],
    pixel_mm2: float,
    target: Target,
) -> dict[str, npt.NDArray[np.float32]]:
    """Columns ``lung_mm2``, ``nodule_mm2_1`` to ``_4`` and ``target_mm2`` of the rows.

    Parameters
    ----------
    arrays
        ``lungs``, ``votes`` and ``nodule``, each ``(row, y, x)``.
    readers
        Readers of each nodule, by label.
    pixel_mm2
        Area of a pixel.
    target
        What counts as nodule in ``target_mm2``.
    """
    votes, labels = arrays["votes"], arrays["nodule"]
    drawn = vote_areas(votes, VOTE_LEVELS, pixel_mm2)
    target_mm2 = np.zeros(len(votes), np.float32)
    box = bounding_box(votes > 0)
    if box is not None:
        mask, _ = consensus(votes[box], labels[box], readers, target.min_readers, target.level)
        target_mm2[box[0]] = mask_areas(mask, pixel_mm2)
    return {
        "lung_mm2": mask_areas(arrays["lungs"], pixel_mm2),
        **{f"nodule_mm2_{level}": drawn[row] for row, level in enumerate(VOTE_LEVELS)},
        "target_mm2": target_mm2,
    }
