"""A ball on a grid: what a position and a diameter alone say of a nodule."""

import numpy as np

from lungseg.ops.nodules.contours import Patch
from lungseg.volume import Geometry, Triple


def ball(centre_xyz_mm: Triple, diameter_mm: float, geometry: Geometry) -> Patch:
    """Mask of a ball on a grid that goes on without end, with the ball's volume.

    The voxels whose centres are nearest to the ball's are taken until its volume is met, so a
    ball smaller than a voxel is one voxel, and a small one has no error of a third of its volume
    from where its centre happens to lie.

    Parameters
    ----------
    centre_xyz_mm
        World position (x, y, z), mm.
    diameter_mm
        Above 0.
    geometry
        The grid; any direction and spacing.
    """
    if not diameter_mm > 0:
        raise ValueError(f"a ball needs a diameter above 0 mm, not {diameter_mm:g}")
    centre = geometry.to_index(centre_xyz_mm)
    reach = diameter_mm / 2 / np.asarray(geometry.spacing_mm) + 1
    low = np.floor(centre - reach).astype(np.int64)
    shape = np.ceil(centre + reach).astype(np.int64) - low + 1
    index = np.moveaxis(np.indices(shape.tolist()), 0, -1) + low
    # the direction is orthonormal, so distances along the axes are distances in the world
    away = (((index - centre) * np.asarray(geometry.spacing_mm)) ** 2).sum(axis=-1).ravel()
    wanted = max(1, round(np.pi / 6 * diameter_mm**3 / geometry.voxel_mm3))
    mask = np.zeros(away.size, bool)
    mask[np.argsort(away.round(9), kind="stable")[:wanted]] = True
    z, y, x = (int(n) for n in low)
    return Patch(mask.reshape(shape), (z, y, x))
