"""A candidate as a stack of slices: from its lowest to its highest, whatever its height.

What tells a nodule from a vessel, a scar or a rib's end is seen when one scrolls through it: a
nodule comes and goes in its place, a vessel wanders. A stack shows this in a few slices at even
distances from one end of the candidate to the other, and nothing beyond them, so that slices cut
around a nodule show it as a whole scan does.
"""

import numpy as np
import numpy.typing as npt

from lungseg.ops.hu.padding import AIR_HU
from lungseg.volume import HuArray

SLICES = 7
"""Slices of a stack."""

EDGE = 40
"""Edge of its square, voxels of the working grid."""

# Where a column's probability falls below this share of its highest, the candidate ends.
ENDS_BELOW = 0.5
# The column: so many voxels around the centre, either way.
REACH = 5


def extent(probability: npt.NDArray[np.generic], zyx: npt.ArrayLike) -> tuple[int, int]:
    """First and last slice of the candidate around `zyx`.

    Parameters
    ----------
    probability : (z, y, x)
        Of nodule, in any unit.
    zyx
        The candidate's centre, voxels.

    Examples
    --------
    >>> likely = np.zeros((6, 3, 3))
    >>> likely[1:5, 1, 1] = 0.3, 0.9, 0.6, 0.4
    >>> extent(likely, (2, 1, 1))
    (2, 3)
    """
    z, y, x = (round(v) for v in np.asarray(zyx, float).tolist())
    rows = slice(max(0, y - REACH), max(1, y + REACH + 1))
    columns = slice(max(0, x - REACH), max(1, x + REACH + 1))
    profile = probability[:, rows, columns].max(axis=(1, 2), initial=0)
    first = min(max(0, z - 1), len(profile) - 1)
    top = first + int(profile[first : max(first + 1, z + 2)].argmax())
    within = profile >= ENDS_BELOW * profile[top]
    below = np.flatnonzero(~within[:top])
    above = np.flatnonzero(~within[top:])
    return (
        int(below[-1]) + 1 if below.size else 0,
        top + int(above[0]) - 1 if above.size else len(profile) - 1,
    )


def stack(
    hu: HuArray, probability: npt.NDArray[np.generic], zyx: npt.ArrayLike, edge: int = EDGE
) -> HuArray:
    """HU of the candidate around `zyx`, ``(SLICES, edge, edge)``; air outside the scan.

    Parameters
    ----------
    hu : (z, y, x)
        On the working grid.
    probability : (z, y, x)
        Of nodule, in any unit, on the same grid.
    zyx
        The candidate's centre, voxels; it lies at pixel ``edge // 2``.
    edge
        Edge of the square, voxels.

    Examples
    --------
    >>> hu = np.arange(4, dtype=np.int16)[:, None, None] * np.ones((1, 3, 3), np.int16)
    >>> shown = stack(hu, np.ones((4, 3, 3)), (1, 1, 1), edge=4)
    >>> shown.shape, shown[:, 2, 2].tolist(), shown[0, 0, 0].item()
    ((7, 4, 4), [0, 0, 1, 2, 2, 2, 3], -1024)
    """
    first, last = extent(probability, zyx)
    height = np.linspace(first, last, SLICES)
    low = np.floor(height).astype(np.intp)
    share = (height - low)[:, None, None]
    _, y, x = (round(v) for v in np.asarray(zyx, float).tolist())
    corner = (y - edge // 2, x - edge // 2)
    square = [
        slice(max(0, c), max(0, min(n, c + edge)))
        for c, n in zip(corner, hu.shape[1:], strict=True)
    ]
    shown = np.full((SLICES, edge, edge), float(AIR_HU), np.float32)
    into = tuple(slice(s.start - c, s.stop - c) for s, c in zip(square, corner, strict=True))
    part = hu[:, square[0], square[1]].astype(np.float32)
    between = (1 - share) * part[low] + share * part[np.minimum(low + 1, last)]
    shown[:, into[0], into[1]] = between
    return np.rint(shown).astype(np.int16)
