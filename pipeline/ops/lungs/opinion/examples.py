"""Chests that a net learns lungs from: turned, stretched, made ill, blurred and noisy.

A chest and the lungs in it are seen in blocks of 4 mm. Sound chests are made ill by
`lungseg.ops.lungs.opinion.illness`, where the lungs are known to be, so that lung without air is
taught at its true place on real chests.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.lungs.in_blocks import BLOCK_MM
from lungseg.ops.lungs.opinion.illness import IllChest, made_ill
from lungseg.volume import F32, FloatArray, HuArray, Triple

EDGES = (96, 80, 96)
"""Blocks of an example along (z, y, x): 384 x 320 x 384 mm."""

# HU beyond these are no different.
DARKEST_HU, BRIGHTEST_HU = -1024, 1500
# How chests are turned (radians about z, y, x), stretched and shifted; standard deviations.
TURNS = (0.06, 0.08, 0.06)
SIZE, STRETCH = 0.1, 0.06
SHEARS = (0.05, 0.08)
SHIFTS = (5.0, 3.0, 4.0)
# How many examples are blurred, and cut at an end; the most blocks that are cut.
BLURRED, CUT, MOST_CUT = 0.5, 0.3, 25
# Largest blur, blocks; standard deviations of the noise (at most) and of an offset, HU.
BLUR, NOISE_HU, OFFSET_HU = 0.5, 12.0, 8.0


@dataclass(frozen=True, eq=False)
class Chest:
    """A chest to learn from, in voxels of about half a block.

    Attributes
    ----------
    hu : (z, y, x) float32
        To the head, the back and the patient's left.
    lungs : (2, z, y, x) float32
        Share of each voxel in the right and in the left lung.
    spacing_mm
        Of the voxels.
    """

    hu: F32
    lungs: F32
    spacing_mm: Triple


@dataclass(frozen=True, eq=False)
class Example:
    """What a net is shown, and what it should say.

    Attributes
    ----------
    image : (z, y, x, 3) float32
        See `channels`.
    lungs : (z, y, x, 2) float32
        Share of each block in the right and in the left lung.
    counts : (z, y, x, 1) float32
        How much each block counts; 0 where it does not matter what the net says.
    """

    image: F32
    lungs: F32
    counts: F32


def channels(hu: F32 | HuArray) -> F32:
    """HU of blocks ``(z, y, x)`` as a net sees them: air and fat, soft tissue, bone ``(..., 3)``.

    Fluid and lung without air differ by twenty HU, which a window over all of them would hide.

    Examples
    --------
    >>> channels(np.array([[[-500, 70, 120]]], np.int16))[0, 0].tolist()
    [[0.0, -1.399999976158142, 0.0], [1.0, 0.5, 0.0], [1.0, 1.0, 0.0]]
    """
    values = hu.astype(np.float32)
    air = (np.clip(values, -1000, 0) + 500) / 500
    soft = (np.clip(values, -120, 160) - 20) / 100
    bone = np.clip(values - 160, 0, 800) / 400
    return np.stack([air, soft, bone], axis=-1).astype(np.float32)


def example(chest: Chest, rng: np.random.Generator, sound: float) -> Example:
    """One example of a chest; a share `sound` of them is not made ill.

    Examples
    --------
    >>> hu, lungs = np.zeros((40, 40, 40), np.float32), np.zeros((2, 40, 40, 40), np.float32)
    >>> chest = Chest(hu, lungs, (2.0, 2.0, 2.0))
    >>> one = example(chest, np.random.default_rng(0), sound=1.0)
    >>> one.image.shape, one.lungs.shape, one.counts.shape
    ((96, 80, 96, 3), (96, 80, 96, 2), (96, 80, 96, 1))
    """
    hu, lungs = _placed(chest, rng)
    counts = np.ones(hu.shape, np.float32)
    ill = IllChest(hu, lungs, counts)
    if rng.random() > sound:
        ill = made_ill(ill, rng)
    hu, counts = ill.hu, ill.counts
    if rng.random() < BLURRED:
        hu = ndimage.gaussian_filter(hu, rng.uniform(0, BLUR, 3))
    noise = rng.normal(0, rng.uniform(0, NOISE_HU), hu.shape)
    hu = hu + noise.astype(np.float32) + np.float32(rng.normal(0, OFFSET_HU))
    if rng.random() < CUT:
        n = int(rng.integers(1, MOST_CUT))
        end = slice(0, n) if rng.random() < 0.5 else slice(-n, None)
        hu[end], counts[end] = DARKEST_HU, 0
    return Example(channels(hu), np.moveaxis(ill.lungs, 0, -1), counts[..., np.newaxis])


def _placed(chest: Chest, rng: np.random.Generator) -> tuple[F32, F32]:
    """HU and lungs on the blocks of an example, turned and stretched about the lungs' middle."""
    box = bounding_box(chest.lungs.max(axis=0) > 0.5) or tuple(slice(0, n) for n in chest.hu.shape)
    middle = np.array([(s.start + s.stop - 1) / 2 for s in box])
    matrix = np.diag(BLOCK_MM / np.array(chest.spacing_mm)) @ crooked(rng, TURNS, STRETCH, SHEARS)
    centre = (np.array(EDGES) - 1) / 2 + rng.normal(0, SHIFTS)
    offset = middle - matrix @ centre

    def seen(values: F32, outside: float) -> F32:
        # Two voxels to a block: averaged before one of them is taken.
        mean = ndimage.uniform_filter(values, 2, mode="nearest")
        found: F32 = ndimage.affine_transform(
            mean, matrix, offset, EDGES, order=1, cval=outside, mode="constant"
        )
        return found

    lungs = np.stack([seen(one, 0.0) for one in chest.lungs])
    return seen(chest.hu, DARKEST_HU), lungs


def crooked(
    rng: np.random.Generator, turns: Triple, stretch: float, shears: tuple[float, float]
) -> FloatArray:
    """Matrix ``(3, 3)`` of a chest that lies, and is built, otherwise: turned, stretched, sheared.

    Parameters
    ----------
    rng
    turns, stretch, shears
        Standard deviations: about z, y and x, in radians; of each axis beside the whole's `SIZE`;
        of x along y and of y along z.

    Examples
    --------
    >>> crooked(np.random.default_rng(0), (0, 0, 0), 0.0, (0, 0)).round(3).tolist()
    [[1.011, 0.0, 0.0], [0.0, 1.011, 0.0], [0.0, 0.0, 1.011]]
    """
    angles = rng.normal(0, turns)
    sizes = np.exp(rng.normal(0, SIZE) + rng.normal(0, stretch, 3))
    shear = np.eye(3)
    shear[2, 1], shear[1, 0] = rng.normal(0, shears)
    return np.asarray(_turn(angles) @ np.diag(sizes) @ shear)


def _turn(angles: FloatArray) -> FloatArray:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = (k for k in range(3) if k != axis)
        about = np.eye(3)
        about[i, i] = about[j, j] = np.cos(angle)
        about[i, j], about[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ about
    return matrix
