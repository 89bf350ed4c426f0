"""Nodules that vessels tie to the hilum."""

import numpy as np

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import close_mm, dilate_mm, erode_mm, regions
from lungseg.ops.lungs.enclosed.sight import sights
from lungseg.volume import HuArray, MaskArray, Triple

# A nodule on vessels is thicker than twice KNOT_MM, which vessels of the lung hardly are, and thin
# enough for a ball of KNOT_CLOSE_MM to close it; KNOT_SEEN of its 26 lines of sight meet lung. It
# lies farther from a main bronchus than KNOT_FROM_BRONCHUS_MM, where the hilum's vessels cross.
KNOT_MM = 5.0
KNOT_CLOSE_MM = 10.0
KNOT_SEEN = 25
KNOT_FROM_BRONCHUS_MM = 20.0
# Brighter than this, HU, it is a vessel with contrast medium.
KNOT_BRIGHT_HU = 150


def vessel_nodules(
    lung: MaskArray, free: MaskArray, ct: HuArray, lumen: MaskArray, spacing_mm: Triple
) -> MaskArray:
    """Nodules of 10 to 20 mm in `lung` that vessels tie to the hilum.

    They are too thick for a ball that closes vessels, too thin for `enclosed_masses`, and no holes.
    From inside a vessel lung is not seen along it, both ways; from inside a nodule it is.

    Parameters
    ----------
    lung, free : (z, y, x) bool
        One lung with its vessels, and what may become part of it.
    ct : (z, y, x) int16
        Means of blocks of about 2 mm.
    lumen : (z, y, x) bool
        Trachea and main bronchi.
    spacing_mm

    Examples
    --------
    A ball of 16 mm at the end of a vessel of 12 mm, and the vessel:

    >>> z, y, x = np.ogrid[:40, :40, :60]
    >>> ball = (z - 20) ** 2 + (y - 20) ** 2 + (x - 40) ** 2 < 18
    >>> vessel = ((z - 20) ** 2 + (y - 20) ** 2 < 5) & (x < 40)
    >>> lung = ~(ball | vessel)
    >>> ct, none = np.where(lung, -850, 40).astype(np.int16), np.zeros_like(lung)
    >>> found = vessel_nodules(lung, ~lung, ct, none, (2.0, 2.0, 2.0))
    >>> round(float(found[ball].mean()), 1), float(found[:, :, :30].sum())
    (1.0, 0.0)
    """
    found = np.zeros_like(lung)
    box = bounding_box(lung)
    if box is None:
        return found
    part = lung[box]
    added = close_mm(part, KNOT_CLOSE_MM, spacing_mm, border="repeat") & ~part & free[box]
    core = erode_mm(added, KNOT_MM, spacing_mm, border=False)
    bronchi = np.argwhere(lumen[box])[::4] * np.array(spacing_mm)
    next_mm = 1.01 * max(spacing_mm)
    margin = [int((KNOT_MM + next_mm) / step) + 1 for step in spacing_mm]
    for near, seed in regions(core, margin):
        piece = dilate_mm(seed, KNOT_MM + next_mm, spacing_mm) & added[near]
        inside = np.argwhere(seed).mean(axis=0) + [s.start for s in near]
        seen = sights(part, piece, inside, spacing_mm)
        away = np.linalg.norm(bronchi - inside * spacing_mm, axis=1).min(initial=np.inf)
        enclosed = seen.sum() >= KNOT_SEEN and bool((seen | seen[::-1]).all())
        dark = float(np.median(ct[box][near][piece])) < KNOT_BRIGHT_HU
        if enclosed and dark and away > KNOT_FROM_BRONCHUS_MM:
            found[box][near] |= piece
    return found
