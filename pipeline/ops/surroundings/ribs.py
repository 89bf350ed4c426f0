"""Ribs beside a candidate: bone outside the lungs, not between them, and thin.

Contrast in heart and great vessels is as bright as bone. It is told from it by its place, between
the lungs or (at the hilum) with lung around it, and where a heart reaches the chest wall by its
thickness: of a rib only the cortex, or no more than a centimetre, is so dense.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.morphology import components, dilate_mm, open_mm, sizes
from lungseg.volume import HuArray, MaskArray

# Cortical bone, and most of a rib, is denser; muscle and unenhanced blood are far below.
BONE_HU = 250
# Smaller specks are calcified pleura, lymph nodes and noise.
LEAST_ML = 0.3
# Pleura, fascia and fat between lung and rib, and a voxel to either side.
REACH_MM = 3.0
# A ball of this radius fits into a ventricle and the aorta, and into no rib.
THICK_MM = 5.0


def between_lungs(lungs: npt.NDArray[np.uint8]) -> MaskArray:
    """Mediastinum and spine: what lies between two lungs, row by row of each slice.

    A row that one of the lungs does not reach takes that lung's end from the nearest row of the
    slice that has one; a slice with one lung has nothing between.

    Parameters
    ----------
    lungs : (z, y, x)
        Two labels, 0 outside.

    Examples
    --------
    >>> lungs = np.array([[[1, 1, 0, 0, 2], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]]], np.uint8)
    >>> between_lungs(lungs).astype(int).tolist()
    [[[0, 0, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]]]
    """
    from scipy.ndimage import find_objects

    inside: MaskArray = np.zeros(lungs.shape, bool)
    outside: MaskArray = lungs == 0
    names = [label for label, box in enumerate(find_objects(lungs), 1) if box is not None]
    if len(names) != 2:
        return inside
    columns = np.arange(lungs.shape[2])
    for plane, between in zip(lungs, inside, strict=True):
        ends = [_ends(plane == label) for label in names]
        if any(end is None for end in ends):
            continue
        (first, last, one), (other_first, other_last, other) = (e for e in ends if e is not None)
        low, high = np.minimum(last, other_last), np.maximum(first, other_first)
        rows = one | other
        between[rows] = (columns > low[rows, None]) & (columns < high[rows, None])
    inside &= outside
    return inside


def enclosed_by_lungs(lungs: npt.NDArray[np.uint8], back: int = 1) -> MaskArray:
    """Hila: what has lung to its right, to its left, and behind it, within its slice.

    Behind a rib at the back there is no lung, and beside one at the front or side none on one side.

    Parameters
    ----------
    lungs : (z, y, x)
        Not 0 in the lungs.
    back
        1 if later rows lie nearer to the back, else -1.

    Examples
    --------
    >>> lungs = np.array([[[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]]], np.uint8)
    >>> enclosed_by_lungs(lungs).astype(int).tolist()
    [[[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]]
    >>> enclosed_by_lungs(lungs, back=-1).astype(int).tolist()
    [[[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0]]]
    """
    lung = lungs > 0
    # Of bytes the largest so far is found four times as fast as whether any so far is true.
    seen = lung.view(np.uint8)
    inside = ~lung & np.maximum.accumulate(seen, axis=2).view(bool)
    inside &= np.maximum.accumulate(seen[:, :, ::-1], axis=2)[:, :, ::-1].view(bool)
    inside &= np.maximum.accumulate(seen[:, ::-back], axis=1)[:, ::-back].view(bool)
    return np.asarray(inside, bool)


def _ends(
    lung: MaskArray,
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.bool_]] | None:
    """First and last column of a lung in each row, or in the nearest one; which rows have it."""
    there = np.asarray(lung.any(axis=1), bool)
    rows = np.flatnonzero(there)
    if not rows.size:
        return None
    nearest = rows[np.abs(np.arange(len(lung))[:, None] - rows).argmin(axis=1)]
    first = lung.argmax(axis=1)
    last = lung.shape[1] - 1 - lung[:, ::-1].argmax(axis=1)
    return first[nearest], last[nearest], there


def touches_rib(
    body: MaskArray, hu: HuArray, elsewhere: MaskArray, spacing_mm: Sequence[float]
) -> bool:
    """Whether a rib (or shoulder blade, collarbone) lies within `REACH_MM` of a candidate.

    Parameters
    ----------
    body : (z, y, x) bool
        The candidate, in a box with 15 mm around it.
    hu : (z, y, x) int16
        The same box of the scan, HU.
    elsewhere : (z, y, x) bool
        Where no rib can be: in the lungs and between them.
    spacing_mm
        Distance of voxel centres, mm.

    Examples
    --------
    >>> body, hu = np.zeros((30, 30, 30), bool), np.full((30, 30, 30), -50, np.int16)
    >>> body[10:20, 10:20, 8:14] = True
    >>> hu[:, 5:25, 16:20] = 400
    >>> touches_rib(body, hu, body, (1.0, 1.0, 1.0))
    True
    >>> touches_rib(body, hu, body, (1.0, 1.0, 1.5))
    False
    """
    bright = hu >= BONE_HU
    bone = bright & ~elsewhere & ~body
    near = dilate_mm(body, REACH_MM, spacing_mm)
    if not bone[near].any():
        return False
    # What is left of the rim of something thick is no rib either.
    thick = open_mm(bright & ~body, THICK_MM, spacing_mm)
    bone &= ~dilate_mm(thick, 2 * max(spacing_mm), spacing_mm)
    parts, count = components(bone)
    ml = sizes(parts, count) * float(np.prod(spacing_mm)) / 1000
    return any(ml[k] >= LEAST_ML for k in np.unique(parts[near]) if k)
