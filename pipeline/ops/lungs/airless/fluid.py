"""Fluid in the chest, by its density and because it is even."""

import numpy as np
from scipy import ndimage

from lungseg.volume import HuArray, MaskArray

# Fluid is as dense as water or a little more, and even: mean and standard deviation, HU, of the
# blocks around one. Lung without air is brighter, after contrast far more, or uneven.
FLUID_HU, EVEN_HU = (-10.0, 20.0), 12.0


def fluid(hu: HuArray) -> MaskArray:
    """Blocks that are as dense as water, in even surroundings.

    Parameters
    ----------
    hu : (z, y, x) int16
        Means of blocks of about 4 mm.

    Examples
    --------
    Fluid beside muscle:

    >>> hu = np.full((4, 4, 8), 10, np.int16)
    >>> hu[:, :, 4:] = 55
    >>> fluid(hu)[0, 0].tolist()
    [True, True, True, False, False, False, False, False]
    """
    values = hu.astype(np.float32)
    mean = ndimage.uniform_filter(values, 3, mode="nearest")
    squares = ndimage.uniform_filter(values * values, 3, mode="nearest")
    spread = np.sqrt(np.maximum(squares - mean * mean, 0))
    return np.asarray((mean > FLUID_HU[0]) & (mean < FLUID_HU[1]) & (spread < EVEN_HU))
