"""How well masks of found nodules agree with what radiologists drew, on one scan."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.nodules.consensus import consensus, count_votes
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.scores.counts import Counts, count
from lungseg.volume import MaskArray


@dataclass(frozen=True)
class NoduleOverlap:
    """Agreement on one nodule of the truth.

    Attributes
    ----------
    label
        Of the nodule.
    dice
        Of the nodule's voxels and all found masks that touch them; 0 if none does.
    sensitivity
        Share of the nodule's voxels that is marked.
    """

    label: int
    dice: float
    sensitivity: float


@dataclass(frozen=True, eq=False)
class ScanOverlap:
    """Agreement on one scan.

    Attributes
    ----------
    marked, target, counted : (z, n, m) bool
        What is marked, what is nodule, and False where neither is right nor wrong; every axial
        slice, cut to a window that holds all marks and votes.
    nodules
        One entry for each nodule that enough readers drew.

    Examples
    --------
    >>> yes, no = np.array([[[True, True]]]), np.array([[[True, False]]])
    >>> ScanOverlap(marked=no, target=yes, counted=yes, nodules=()).counts().false_negative
    1
    """

    marked: MaskArray
    target: MaskArray
    counted: MaskArray
    nodules: tuple[NoduleOverlap, ...]

    def counts(self) -> Counts:
        """Voxels by truth and mark, in the window."""
        return count(self.marked, self.target, self.counted)


def overlap(  # noqa: PLR0913, PLR0917 - what was found, what was drawn, and by how many
    marks: npt.NDArray[np.uint16],
    votes: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.uint16],
    readers: Mapping[int, int],
    min_readers: int,
    level: float,
) -> ScanOverlap:
    """Compare found masks with drawn nodules.

    Parameters
    ----------
    marks, votes, labels : (z, y, x)
        Found masks by label; readers per voxel; drawn nodules by label.
    readers
        Readers of each drawn nodule, by label.
    min_readers, level
        A nodule with fewer readers is ignored; of the others, voxels that at least this share of
        the readers included are nodule, every other voxel with a vote is ignored.

    Examples
    --------
    >>> marks, labels = np.array([[[3, 3, 0]]], np.uint16), np.array([[[1, 1, 1]]], np.uint16)
    >>> votes = np.array([[[4, 4, 2]]], np.uint8)
    >>> found = overlap(marks, votes, labels, {1: 4}, min_readers=3, level=0.5)
    >>> found.nodules[0].dice, round(found.nodules[0].sensitivity, 3)
    (0.8, 0.667)
    """
    seen = bounding_box(np.asarray(marks.any(axis=0) | votes.any(axis=0))[np.newaxis])
    _, rows, columns = seen or (slice(0, 1),) * 3
    window = (slice(0, len(marks)), rows, columns)
    marks, votes, labels = marks[window], votes[window], labels[window]
    target, ignore = consensus(votes, labels, readers, min_readers, level)
    drawn = [label for label in sorted(readers) if readers[label] >= min_readers]
    return ScanOverlap(
        marked=marks != 0,
        target=target,
        counted=~ignore,
        nodules=tuple(_one(label, marks, target, ignore, labels) for label in drawn),
    )


def _one(
    label: int,
    marks: npt.NDArray[np.uint16],
    target: MaskArray,
    ignore: MaskArray,
    labels: npt.NDArray[np.uint16],
) -> NoduleOverlap:
    mine = target & (labels == label)
    touching = np.unique(marks[mine])
    touching = touching[touching > 0]
    if not touching.size:
        return NoduleOverlap(label, 0.0, 0.0)
    found = np.isin(marks, touching)
    # What is another nodule's is neither right nor wrong for this one.
    agreement = count(found, mine, ~ignore & ~(target & ~mine))
    return NoduleOverlap(label, agreement.dice, agreement.sensitivity)


def patch_dice(one: Patch, other: Patch) -> float:
    """Dice of two masks on the same grid, each in a box of its own.

    Examples
    --------
    >>> two = np.ones((1, 1, 2), bool)
    >>> patch_dice(Patch(two, (0, 0, 0)), Patch(two, (0, 0, 1)))
    0.5
    """
    votes, _ = count_votes([one, other])
    both = int(np.count_nonzero(votes == 2))
    return Counts(both, int(one.mask.sum()) - both, int(other.mask.sum()) - both).dice
