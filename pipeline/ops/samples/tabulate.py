"""What the rows of the tables are: which slices go in, and the areas on each."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import Mask

Counts = npt.NDArray[np.int64]
Areas = npt.NDArray[np.float32]


def filled_pixels(array: npt.NDArray[np.generic]) -> Counts:
    """Pixels that are not 0 on each slice of ``(z, y, x)``."""
    # Slice by slice: count_nonzero over axes makes a bool copy of the volume first.
    return np.asarray([np.count_nonzero(plane) for plane in array], np.int64)


def chosen_slices(lung: Counts, voted: Counts, every: int | None) -> npt.NDArray[np.int32]:
    """Slices that become rows, ascending.

    Parameters
    ----------
    lung, voted
        Pixels of lung, and of nodules that anyone drew, on each slice.
    every
        None takes every slice with lung or nodule; *k* takes those with a nodule and every
        k-th of the others with lung, counted from the lowest.
    """
    nodule = voted > 0
    plain = np.flatnonzero((lung > 0) & ~nodule)
    taken = plain if every is None else plain[::every]
    return np.sort(np.concatenate([np.flatnonzero(nodule), taken])).astype(np.int32)


def vote_areas(votes: npt.NDArray[np.uint8], levels: tuple[int, ...], pixel_mm2: float) -> Areas:
    """Area on each slice that at least so many readers drew: ``(levels, z)`` mm2."""
    areas = np.zeros((len(levels), len(votes)), np.float32)
    # All but a few slices have no vote, and counting those costs more than all the rest.
    for z in np.flatnonzero(filled_pixels(votes)):
        per_count = np.bincount(votes[z].ravel(), minlength=max(levels) + 1)
        for row, level in enumerate(levels):
            areas[row, z] = per_count[level:].sum() * pixel_mm2
    return areas


def mask_areas(mask: npt.NDArray[Any], pixel_mm2: float) -> Areas:
    """Area of a mask on each slice, mm2."""
    return (filled_pixels(mask) * pixel_mm2).astype(np.float32)


def bounding_box(mask: npt.NDArray[Mask]) -> tuple[slice, slice, slice] | None:
    """Smallest box of ``(z, y, x)`` that holds all of `mask`; None if it is empty."""
    depth = filled_pixels(mask) > 0
    if not depth.any():
        return None
    first, last = int(depth.argmax()), len(depth) - int(depth[::-1].argmax())
    seen = np.logical_or.reduce(mask[first:last], axis=0)
    box = [slice(first, last)]
    for hit in (seen.any(axis=1), seen.any(axis=0)):
        found = np.flatnonzero(hit)
        box.append(slice(int(found[0]), int(found[-1]) + 1))
    return box[0], box[1], box[2]
