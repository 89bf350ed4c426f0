"""Masks grown and shrunk by whole voxels: by their neighbours at faces, or at corners, too.

Each axis is one or two `or`s of the mask with itself, shifted. On 80 x 175 x 175 voxels that takes
a quarter to a seventh of what scipy's binary morphology does, for the same voxels.
"""

import numpy as np

from lungseg.volume import MaskArray


def grow(
    mask: MaskArray, voxels: int = 1, *, corners: bool = True, within: MaskArray | None = None
) -> MaskArray:
    """`mask` and the neighbours of its voxels, and theirs, so many times.

    Parameters
    ----------
    mask : (z, y, x) or (y, x) bool
    voxels
        How many times.
    corners
        Whether a voxel has 26 neighbours, or the six at its faces; a pixel eight, or four.
    within : bool, optional
        Where the mask may grow.

    Examples
    --------
    >>> mask = np.zeros((5, 5, 5), bool)
    >>> mask[2, 2, 2] = True
    >>> [int(grow(mask, 1, corners=corners).sum()) for corners in (False, True)]
    [7, 27]
    """
    grown = mask.copy()
    for _ in range(voxels):
        # From one axis to the next all that is there grows; to faces alone, what was there before.
        wider = grown.copy()
        for axis in range(mask.ndim):
            source = wider.copy() if corners else grown
            # Views, whose first axis is this one.
            now, before = np.moveaxis(wider, axis, 0), np.moveaxis(source, axis, 0)
            now[1:] |= before[:-1]
            now[:-1] |= before[1:]
        grown = wider if within is None else grown | (wider & within)
    return grown


def shrink(mask: MaskArray, voxels: int = 1) -> MaskArray:
    """`mask` without the voxels at whose faces it ends, so many times; it ends with the array.

    Examples
    --------
    >>> shrink(np.ones((3, 3, 4), bool)).sum(axis=(0, 1)).tolist()
    [0, 1, 1, 0]
    """
    inner = (slice(1, -1),) * mask.ndim
    outside = np.pad(~mask, 1, constant_values=True)
    return np.ascontiguousarray(~grow(outside, voxels, corners=False)[inner])


def thick(mask: MaskArray, voxels: int) -> MaskArray:
    """Parts of a mask with so many voxels of it on all sides of some voxel, and these around it.

    Examples
    --------
    A plate of one voxel, and a cube that lies on it:

    >>> mask = np.zeros((5, 9, 9), bool)
    >>> mask[0], mask[1:4, 3:6, 3:6] = True, True
    >>> int(thick(mask, 1)[0].sum()), int(thick(mask, 1)[1:].sum())
    (9, 27)
    """
    return grow(shrink(mask, voxels), voxels) & mask
