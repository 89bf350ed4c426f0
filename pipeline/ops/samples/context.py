"""Context: the neighbouring slices that a net is shown beside each slice, as channels."""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lungseg.volume import IndexArray

Places = IndexArray
T = TypeVar("T", bound=np.generic)


def neighbours(
    rows: npt.ArrayLike,
    context: int,
    z_index: npt.ArrayLike,
    scan: npt.ArrayLike | None = None,
) -> Places:
    """Rows that are shown with each of `rows`, from the lowest slice to the highest.

    The neighbour of a row is the row beside it if that is the next slice of the same scan. Where
    it is not (the end of the scan, or a slice that was left out), the row itself is repeated, so
    that no gap is bridged.

    Parameters
    ----------
    rows : (n,) int
        Places in `z_index`, in any order.
    context
        Neighbours on each side.
    z_index : (m,) int
        Slice of each row that there is; it ascends within a scan.
    scan : (m,) int, optional
        Scan of each row; without it all are of one scan.

    Returns
    -------
    (n, 2 * context + 1) int
        Places in `z_index`; the row itself is in the middle column.

    Examples
    --------
    Slice 5 is not there:

    >>> neighbours([0, 1, 2], 1, z_index=[3, 4, 6])
    array([[0, 0, 1],
           [0, 1, 1],
           [2, 2, 2]])
    """
    z = np.asarray(z_index)
    scans = np.zeros(len(z), np.int8) if scan is None else np.asarray(scan)
    middle = np.asarray(rows, np.intp)
    stacks = np.repeat(middle[:, None], 2 * context + 1, axis=1)
    for step in range(1, context + 1):
        for side in (1, -1):
            nearer = stacks[:, context + side * (step - 1)]
            beside = np.clip(nearer + side, 0, len(z) - 1)
            adjacent = (scans[beside] == scans[nearer]) & (z[beside] - z[nearer] == side)
            stacks[:, context + side * step] = np.where(adjacent, beside, nearer)
    return stacks


def shortened(stack: npt.NDArray[T], below: int, above: int) -> npt.NDArray[T]:
    """A stack ``(2 * context + 1, y, x)`` as it is where the scan ends `below` or `above`.

    Parameters
    ----------
    stack
        A slice, in the middle, with its neighbours.
    below, above
        Neighbours that are left on each side; the last of them is shown for those beyond.

    Examples
    --------
    >>> shortened(np.array([[[0]], [[1]], [[2]], [[3]], [[4]]]), below=1, above=0).ravel().tolist()
    [1, 1, 2, 2, 2]
    """
    middle = len(stack) // 2
    return stack[np.clip(np.arange(len(stack)), middle - below, middle + above)]
