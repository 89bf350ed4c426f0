"""Lung that is too dense for the air threshold and too light for tissue."""

import numpy as np

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import dilate_mm, open_mm
from lungseg.volume import HuArray, MaskArray, Triple

# Fat begins at about -130 HU, ground glass and dependent lung end well below it.
BELOW_HU = -150
# Largest distance from the lung that is known already, mm.
REACH_MM = 12.0
# Largest difference between a block and those around it, HU. Where the lung borders on tissue,
# blur makes the same values, but steeply.
FLAT_HU = 250
# Dense lung is thicker than twice this, in blocks.
THICK_BLOCKS = 1.75


def dense_lung(ct: HuArray, lungs: MaskArray, blocked: MaskArray, spacing_mm: Triple) -> MaskArray:
    """Dense lung beside `lungs`: dependent parts, ground glass, fibrosis.

    Parameters
    ----------
    ct : (z, y, x) int16
        Means of blocks of about 2 mm.
    lungs, blocked : (z, y, x) bool
        Lung that is known already, and what cannot be lung (airways).
    spacing_mm

    Examples
    --------
    Lung at -850 HU, and 12 mm of ground glass at -400 HU between it and the wall:

    >>> ct = np.full((20, 20, 20), 40, np.int16)
    >>> ct[:, :, :14] = -400
    >>> ct[:, :, :8] = -850
    >>> lungs = ct < -600
    >>> found = dense_lung(ct, lungs, np.zeros_like(lungs), (2.0, 2.0, 2.0))
    >>> np.flatnonzero(found[10, 10]).tolist()
    [8, 9, 10, 11, 12, 13]
    """
    found = np.zeros_like(lungs)
    box = bounding_box(lungs, [int(REACH_MM / step) + 1 for step in spacing_mm])
    if box is None:
        return found
    hu, known = ct[box], lungs[box]
    light = (hu < BELOW_HU) & ~known & ~blocked[box]
    light &= dilate_mm(known, REACH_MM, spacing_mm)
    flat = light & (_steps(hu) < FLAT_HU)
    block_mm = max(spacing_mm)
    thick = open_mm(flat, THICK_BLOCKS * block_mm, spacing_mm)
    found[box] = dilate_mm(thick, 1.01 * block_mm, spacing_mm) & light
    return found


def _steps(ct: HuArray) -> HuArray:
    """Largest less smallest HU among each voxel and its six neighbours."""
    high, low = ct.copy(), ct.copy()
    for axis in range(3):
        values, above, below = (np.moveaxis(a, axis, 0) for a in (ct, high, low))
        np.maximum(above[1:], values[:-1], out=above[1:])
        np.maximum(above[:-1], values[1:], out=above[:-1])
        np.minimum(below[1:], values[:-1], out=below[1:])
        np.minimum(below[:-1], values[1:], out=below[:-1])
    steps: HuArray = high - low
    return steps
