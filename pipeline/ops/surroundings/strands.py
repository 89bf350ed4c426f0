"""Strands that leave a candidate: thin soft tissue in the lung that goes on from its surface.

In aerated lung nearly all that is thin, longer than wide and as dense as soft tissue is a vessel;
on one that is cut off by a slice or a net's mask a candidate sits like a bead. A scar or a thick
wall of a bronchus goes on in the same way, and is not told from it.
"""

from collections.abc import Sequence

import numpy as np

from lungseg.ops.grid.morphology import components, dilate_mm
from lungseg.volume import HuArray, MaskArray

# Halfway between aerated lung (about -850 HU) and a vessel (about 40 HU), a little lower: of a
# vessel of 2 mm a voxel of 1 mm sees a part.
SOFT_HU = -500
# A rim of the candidate that its mask may have left out.
RIM_MM = 2.0
# So far from its surface a strand goes at least; what ends before is a part of its shape.
LEAST_MM = 8.0
# Nowhere in the lung is a vessel thicker than twice this, but for the hilum.
RADIUS_MM = 5.0
# Of lung so near to its edge a voxel is partly chest wall, diaphragm or heart.
EDGE_MM = 2.0


def strands(body: MaskArray, hu: HuArray, lungs: MaskArray, spacing_mm: Sequence[float]) -> int:
    """How many strands leave a candidate.

    Parameters
    ----------
    body : (z, y, x) bool
        The candidate, in a box with at least `LEAST_MM` and two voxels around it.
    hu : (z, y, x) int16
        The same box of the scan, HU.
    lungs : (z, y, x) bool
        The lungs in it, vessels being lung.
    spacing_mm
        Distance of voxel centres, mm.

    Examples
    --------
    A ball of 6 mm on a tube of 3 mm that runs through the box:

    >>> z, y, x = np.indices((31, 31, 31)) - 15
    >>> ball, tube = z**2 + y**2 + x**2 <= 9, (y**2 + x**2 <= 2)
    >>> hu, lungs = np.full(ball.shape, -850, np.int16), np.ones(ball.shape, bool)
    >>> hu[ball] = 40
    >>> strands(ball, hu, lungs, (1.0, 1.0, 1.0))
    0
    >>> hu[tube] = 40
    >>> strands(ball, hu, lungs, (1.0, 1.0, 1.0))
    2
    """
    from scipy.ndimage import distance_transform_edt, find_objects

    if not body.any():
        return 0
    inner = lungs & ~dilate_mm(~(lungs | body), EDGE_MM, spacing_mm)
    soft = (hu > SOFT_HU) & inner & ~body
    near = dilate_mm(body, RIM_MM + 1.5 * max(spacing_mm), spacing_mm)
    rim = dilate_mm(body, RIM_MM, spacing_mm)
    # What only lies beside the candidate, with air between, does not leave it.
    together, _ = components((soft | body) & near)
    joined = np.isin(together, np.unique(together[body]))
    parts, count = components(soft & ~rim)
    leaving = [k for k in np.unique(parts[joined & near & ~rim]).tolist() if 0 < k <= count]
    if not leaving:
        return 0
    away = np.asarray(distance_transform_edt(~body, sampling=spacing_mm))
    boxes, found = find_objects(parts), 0
    for k in leaving:
        box = boxes[k - 1]
        part = parts[box] == k
        if away[box][part].max() < LEAST_MM:
            continue
        depth = np.asarray(distance_transform_edt(np.pad(part, 1), sampling=spacing_mm))
        found += bool(depth.max() <= RADIUS_MM)
    return found
