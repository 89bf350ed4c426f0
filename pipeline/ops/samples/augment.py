"""Augmentation of slices: first the parameters are drawn, then one warp applies them all.

Flips, rotation, zoom, padding, shift, crop and the elastic deformation of the U-Net paper
(Ronneberger 2015: normal displacements on a 3x3 grid, bicubic in between) are one map from
the pixels of the result to positions in the source. The image is read there once, linearly,
and its labels at the nearest pixel, so that nothing is blurred twice and a small nodule keeps
its area in the mean.

The map is the sum of few products of a function of the row and a function of the column, so
the positions of all pixels are two small matrix products; the reading goes in blocks of rows
that stay in the processor's cache. That makes 362 slices of 352 x 352 per CPU-s, against 23 by
scipy's `affine_transform` and `map_coordinates` one after another (`bench.augment`).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32, FloatArray

# 64 rows of a slice: the half dozen arrays of such a block fit into a level-2 cache.
BLOCK_PIXELS = 1 << 15


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far each change may go; 0 leaves it out.

    Attributes
    ----------
    flip_x, flip_y
        Probability of a mirrored slice, left-right and front-back.
    rotate_degrees, shift_px
        Largest rotation and shift, either way.
    zoom
        Largest change of scale: 0.1 draws factors from 1/1.1 to 1.1.
    pad_px
        Widest border put around the slice before it is brought back to its size; each side
        gets its own, which also changes the aspect.
    elastic_px
        Standard deviation of the displacements at the nodes of the 3x3 grid.
    brightness, contrast
        Largest shift, as a part of the window's width, and largest change of the factor.
    noise
        Largest standard deviation of added noise, as a part of the window's width.
    """

    flip_x: float = 0.0
    flip_y: float = 0.0
    rotate_degrees: float = 0.0
    shift_px: float = 0.0
    zoom: float = 0.0
    pad_px: float = 0.0
    elastic_px: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Draw:
    """One drawn change of a slice; the default changes nothing.

    Attributes
    ----------
    flip_x, flip_y
        Mirror left-right, front-back.
    degrees
        Rotation, from the row axis towards the column axis.
    zoom
        Scale of what is seen: above 1 enlarges.
    shift_px
        Where the content moves, ``(y, x)``.
    pad_px
        Borders ``(top, bottom, left, right)``.
    elastic_px
        Displacements at the nodes, ``(axis, 3, 3)`` as nested tuples; empty for none.
    brightness, contrast
        ``(image - 0.5) * contrast + 0.5 + brightness``.
    noise, noise_seed
        Standard deviation of the noise, and its seed.
    """

    flip_x: bool = False
    flip_y: bool = False
    degrees: float = 0.0
    zoom: float = 1.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    pad_px: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    elastic_px: tuple[tuple[tuple[float, ...], ...], ...] = ()
    brightness: float = 0.0
    contrast: float = 1.0
    noise: float = 0.0
    noise_seed: int = 0


def draw(amounts: Augmentation, rng: np.random.Generator) -> Draw:
    """Draw one change within `amounts`; the same generator state gives the same change.

    Examples
    --------
    >>> amounts = Augmentation(rotate_degrees=6.0)
    >>> change = draw(amounts, np.random.default_rng(85))
    >>> -6.0 <= change.degrees <= 6.0, change.zoom, change.flip_x
    (True, 1.0, False)
    >>> change == draw(amounts, np.random.default_rng(85))
    True
    """
    # Every number is drawn whether it is used or not: switching one change off must not
    # alter the others.
    flips = rng.random(2)
    either = rng.uniform(-1.0, 1.0, 6)
    borders = rng.uniform(0.0, 1.0, 4) * amounts.pad_px
    nodes = rng.standard_normal((2, 3, 3)) * amounts.elastic_px
    noise = rng.uniform(0.0, 1.0) * amounts.noise
    return Draw(
        flip_x=bool(flips[0] < amounts.flip_x),
        flip_y=bool(flips[1] < amounts.flip_y),
        degrees=float(either[0] * amounts.rotate_degrees),
        zoom=float((1.0 + amounts.zoom) ** either[1]),
        shift_px=(float(either[2] * amounts.shift_px), float(either[3] * amounts.shift_px)),
        pad_px=(float(borders[0]), float(borders[1]), float(borders[2]), float(borders[3])),
        elastic_px=_nested(nodes) if amounts.elastic_px else (),
        brightness=float(either[4] * amounts.brightness),
        contrast=float((1.0 + amounts.contrast) ** either[5]),
        noise=float(noise),
        noise_seed=int(rng.integers(1 << 62)),
    )


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


def shade(change: Draw, image: F32) -> F32:
    """`image`, scaled to 0..1, after the brightness, contrast and noise of `change`, in place.

    Examples
    --------
    >>> image = np.array([[0.0, 0.5]], np.float32)
    >>> shade(Draw(contrast=2.0, brightness=0.25), image).tolist()
    [[-0.25, 0.75]]
    """
    if change.contrast != 1.0 or change.brightness:
        image *= np.float32(change.contrast)
        image += np.float32(0.5 + change.brightness - 0.5 * change.contrast)
    if change.noise:
        rng = np.random.Generator(np.random.SFC64(change.noise_seed))
        noise = rng.standard_normal(image.shape, np.float32)
        noise *= np.float32(change.noise)
        image += noise
    return image


def _nested(nodes: FloatArray) -> tuple[tuple[tuple[float, ...], ...], ...]:
    return tuple(tuple(tuple(float(v) for v in row) for row in axis) for axis in nodes)


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
