"""Tumours and other compact masses that one lung encloses, of any size, are lung.

A mass is what is thick and yet has lung around it: from inside, most lines of sight in three
dimensions meet the same lung, no farther away than the mass is thick. The length of sight grows
with the thickness, so that one rule holds for 15 and for 70 mm. Heart, liver, spine and chest wall
are thick too, but from inside them lung is seen on one side only; vessels are thinner, and those of
the hilum lie around the main bronchi. All this is seen on blocks of 4 mm, which takes a tenth of a
second a lung.
"""

from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.blocks import (
    Zoom,
    block_any,
    block_factors,
    block_mean,
    block_most,
    block_spacing,
)
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import balls, close_mm, components, dilate_mm, sizes
from lungseg.ops.grid.neighbours import grow
from lungseg.ops.lungs.enclosed.far_sides import far_sides
from lungseg.ops.lungs.enclosed.sight import Sight, reach
from lungseg.volume import F32, FloatArray, HuArray, MaskArray, Triple

# Edge of the blocks, mm.
MASS_BLOCK_MM = 4.0
# Half of the thickness of a mass lies between these, mm. What is thinner, closing adds.
HALF_MM = (6.5, 42.0)
# So many of the 26 lines of sight meet lung. The first where what is open faces the chest wall or
# the top, where nothing but ribs bulges into a lung; the second where it faces down, which is the
# diaphragm; the third elsewhere, which is the mediastinum.
SEEN = (13, 16, 20)
# Where no axis is open both ways, as along a vessel and the aorta, and what is seen is thinner than
# twice COMPACT_MM, as heart and liver are not, fewer are enough; the first where it is thinner than
# twice LARGE_MM, the second elsewhere, and one more there if an axis is open.
COMPACT_SEEN = (16, 15)
COMPACT_MM = 22.0
# Where a mass is at least twice LARGE_MM thick, no vessel is: it may be longer than wide, and wider
# where it sits, if LARGE_NEAR_SEEN of the shorter lines meet lung.
LARGE_MM = 10.0
LARGE_REACH = 2.0
LARGE_SEEN = (12, 18, 20)
LARGE_NEAR_SEEN = 13
# As SEEN, of what is large and nearly a mass.
NEARLY_SEEN = (10, 14, 17)
# Nearer than this to the middle of the chest, mm, heart and vessels lie behind the wall.
MEDIAN_MM = 40.0
# A mass whose ball comes so near to a main bronchus, mm, is the hilum, unless half of it is thicker
# than HILUM_MM, or HILUM_SEEN lines of sight meet lung.
BRONCHUS_MM = 12.0
HILUM_MM = 20.0
HILUM_SEEN = 22
# Brighter than this, HU, it is bone, or a vessel with contrast medium.
BRIGHT_HU = 150
# Where a mass bends, and at its base, a ball of this radius closes it, mm.
BEND_MM = 8.0
# Where less than this share of a slice through masses lies outside of the lung's convex hull, that
# is chest wall.
MOST_OUTSIDE = 0.5
# So far beyond what is found its far side is rounded, mm.
FAR_SIDE_MM = 6.0


@dataclass(frozen=True, eq=False)
class Masses:
    """What one lung encloses, and what it nearly does.

    Attributes
    ----------
    found : (z, y, x) bool
        Masses.
    nearly : (z, y, x) bool
        What may be masses or heart, great vessels and diaphragm: none of it is in `found`.
    """

    found: MaskArray
    nearly: MaskArray


def enclosed_masses(  # noqa: PLR0913, PLR0917 - a lung, and what cannot be a mass
    lung: MaskArray,
    free: MaskArray,
    ct: HuArray,
    lumen: MaskArray,
    middle_yx: FloatArray | None,
    spacing_mm: Triple,
) -> Masses:
    """Compact masses that `lung` encloses in most directions.

    Parameters
    ----------
    lung, free : (z, y, x) bool
        One lung with its vessels, and what may become part of it.
    ct : (z, y, x) int16
    lumen : (z, y, x) bool
        Trachea and main bronchi.
    middle_yx : (z, 2), or None
        Row and column of the middle of the chest, by slice, where both lungs tell it.
    spacing_mm

    Examples
    --------
    A mass of 32 mm at the outer wall of a lung, joined to it, and a heart as large as the lung,
    of which the tip is nearly one:

    >>> z, y, x = np.ogrid[:60, :60, :50]
    >>> lung = np.zeros((60, 60, 50), bool)
    >>> lung[5:55, 5:55, 5:45] = True
    >>> ball = (z - 30) ** 2 + (y - 30) ** 2 + (x - 11) ** 2 < 64
    >>> heart = ((z - 30) / 24) ** 2 + ((y - 30) / 20) ** 2 + ((x - 50) / 26) ** 2 < 1
    >>> ct, none = np.where(lung, np.int16(-850), np.int16(40)), np.zeros_like(lung)
    >>> middle_yx = np.tile([30.0, 60.0], (60, 1))
    >>> for body in (ball, heart):
    ...     left = lung & ~body
    ...     masses = enclosed_masses(left, ~left, ct, none, middle_yx, (2.0, 2.0, 2.0))
    ...     print(bool(masses.found[lung & body].mean() > 0.85), bool(masses.nearly.any()))
    True False
    False True
    """
    masses = Masses(np.zeros_like(lung), np.zeros_like(lung))
    box = bounding_box(lung, [int(MASS_BLOCK_MM / step) + 1 for step in spacing_mm])
    if box is None:
        return masses
    factors = block_factors(spacing_mm, MASS_BLOCK_MM)
    block_mm = block_spacing(spacing_mm, factors)
    blocks = block_most(lung[box], factors)
    half_mm = _half_thickness(blocks, block_mm)
    centres = (half_mm >= HALF_MM[0]) & (half_mm <= HALF_MM[1])
    centres &= block_mean(np.ascontiguousarray(ct[box]), factors) < BRIGHT_HU
    bronchi = block_any(lumen[box], factors)
    if middle_yx is None:
        outward = np.zeros((2, *blocks.shape), np.float32)
    else:
        middle = (middle_yx[box[0]][:: factors[0]] - [s.start for s in box[1:]]) / factors[1:]
        outward = _outward(blocks.shape, middle, block_mm)
    enclosed, nearly = _enclosed(blocks, centres, half_mm, bronchi, outward, block_mm)
    if enclosed.any() or nearly.any():
        zoom, takes = Zoom(lung[box].shape, factors), free[box] & ~lung[box]
        mass = _masses_around(enclosed, blocks, half_mm, block_mm)
        masses.found[box] = zoom.whole(mass) & takes
        maybe = _not_too_large(balls(nearly, half_mm, block_mm) & ~blocks, block_mm)
        masses.nearly[box] = zoom.whole(maybe) & takes & ~masses.found[box]
    return masses


def _masses_around(
    centres: MaskArray, lung: MaskArray, half_mm: F32, block_mm: Triple
) -> MaskArray:
    """The balls around `centres`, rounded where they bend and on their far sides."""
    if not centres.any():
        return centres
    mass = balls(centres, half_mm, block_mm) & ~lung
    bent = close_mm(mass | lung, BEND_MM, block_mm, border="repeat") & ~lung
    mass |= bent & dilate_mm(mass, BEND_MM, block_mm)
    mass |= far_sides(mass, lung, FAR_SIDE_MM, block_mm)
    return mass & ~_in_the_wall(mass, lung)


def _not_too_large(maybe: MaskArray, spacing_mm: Triple) -> MaskArray:
    """Without what is larger than the largest mass: heart and liver."""
    parts, count = components(maybe, connectivity=6)
    largest = 4 / 3 * np.pi * HALF_MM[1] ** 3 / float(np.prod(spacing_mm))
    kept = sizes(parts, count) <= largest
    kept[0] = False
    return kept[parts]


def _half_thickness(mask: MaskArray, spacing_mm: Triple) -> F32:
    """Distance to `mask`, mm."""
    from scipy import ndimage

    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    distance: F32 = ndimage.distance_transform_edt(~mask, sampling=spacing_mm).astype(np.float32)
    return distance


def _outward(shape: tuple[int, ...], middle_yx: FloatArray, spacing_mm: Triple) -> F32:
    """Way to the chest wall, ``(2, z, y, x)``: along y and x, of length 1; 0 near the middle."""
    y = np.arange(shape[1])[None, :, None] - middle_yx[:, 0, None, None]
    x = np.arange(shape[2])[None, None, :] - middle_yx[:, 1, None, None]
    way = np.stack(np.broadcast_arrays(y * spacing_mm[1], x * spacing_mm[2])).astype(np.float32)
    unit: F32 = way / np.maximum(np.sqrt((way**2).sum(axis=0)), np.float32(1e-3))
    unit[:, np.abs(way[1]) < MEDIAN_MM] = 0
    return unit


def _enclosed(  # noqa: PLR0913, PLR0917 - a lung, and what cannot be a mass
    lung: MaskArray,
    centres: MaskArray,
    half_mm: F32,
    bronchi: MaskArray,
    outward: F32,
    spacing_mm: Triple,
) -> tuple[MaskArray, MaskArray]:
    """Those `centres` from which lung is seen as from inside a mass, and as nearly so."""
    near, far = Sight.of(lung, [reach(half_mm), reach(half_mm, LARGE_REACH)], spacing_mm)
    # What is no thicker may be an artery of the hilum; that is open along itself.
    large = half_mm >= LARGE_MM
    enclosed = near.meets(SEEN, outward) & (large | (near.open_axes == 0))
    least = np.where(large, np.uint8(COMPACT_SEEN[1]), np.uint8(COMPACT_SEEN[0])) + near.open_axes
    compact = (near.seen >= least) & (near.open_axes <= large) & (half_mm < COMPACT_MM)
    # A large mass is seen from more than one block; one alone is where an aorta bends.
    enclosed |= compact & (~large | _has_company(enclosed | compact))
    enclosed |= far.meets(LARGE_SEEN, outward) & large & (near.seen >= LARGE_NEAR_SEEN)
    nearly = near.meets(NEARLY_SEEN, outward) & large & ~enclosed
    enclosed, nearly = centres & enclosed, centres & nearly
    if not (enclosed.any() or nearly.any()):
        return enclosed, nearly
    bronchus_mm = _half_thickness(bronchi, spacing_mm)
    hilum = (bronchus_mm < half_mm + BRONCHUS_MM) & (half_mm < HILUM_MM) & (near.seen < HILUM_SEEN)
    return enclosed & ~hilum, nearly & ~hilum


def _has_company(blocks: MaskArray) -> MaskArray:
    """Blocks with another within two steps."""
    from scipy import ndimage

    near = ndimage.uniform_filter(blocks.astype(np.float32), 5, mode="constant") * 125
    return np.asarray(blocks & (near > 1.5))


def _in_the_wall(mass: MaskArray, lung: MaskArray) -> MaskArray:
    """What of masses lies a block and more outside of the lung's convex hull, slice by slice.

    In slices of which a mass fills so much that hardly any lung is left, as in the apex, the hull
    tells nothing.
    """
    from skimage.morphology import convex_hull_image

    beyond = np.zeros_like(mass)
    for z in np.flatnonzero(mass.any(axis=(1, 2)) & lung.any(axis=(1, 2))):
        hull = grow(convex_hull_image(lung[z]), corners=False)
        outside = mass[z] & ~hull
        if np.count_nonzero(outside) < MOST_OUTSIDE * np.count_nonzero(mass[z]):
            beyond[z] = outside
    return beyond
