"""Gas of stomach and colon among lungs, and what a verdict says of it."""

import numpy as np

from lungseg.ops.grid.blocks import Zoom, block_factors, block_mean, block_most, block_spacing
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import dilate_mm, open_mm
from lungseg.ops.lungs.bowel.pockets import BOWEL, GAS_PURE_HU, LUNG, Pocket, air_pockets
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.outside_air import pure_air_hu
from lungseg.volume import F32, HuArray, MaskArray, Triple

# Gas is looked for in blocks of this size: noise is averaged away, vessels and septa are not, mm.
GAS_BLOCK_MM = 4.0
# The wall between gas and lung, and what is left of the gas's margin, are thinner than this, mm.
GAS_WALL_MM = 6.0
# Less doubtful gas beside a lung than this is not worth a word, ml.
DOUBTED_GAS_ML = 20.0
# And gas that a net calls lung with this probability in the mean, where one was asked, is lung.
LUNG_TO_NET = 0.7


def bowel_gas(ct: HuArray, lungs: MaskArray, air_hu: float, spacing_mm: Triple) -> MaskArray:
    """Gas of stomach and colon among `lungs`, with the thin wall that parts it from lung.

    Parameters
    ----------
    ct : (z, y, x) int16
        Means of blocks of about 2 mm.
    lungs : (z, y, x) bool
        Air that passes for lung.
    air_hu
        HU of pure air in this scan.
    spacing_mm

    Examples
    --------
    A lung, gas of 80 mm under it, and one block of wall at -600 HU between:

    >>> ct = np.full((60, 48, 48), 40, np.int16)
    >>> ct[24:56, 8:40, 8:40] = -850
    >>> ct[6:23, 14:34, 14:34] = -1000
    >>> ct[23, 14:34, 14:34] = -600
    >>> gas = bowel_gas(ct, ct < -500, -1000.0, (2.0, 2.0, 2.0))
    >>> int(gas[6:24].sum()) == 18 * 20 * 20, int(gas[24:].sum())
    (True, 0)
    """
    gas = np.zeros_like(lungs)
    factors = block_factors(spacing_mm, GAS_BLOCK_MM)
    most, coarse_mm = block_most(lungs, factors), block_spacing(spacing_mm, factors)
    found = air_pockets(block_mean(ct, factors), most, air_hu, coarse_mm)
    zoom = Zoom((ct.shape[0], ct.shape[1], ct.shape[2]), factors)
    for pocket in found:
        if pocket.kind == BOWEL:
            fine = zoom.fine_box(pocket.box)
            gas[fine] |= zoom.whole(pocket.mask, pocket.box)
    box = bounding_box(gas, [int(3 * GAS_WALL_MM / step) + 1 for step in spacing_mm])
    if box is None:
        return gas
    here, next_mm = lungs[box], 1.01 * max(spacing_mm)
    core = gas[box] & here & (ct[box] < air_hu + GAS_PURE_HU)
    core = dilate_mm(core, 2 * next_mm, spacing_mm) & here & (ct[box] < air_hu + GAS_PURE_HU)
    beside = dilate_mm(core, next_mm, spacing_mm)
    # What lies near the gas and is no thick piece of lung is its wall, or its rim.
    apart = here & ~beside
    thick = open_mm(apart, GAS_WALL_MM / 2, spacing_mm)
    kept = apart & dilate_mm(thick, next_mm, spacing_mm)
    gas[box] = here & dilate_mm(core, GAS_WALL_MM, spacing_mm) & ~kept
    return gas


def gas_doubts(seen: Blocks, threshold_hu: float, likely: F32 | None = None) -> list[str]:
    """Sentences on pure air in a mask (1 right, 2 left) that may be bowel.

    Parameters
    ----------
    seen
        The scan and its mask.
    threshold_hu
        Between air and tissue.
    likely : (z, y, x) float32, optional
        Probability of lung on the blocks, as a net sees it.

    Examples
    --------
    A stomach's gas of 512 ml in a mask, under a left lung:

    >>> ct = np.full((40, 30, 30), 40, np.int16)
    >>> ct[18:38, 5:25, 5:25] = -850
    >>> ct[10:18, 7:23, 7:23] = -1000
    >>> labels = np.where(ct < -500, LEFT, 0).astype(np.uint8)
    >>> gas_doubts(Blocks(ct, labels, (4.0, 4.0, 4.0)), -500.0)
    ['131 ml of pure air below the left lung may be bowel']

    A net that knows chests sees emphysema there:

    >>> gas_doubts(Blocks(ct, labels, (4.0, 4.0, 4.0)), -500.0, np.ones(ct.shape, np.float32))
    []
    """
    air_hu = pure_air_hu(_frame(seen.hu, threshold_hu))
    found = []
    for side, name in ((RIGHT, "right"), (LEFT, "left")):
        box = bounding_box(seen.labels == side, (1, 1, 1))
        if box is None:
            continue
        hu, lung = np.ascontiguousarray(seen.hu[box]), seen.labels[box] == side
        known = None if likely is None else likely[box]
        pockets = air_pockets(hu, lung, air_hu, seen.spacing_mm)
        ml = sum(pocket.ml for pocket in pockets if not _is_lung(pocket, known))
        if ml > DOUBTED_GAS_ML:
            found.append(f"{ml:.0f} ml of pure air below the {name} lung may be bowel")
    return found


def _is_lung(pocket: Pocket, likely: F32 | None) -> bool:
    if pocket.kind == LUNG:
        return True
    return likely is not None and float(likely[pocket.box][pocket.mask].mean()) >= LUNG_TO_NET


def _frame(ct: HuArray, threshold_hu: float) -> HuArray:
    """Air along the four edges of each slice."""
    edges = (ct[:, 0], ct[:, -1], ct[:, :, 0], ct[:, :, -1])
    values = np.concatenate([edge.ravel() for edge in edges])
    return values[values < threshold_hu]
