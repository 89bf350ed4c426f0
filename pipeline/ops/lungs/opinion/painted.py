"""Tumours painted into sound chests, seen close up: where tissue beside a lung is lung.

What was lung before stays lung, whatever is painted over it; the mask beside it is one that has
missed the tumour, or a part of it. Sizes, shapes and textures are varied by more than tumours are;
HU are those of the field's textbooks, or those of the tissue around, which is harder.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lungseg.ops.grid.neighbours import grow, shrink
from lungseg.ops.lungs.opinion.close_up import CLOSE_MM, channels, folded
from lungseg.ops.lungs.opinion.examples import DARKEST_HU, STRETCH, Chest, crooked
from lungseg.ops.lungs.opinion.illness import AIR_HU, box_around, filled, texture
from lungseg.volume import F32, FloatArray, HuArray, IntArray, MaskArray

EDGE = 80
"""Blocks of an example along each axis: 160 mm."""

# How crooked chests are, beside their size.
TURNS, SHEARS = (0.08, 0.08, 0.08), (0.04, 0.06)
# Room around the lungs, mm.
ROOM_MM = 60.0
# No tumour, one, or two to three; and of examples with one, how many lie anywhere at the surface,
# and not at the mediastinum or the diaphragm, where they are hard to see.
NONE, ONE, ANYWHERE = 0.2, 0.55, 0.55
MEDIAL_MM, BASE = 60.0, 0.5
MASS_MM = (9.0, 75.0)
# How many are shown as without contrast medium, and HU of what has taken it up.
PLAIN, ENHANCED_HU, PLAIN_HU, LEFT_OF_IT = 0.5, (60, 350), 40, 0.08
# How many masks hold a part of the tumour; how many end before its edge.
IN_PART, RIM = 0.35, 0.5
WET, FLUID_HU = 0.15, (-5.0, 25.0)
# HU of tumours that are not like the tissue around.
MASS_HU = (0.0, 90.0)
# Largest blur, blocks; standard deviations of the noise (at most) and of an offset, HU.
BLUR, NOISE_HU, OFFSET_HU = 0.6, 10.0, 6.0
NEAR_MM = 24.0
# What counts: tumours that the mask has missed; fluid; what is lung to the mask; what is far away.
MISSED_COUNTS, WET_COUNTS, MASK_COUNTS, FAR_COUNTS = 4.0, 1.5, 0.1, 0.25
# Blocks at an example's edge do not count.
EDGE_BLIND = 4
# Shares are kept in a byte each: every chest is there several times.
_WHOLE, _HALF = 255, 127


@dataclass(frozen=True, eq=False)
class TurnedChest:
    """A sound chest in blocks of 2 mm, turned and stretched.

    Attributes
    ----------
    hu : (z, y, x) int16
    lungs : (2, z, y, x) uint8
        Share of each block in the right and in the left lung, 0 to 255.
    seen : (z, y, x) bool
        Where the scan has a picture.
    surface : (n, 3) int
        Blocks at the lungs' surface.
    noise_hu
        Standard deviation of its noise in soft tissue.
    """

    hu: HuArray
    lungs: npt.NDArray[np.uint8]
    seen: MaskArray
    surface: IntArray
    noise_hu: float


@dataclass(frozen=True, eq=False)
class CloseUp:
    """What a net is shown, and what it should say, of 80 x 80 x 80 blocks of 2 mm in eights.

    Attributes
    ----------
    image : (40, 40, 40, 24) float32
        See `close_up.channels`.
    lungs : (40, 40, 40, 8) float32
        Share of each block in a lung.
    counts : (40, 40, 40, 8) float32
        How much each block counts.
    missing : (40, 40, 40, 8) float32
        1 outside of the mask.
    """

    image: F32
    lungs: F32
    counts: F32
    missing: F32


def turned(chest: Chest, rng: np.random.Generator | None) -> TurnedChest:
    """A chest on blocks of 2 mm; turned, stretched and sheared by chance, or without it as it is.

    Examples
    --------
    >>> lungs = np.zeros((2, 40, 40, 40), np.float32)
    >>> lungs[0, 10:30, 10:30, 5:18] = lungs[1, 10:30, 10:30, 22:35] = 1
    >>> hu = np.where(lungs.max(axis=0) > 0, -850, 40).astype(np.float32)
    >>> one = turned(Chest(hu, lungs, (2.0, 2.0, 2.0)), None)
    >>> one.hu.shape, int((one.lungs > 127).sum()), one.noise_hu
    ((52, 52, 64), 10400, 0.0)
    """
    matrix = np.diag(CLOSE_MM / np.array(chest.spacing_mm))
    if rng is not None:
        matrix = matrix @ crooked(rng, TURNS, STRETCH, SHEARS)
    inside = np.argwhere(chest.lungs.sum(axis=0) > 0.5)
    low, high = inside.min(axis=0), inside.max(axis=0)
    height, depth, width = (
        2 * int(np.ceil((mm * 1.15 + ROOM_MM) / 2 / CLOSE_MM))
        for mm in (high - low) * np.array(chest.spacing_mm)
    )
    shape = (height, depth, width)
    offset = (low + high) / 2 - matrix @ ((np.array(shape) - 1) / 2)

    def seen(values: F32, outside: float) -> F32:
        found: F32 = ndimage.affine_transform(
            values, matrix, offset, shape, order=1, cval=outside, mode="constant"
        )
        return found

    hu = seen(chest.hu, DARKEST_HU)
    lungs = np.stack([np.rint(_WHOLE * seen(one, 0.0)).astype(np.uint8) for one in chest.lungs])
    lung = lungs.sum(axis=0, dtype=np.uint16) > _HALF
    return TurnedChest(
        hu.astype(np.int16),
        lungs,
        seen(np.ones_like(chest.hu), 0.0) > 0.5,
        np.argwhere(lung & ~shrink(lung)),
        _noise(hu),
    )


def _noise(hu: F32) -> float:
    tissue = shrink((hu > -50) & (hu < 120), 3)
    rough = np.abs(hu - ndimage.uniform_filter(hu, 3))
    return 1.48 * float(np.median(rough[tissue])) if tissue.any() else 8.0


def close_up(chest: TurnedChest, rng: np.random.Generator) -> CloseUp:
    """One example: 160 mm around a point of the lungs' surface, as a rule with a tumour there.

    Examples
    --------
    >>> lungs = np.zeros((2, 60, 60, 60), np.float32)
    >>> lungs[0, 10:50, 10:50, 5:28] = lungs[1, 10:50, 10:50, 32:55] = 1
    >>> hu = np.where(lungs.max(axis=0) > 0, -850, 40).astype(np.float32)
    >>> chest = turned(Chest(hu, lungs, (2.0, 2.0, 2.0)), None)
    >>> one = close_up(chest, np.random.default_rng(1))
    >>> one.image.shape, one.lungs.shape
    ((40, 40, 40, 24), (40, 40, 40, 8))
    >>> bool(((one.missing > 0) & (one.lungs > 0.5)).any())
    True
    """
    place = _place(chest, rng)
    scene = _scene(chest, place)
    if rng.random() < PLAIN:
        scene.hu[:] = without_contrast(scene.hu)
    tumours = np.zeros(scene.hu.shape, np.float32)
    for where in _tumours(chest, place, scene, rng):
        _paint(scene, tumours, *where, chest.noise_hu, rng)
    known = scene.lungs.sum(axis=0).clip(0, 1)
    held = _held_part(scene.hu.shape, place, tumours, rng)
    tumour = tumours > 0.5
    mask = (known > 0.5) & ~(tumour & ~held)
    if tumour.any() and rng.random() < RIM:
        # As a threshold leaves it: without the rim, where a tumour's edge is mixed with air.
        mask &= ~((tumours > 0.1) & ~held & (scene.hu > -350))
    counts, lung = np.ones(known.shape, np.float32), known.copy()
    hu = scene.hu
    if rng.random() < WET:
        wet = np.where(tumour, np.float32(0), _fluid(known, rng))
        fluid_hu = rng.uniform(*FLUID_HU)
        noise = rng.normal(0, max(3, chest.noise_hu * 0.6), hu.shape)
        hu = filled(hu, wet, (fluid_hu + noise).astype(np.float32))
        lung *= 1 - (wet > 0.5)
        mask &= ~(wet > 0.3)
        counts[wet > 0.5] = WET_COUNTS
    if rng.random() < 0.5:
        hu = ndimage.gaussian_filter(hu, rng.uniform(0, BLUR, 3))
    noise = rng.normal(0, rng.uniform(0, NOISE_HU), hu.shape) + rng.normal(0, OFFSET_HU)
    hu = hu + noise.astype(np.float32)
    counts[tumour & ~mask & (lung > 0.5)] = MISSED_COUNTS
    counts[mask] = MASK_COUNTS
    counts[~_near(known > 0.5)] *= FAR_COUNTS
    counts[~scene.seen] = 0
    within = np.zeros(counts.shape, bool)
    within[(slice(EDGE_BLIND, -EDGE_BLIND),) * 3] = True
    counts[~within] = 0
    missing = (~mask).astype(np.float32)
    eights = (folded(one[..., np.newaxis]) for one in (lung, counts, missing))
    return CloseUp(channels(hu, mask), *eights)


def without_contrast(hu: F32) -> F32:
    """HU as without contrast medium: heart and vessels are as dense as muscle, bone's core stays.

    Else a net that knows bright vessels alone takes an aorta for a tumour.

    Examples
    --------
    >>> without_contrast(np.array([-800, 40, 210, 800], np.float32)).tolist()
    [-800.0, 40.0, 52.0, 800.0]
    """
    low, high = ENHANCED_HU
    plain = PLAIN_HU + LEFT_OF_IT * (hu - low)
    return np.where((hu > low) & (hu < high), plain, hu).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Place:
    """A point of a lung's surface in the chest and in the example, the way inward, the lung."""

    start: IntArray
    point: FloatArray
    inward: FloatArray
    side: int


@dataclass(frozen=True, eq=False)
class _Scene:
    """What of the chest lies in an example; `hu` is painted on."""

    hu: F32
    lungs: F32
    seen: MaskArray


def _place(chest: TurnedChest, rng: np.random.Generator) -> _Place:
    shape = np.array(chest.hu.shape)
    point, inward, side = chest.surface[0].astype(float), np.array([0.0, 0.0, 1.0]), 0
    for _ in range(20):
        point = chest.surface[rng.integers(len(chest.surface))].astype(float)
        low = np.maximum(point - 10, 0).astype(int)
        high = np.minimum(point + 11, shape).astype(int)
        near = chest.lungs[(slice(None), *map(slice, low, high))]
        side = int(near[1].sum() > near[0].sum())
        way = np.argwhere(near[side] > _HALF).mean(axis=0) + low - point
        inward = way / max(float(np.linalg.norm(way)), 1e-3)
        medial = abs(point[2] - shape[2] / 2) * CLOSE_MM < MEDIAL_MM
        if medial or inward[0] > BASE or rng.random() < ANYWHERE:
            break
    start = np.round(point - EDGE / 2 + rng.uniform(-0.25, 0.25, 3) * EDGE).astype(int)
    return _Place(start, point - start, inward, side)


def _scene(chest: TurnedChest, place: _Place) -> _Scene:
    shape = np.array(chest.hu.shape)
    low, high = np.maximum(place.start, 0), np.minimum(place.start + EDGE, shape)
    of_chest = tuple(map(slice, low, high))
    here = tuple(map(slice, low - place.start, high - place.start))
    hu = np.full((EDGE,) * 3, DARKEST_HU, np.float32)
    lungs = np.zeros((2, *hu.shape), np.float32)
    seen = np.zeros(hu.shape, bool)
    hu[here] = chest.hu[of_chest]
    lungs[(slice(None), *here)] = chest.lungs[(slice(None), *of_chest)] / np.float32(_WHOLE)
    seen[here] = chest.seen[of_chest]
    return _Scene(hu, lungs, seen)


def _tumours(
    chest: TurnedChest, place: _Place, scene: _Scene, rng: np.random.Generator
) -> Iterator[tuple[FloatArray, float, int]]:
    """Centre and radius, in blocks, and lung of each."""
    kind = rng.random()
    count = 0 if kind < NONE else 1 if kind < NONE + ONE else int(rng.integers(2, 4))
    for k in range(count):
        radius = float(np.exp(rng.uniform(*np.log(MASS_MM)))) / CLOSE_MM / 2
        if k == 0:
            yield place.point + place.inward * rng.uniform(-0.1, 1.1) * radius, radius, place.side
            continue
        other = chest.surface[rng.integers(len(chest.surface))] - place.start
        if ((other >= 6) & (other < EDGE - 6)).all():
            side = int(scene.lungs[1].sum() > scene.lungs[0].sum())
            yield other + rng.normal(0, 0.5, 3) * radius, radius, side


def _paint(  # noqa: PLR0913, PLR0917 - where, how large, in which lung, and the chance
    scene: _Scene,
    tumours: F32,
    centre: FloatArray,
    radius: float,
    side: int,
    noise_hu: float,
    rng: np.random.Generator,
) -> None:
    """A solid tumour in a lung, with knobs, softly outlined; some necrotic, few with a cavity."""
    box = box_around(centre, 1.8 * radius + 3, tumours.shape)
    hu, lung = scene.hu[box], scene.lungs[side][box]
    if min(hu.shape) < 2:
        return
    away = _away(centre - [part.start for part in box], radius, hu.shape, rng)
    ball = np.clip((radius - away) / rng.uniform(0.7, 2.5) + 0.5, 0, 1)
    where = lung if rng.random() < 0.9 else scene.lungs[:, *box].sum(axis=0).clip(0, 1)
    fills = ball * where
    if rng.random() < 0.3:
        # What is tissue already stays as it is.
        fills = ball * np.where(hu < -200, 1, where) * (where > 0)
    around = hu[(hu > -20) & (hu < 110)]
    alike = rng.random() >= 0.5 and len(around) >= 50
    mean = float(np.median(around)) + rng.normal(0, 12) if alike else rng.uniform(*MASS_HU)
    grain = rng.normal(0, max(3, noise_hu * rng.uniform(0.3, 1.2)), hu.shape)
    inside = mean + rng.uniform(0, 12) * texture(rng, hu.shape, 10, CLOSE_MM) + grain
    if rng.random() < 0.12:
        inside = inside - rng.uniform(20, 60) * np.clip((0.6 * radius - away) / 2, 0, 1)
    if rng.random() < 0.06:
        inside = np.where(away < radius * rng.uniform(0.2, 0.5), AIR_HU, inside)
    scene.hu[box] = filled(hu, fills, inside)
    tumours[box] = np.maximum(tumours[box], ball * (where > 0.3))


def _away(
    centre: FloatArray, radius: float, shape: tuple[int, ...], rng: np.random.Generator
) -> FloatArray:
    """How far each block is from a tumour's middle; at its edge this is about `radius`."""
    grid = _grid(shape) - centre
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    away = np.linalg.norm((grid @ axes) / np.exp(rng.normal(0, 0.2, 3)), axis=-1)
    knobs = texture(rng, shape, rng.uniform(10, 25), CLOSE_MM)
    away = away + rng.uniform(0.02, 0.16) * radius * knobs
    if rng.random() < 0.2:
        beside = grid - rng.normal(0, 0.7, 3) * radius
        away = np.minimum(away, np.linalg.norm(beside, axis=-1) * rng.uniform(1.1, 1.6))
    return np.asarray(away)


def _grid(shape: tuple[int, ...]) -> FloatArray:
    """Each block's own place, ``(z, y, x, 3)``."""
    return np.moveaxis(np.indices(shape, np.float64), 0, -1)


def _held_part(
    shape: tuple[int, ...], place: _Place, tumours: F32, rng: np.random.Generator
) -> MaskArray:
    """What of the tumours the mask holds: nothing, as a rule, or all on one side of a plane."""
    if not tumours.any() or rng.random() >= IN_PART:
        return np.zeros(shape, bool)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    from_plane = (_grid(shape) - place.point - 3 * place.inward) @ normal
    return np.asarray(from_plane > rng.uniform(-6, 10))


def _fluid(lung: F32, rng: np.random.Generator) -> F32:
    """Fluid behind the lung, with a level that may be tilted."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in lung.shape)]
    last = int(np.nonzero((lung > 0.5).any(axis=(0, 2)))[0].max(initial=0))
    tilt = rng.uniform(-0.15, 0.15) * (z - EDGE / 2) + rng.uniform(-0.1, 0.1) * (x - EDGE / 2)
    level = last - rng.uniform(2, 18) + tilt
    return np.asarray(np.clip(y - level + 0.5, 0, 1) * lung, np.float32)


def _near(lung: MaskArray) -> MaskArray:
    """Blocks within about `NEAR_MM` of a lung."""
    coarse = grow(lung[::2, ::2, ::2], int(NEAR_MM / CLOSE_MM / 2), corners=False)
    return np.asarray(coarse.repeat(2, 0).repeat(2, 1).repeat(2, 2))
