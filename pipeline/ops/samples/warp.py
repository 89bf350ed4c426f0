"""Warp: flips, rotation, zoom, padding, shift, crop and elastic deformation of a slice in one map.

The elastic deformation is that of the U-Net paper (Ronneberger 2015: normal displacements on a 3x3
grid, bicubic in between). All are one map from the pixels of the result to positions in the source.
The image is read there once, linearly, and its labels at the nearest pixel, so that nothing is
blurred twice and a small nodule keeps its area in the mean.

The map is the sum of few products of a function of the row and a function of the column, so
the positions of all pixels are two small matrix products; the reading goes in blocks of rows
that stay in the processor's cache. That makes 362 slices of 352 x 352 per CPU-s, against 23 by
scipy's `affine_transform` and `map_coordinates` one after another (`bench.augment`).
"""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.samples.augment import Draw
from lungseg.volume import F32, FloatArray

# 64 rows of a slice: the half dozen arrays of such a block fit into a level-2 cache.
BLOCK_PIXELS = 1 << 15


def warp(  # noqa: PLR0913 - what surrounds the source is named, not positional
    change: Draw,
    image: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8] | None,
    *,
    outside: float,
    outside_label: int = 0,
    window: tuple[float, float, int, int] | None = None,
) -> tuple[F32, npt.NDArray[np.uint8] | None]:
    """Image and labels after the geometric part of `change`, each read once.

    Parameters
    ----------
    change
        What to do.
    image : (channels, y, x)
        Any real type; read linearly.
    labels : (y, x) uint8 or None
        Read at the nearest pixel; None stays None and costs nothing.
    outside, outside_label
        What lies around the source.
    window
        ``(centre y, centre x, height, width)``: the part of the source that the result's
        centre looks at, in source pixels, and the result's size; the whole by default.

    Returns
    -------
    (channels, height, width) float32, (height, width) uint8 or None

    Examples
    --------
    >>> image, labels = np.array([[[5, 6, 7]]]), np.array([[0, 0, 1]], np.uint8)
    >>> image, labels = warp(Draw(flip_x=True), image, labels, outside=0)
    >>> image.tolist(), labels.tolist()
    ([[[7.0, 6.0, 5.0]]], [[1, 0, 0]])
    >>> warp(Draw(shift_px=(0.0, 1.0)), image, None, outside=-1)[0].tolist()
    [[[-1.0, 7.0, 6.0]]]
    """
    _, ny, nx = image.shape
    cy, cx, height, width = window or ((ny - 1) / 2, (nx - 1) / 2, ny, nx)
    source = [_framed(channel, outside) for channel in image]
    framed = None if labels is None else _framed_labels(labels, outside_label)
    warped = np.empty((len(source), height, width), np.float32)
    chosen = None if labels is None else np.empty((height, width), np.uint8)
    y_terms, x_terms = _positions(change, (ny, nx), (cy, cx), (height, width))
    step = max(1, BLOCK_PIXELS // width)
    for first in range(0, height, step):
        rows = slice(first, first + step)
        y, x = y_terms[0][rows] @ y_terms[1], x_terms[0][rows] @ x_terms[1]
        # One pixel of `outside` frames the source: what lies beyond is read from there.
        np.clip(y, 0.0, ny + 1.0, out=y)
        np.clip(x, 0.0, nx + 1.0, out=x)
        if framed is not None and chosen is not None:
            chosen[rows] = _nearest(framed, y, x, nx + 3)
        _linear(source, y, x, nx + 3, warped[:, rows])
    return warped, chosen


def _framed(channel: npt.NDArray[np.generic], outside: float) -> F32:
    ny, nx = channel.shape
    framed = np.empty((ny + 3, nx + 3), np.float32)
    framed[0] = framed[ny + 1 :] = framed[:, 0] = outside
    framed[:, nx + 1 :] = outside
    framed[1 : ny + 1, 1 : nx + 1] = channel
    return framed.ravel()


def _framed_labels(labels: npt.NDArray[np.uint8], outside: int) -> npt.NDArray[np.uint8]:
    ny, nx = labels.shape
    framed = np.full((ny + 3, nx + 3), outside, np.uint8)
    framed[1 : ny + 1, 1 : nx + 1] = labels
    return framed.ravel()


def _linear(source: list[F32], y: F32, x: F32, stride: int, out: F32) -> None:
    row, column = y.astype(np.int32), x.astype(np.int32)
    y -= row
    x -= column
    row *= stride
    row += column
    index = row.astype(np.intp)
    for channel, result in zip(source, out, strict=True):
        # mode="clip" spares numpy a second buffer; the index is in range already.
        top = channel.take(index, mode="clip")
        right = channel[1:].take(index, mode="clip")
        right -= top
        right *= x
        top += right
        bottom = channel[stride:].take(index, mode="clip")
        right = channel[stride + 1 :].take(index, mode="clip")
        right -= bottom
        right *= x
        bottom += right
        bottom -= top
        bottom *= y
        np.add(top, bottom, out=result)


def _nearest(labels: npt.NDArray[np.uint8], y: F32, x: F32, stride: int) -> npt.NDArray[np.uint8]:
    half = np.float32(0.5)
    index = (y + half).astype(np.int32)
    index *= stride
    index += (x + half).astype(np.int32)
    return np.asarray(labels.take(index.astype(np.intp), mode="clip"))


def _positions(
    change: Draw,
    shape: tuple[int, int],
    centre: tuple[float, float],
    size: tuple[int, int],
) -> tuple[tuple[F32, F32], tuple[F32, F32]]:
    """Factors ``(rows, k) @ (k, columns)`` of the framed source's y and x for each pixel."""
    linear, offset = _affine(change, shape)
    at_y = np.arange(size[0]) - (size[0] - 1) / 2 + centre[0]
    at_x = np.arange(size[1]) - (size[1] - 1) / 2 + centre[1]
    # About the window's centre rather than the slice's, so that a crop shows what it names.
    from_y, from_x = at_y - centre[0], at_x - centre[1]
    factors = []
    for axis in range(2):
        constant = centre[axis] + offset[axis] + 1.0
        left = [linear[axis][0] * from_y + constant, np.ones_like(from_y)]
        right = [np.ones_like(from_x), linear[axis][1] * from_x]
        if change.elastic_px:
            nodes = np.asarray(change.elastic_px[axis])
            left.extend((_basis(at_y, shape[0]) @ nodes).T)
            right.extend(_basis(at_x, shape[1]).T)
        factors.append(
            (
                np.ascontiguousarray(np.stack(left, 1), np.float32),
                np.ascontiguousarray(np.stack(right), np.float32),
            )
        )
    return factors[0], factors[1]


def _affine(
    change: Draw, shape: tuple[int, int]
) -> tuple[tuple[tuple[float, float], ...], tuple[float, float]]:
    """2x2 matrix and offset that take a result's pixel, from the centre, to the source's."""
    turn = np.deg2rad(change.degrees)
    top, bottom, left, right = change.pad_px
    flip_y, flip_x = (-1.0 if flip else 1.0 for flip in (change.flip_y, change.flip_x))
    scale_y = flip_y * (shape[0] + top + bottom) / shape[0] / change.zoom
    scale_x = flip_x * (shape[1] + left + right) / shape[1] / change.zoom
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    linear = ((cos * scale_y, -sin * scale_x), (sin * scale_y, cos * scale_x))
    # With borders the slice's centre is no longer the middle of what is shown.
    offset_y = (bottom - top) / 2 - linear[0][0] * change.shift_px[0]
    offset_x = (right - left) / 2 - linear[1][1] * change.shift_px[1]
    offset_y -= linear[0][1] * change.shift_px[1]
    offset_x -= linear[1][0] * change.shift_px[0]
    return linear, (offset_y, offset_x)


def _basis(at: npt.NDArray[Any], length: int) -> FloatArray:
    """Weights ``(len(at), 3)`` of the grid's three nodes: natural cubic spline, flat beyond."""
    return np.asarray(_spline(length)(np.clip(at, 0.0, length - 1.0)))


@lru_cache(maxsize=8)
def _spline(length: int) -> Any:
    from scipy.interpolate import CubicSpline

    # A slice of one pixel still has three nodes, a hair apart.
    return CubicSpline(
        np.linspace(0.0, max(length - 1, 1), 3), np.eye(3), bc_type="natural", extrapolate=True
    )
