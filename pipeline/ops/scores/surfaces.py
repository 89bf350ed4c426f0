"""How far the surfaces of two masks lie apart: mean and 95 % of the distances, by MedPy."""

import math
from dataclasses import dataclass

from lungseg.ops.grid.boxes import bounding_box
from lungseg.volume import MaskArray


@dataclass(frozen=True)
class SurfaceDistance:
    """Distances from each surface voxel of two masks to the nearest of the other one, mm.

    Without values NaN: one of the masks is empty.

    Attributes
    ----------
    asd_mm
        Their mean, over both surfaces together: the average symmetric surface distance.
    hd95_mm
        Their 95 % quantile, over both together: Hausdorff's distance without the farthest.
    """

    asd_mm: float = math.nan
    hd95_mm: float = math.nan


def surface_distance(
    one: MaskArray, other: MaskArray, spacing_mm: tuple[float, float, float]
) -> SurfaceDistance:
    """How far the surfaces of two masks lie apart; NaN if one of them is empty.

    Parameters
    ----------
    one, other : (z, y, x) bool
        A voxel is of the surface if one of its six neighbours is outside.
    spacing_mm
        ``(z, y, x)``.

    Examples
    --------
    >>> import numpy as np
    >>> one, other = np.zeros((2, 1, 1, 9), bool)
    >>> one[..., 2:5] = other[..., 2:7] = True
    >>> found = surface_distance(one, other, (1.0, 1.0, 0.5))
    >>> found.asd_mm, round(found.hd95_mm, 3)
    (0.1875, 0.825)
    """
    from medpy.metric import binary

    box = bounding_box(one | other)
    if box is None or not one.any() or not other.any():
        return SurfaceDistance()
    # What lies beyond an array counts as outside, so no margin is needed.
    a, b = one[box], other[box]
    return SurfaceDistance(
        asd_mm=float(binary.assd(a, b, spacing_mm)),
        hd95_mm=float(binary.hd95(a, b, spacing_mm)),
    )
