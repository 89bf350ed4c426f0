"""Density of the lungs: what the HU inside a mask say as a few figures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.volume import HU, Mask

# Gevenois et al. 1995, Am J Respir Crit Care Med 152:653-657: of -900 to -970 HU the one below
# which the share of lung did not differ from the emphysema measured in the resected lung.
EMPHYSEMA_HU = -950


@dataclass(frozen=True)
class Density:
    """Figures of the HU of some voxels.

    Attributes
    ----------
    mean_hu
        Their mean.
    p5_hu, p50_hu, p95_hu
        The least HU that 5, 50 and 95 per cent of them do not pass.
    share_below_950
        Share of them below -950 HU, 0 to 1: the emphysema index.
    """

    mean_hu: float
    p5_hu: int
    p50_hu: int
    p95_hu: int
    share_below_950: float


def density(hu: npt.NDArray[HU], mask: npt.NDArray[Mask]) -> Density:
    """Figures of the voxels of `hu` in `mask`.

    Parameters
    ----------
    hu : (z, y, x) int16
    mask : (z, y, x) bool

    Raises
    ------
    ValueError
        If the mask is empty.

    Examples
    --------
    >>> hu = np.array([[[-1000, -900, -800, 40]]], np.int16)
    >>> density(hu, hu < 0)
    Density(mean_hu=-900.0, p5_hu=-1000, p50_hu=-900, p95_hu=-800, share_below_950=0.3333)
    """
    values = hu[mask]
    if not values.size:
        raise ValueError("an empty mask has no density")
    low, middle, high = np.percentile(values, (5, 50, 95), method="inverted_cdf")
    return Density(
        mean_hu=round(float(values.mean(dtype=np.float64)), 1),
        p5_hu=int(low),
        p50_hu=int(middle),
        p95_hu=int(high),
        share_below_950=round(float(np.count_nonzero(values < EMPHYSEMA_HU) / values.size), 4),
    )
