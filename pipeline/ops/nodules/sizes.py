"""How large a nodule is: the ball of its volume, and the axes of its ellipsoid."""

from collections.abc import Sequence

import numpy as np

from lungseg.volume import MaskArray


def ball_mm3(diameter_mm: float) -> float:
    """Volume of a ball, mm3; `equivalent_diameter_mm` is the way back.

    Examples
    --------
    >>> round(ball_mm3(10.0), 1)
    523.6
    """
    return float(np.pi / 6 * diameter_mm**3)


def equivalent_diameter_mm(volume_mm3: float) -> float:
    """Diameter of the ball of this volume, mm.

    Examples
    --------
    >>> round(equivalent_diameter_mm(523.6), 3)
    10.0
    """
    return float(np.cbrt(6.0 * volume_mm3 / np.pi))


def axes_mm(mask: MaskArray, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Shortest and longest axis of the ellipsoid with the mask's volume and second moments, mm.

    A voxel is a box and not a point, so its own second moment (a twelfth of its edge squared) is
    added along each axis.

    Examples
    --------
    Two voxels in a row are twice as long as wide:

    >>> [round(mm, 2) for mm in axes_mm(np.ones((2, 1, 1), bool), (1.0, 1.0, 1.0))]
    [1.24, 2.48]
    """
    spacing = np.asarray(spacing_mm, float)
    points = np.argwhere(mask) * spacing
    moments = np.cov(points.T, bias=True) if len(points) > 1 else np.zeros((3, 3))
    values = np.linalg.eigvalsh(moments + np.diag(spacing**2 / 12))
    axes = np.sqrt(values)
    volume = len(points) * float(np.prod(spacing))
    axes *= equivalent_diameter_mm(volume) / np.cbrt(np.prod(axes))
    return float(axes.min()), float(axes.max())
