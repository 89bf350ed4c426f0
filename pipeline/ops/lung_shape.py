"""What a threshold cuts out of a lung, given back: vessels, and nodules on the chest wall."""

import numpy as np
import numpy.typing as npt

from pipeline.ops.morphology import MaskArray, bounding_box, close_mm, fill, open_mm
from pipeline.volume import Triple

# Thinner than twice this is no bulge but the space between ribs, mm.
BULGE_MM = 3.0
# Steps along the ray that asks what lies towards the middle of the chest, mm.
RAY_STEP_MM = 3.0


def closed_lung(
    lung: MaskArray,
    blocked: MaskArray,
    middle_yx: npt.NDArray[np.float64],
    vessel_mm: float,
    wall_mm: float,
    spacing_mm: Triple,
) -> MaskArray:
    """One lung with its vessels, its nodules and its holes.

    A small ball closes it everywhere, and what it then encloses is filled. A large ball gives
    back bulges of the chest wall into the lung (juxtapleural nodules), but not the hollows of
    the heart, the hilum and the diaphragm: only what has this same lung between it and the
    middle of the chest counts.

    Parameters
    ----------
    lung : (z, y, x) bool
    blocked : (z, y, x) bool
        What must not become lung: airways, the other lung.
    middle_yx : (z, 2)
        Row and column of the middle of the chest, by slice.
    vessel_mm, wall_mm
        Radii of the small and the large ball, mm.
    spacing_mm
    """
    margin = [int(wall_mm / step) + 1 for step in spacing_mm]
    box = bounding_box(lung, margin)
    if box is None:
        return lung.copy()
    part = lung[box]
    closed = fill(close_mm(part, vessel_mm, spacing_mm, border="repeat"))
    closed &= ~blocked[box] | part
    if wall_mm > vessel_mm:
        added = close_mm(closed, wall_mm, spacing_mm, border="repeat") & ~closed & ~blocked[box]
        added = open_mm(added, BULGE_MM, spacing_mm)
        corner = [s.start for s in box]
        middle = middle_yx[box[0]] - corner[1:]
        closed |= _costal(added, closed, middle, 2 * wall_mm, spacing_mm)
    result = lung.copy()
    result[box] |= closed
    return result


def _costal(
    added: MaskArray,
    lung: MaskArray,
    middle_yx: npt.NDArray[np.float64],
    reach_mm: float,
    spacing_mm: Triple,
) -> MaskArray:
    """Voxels of `added` with `lung` between them and the middle of the chest, none beyond."""
    z, y, x = np.nonzero(added)
    if len(z) == 0:
        return added
    step_y, step_x = spacing_mm[1:]
    towards_y = (middle_yx[z, 0] - y) * step_y
    towards_x = (middle_yx[z, 1] - x) * step_x
    length = np.maximum(np.hypot(towards_y, towards_x), 1e-6)
    towards_y, towards_x = towards_y / length / step_y, towards_x / length / step_x
    inward = np.zeros(len(z), bool)
    outward = np.zeros(len(z), bool)
    for k in range(1, int(reach_mm / RAY_STEP_MM) + 1):
        far = k * RAY_STEP_MM
        inward |= _at(lung, z, y + far * towards_y, x + far * towards_x) & (far < length)
        outward |= _at(lung, z, y - far * towards_y, x - far * towards_x)
    meets = inward & ~outward
    costal = np.zeros_like(added)
    costal[z[meets], y[meets], x[meets]] = True
    return costal


def _at(
    mask: MaskArray,
    z: npt.NDArray[np.intp],
    y: npt.NDArray[np.float64],
    x: npt.NDArray[np.float64],
) -> MaskArray:
    row = np.clip(np.rint(y).astype(np.intp), 0, mask.shape[1] - 1)
    column = np.clip(np.rint(x).astype(np.intp), 0, mask.shape[2] - 1)
    return mask[z, row, column]
