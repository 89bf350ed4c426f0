"""What the rows of the tables are: which slices go in, and the areas on each."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32, IntArray


def filled_pixels(array: npt.NDArray[np.generic]) -> IntArray:
    """Pixels that are not 0 on each slice of ``(z, y, x)``.

    Examples
    --------
    >>> filled_pixels(np.array([[[0, 1]], [[0, 0]], [[2, 3]]])).tolist()
    [1, 0, 2]
    """
    # Slice by slice: count_nonzero over axes makes a bool copy of the volume first.
    return np.asarray([np.count_nonzero(plane) for plane in array], np.int64)


def chosen_slices(lung: IntArray, voted: IntArray, every: int | None) -> npt.NDArray[np.int32]:
    """Slices that become rows, ascending.

    Parameters
    ----------
    lung, voted
        Pixels of lung, and of nodules that anyone drew, on each slice.
    every
        None takes every slice with lung or nodule; *k* takes those with a nodule and every
        k-th of the others with lung, counted from the lowest.

    Examples
    --------
    >>> lung, voted = np.array([0, 9, 9, 9, 9]), np.array([0, 0, 1, 0, 0])
    >>> chosen_slices(lung, voted, None).tolist(), chosen_slices(lung, voted, 2).tolist()
    ([1, 2, 3, 4], [1, 2, 4])
    """
    nodule = voted > 0
    plain = np.flatnonzero((lung > 0) & ~nodule)
    taken = plain if every is None else plain[::every]
    return np.sort(np.concatenate([np.flatnonzero(nodule), taken])).astype(np.int32)


def vote_areas(votes: npt.NDArray[np.uint8], levels: tuple[int, ...], pixel_mm2: float) -> F32:
    """Area on each slice that at least so many readers drew: ``(levels, z)`` mm2.

    Examples
    --------
    >>> votes = np.array([[[1, 3]], [[0, 0]]], np.uint8)
    >>> vote_areas(votes, levels=(1, 3), pixel_mm2=0.5).tolist()
    [[1.0, 0.0], [0.5, 0.0]]
    """
    areas = np.zeros((len(levels), len(votes)), np.float32)
    # All but a few slices have no vote, and counting those costs more than all the rest.
    for z in np.flatnonzero(filled_pixels(votes)):
        per_count = np.bincount(votes[z].ravel(), minlength=max(levels) + 1)
        for row, level in enumerate(levels):
            areas[row, z] = per_count[level:].sum() * pixel_mm2
    return areas


def mask_areas(mask: npt.NDArray[Any], pixel_mm2: float) -> F32:
    """Area of a mask on each slice, mm2.

    Examples
    --------
    >>> mask_areas(np.array([[[1, 1, 0]], [[0, 0, 0]]]), pixel_mm2=0.5).tolist()
    [1.0, 0.0]
    """
    return (filled_pixels(mask) * pixel_mm2).astype(np.float32)
