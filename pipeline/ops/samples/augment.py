"""Augmentation of slices: the parameters of one random change are drawn, then applied.

The geometric part is `lungseg.ops.samples.warp`, the values' part `shade`.
"""

from dataclasses import dataclass

import numpy as np

from lungseg.volume import F32, FloatArray


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far each change may go; 0 leaves it out.

    Attributes
    ----------
    flip_x, flip_y
        Probability of a mirrored slice, left-right and front-back.
    quarter_turns
        Probability that the slice is turned by 90, 180 or 270 degrees, one as likely as another.
    rotate_degrees, shift_px
        Largest rotation, in addition to the quarter turns, and largest shift, either way.
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
    invert
        Probability of black for white, as of a film's negative.
    gamma
        Largest change of the exponent: 0.5 draws exponents from 1/1.5 to 1.5.
    sharpness
        Largest blur or sharpening: at 1 from a binomial blur over 3 pixels to its opposite.
    context_dropout
        Probability, for each side, that the outer neighbours are not shown, as at a scan's end.
    """

    flip_x: float = 0.0
    flip_y: float = 0.0
    quarter_turns: float = 0.0
    rotate_degrees: float = 0.0
    shift_px: float = 0.0
    zoom: float = 0.0
    pad_px: float = 0.0
    elastic_px: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    noise: float = 0.0
    invert: float = 0.0
    gamma: float = 0.0
    sharpness: float = 0.0
    context_dropout: float = 0.0


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
    invert, gamma
        ``1 - image`` before all others, then ``image ** gamma``.
    sharpness
        Below 0 a blur, above 0 sharper.
    context
        Share of the neighbours that is shown, of those below and of those above.
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
    invert: bool = False
    gamma: float = 1.0
    sharpness: float = 0.0
    context: tuple[float, float] = (1.0, 1.0)


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
    noise_seed = int(rng.integers(1 << 62))
    turned, inverted = rng.random(2)
    quarters = int(rng.integers(1, 4)) if turned < amounts.quarter_turns else 0
    gamma = (1.0 + amounts.gamma) ** rng.uniform(-1.0, 1.0)
    sharpness = rng.uniform(-1.0, 1.0) * amounts.sharpness
    hidden = rng.random(2) < amounts.context_dropout
    shown = np.where(hidden, rng.random(2), 1.0)
    return Draw(
        flip_x=bool(flips[0] < amounts.flip_x),
        flip_y=bool(flips[1] < amounts.flip_y),
        degrees=90.0 * quarters + float(either[0] * amounts.rotate_degrees),
        zoom=float((1.0 + amounts.zoom) ** either[1]),
        shift_px=(float(either[2] * amounts.shift_px), float(either[3] * amounts.shift_px)),
        pad_px=(float(borders[0]), float(borders[1]), float(borders[2]), float(borders[3])),
        elastic_px=_nested(nodes) if amounts.elastic_px else (),
        brightness=float(either[4] * amounts.brightness),
        contrast=float((1.0 + amounts.contrast) ** either[5]),
        noise=float(noise),
        noise_seed=noise_seed,
        invert=bool(inverted < amounts.invert),
        gamma=float(gamma),
        sharpness=float(sharpness),
        context=(float(shown[0]), float(shown[1])),
    )


def shade(change: Draw, image: F32) -> F32:
    """`image (..., y, x)`, scaled to 0..1, after the grey values' part of `change`, in place.

    Examples
    --------
    >>> image = np.array([[0.0, 0.5]], np.float32)
    >>> shade(Draw(contrast=2.0, brightness=0.25), image).tolist()
    [[-0.25, 0.75]]
    >>> shade(Draw(invert=True, gamma=2.0), np.array([[1.0, 0.5]], np.float32)).tolist()
    [[0.0, 0.25]]
    """
    if change.invert:
        np.subtract(np.float32(1.0), image, out=image)
    if change.gamma != 1.0:
        # Rounding may leave a hair below 0, where a power is not defined.
        np.clip(image, 0.0, 1.0, out=image)
        np.power(image, np.float32(change.gamma), out=image)
    if change.sharpness:
        image += np.float32(change.sharpness) * (image - _blurred(image))
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


def _blurred(image: F32) -> F32:
    """Binomial blur over 3 pixels along the last two axes; the border is repeated."""
    for axis in (-1, -2):
        last = image.shape[axis] - 1
        at = np.arange(last + 1)
        before = image.take(np.maximum(at - 1, 0), axis)
        before += image.take(np.minimum(at + 1, last), axis)
        before *= np.float32(0.25)
        before += np.float32(0.5) * image
        image = before
    return image
