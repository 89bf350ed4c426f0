"""Crop: a square of fixed size around the lungs, the same for training and for prediction.

The square is centred on the box of the lungs, seen along the z axis; slices are not cut. It
depends on the lungs alone, never on nodules, so that a scan without truth is cut the same way.
"""

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ScanError
from lungseg.ops.grid.boxes import bounding_box
from lungseg.volume import MaskArray

MULTIPLE = 32
"""Sizes are multiples of this: the nets halve their input five times."""

Corner = tuple[int, int]
Size = int | tuple[int, int]
T = TypeVar("T", bound=np.generic)


def size_for(crop_mm: float, spacing_mm: float) -> int:
    """Voxels that `crop_mm` takes, rounded up to the next multiple of 32.

    Examples
    --------
    >>> size_for(352, 1.0), size_for(352, 0.7)
    (352, 512)
    """
    # A length that is a whole multiple but for rounding (352.00000001) is that multiple.
    return int(np.ceil(crop_mm / spacing_mm / MULTIPLE - 1e-6)) * MULTIPLE


def footprint(array: npt.NDArray[np.generic]) -> MaskArray:
    """What an array ``(z, y, x)`` covers seen along z: ``(y, x)``, True where any slice is.

    Examples
    --------
    >>> footprint(np.array([[[0, 1, 0]], [[0, 0, 2]]])).tolist()
    [[False, True, True]]
    """
    whole = array.view(np.uint8) if array.dtype == np.bool_ else array
    return np.asarray(np.bitwise_or.reduce(whole, axis=0) != 0)


def crop_corner(lungs: npt.NDArray[np.generic], size: int) -> Corner:
    """Index ``(y0, x0)`` where the square of `size` voxels centred on the lungs' box begins.

    Parameters
    ----------
    lungs
        ``(z, y, x)``, or its `footprint` ``(y, x)``; what is not 0 is lung.
    size
        Edge of the square, voxels.

    Returns
    -------
    tuple of int
        May be negative, and the square may pass the far border: pad there.

    Raises
    ------
    ScanError
        If there is no lung, or it is larger than the square.

    Examples
    --------
    >>> lungs = np.zeros((100, 100), bool)
    >>> lungs[30:50, 40:80] = True
    >>> crop_corner(lungs, size=64)
    (8, 28)
    """
    seen = lungs != 0 if lungs.ndim == 2 else footprint(lungs)
    corner = _centred(seen, size)
    if not _inside(seen, corner, size):
        raise ScanError(
            f"the lungs do not fit into a crop of {size} x {size} voxels; they need "
            f"{size_needed(seen, seen)}"
        )
    return corner


def size_needed(lungs: npt.NDArray[np.generic], keep: npt.NDArray[np.generic]) -> int:
    """Smallest multiple of 32 whose square around `lungs` also holds all of `keep`.

    Both are ``(z, y, x)`` of the same grid, or footprints ``(y, x)``.

    Examples
    --------
    >>> lungs, nodule = np.zeros((2, 100, 100), bool)
    >>> lungs[30:50, 40:80] = nodule[30, 99] = True
    >>> size_needed(lungs, lungs), size_needed(lungs, nodule)
    (64, 96)
    """
    seen = lungs != 0 if lungs.ndim == 2 else footprint(lungs)
    kept = keep != 0 if keep.ndim == 2 else footprint(keep)
    both = seen | kept
    size = MULTIPLE
    while not _inside(both, _centred(seen, size), size):
        size += MULTIPLE
    return size


def window_around(
    seen: npt.NDArray[np.generic], margin: int, multiple: int = MULTIPLE
) -> tuple[Corner, tuple[int, int]]:
    """Corner and size of the smallest window around what is seen, with a margin.

    Parameters
    ----------
    seen : (y, x)
        What is not 0 lies inside.
    margin
        Pixels that are added on every side at least.
    multiple
        Height and width are multiples of this. A window that fits into the image is moved so that
        it lies in it: what is there tells more than padding.

    Raises
    ------
    ScanError
        If there is nothing to see.

    Examples
    --------
    >>> lungs = np.zeros((100, 120), bool)
    >>> lungs[2:40, 50:80] = True
    >>> window_around(lungs, margin=4)
    ((0, 33), (64, 64))
    """
    y0, y1, x0, x1 = _box(seen != 0)
    corner, size = [], []
    for start, stop, length in zip((y0, x0), (y1, x1), seen.shape, strict=True):
        edge = -(-(stop - start + 2 * margin) // multiple) * multiple
        first = (start + stop - edge) // 2
        corner.append(min(max(first, 0), length - edge) if edge <= length else first)
        size.append(edge)
    return (corner[0], corner[1]), (size[0], size[1])


def cut(array: npt.NDArray[T], corner: Corner, size: Size, fill: int) -> npt.NDArray[T]:
    """Window ``(..., size, size)`` of `array` ``(..., y, x)`` from `corner`, padded with `fill`.

    `size` is the edge of a square, or height and width. A new array; `uncut` is the way back.

    Examples
    --------
    >>> cut(np.array([[1, 2], [3, 4]]), corner=(-1, 0), size=2, fill=0).tolist()
    [[0, 0], [1, 2]]
    """
    ny, nx = (size, size) if isinstance(size, int) else size
    inner, outer = _overlap(corner, (ny, nx), array.shape[-2:])
    if inner == (slice(0, ny), slice(0, nx)):
        return array[(..., *outer)].copy()
    target = _filled((*array.shape[:-2], ny, nx), fill, array.dtype)
    target[(..., *inner)] = array[(..., *outer)]
    return target


def uncut(
    square: npt.NDArray[T], corner: Corner, shape: tuple[int, int], fill: int
) -> npt.NDArray[T]:
    """A window ``(..., height, width)`` put back at `corner` of a grid ``(..., *shape)``.

    What the window does not cover is `fill`; what of it lies outside the grid is dropped.

    Examples
    --------
    >>> uncut(np.array([[0, 0], [1, 2]]), corner=(-1, 0), shape=(2, 2), fill=9).tolist()
    [[1, 2], [9, 9]]
    """
    target = _filled((*square.shape[:-2], *shape), fill, square.dtype)
    inner, outer = _overlap(corner, square.shape[-2:], shape)
    target[(..., *outer)] = square[(..., *inner)]
    return target


def _filled(shape: tuple[int, ...], fill: int, kind: np.dtype[T]) -> npt.NDArray[T]:
    # Zeros come from the system as they are; anything else has to be written, which takes longer
    # than the cut itself.
    return np.full(shape, fill, kind) if fill else np.zeros(shape, kind)


def _box(seen: MaskArray) -> tuple[int, int, int, int]:
    box = bounding_box(seen[np.newaxis])
    if box is None:
        raise ScanError(
            "there is no lung to centre the crop on: the lung mask is empty; look at the scan, "
            "and at the settings of segment-lungs"
        )
    _, rows, columns = box
    return rows.start, rows.stop, columns.start, columns.stop


def _centred(seen: MaskArray, size: int) -> Corner:
    y0, y1, x0, x1 = _box(seen)
    return (y0 + y1 - size) // 2, (x0 + x1 - size) // 2


def _inside(seen: MaskArray, corner: Corner, size: int) -> bool:
    y0, y1, x0, x1 = _box(seen)
    y, x = corner
    return y <= y0 and y1 <= y + size and x <= x0 and x1 <= x + size


def _overlap(
    corner: Corner, size: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    inner, outer = [], []
    for first, edge, length in zip(corner, size, shape, strict=True):
        start, stop = max(first, 0), max(min(first + edge, length), first, 0)
        outer.append(slice(start, stop))
        inner.append(slice(start - first, stop - first))
    return (inner[0], inner[1]), (outer[0], outer[1])
