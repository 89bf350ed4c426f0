"""Illness put into sound chests: lobes without air, fluid, tumours, and gas beside the lungs.

Lobes are cut by planes at shares of one lung's height, depth and width, about where fissures lie.
All is done in blocks of 4 mm; HU are those of the field's textbooks: fluid 0 to 20, consolidated
and collapsed lung 20 to 60, tumours 10 to 60.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from lungseg.ops.grid.boxes import shares_along
from lungseg.ops.grid.neighbours import grow
from lungseg.ops.lungs.in_blocks import BLOCK_MM
from lungseg.volume import F32, Box, FloatArray, MaskArray

# A lung of fewer blocks is too small a part of one to be made ill: 64 ml.
LEAST_BLOCKS = 1000
# How many chests have a lobe without air, fluid, tumours, gas; and of these, each lung.
SOLID, WET, MASSES, GAS = 0.45, 0.2, 0.8, 0.12
SOLID_LUNG, WET_LUNG = 0.65, 0.6
SOLID_HU, FLUID_HU, PRESSED_HU, MASS_HU = (10, 65), (-8, 24), (30, 70), (10, 60)
MASS_MM = (12.0, 80.0)
# A lobe without air is learnt a hundred times as large as a tumour, which counts more in exchange.
MASS_COUNTS = 2.0
AIR_HU, GAS_HU = -950.0, -1000.0


@dataclass(frozen=True, eq=False)
class IllChest:
    """A chest in blocks.

    Attributes
    ----------
    hu : (z, y, x) float32
    lungs : (2, z, y, x) float32
        Share of each block in the right and in the left lung.
    counts : (z, y, x) float32
        How much each block counts: 0 where nobody knows what is lung, more in tumours.
    """

    hu: F32
    lungs: F32
    counts: F32


def made_ill(chest: IllChest, rng: np.random.Generator) -> IllChest:
    """The chest with what chance gives it; fluid is no lung, all else stays lung.

    Examples
    --------
    >>> lungs = np.zeros((2, 40, 40, 60), np.float32)
    >>> lungs[0, 5:35, 5:35, 5:28] = lungs[1, 5:35, 5:35, 32:55] = 1
    >>> hu = np.where(lungs.max(axis=0) > 0, -850, 40).astype(np.float32)
    >>> chest = IllChest(hu, lungs, np.ones(hu.shape, np.float32))
    >>> ill = made_ill(chest, np.random.default_rng(1))
    >>> bool((ill.hu[lungs.max(axis=0) > 0] > -100).any()), bool((ill.lungs <= lungs).all())
    (True, True)
    """
    ill = chest
    if rng.random() < SOLID:
        ill = _solid(ill, chest.lungs, rng)
    if rng.random() < WET:
        ill = _wet(ill, chest.lungs, rng)
    if rng.random() < MASSES:
        ill = _with_masses(ill, chest.lungs.sum(axis=0), rng)
    if rng.random() < GAS:
        ill = _with_gas(ill, chest.lungs.sum(axis=0), rng)
    return ill


def filled(hu: F32, share: F32 | FloatArray, with_hu: float | F32 | FloatArray) -> F32:
    """HU of blocks of which a share, cut at 0 and 1, is filled with other HU.

    Examples
    --------
    >>> filled(np.float32([-850, -850]), np.float32([0.5, 2]), 50).tolist()
    [-400.0, 50.0]
    """
    share = np.clip(share, 0, 1).astype(np.float32)
    return np.asarray(hu * (1 - share) + share * with_hu, np.float32)


def texture(
    rng: np.random.Generator, shape: tuple[int, ...], mm: float, block_mm: float = BLOCK_MM
) -> F32:
    """Smooth noise of standard deviation 1 or less, that changes over `mm`.

    Examples
    --------
    >>> noise = texture(np.random.default_rng(0), (20, 20, 20), 40.0)
    >>> noise.shape, bool(abs(np.diff(noise, axis=0)).max() < noise.std())
    ((20, 20, 20), True)
    """
    coarse = [max(2, int(n * block_mm / mm) + 2) for n in shape]
    noise = rng.normal(size=coarse)
    zoom = [n / m for n, m in zip(shape, coarse, strict=True)]
    found: F32 = ndimage.zoom(noise, zoom, order=1).astype(np.float32)
    return found


def _large_lungs(lungs: F32) -> Iterator[tuple[int, F32, tuple[FloatArray, ...]]]:
    """Index and blocks of each lung that is large enough, with its height, depth and width.

    They are shares from 0 to 1 of its box: from its base, its front, and the middle of the chest.
    """
    for index, lung in enumerate(lungs):
        inside = lung > 0.5
        if np.count_nonzero(inside) < LEAST_BLOCKS:
            continue
        up, back, out = (shares_along(inside, axis) for axis in range(3))
        yield index, lung, (up, back, 1 - out if index == 0 else out)


def _lobe(
    rng: np.random.Generator, shares: tuple[FloatArray, ...], shape: tuple[int, ...]
) -> MaskArray:
    """About a lobe, a part of one, all behind an oblique plane, or a wedge as in collapse."""
    up, back, out = shares
    first, second, third, slope = rng.normal(0, 0.08, 4)
    wavy = 0.08 * texture(rng, shape, 40)
    fissure = (0.8 + 3 * slope) * back + first + wavy
    kind = rng.random()
    if kind < 0.3:
        lobe = up < fissure
    elif kind < 0.45:
        lobe = (up < fissure) & (up < 0.4 + second + wavy)
    elif kind < 0.6:
        lobe = (up >= fissure) & (up > 0.45 + second + wavy)
    elif kind < 0.72:
        lobe = (up >= fissure) & (up < 0.45 + second + wavy)
    elif kind < 0.82:
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        along = normal[0] * (up - 0.5) + normal[1] * (back - 0.5) + normal[2] * (out - 0.5)
        lobe = along + wavy > rng.uniform(-0.2, 0.4)
    elif kind < 0.9:
        lobe = (out < 0.5 - 0.4 * up + first + wavy) & (back > 0.45 + second) & (up < 0.65 + third)
    elif kind < 0.95:
        lobe = (out < 0.42 + 0.4 * (up - 0.55) + first + wavy) & (up > 0.5 + second) & (back < 0.85)
    else:
        lobe = np.ones(shape, bool)
    return np.broadcast_to(lobe, shape)


def _solid(ill: IllChest, lungs: F32, rng: np.random.Generator) -> IllChest:
    """Lobes without air, some with bronchi full of air or with some air left."""
    hu, shape = ill.hu, ill.hu.shape
    for _, lung, shares in _large_lungs(lungs):
        if rng.random() > SOLID_LUNG:
            continue
        lobe = _lobe(rng, shares, shape).astype(np.float32)
        part = ndimage.gaussian_filter(lobe, rng.uniform(0.3, 1.2)) * lung
        uneven = rng.uniform(0, 12) * texture(rng, shape, 12)
        if rng.random() < 0.5:
            bronchi = np.clip(texture(rng, shape, rng.uniform(8, 16)) - rng.uniform(1.2, 2.2), 0, 1)
            uneven = uneven - rng.uniform(100, 600) * bronchi
        strength = 1.0 if rng.random() < 0.8 else rng.uniform(0.5, 1)
        hu = filled(hu, part * strength, rng.uniform(*SOLID_HU) + uneven)
    return replace(ill, hu=hu)


def _wet(ill: IllChest, lungs: F32, rng: np.random.Generator) -> IllChest:
    """Fluid behind and below a lung, and lung that it has pressed the air out of."""
    hu, left, shape = ill.hu, ill.lungs.copy(), ill.hu.shape
    for index, lung, (up, back, out) in _large_lungs(lungs):
        if rng.random() > WET_LUNG:
            continue
        wavy = 0.03 * texture(rng, shape, 40)
        tilt = 0.15 * rng.random() * out * (rng.random() < 0.5) - 0.25 * rng.random() * up
        low = back + tilt + wavy > rng.uniform(0.3, 0.93)
        if rng.random() < 0.4:
            low = low | (up + wavy < rng.uniform(0.03, 0.25))
        wet = ndimage.gaussian_filter(low.astype(np.float32), 0.5)
        if rng.random() < 0.6:
            near = ndimage.gaussian_filter(low.astype(np.float32), rng.uniform(1.5, 4))
            pressed = np.clip(2.2 * near, 0, 1) * lung
            hu = filled(hu, pressed, rng.uniform(*PRESSED_HU) + 6 * texture(rng, shape, 12))
        hu = filled(hu, wet * lung, rng.uniform(*FLUID_HU) + 3 * texture(rng, shape, 30))
        left[index] *= 1 - wet
    return replace(ill, hu=hu, lungs=left)


def _away(shape: tuple[int, ...], centre: FloatArray, axes: FloatArray) -> FloatArray:
    """How far each block is from a centre, along which axes are stretched by as much."""
    grid = np.ogrid[tuple(slice(0, n) for n in shape)]
    squares = (((g - c) / a) ** 2 for g, c, a in zip(grid, centre, axes, strict=True))
    return np.asarray(np.sqrt(sum(squares)))


def _with_masses(ill: IllChest, lungs: F32, rng: np.random.Generator) -> IllChest:
    """One to four tumours, mostly at the lungs' surface; where they leave it, nothing counts."""
    hu, counts = ill.hu.copy(), ill.counts.copy()
    inside = lungs > 0.5
    depth = ndimage.distance_transform_edt(inside)
    still_lung = ill.lungs.sum(axis=0) > 0.5
    for _ in range(int(rng.integers(1, 5))):
        radius = float(np.exp(rng.uniform(*np.log(MASS_MM)))) / BLOCK_MM / 2
        near = inside & (depth < max(1.5, rng.uniform(0.1, 1.2) * radius))
        places = np.argwhere(near if rng.random() < 0.85 else inside)
        if not len(places):
            continue
        centre = places[rng.integers(len(places))] + rng.uniform(-0.5, 0.5, 3)
        box = box_around(centre, 1.8 * radius + 2, hu.shape)
        shape = hu[box].shape
        away = _away(shape, centre - [part.start for part in box], np.exp(rng.normal(0, 0.2, 3)))
        away = away + 0.12 * radius * texture(rng, shape, 15)
        ball = np.clip(radius - away + 0.5, 0, 1).astype(np.float32)
        # What is tissue already stays as it is.
        fills = ball * np.where(hu[box] < -200, 1, lungs[box])
        hu[box] = filled(hu[box], fills, rng.uniform(*MASS_HU) + 8 * texture(rng, shape, 10))
        known = counts[box] > 0
        counts[box][(ball > 0.5) & known] = MASS_COUNTS
        counts[box][(ball > 0.5) & ~still_lung[box]] = 0
        if rng.random() < 0.1:
            cavity = np.clip(radius * rng.uniform(0.2, 0.5) - away + 0.5, 0, 1)
            hu[box] = filled(hu[box], (cavity * lungs[box]).astype(np.float32), AIR_HU)
    return replace(ill, hu=hu, counts=counts)


def box_around(centre: FloatArray, half: float, shape: tuple[int, ...]) -> Box:
    """Box of the blocks nearer than `half` to a centre along each axis, within the array.

    Examples
    --------
    >>> box_around(np.array([5.0, 0.5, 9.0]), 1.5, (10, 10, 10))
    (slice(3, 8, None), slice(0, 3, None), slice(7, 10, None))
    """
    low = np.maximum(np.floor(centre - half), 0).astype(int)
    high = np.minimum(np.ceil(centre + half) + 1, shape).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _with_gas(ill: IllChest, lung: F32, rng: np.random.Generator) -> IllChest:
    """Up to three bubbles of pure air near the lungs, where no lung lies below: bowel, mostly."""
    hu, shape = ill.hu, ill.hu.shape
    inside = lung > 0.3
    below = ~inside & (np.cumsum(inside, axis=0) == 0) & (hu > -100) & (hu < 200)
    near = below & grow(inside, 8, corners=False)
    places = np.argwhere(near)
    for _ in range(int(rng.integers(1, 4)) if len(places) else 0):
        centre = places[rng.integers(len(places))]
        axes = rng.uniform(8, 40, 3) / BLOCK_MM
        away = _away(shape, centre, axes)
        bubble = np.clip((1 - away) * axes.min() + 0.5, 0, 1) * np.clip(1 - 1.2 * lung, 0, 1)
        hu = filled(hu, (bubble * below).astype(np.float32), GAS_HU)
    return replace(ill, hu=hu)
