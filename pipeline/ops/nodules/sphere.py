"""A ball on a grid: what a position and a diameter alone say of a nodule."""

import numpy as np

from lungseg.ops.grid.ranking import highest_ranked
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.nodules.sizes import ball_mm3
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

    Raises
    ------
    ValueError
        If the diameter is not above 0.

    Examples
    --------
    >>> int(ball((0.0, 0.0, 0.0), 10.0, Geometry((1.0, 1.0, 1.0))).mask.sum())
    524
    """
    if not diameter_mm > 0:
        raise ValueError(f"a ball needs a diameter above 0 mm, not {diameter_mm:g}")
    centre = geometry.to_index(centre_xyz_mm)
    reach = diameter_mm / 2 / np.asarray(geometry.spacing_mm) + 1
    low = np.floor(centre - reach).astype(np.int64)
    shape = np.ceil(centre + reach).astype(np.int64) - low + 1
    index = np.moveaxis(np.indices(shape.tolist()), 0, -1) + low
    # the direction is orthonormal, so distances along the axes are distances in the world
    away = (((index - centre) * np.asarray(geometry.spacing_mm)) ** 2).sum(axis=-1)
    wanted = max(1, round(ball_mm3(diameter_mm) / geometry.voxel_mm3))
    mask = highest_ranked(-away.round(9), wanted)
    z, y, x = (int(n) for n in low)
    return Patch(mask, (z, y, x))
