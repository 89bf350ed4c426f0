"""Large bodies, seen from afar: a scan at half its size, and what is found there brought back.

A net that learnt from nodules of 5 to 15 mm takes the inside of a mass for chest wall. At half the
size a mass of 30 mm looks as a nodule of 15 mm does. (Pyramids of images are how detectors in
general meet objects of all sizes, for one Lin et al., Feature Pyramid Networks for Object
Detection, CVPR 2017.)
"""

import numpy as np

from lungseg.ops.grid.blocks import Factors, Zoom
from lungseg.ops.grid.boxes import widened
from lungseg.ops.grid.morphology import components
from lungseg.ops.nodules.sizes import ball_mm3
from lungseg.volume import F32

LEAST_PX = 6.0
"""Diameter of the smallest body that counts, in voxels of the small scan: what is smaller there is
seen better at full size."""

# Voxels that make a body; what lies below is the surroundings' doubt.
BODY = 0.5


def add_large(found: F32, small: F32, factors: Factors, least_px: float = LEAST_PX) -> int:
    """Raise `found` to what the small scan says of large bodies; how many there were.

    Parameters
    ----------
    found : (z, y, x)
        Probability at full size; changed in place.
    small : (z, y, x)
        Probability of blocks of `factors` voxels, the last of which may be cut short.
    factors
        Voxels of a block along each axis.
    least_px
        Diameter of the ball of as many blocks as the smallest body has.

    Examples
    --------
    A body of 125 blocks, of which one has a neighbour that is no part of it:

    >>> found, small = np.zeros((14, 14, 14), np.float32), np.zeros((7, 7, 7), np.float32)
    >>> small[1:6, 1:6, 1:6] = 0.9
    >>> small[3, 3, 6] = 0.4
    >>> add_large(found, small, (2, 2, 2)), add_large(found, small, (2, 2, 2), least_px=7)
    (1, 0)
    >>> int((found >= 0.5).sum()), round(float(found[7, 7, 7]), 2), float(found[7, 7, 13])
    (992, 0.9, 0.0)
    """
    import cc3d
    from scipy.ndimage import zoom

    parts, _ = components(small >= BODY)
    stats = cc3d.statistics(parts)
    large = [int(k) for k in np.flatnonzero(stats["voxel_counts"] >= ball_mm3(least_px)) if k]
    scale = Zoom((found.shape[0], found.shape[1], found.shape[2]), factors)
    for k in large:
        box = widened(stats["bounding_boxes"][k], (1, 1, 1), small.shape)
        # Of other bodies nothing: they may be small ones.
        own = np.where((parts[box] == k) | (small[box] < BODY), small[box], 0)
        fine = zoom(own, factors, order=1, mode="nearest", grid_mode=True)
        place = scale.fine_box(box)
        n_z, n_y, n_x = found[place].shape
        fine = fine[:n_z, :n_y, :n_x]
        found[place] = np.maximum(found[place], np.where(fine >= BODY, fine, 0))
    return len(large)
