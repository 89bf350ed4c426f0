"""What a threshold cuts out of a lung is added again: vessels, nodules on the chest wall.

And, more generously, the region in which nodules are looked for.
"""

import numpy as np

from lungseg.ops.grid.blocks import Zoom, block_factors, block_most, block_spacing
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import (
    close_mm,
    components,
    dilate_mm,
    erode_mm,
    fill,
    regions,
    sizes,
)
from lungseg.ops.lungs.enclosed.sight import sights
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.volume import FloatArray, HuArray, IndexArray, MaskArray, Triple

# What bulges less than this into the lung is a rib, not a nodule, mm.
BULGE_MM = 3.0
# How far a bulge reaches beyond what the ball closes, mm; one block at least.
CAP_MM = 2.0
# Below LIGHT_HU it is not muscle, above BONE_HU it is bone; a bulge with more than BONE_SHARE of
# bone is a rib.
LIGHT_HU = -150
BONE_HU = 180
BONE_SHARE = 0.1
# Farther from the chest wall than this it is a vessel of the hilum, mm.
WALL_WITHIN_MM = 30.0
# Nearer than this to the middle of the chest is the mediastinum, mm.
MIDDLE_MM = 30.0
# What stands on the diaphragm lies in the lower half of its lung, this far from the middle of the
# chest, mm: nearer are the heart's fat and the hilum.
STANDS_ASIDE_MM = 45.0
# Of the lines of sight from inside it all 9 upward meet lung, so many of the 8 level ones, and no
# more than so many of the 9 downward; from a scar within the lung more do, and that is not the
# hilum if it lies STANDS_FAR_MM from the middle.
STANDS_LEVEL = 6
STANDS_BELOW = 6
STANDS_FAR_MM = 70.0
# Steps along the ray that asks what lies towards the middle of the chest, mm.
RAY_STEP_MM = 3.0
# Edge of the blocks on which the lungs are closed, mm.
REGION_BLOCK_MM = 4.0
# Radius of the ball that closes each lung: it fills hilum and wall, and keeps out of the hollows
# of heart and diaphragm, which are wider, mm.
REGION_CLOSE_MM = 40.0
# Added all around, mm.
REGION_MARGIN_MM = 4.0


def filled_lung(
    lung: MaskArray, free: MaskArray, vessel_mm: float, spacing_mm: Triple
) -> MaskArray:
    """`lung` closed by a ball of `vessel_mm`, and with the holes it then encloses.

    Parameters
    ----------
    lung, free : (z, y, x) bool
        One lung, and what may become part of it (no airway, not the other lung).
    vessel_mm, spacing_mm

    Examples
    --------
    >>> lung = np.ones((9, 9, 9), bool)
    >>> lung[4, 4, :5] = False
    >>> whole = filled_lung(lung, np.ones_like(lung), 2.0, (1.0, 1.0, 1.0))
    >>> bool(whole.all())
    True
    """
    closed = fill(close_mm(lung, vessel_mm, spacing_mm, border="repeat"))
    whole: MaskArray = lung | (closed & free)
    return whole


def wall_bulges(  # noqa: PLR0913, PLR0917 - three masks, and where the chest's middle is
    lung: MaskArray,
    free: MaskArray,
    ct: HuArray,
    middle_yx: FloatArray,
    wall_mm: float,
    spacing_mm: Triple,
) -> MaskArray:
    """What bulges from the chest wall or the diaphragm into one lung, as juxtapleural nodules do.

    A large ball closes the lung, but the hollows of the heart, the hilum and the diaphragm are
    no bulges: only what is near the chest wall and has this same lung between it and the middle
    of the chest counts, or what stands on the diaphragm and has this lung around and above it; it
    is deep, or too light for the wall, and it is no rib.

    Parameters
    ----------
    lung, free : (z, y, x) bool
        One lung, and what may become part of it.
    ct : (z, y, x) int16
    middle_yx : (z, 2)
        Row and column of the middle of the chest, by slice.
    wall_mm
        Radius of the ball, mm.
    spacing_mm

    Examples
    --------
    A bulge of the wall, 16 mm wide and 8 mm deep, at the outer side of a lung:

    >>> lung = np.zeros((40, 60, 60), bool)
    >>> lung[5:35, 5:55, 10:50] = True
    >>> lung[16:24, 26:34, 10:14] = False
    >>> ct = np.where(lung, np.int16(-850), np.int16(40))
    >>> middle_yx = np.tile([30.0, 70.0], (40, 1))
    >>> bulge = wall_bulges(lung, ~lung, ct, middle_yx, 18.0, (2.0, 2.0, 2.0))
    >>> bool(bulge[16:24, 26:34, 10:14].all())
    True

    A nodule of 12 mm on the diaphragm, farther from the middle of the chest than the heart:

    >>> lung[16:24, 26:34, 10:14] = True
    >>> lung[5:11, 27:33, 15:21] = False
    >>> bulge = wall_bulges(lung, ~lung, ct, middle_yx, 18.0, (2.0, 2.0, 2.0))
    >>> bool(bulge[5:11, 27:33, 15:21].all()), int(bulge.sum()) < 300
    (True, True)
    """
    found = np.zeros_like(lung)
    box = bounding_box(lung, [int(wall_mm / step) + 1 for step in spacing_mm])
    if box is None or wall_mm <= 0:
        return found
    part = lung[box]
    closed = close_mm(part, wall_mm, spacing_mm, border="repeat")
    added = closed & ~part & free[box]
    deep = erode_mm(closed, BULGE_MM, spacing_mm, border=False) & added
    added &= dilate_mm(deep, BULGE_MM + max(spacing_mm), spacing_mm) | (ct[box] < LIGHT_HU)
    middle = middle_yx[box[0]] - [s.start for s in box[1:]]
    bulges = _costal(added, part, middle, 2 * wall_mm, spacing_mm)
    bulges |= _on_diaphragm(deep & ~bulges, added, part, middle, spacing_mm)
    bulges = _without_ribs(bulges, ct[box])
    # The ball dips into the mouth of each bulge: the cap on the wall is one step farther out.
    cap_mm = max(CAP_MM, 1.01 * max(spacing_mm))
    cap = dilate_mm(bulges & deep, BULGE_MM + cap_mm, spacing_mm) & ~closed & free[box]
    cap &= dilate_mm(bulges, cap_mm, spacing_mm)
    found[box] = bulges | cap
    return found


def search_region(sides: Sides, spacing_mm: Triple, maybe: MaskArray | None = None) -> MaskArray:
    """The lungs `sides` (1, 2), each closed by a large ball, and a margin, ``(z, y, x)`` bool.

    A tumour that is not told from wall, hilum or diaphragm lies in it all the same; and so does
    what is `maybe` one.

    Examples
    --------
    A lung with a notch 24 mm wide:

    >>> sides = np.zeros((40, 40, 40), np.uint8)
    >>> sides[8:32, 8:32, 8:32] = LEFT
    >>> sides[14:26, 14:26, 8:14] = 0
    >>> region = search_region(sides, (2.0, 2.0, 2.0))
    >>> bool(region[14:26, 14:26, 10:14].all()), bool(region[20, 20, 5]), bool(region[20, 4, 20])
    (True, False, False)
    """
    region = np.zeros(sides.shape, bool)
    reach = REGION_CLOSE_MM + REGION_MARGIN_MM
    box = bounding_box(sides, [int(reach / step) + 1 for step in spacing_mm])
    if box is None:
        return region
    part = sides[box]
    factors = block_factors(spacing_mm, REGION_BLOCK_MM)
    block_mm = block_spacing(spacing_mm, factors)
    zoom = Zoom(part.shape, factors)
    within = np.zeros(part.shape, bool)
    for side in (RIGHT, LEFT):
        lung = part == side
        blocks = block_most(lung, factors)
        closed = close_mm(blocks, REGION_CLOSE_MM, block_mm, border="repeat")
        within |= lung | zoom.whole(closed)
    if maybe is not None:
        within |= maybe[box]
    region[box] = dilate_mm(within, REGION_MARGIN_MM, spacing_mm)
    return region


def _without_ribs(bulges: MaskArray, ct: HuArray) -> MaskArray:
    labels, count = components(bulges, connectivity=6)
    voxels = sizes(labels, count)
    bone = np.bincount(labels[bulges & (ct > BONE_HU)], minlength=count + 1)
    kept = bone <= BONE_SHARE * voxels
    kept[0] = False
    return kept[labels]


def _costal(
    added: MaskArray,
    lung: MaskArray,
    middle_yx: FloatArray,
    reach_mm: float,
    spacing_mm: Triple,
) -> MaskArray:
    """Voxels of `added` near the chest wall, with `lung` between them and the chest's middle."""
    z, y, x = np.nonzero(added)
    if len(z) == 0:
        return added
    step_y, step_x = spacing_mm[1:]
    towards_y = (middle_yx[z, 0] - y) * step_y
    towards_x = (middle_yx[z, 1] - x) * step_x
    length = np.maximum(np.hypot(towards_y, towards_x), 1e-6)
    towards_y, towards_x = towards_y / length / step_y, towards_x / length / step_x
    inward = np.zeros(len(z), bool)
    at_wall = np.zeros(len(z), bool)
    whole = lung | added
    for k in range(1, int(reach_mm / RAY_STEP_MM) + 1):
        far = k * RAY_STEP_MM
        inward |= _at(lung, z, y + far * towards_y, x + far * towards_x) & (far < length)
        if far <= WALL_WITHIN_MM:
            at_wall |= ~_at(whole, z, y - far * towards_y, x - far * towards_x)
    meets = inward & at_wall & (length > MIDDLE_MM)
    costal = np.zeros_like(added)
    costal[z[meets], y[meets], x[meets]] = True
    return costal


def _on_diaphragm(
    deep: MaskArray, added: MaskArray, lung: MaskArray, middle_yx: FloatArray, spacing_mm: Triple
) -> MaskArray:
    """Parts of `added` that stand on the diaphragm: `lung` is seen around and above them."""
    found = np.zeros_like(added)
    reach_mm = BULGE_MM + max(spacing_mm)
    margin = [int(reach_mm / step) + 1 for step in spacing_mm]
    for box, seed in regions(deep, margin):
        middle = np.argwhere(seed).mean(axis=0) + [s.start for s in box]
        z = round(middle[0])
        aside_mm = abs(middle[2] - middle_yx[z, 1]) * spacing_mm[2]
        if z > len(lung) // 2 or aside_mm < STANDS_ASIDE_MM:
            continue
        piece = dilate_mm(seed, reach_mm, spacing_mm) & added[box]
        seen = sights(lung, piece, middle, spacing_mm)
        below, level, above = seen[:9], seen[9:17], seen[17:]
        # A fold of the diaphragm is open along itself.
        ends = bool((level | level[::-1]).all())
        stands = ends and above.all() and level.sum() >= STANDS_LEVEL
        if stands and (below.sum() <= STANDS_BELOW or aside_mm >= STANDS_FAR_MM):
            found[box] |= piece
    return found


def _at(
    mask: MaskArray,
    z: IndexArray,
    y: FloatArray,
    x: FloatArray,
) -> MaskArray:
    row = np.clip(np.rint(y).astype(np.intp), 0, mask.shape[1] - 1)
    column = np.clip(np.rint(x).astype(np.intp), 0, mask.shape[2] - 1)
    return mask[z, row, column]
