"""Tumours and other compact masses that one lung encloses, of any size, are lung.

A mass is what is thick and yet has lung around it: from inside, most lines of sight in three
dimensions meet the same lung, no farther away than the mass is thick. The length of sight grows
with the thickness, so that one rule holds for 15 and for 70 mm. Heart, liver, spine and chest wall
are thick too, but from inside them lung is seen on one side only; vessels are thinner, and those of
the hilum lie around the main bronchi. All this is seen on blocks of 4 mm, which takes a tenth of a
second a lung.
"""

from itertools import product

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.blocks import (
    Zoom,
    block_any,
    block_factors,
    block_mean,
    block_most,
    block_spacing,
)
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import close_mm, components, dilate_mm, erode_mm
from lungseg.volume import F32, FloatArray, HuArray, MaskArray, Triple

# Edge of the blocks, mm.
MASS_BLOCK_MM = 4.0
# Half of the thickness of a mass lies between these, mm. What is thinner, closing adds.
HALF_MM = (8.0, 42.0)
# A line of sight is REACH times half of the thickness long, and SLACK_MM more.
REACH = 1.5
SLACK_MM = 4.0
# So many of the 26 lines of sight meet lung. The first where what is open faces the chest wall or
# the top, where nothing but ribs bulges into a lung; the second where it faces down, which is the
# diaphragm; the third elsewhere, which is the mediastinum.
SEEN = (13, 16, 20)
# Where a mass is at least twice LARGE_MM thick, no vessel is: it may be longer than wide, and wider
# where it sits, if LARGE_NEAR_SEEN of the shorter lines meet lung.
LARGE_MM = 10.0
LARGE_REACH = 2.0
LARGE_SEEN = (12, 18, 20)
LARGE_NEAR_SEEN = 13
# So many of the 13 axes may be open at both ends; a plate is open along more.
OPEN_AXES = 2
# Open lines of sight face the wall, the top or the diaphragm if the cosine between their mean and
# the way there is larger.
FACING = 0.6
# Nearer than this to the middle of the chest, mm, heart and vessels lie behind the wall.
MEDIAN_MM = 40.0
# Above this share of a lung's height nothing but the chest wall is above it.
TOP_SHARE = 0.75
# A mass whose ball comes so near to a main bronchus, mm, is the hilum, unless half of it is thicker
# than HILUM_MM, or HILUM_SEEN lines of sight meet lung.
BRONCHUS_MM = 12.0
HILUM_MM = 20.0
HILUM_SEEN = 22
# Brighter than this, HU, it is bone, or a vessel with contrast medium.
BRIGHT_HU = 150
# Where a mass bends, and at its base, a ball of this radius closes it, mm.
BEND_MM = 8.0
# A nodule on vessels is thicker than twice KNOT_MM, which vessels of the lung hardly are, and thin
# enough for a ball of KNOT_CLOSE_MM to close it; KNOT_SEEN of its 26 lines of sight meet lung. It
# lies farther from a main bronchus than KNOT_FROM_BRONCHUS_MM, where the hilum's vessels cross.
KNOT_MM = 5.0
KNOT_CLOSE_MM = 10.0
KNOT_SEEN = 25
KNOT_FROM_BRONCHUS_MM = 20.0
# More blocks of way to the lung than the largest of sights.
FAR = np.uint8(200)
Steps = npt.NDArray[np.uint8]


def enclosed_masses(  # noqa: PLR0913, PLR0917 - a lung, and what cannot be a mass
    lung: MaskArray,
    free: MaskArray,
    ct: HuArray,
    lumen: MaskArray,
    middle_yx: FloatArray | None,
    spacing_mm: Triple,
) -> MaskArray:
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
    A mass of 32 mm at the outer wall of a lung, joined to it, and a heart as large as the lung:

    >>> z, y, x = np.ogrid[:60, :60, :50]
    >>> lung = np.zeros((60, 60, 50), bool)
    >>> lung[5:55, 5:55, 5:45] = True
    >>> ball = (z - 30) ** 2 + (y - 30) ** 2 + (x - 11) ** 2 < 64
    >>> heart = ((z - 30) / 24) ** 2 + ((y - 30) / 20) ** 2 + ((x - 50) / 26) ** 2 < 1
    >>> ct, none = np.where(lung, np.int16(-850), np.int16(40)), np.zeros_like(lung)
    >>> middle_yx = np.tile([30.0, 60.0], (60, 1))
    >>> for body in (ball, heart):
    ...     left = lung & ~body
    ...     found = enclosed_masses(left, ~left, ct, none, middle_yx, (2.0, 2.0, 2.0))
    ...     print(bool(found[lung & body].mean() > 0.85))
    True
    False
    """
    found = np.zeros_like(lung)
    box = bounding_box(lung, [int(MASS_BLOCK_MM / step) + 1 for step in spacing_mm])
    if box is None:
        return found
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
    centres &= _enclosed(blocks, half_mm, _half_thickness(bronchi, block_mm), outward, block_mm)
    if not centres.any():
        return found
    mass = _balls(centres, half_mm, block_mm) & ~blocks
    bent = close_mm(mass | blocks, BEND_MM, block_mm, border="repeat") & ~blocks
    mass |= bent & dilate_mm(mass, BEND_MM, block_mm)
    found[box] = Zoom(lung[box].shape, factors).whole(mass) & free[box] & ~lung[box]
    return found


def vessel_nodules(
    lung: MaskArray, free: MaskArray, ct: HuArray, lumen: MaskArray, spacing_mm: Triple
) -> MaskArray:
    """Nodules of 10 to 20 mm in `lung` that vessels tie to the hilum.

    They are too thick for a ball that closes vessels, too thin for `enclosed_masses`, and no holes.
    From inside a vessel lung is not seen along it, both ways; from inside a nodule it is.

    Parameters
    ----------
    lung, free : (z, y, x) bool
        One lung with its vessels, and what may become part of it.
    ct : (z, y, x) int16
        Means of blocks of about 2 mm.
    lumen : (z, y, x) bool
        Trachea and main bronchi.
    spacing_mm

    Examples
    --------
    A ball of 16 mm at the end of a vessel of 12 mm, and the vessel:

    >>> z, y, x = np.ogrid[:40, :40, :60]
    >>> ball = (z - 20) ** 2 + (y - 20) ** 2 + (x - 40) ** 2 < 18
    >>> vessel = ((z - 20) ** 2 + (y - 20) ** 2 < 5) & (x < 40)
    >>> lung = ~(ball | vessel)
    >>> ct, none = np.where(lung, -850, 40).astype(np.int16), np.zeros_like(lung)
    >>> found = vessel_nodules(lung, ~lung, ct, none, (2.0, 2.0, 2.0))
    >>> round(float(found[ball].mean()), 1), float(found[:, :, :30].sum())
    (1.0, 0.0)
    """
    found = np.zeros_like(lung)
    box = bounding_box(lung)
    if box is None:
        return found
    part = lung[box]
    added = close_mm(part, KNOT_CLOSE_MM, spacing_mm, border="repeat") & ~part & free[box]
    core = erode_mm(added, KNOT_MM, spacing_mm, border=False)
    labels, count = components(core, connectivity=26)
    bronchi = np.argwhere(lumen[box])[::4] * np.array(spacing_mm)
    next_mm = 1.01 * max(spacing_mm)
    margin = [int((KNOT_MM + next_mm) / step) + 1 for step in spacing_mm]
    for label in range(1, count + 1):
        seed = labels == label
        near = bounding_box(seed, margin)
        if near is None:
            continue
        piece = dilate_mm(seed[near], KNOT_MM + next_mm, spacing_mm) & added[near]
        inside = np.argwhere(seed).mean(axis=0)
        seen = sights(part, piece, inside, spacing_mm)
        away = np.linalg.norm(bronchi - inside * spacing_mm, axis=1).min(initial=np.inf)
        enclosed = seen.sum() >= KNOT_SEEN and bool((seen | seen[::-1]).all())
        dark = float(np.median(ct[box][near][piece])) < BRIGHT_HU
        if enclosed and dark and away > KNOT_FROM_BRONCHUS_MM:
            found[box][near] |= piece
    return found


def sights(lung: MaskArray, piece: MaskArray, at: FloatArray, spacing_mm: Triple) -> MaskArray:
    """Whether each of 26 lines of sight meets `lung`; they are as long as `piece` is thick.

    Parameters
    ----------
    lung : (z, y, x) bool
    piece : bool
        A piece of any box, from whose inside it is looked.
    at
        Where the lines begin, in voxels of `lung`.
    spacing_mm

    Returns
    -------
    (26,) bool
        The first 9 run down, toward the feet, 8 in the slice, the last 9 up; opposite ones stand
        end to end.

    Examples
    --------
    >>> lung, piece = np.zeros((5, 5, 5), bool), np.ones((1, 1, 1), bool)
    >>> lung[4] = True
    >>> seen = sights(lung, piece, np.array([2.0, 2.0, 2.0]), (1.0, 1.0, 1.0))
    >>> int(seen[:17].sum()), int(seen[17:].sum())
    (0, 9)
    """
    # Of the ball of the same volume.
    radius_mm = float(np.cbrt(0.75 / np.pi * np.count_nonzero(piece) * np.prod(spacing_mm)))
    reach_mm = REACH * radius_mm + SLACK_MM
    ways = np.array([way for way in product((-1, 0, 1), repeat=3) if any(way)])
    unit = ways / np.linalg.norm(ways * np.array(spacing_mm), axis=1)[:, None]
    steps = np.arange(0, reach_mm, min(spacing_mm) / 2)
    places = np.rint(at + unit[:, None] * steps[None, :, None]).astype(np.intp)
    within = ((places >= 0) & (places < lung.shape)).all(axis=2)
    inside = np.clip(places, 0, np.array(lung.shape) - 1)
    seen: MaskArray = (lung[tuple(np.moveaxis(inside, 2, 0))] & within).any(axis=1)
    return seen


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


def _enclosed(
    lung: MaskArray, half_mm: F32, bronchus_mm: F32, outward: F32, spacing_mm: Triple
) -> MaskArray:
    """Blocks from which lung is seen as from inside a mass."""
    near = _Sight(lung, REACH * half_mm + SLACK_MM, spacing_mm)
    # What is no thicker may be an artery of the hilum; that is open along itself.
    enclosed = near.meets(SEEN, outward) & ((half_mm >= LARGE_MM) | (near.open_axes == 0))
    far = _Sight(lung, LARGE_REACH * half_mm + SLACK_MM, spacing_mm)
    enclosed |= (
        far.meets(LARGE_SEEN, outward) & (half_mm >= LARGE_MM) & (near.seen >= LARGE_NEAR_SEEN)
    )
    hilum = (bronchus_mm < half_mm + BRONCHUS_MM) & (half_mm < HILUM_MM) & (near.seen < HILUM_SEEN)
    masses: MaskArray = enclosed & ~hilum
    return masses


class _Sight:
    """In how many of 26 directions lung is met, and where it is not.

    Attributes
    ----------
    seen
        Directions that meet lung within the reach.
    open_axes
        Axes that do in neither direction.
    away
        Mean of the directions that do not, times their number, (z, y, x).
    """

    def __init__(self, lung: MaskArray, reach_mm: F32, spacing_mm: Triple) -> None:
        self.seen = np.zeros(lung.shape, np.uint8)
        self.open_axes = np.zeros(lung.shape, np.uint8)
        self.away = np.zeros((3, *lung.shape), np.float32)
        for way in product((0, 1), (-1, 0, 1), (-1, 0, 1)):
            if way <= (0, 0, 0):
                continue
            step_mm = float(np.linalg.norm(np.multiply(way, spacing_mm)))
            most = np.minimum(reach_mm / step_mm, FAR - 1).astype(np.uint8)
            behind = _steps_to(lung, way) <= most
            ahead = _steps_to(lung, (-way[0], -way[1], -way[2])) <= most
            self.seen += behind
            self.seen += ahead
            self.open_axes += ~(behind | ahead)
            one_end = behind.astype(np.int8) - ahead
            for axis in range(3):
                if way[axis]:
                    self.away[axis] += np.float32(way[axis] * spacing_mm[axis] / step_mm) * one_end

    def meets(self, least: tuple[int, int, int], outward: F32) -> MaskArray:
        """Where enough is met, by what it is open to: wall and top, diaphragm, mediastinum."""
        length = np.sqrt((self.away**2).sum(axis=0)) + np.float32(1e-3)
        wall = (self.away[1:] * outward).sum(axis=0) > FACING * length
        top = round(TOP_SHARE * len(wall))
        wall[top:] |= self.away[0, top:] > FACING * length[top:]
        need = np.full(length.shape, least[2], np.uint8)
        need[(-self.away[0] > FACING * length) & outward.any(axis=0)] = least[1]
        need[wall] = least[0]
        enough: MaskArray = (self.seen >= need) & (self.open_axes <= OPEN_AXES)
        return enough


def _steps_to(lung: MaskArray, way: tuple[int, int, int]) -> Steps:
    """Steps back along `way` to the next block of lung; beyond the array there is none."""
    axis = next(k for k in range(3) if way[k])
    order = [axis, *(k for k in range(3) if k != axis)]
    planes = np.transpose(lung, order)
    steps = np.full(planes.shape, FAR, np.uint8)
    rows, columns = (_shifted(way[k], n) for k, n in zip(order[1:], planes.shape[1:], strict=True))
    indices = range(len(planes)) if way[axis] > 0 else range(len(planes) - 1, -1, -1)
    before: Steps | None = None
    for k in indices:
        here = steps[k]
        if before is not None:
            here[rows[0], columns[0]] = np.minimum(before[rows[1], columns[1]], FAR - 1) + 1
        here[planes[k]] = 0
        before = here
    return np.transpose(steps, np.argsort(order))


def _shifted(by: int, n: int) -> tuple[slice, slice]:
    """Where values go to that move `by` places along an axis of `n`, and where they come from."""
    return slice(max(by, 0), n + min(by, 0)), slice(max(-by, 0), n + min(-by, 0))


def _balls(centres: MaskArray, radius_mm: F32, spacing_mm: Triple) -> MaskArray:
    """Union of the balls around `centres`, each as large as fits; in steps of half a block."""
    step = min(spacing_mm) / 2
    radius = np.floor(radius_mm / step) * step
    union = np.zeros_like(centres)
    for one in np.unique(radius[centres]):
        union |= dilate_mm(centres & (radius == one), float(one), spacing_mm)
    return union
