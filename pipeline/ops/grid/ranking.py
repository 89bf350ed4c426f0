"""The voxels of highest rank: how a mask gets the volume it ought to have."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import MaskArray


def highest_ranked(
    rank: npt.NDArray[Any],
    count: int,
    *,
    above: float = -np.inf,
    distance: npt.NDArray[Any] | None = None,
) -> MaskArray:
    """Mask of the `count` voxels of highest rank.

    A threshold on a rank (how much of a voxel is covered, how deep it lies, how near it is) gives
    a small body a volume that is off by tens of per cent; taking the best until the volume is
    met gives it that volume to half a voxel.

    Parameters
    ----------
    rank
        Of any shape and any type with an order; no NaN.
    count
        Voxels wanted.
    above
        Voxels of this rank or a lower one are never taken, so the mask may have fewer.
    distance
        Of the same shape: of voxels of equal rank those with the smallest distance are taken
        first. Without it, and of those that are equal in this too, the first in the array are.

    Returns
    -------
    bool
        Of the shape of `rank`.

    Examples
    --------
    >>> import numpy as np
    >>> highest_ranked(np.array([0.2, 0.9, 0.4, 0.9, 0.0]), 3).tolist()
    [False, True, True, True, False]
    >>> highest_ranked(np.array([7, 7, 7]), 1, distance=np.array([2, 0, 1])).tolist()
    [False, True, False]
    >>> highest_ranked(np.array([0, 5, 0]), 2, above=0).tolist()
    [False, True, False]
    """
    allowed: MaskArray = rank > above
    ranks = rank[allowed]
    if count >= ranks.size:
        return allowed
    best = np.zeros(rank.shape, bool)
    if count < 1:
        return best
    # The rank of the last one taken: all above it are in, and so many of its equals as are left.
    lowest = np.partition(ranks, ranks.size - count)[ranks.size - count]
    np.greater(rank, lowest, out=best)
    equals = np.flatnonzero(rank == lowest)
    if distance is not None:
        equals = equals[np.argsort(distance.ravel()[equals], kind="stable")]
    best.flat[equals[: count - np.count_nonzero(best)]] = True
    return best
