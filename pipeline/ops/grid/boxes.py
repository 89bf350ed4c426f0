"""Boxes of voxels: the smallest that holds a mask, one with room around it, and places in it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lungseg.volume import Box, FloatArray, MaskArray


def bounding_box(
    mask: MaskArray | npt.NDArray[np.uint8], margin: Sequence[int] = (0, 0, 0)
) -> Box | None:
    """Smallest box that holds `mask`, widened by `margin` voxels a side but inside the array.

    None if the mask is empty.

    Examples
    --------
    >>> mask = np.zeros((4, 5, 6), bool)
    >>> mask[1, 2:4, 5] = True
    >>> bounding_box(mask)
    (slice(1, 2, None), slice(2, 4, None), slice(5, 6, None))
    >>> bounding_box(mask, (2, 0, 1))
    (slice(0, 4, None), slice(2, 4, None), slice(4, 6, None))
    """
    first, stop = 0, len(mask)
    while first < stop and not mask[first].any():
        first += 1
    if first == stop:
        return None
    while not mask[stop - 1].any():
        stop -= 1
    # All slices on one another; what is known to be empty is not read again.
    shadow = np.logical_or.reduce(mask[first:stop], axis=0)
    rows, columns = (np.flatnonzero(shadow.any(axis=k)) for k in (1, 0))
    ends = ((first, stop), (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1))
    z, y, x = (slice(int(low), int(high)) for low, high in ends)
    return widened((z, y, x), margin, mask.shape)


def widened(box: Box, margin: Sequence[int], shape: Sequence[int]) -> Box:
    """`box` with `margin` voxels more a side, as far as an array of this `shape` goes.

    Examples
    --------
    >>> widened((slice(2, 4), slice(0, 1), slice(5, 6)), (1, 1, 2), shape=(9, 9, 6))
    (slice(1, 5, None), slice(0, 2, None), slice(3, 6, None))
    """
    z, y, x = (
        slice(max(0, s.start - m), min(n, s.stop + m))
        for s, m, n in zip(box, margin, shape, strict=True)
    )
    return z, y, x


def on_whole(box: Sequence[slice], part: Box) -> Box:
    """A box within the `part` of an array, as a box of the whole array.

    Examples
    --------
    >>> on_whole((slice(0, 1), slice(1, 3), slice(2, 4)), (slice(5, 9), slice(0, 9), slice(1, 9)))
    (slice(5, 6, None), slice(1, 3, None), slice(3, 5, None))
    """
    z, y, x = (
        slice(inner.start + outer.start, inner.stop + outer.start)
        for inner, outer in zip(box, part, strict=True)
    )
    return z, y, x


def shares_along(mask: MaskArray, axis: int) -> FloatArray:
    """Place of each slice, row or column between the mask's first, 0, and its last, 1.

    Its shape is that of `mask` along `axis` and 1 along the others, so that it is compared with
    arrays of the mask's shape as it is.

    Parameters
    ----------
    mask : (z, y, x) bool
        Not empty.
    axis
        0, 1 or 2.

    Examples
    --------
    >>> mask = np.array([[[False, True, True, True, False]]])
    >>> shares_along(mask, 2).ravel().tolist()
    [-0.5, 0.0, 0.5, 1.0, 1.5]
    """
    others = tuple(k for k in range(mask.ndim) if k != axis)
    seen = np.flatnonzero(mask.any(axis=others))
    share = (np.arange(mask.shape[axis]) - seen[0]) / max(1, seen[-1] - seen[0])
    return np.asarray(share.reshape([-1 if k == axis else 1 for k in range(mask.ndim)]))


def ends(mask: MaskArray, axis: int) -> tuple[float, float]:
    """Indices along an axis below and above which a hundredth of the mask lies, each.

    Examples
    --------
    >>> ends(np.ones((1, 1, 100), bool), 2)
    (0.0, 98.0)
    """
    along = np.cumsum(mask.sum(axis=tuple(k for k in range(mask.ndim) if k != axis)))
    low, high = np.searchsorted(along, [0.01 * along[-1], 0.99 * along[-1]])
    return float(low), float(high)
