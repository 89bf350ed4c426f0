"""Density of the lungs: what the HU inside a mask say as a few figures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.volume import HU, Mask

# Gevenois et al. 1995, Am J Respir Crit Care Med 152:653-657: of -900 to -970 HU the one below
# which the share of lung did not differ from the emphysema measured in the resected lung.
EMPHYSEMA_HU = -950
# Above it there is hardly any air: the upper bound of "high attenuation areas" in Lederer et al.
# 2009, Am J Respir Crit Care Med 180:407-414.
DENSE_HU = -250


@dataclass(frozen=True)
class Density:
    """Figures of the HU of some voxels.

    Attributes
    ----------
    mean_hu
        Their mean.
    p5_hu, p15_hu, p50_hu, p95_hu
        The least HU that 5, 15, 50 and 95 per cent of them do not pass.
    share_below_950
        Share of them below -950 HU, 0 to 1: the emphysema index.
    share_above_250
        Share of them above -250 HU, 0 to 1: vessels, and lung without air.
    """

    mean_hu: float
    p5_hu: int
    p15_hu: int
    p50_hu: int
    p95_hu: int
    share_below_950: float
    share_above_250: float


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
    >>> found = density(hu, hu < 0)
    >>> found.mean_hu, found.p5_hu, found.p50_hu, found.p95_hu
    (-900.0, -1000, -900, -800)
    >>> found.share_below_950, found.share_above_250
    (0.3333, 0.0)
    """
    values = hu[mask]
    if not values.size:
        raise ValueError("an empty mask has no density")
    p5, p15, p50, p95 = np.percentile(values, (5, 15, 50, 95), method="inverted_cdf")
    return Density(
        mean_hu=round(float(values.mean(dtype=np.float64)), 1),
        p5_hu=int(p5),
        p15_hu=int(p15),
        p50_hu=int(p50),
        p95_hu=int(p95),
        share_below_950=round(float(np.count_nonzero(values < EMPHYSEMA_HU) / values.size), 4),
        share_above_250=round(float(np.count_nonzero(values > DENSE_HU) / values.size), 4),
    )


def air_share(hu: npt.NDArray[HU]) -> float:
    """Share of a volume that is gas, 0 to 1, by the HU of its voxels; 0 for none.

    A mixture of gas (-1000 HU) and tissue (taken as water, 0 HU) has -1000 HU times the share of
    gas (Gattinoni et al. 1988, Anesthesiology 69:824-832). Voxels above 0 HU hold none; those that
    noise puts below -1000 HU count in full, so that noise adds nothing to the mean of empty air.

    Examples
    --------
    >>> air_share(np.array([-1000, -800, 0, 300], np.int16))
    0.45
    """
    if not hu.size:
        return 0.0
    return round(float(-np.minimum(hu, 0).mean(dtype=np.float64)) / 1000, 6)
