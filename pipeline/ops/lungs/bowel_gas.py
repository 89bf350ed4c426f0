"""Gas of stomach and colon that a thin diaphragm joins to a lung, told from bullae by its place."""

from dataclasses import dataclass, replace

import numpy as np

from lungseg.ops.grid.blocks import Zoom, block_factors, block_mean, block_most, block_spacing
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import components, dilate_mm, erode_mm, open_mm
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.ops.lungs.outside_air import pure_air_hu
from lungseg.volume import F32, Box, HuArray, IntArray, MaskArray, Triple

# Gas is looked for in blocks of this size: noise is averaged away, vessels and septa are not, mm.
GAS_BLOCK_MM = 4.0
# A block is pure air less than this above the scan's own air, HU; the margin of gas, which takes
# in some wall, less than GAS_EDGE_HU.
GAS_PURE_HU = 50
GAS_EDGE_HU = 130
# Smaller pockets are left as they are, ml.
POCKET_ML = 10.0
# What lies from the one to the other distance around a pocket is looked at, mm.
SHELL_MM = (4.1, 9.0)
# A pocket with less than BOWEL_AROUND of lung around it and less than BOWEL_BELOW of its columns
# above lung is bowel; one with more than LUNG_AROUND or LUNG_BELOW is lung; between, one with a
# fluid level, where FLAT_FLOOR of its floor lies at one height, is bowel, others are doubtful.
BOWEL_AROUND, BOWEL_BELOW = 0.42, 0.5
LUNG_AROUND, LUNG_BELOW = 0.55, 0.75
FLAT_FLOOR = 0.7
# Where pockets that are lung hold this many times a pocket's volume, the lungs have emphysema, and
# more is asked before it is called bowel.
EMPHYSEMA_TIMES = 2.0
# Where more than this share of all lung is such gas, it is lung.
MOST_GAS_SHARE = 0.5
# The wall between gas and lung, and what is left of the gas's margin, are thinner than this, mm.
GAS_WALL_MM = 6.0
# Less doubtful gas beside a lung than this is not worth a word, ml.
DOUBTED_GAS_ML = 20.0
# And gas that a net calls lung with this probability in the mean, where one was asked, is lung.
LUNG_TO_NET = 0.7
BOWEL, DOUBTFUL, LUNG = "bowel", "doubtful", "lung"


@dataclass(frozen=True)
class Pocket:
    """A smooth pocket of pure air.

    Attributes
    ----------
    box, mask
        Where it lies.
    ml
        Its volume.
    around
        Share of lung in the shell around it.
    below
        Share of its columns that have lung below them.
    level
        Share of its floor, towards the back, that lies at one height, as a fluid's surface does.
    kind
        ``bowel``, ``lung`` (a bulla, emphysema), or ``doubtful``.
    """

    box: Box
    mask: MaskArray
    ml: float
    around: float = 0.0
    below: float = 0.0
    level: float = 0.0
    kind: str = DOUBTFUL


def air_pockets(
    ct: HuArray, lungs: MaskArray, air_hu: float, spacing_mm: Triple
) -> tuple[Pocket, ...]:
    """Smooth pockets of pure air in what passes for lungs, and what lies around each.

    At first no pocket counts as lung to another, so that loops of colon do not vouch for each
    other; a pocket that proves to be lung does so from then on.

    Parameters
    ----------
    ct : (z, y, x) int16
        Means of blocks of about `GAS_BLOCK_MM`.
    lungs : (z, y, x) bool
    air_hu
        HU of pure air in this scan.
    spacing_mm

    Examples
    --------
    A stomach's gas under a lung, in blocks of 4 mm:

    >>> ct = np.full((30, 24, 24), 40, np.int16)
    >>> ct[12:28, 4:20, 4:20] = -850
    >>> ct[3:12, 7:17, 7:17] = -1000
    >>> (gas,) = air_pockets(ct, ct < -500, -1000.0, (4.0, 4.0, 4.0))
    >>> gas.kind, round(gas.ml), gas.below
    ('bowel', 58, 0.0)
    """
    step = max(spacing_mm)
    core = erode_mm(lungs & (ct < air_hu + GAS_PURE_HU), 1.01 * step, spacing_mm, border=False)
    if not core.any():
        return ()
    whole = dilate_mm(core, 2.01 * step, spacing_mm) & lungs & (ct < air_hu + GAS_EDGE_HU)
    left = _pieces(core, whole, spacing_mm)
    textured = lungs & ~dilate_mm(whole, 1.01 * step, spacing_mm)
    proven: list[Pocket] = []
    while True:
        left = [_seen(pocket, textured, spacing_mm) for pocket in left]
        lung = [p for p in left if p.around > LUNG_AROUND or p.below > LUNG_BELOW]
        if not lung:
            break
        proven += [replace(pocket, kind=LUNG) for pocket in lung]
        left = [p for p in left if p.around <= LUNG_AROUND and p.below <= LUNG_BELOW]
        for pocket in lung:
            textured[pocket.box] |= pocket.mask
    proven_ml = sum(pocket.ml for pocket in proven)
    lungs_ml = float(np.count_nonzero(lungs)) * float(np.prod(spacing_mm)) / 1000
    if sum(pocket.ml for pocket in left) > MOST_GAS_SHARE * lungs_ml:
        # These lungs are as dark as air, or the scanner is badly calibrated.
        return (*proven, *(replace(pocket, kind=LUNG) for pocket in left))
    return (*proven, *(replace(p, kind=_kind(p, proven_ml)) for p in left))


def _kind(pocket: Pocket, proven_ml: float) -> str:
    """What a pocket is that is not surely lung, where `proven_ml` of other pockets are."""
    emphysema = proven_ml > EMPHYSEMA_TIMES * pocket.ml
    if pocket.around < BOWEL_AROUND and pocket.below < BOWEL_BELOW:
        return DOUBTFUL if emphysema and pocket.level < FLAT_FLOOR else BOWEL
    if emphysema:
        return LUNG
    return BOWEL if pocket.level > FLAT_FLOOR else DOUBTFUL


def _pieces(core: MaskArray, whole: MaskArray, spacing_mm: Triple) -> list[Pocket]:
    step = max(spacing_mm)
    margin = [int((SHELL_MM[1] + 2 * step) / one) + 2 for one in spacing_mm]
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    labels, count = components(core, connectivity=26)
    found = []
    for label in range(1, count + 1):
        seed = labels == label
        box = bounding_box(seed, margin)
        if box is None:
            continue
        mask = whole[box] & dilate_mm(seed[box], 2.01 * step, spacing_mm)
        ml = float(np.count_nonzero(mask)) * voxel_ml
        if ml >= POCKET_ML:
            found.append(Pocket(box, mask, ml, level=_level(mask)))
    return found


def _seen(pocket: Pocket, lungs: MaskArray, spacing_mm: Triple) -> Pocket:
    """`pocket` with the shares of `lungs` around and below it."""
    inner, outer = (dilate_mm(pocket.mask, reach, spacing_mm) for reach in SHELL_MM)
    shell = outer & ~inner
    around = float(lungs[pocket.box][shell].mean()) if shell.any() else 1.0
    columns = pocket.mask.any(axis=0)
    first = pocket.mask.argmax(axis=0) + pocket.box[0].start
    here = lungs[:, pocket.box[1], pocket.box[2]]
    lowest = np.where(here.any(axis=0), here.argmax(axis=0), len(lungs))
    below = float((lowest < first)[columns].mean())
    return replace(pocket, around=around, below=below)


def _level(pocket: MaskArray) -> float:
    """Share of a pocket's floor within one block of the commonest height."""
    floor: IntArray = (pocket.shape[1] - 1 - pocket[:, ::-1].argmax(axis=1))[pocket.any(axis=1)]
    heights = np.bincount(floor)
    at = int(heights.argmax())
    return float(heights[max(0, at - 1) : at + 2].sum()) / len(floor)


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
