"""How many readers hold a voxel, and which voxels are nodule by that."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lungseg.ops.nodules.patches import Patch
from lungseg.volume import F32, IntArray, MaskArray

Labels = npt.NDArray[np.uint16]
Votes = npt.NDArray[np.uint8]

# Radiologists who read a LIDC scan; a cluster of more readings is of neighbours that touch, or of
# a nodule that one of them drew in parts.
MOST_READERS = 4
# Of the readings of one nodule at least this share holds its middle; where neighbours touch, or a
# nodule was drawn in parts, fewer do (5 of 8 at most in LIDC).
SHARED = 0.75


def count_votes(patches: Sequence[Patch]) -> tuple[Votes, tuple[int, int, int]]:
    """How many of the masks hold each voxel, in the box of them all, and where that box lies.

    Examples
    --------
    >>> two = np.ones((1, 1, 2), bool)
    >>> votes, first_zyx = count_votes([Patch(two, (5, 0, 0)), Patch(two, (5, 0, 1))])
    >>> votes.tolist(), first_zyx
    ([[[1, 2, 1]]], (5, 0, 0))
    """
    low = np.min([p.first_zyx for p in patches], axis=0)
    high = np.max([np.add(p.first_zyx, p.mask.shape) for p in patches], axis=0)
    votes = np.zeros(high - low, np.uint8)
    for patch in patches:
        votes[Patch(patch.mask, _minus(patch.first_zyx, low)).box] += patch.mask
    return votes, _minus(low, np.zeros(3, np.int64))


def _minus(first: Sequence[int], other: IntArray) -> tuple[int, int, int]:
    z, y, x = (int(a - b) for a, b in zip(first, other, strict=True))
    return z, y, x


def votes_needed(readers: npt.ArrayLike, level: float = 0.5) -> IntArray:
    """Least number of votes that makes a voxel part of a nodule with so many readers.

    A nodule with more readings than LIDC had radiologists per scan counts as read by all four:
    some of them drew it in parts, so a voxel never gets all its readings' votes.

    Examples
    --------
    >>> votes_needed([1, 2, 3, 4, 5]).tolist()
    [1, 1, 2, 2, 2]
    """
    counted = np.minimum(np.asarray(readers, np.int64), MOST_READERS)
    return np.maximum(1, np.ceil(level * counted - 1e-9)).astype(np.int64)


def as_of_four(votes: Votes, readers: int) -> Votes:
    """Votes on one nodule of more readers than LIDC had, as four readers would share them.

    A nodule with more than four readings counts as read by four (`votes_needed`), for LIDC's were
    drawn in parts. Where nearly all share a voxel, others read it, as nine algorithms that drew
    one tumour: then four votes are all of them, two the half, and one is any fewer. Other votes
    stay as they are.

    Examples
    --------
    >>> as_of_four(np.array([0, 1, 4, 5, 7, 9], np.uint8), readers=9).tolist()
    [0, 1, 1, 2, 3, 4]
    >>> as_of_four(np.array([0, 1, 2, 4], np.uint8), readers=8).tolist()
    [0, 1, 2, 4]
    """
    most = int(votes.max(initial=0))
    if most <= MOST_READERS or most < SHARED * readers:
        return votes
    quarters = votes.astype(np.uint16) * MOST_READERS // most
    return np.where(votes > 0, np.maximum(quarters, 1), 0).astype(np.uint8)


def agreed(votes: Votes, readers: int) -> MaskArray:
    """Voxels of one nodule that at least half of its readers hold; all that any holds if none are.

    Parameters
    ----------
    votes : uint8
        Readers per voxel, of any shape.
    readers
        Readings of the nodule.

    Examples
    --------
    >>> agreed(np.array([0, 1, 2, 3], np.uint8), readers=4).tolist()
    [False, False, True, True]
    >>> agreed(np.array([0, 1, 1], np.uint8), readers=4).tolist()
    [False, True, True]
    """
    mask: MaskArray = as_of_four(votes, readers) >= votes_needed(readers)
    return mask if mask.any() else votes > 0


def vote_shares(
    votes: Votes, labels: Labels, readers: Mapping[int, int], min_readers: int = 3
) -> tuple[F32, MaskArray]:
    """Share of a nodule's readers who included each voxel, and the voxels of other nodules.

    Parameters
    ----------
    votes, labels, readers, min_readers
        As for `consensus`. A nodule with more readings than LIDC had radiologists per scan counts
        as read by all four, see `votes_needed`.

    Returns
    -------
    share, ignore
        0 to 1, and bool: voxels with a vote of a nodule with fewer than `min_readers`.

    Examples
    --------
    >>> votes, labels = np.array([0, 1, 4, 1], np.uint8), np.array([0, 1, 1, 2], np.uint16)
    >>> share, ignore = vote_shares(votes, labels, readers={1: 4, 2: 1})
    >>> share.tolist(), ignore.tolist()
    ([0.0, 0.25, 1.0, 0.0], [False, False, False, True])
    """
    ignore = votes > 0
    share = np.zeros(votes.shape, np.float32)
    where = np.nonzero(ignore)
    names = labels[where]
    counted = np.zeros(max([int(names.max(initial=0)), *readers]) + 1, np.float32)
    for label, count in readers.items():
        if count >= min_readers:
            counted[label] = min(count, MOST_READERS)
    of_voxel = counted[names]
    share[where] = np.where(
        of_voxel > 0, np.minimum(votes[where] / np.maximum(of_voxel, 1), 1.0), 0.0
    )
    ignore[where] = of_voxel == 0
    return share, ignore


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

    Examples
    --------
    >>> votes, labels = np.array([0, 1, 2, 3], np.uint8), np.array([0, 1, 1, 1], np.uint16)
    >>> target, ignore = consensus(votes, labels, readers={1: 4})
    >>> target.tolist(), ignore.tolist()
    ([False, False, True, True], [False, True, False, False])
    """
    ignore = votes > 0
    # a handful of voxels of tens of millions has a vote
    where = np.nonzero(ignore)
    names, given = labels[where], votes[where]
    least = np.full(max([int(names.max(initial=0)), *readers]) + 1, 256)
    for label, count in readers.items():
        if count >= min_readers:
            least[label] = votes_needed(count, level)
    enough = given >= least[names]
    target = np.zeros(votes.shape, bool)
    target[where] = enough
    ignore[where] = ~enough
    return target, ignore
