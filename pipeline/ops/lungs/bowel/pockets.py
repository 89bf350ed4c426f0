"""Smooth pockets of pure air, told from bullae and emphysema by their place."""

from dataclasses import dataclass, replace

import numpy as np

from lungseg.ops.grid.morphology import dilate_mm, erode_mm, regions
from lungseg.volume import Box, HuArray, IntArray, MaskArray, Triple

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
# One with more than HIGH_SHARE of the lungs below its middle lies higher than any bowel.
HIGH_SHARE = 0.4
# Where pockets that are lung hold this many times a pocket's volume, the lungs have emphysema, and
# more is asked before it is called bowel.
EMPHYSEMA_TIMES = 2.0
# Where more than this share of all lung is such gas, it is lung.
MOST_GAS_SHARE = 0.5
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
    highest = _height_of(lungs, HIGH_SHARE)
    proven: list[Pocket] = []
    while True:
        left = [_seen(pocket, textured, spacing_mm) for pocket in left]
        lung = [p for p in left if _surely_lung(p, highest)]
        if not lung:
            break
        proven += [replace(pocket, kind=LUNG) for pocket in lung]
        left = [p for p in left if not _surely_lung(p, highest)]
        for pocket in lung:
            textured[pocket.box] |= pocket.mask
    proven_ml = sum(pocket.ml for pocket in proven)
    lungs_ml = float(np.count_nonzero(lungs)) * float(np.prod(spacing_mm)) / 1000
    if sum(pocket.ml for pocket in left) > MOST_GAS_SHARE * lungs_ml:
        # These lungs are as dark as air, or the scanner is badly calibrated.
        return (*proven, *(replace(pocket, kind=LUNG) for pocket in left))
    return (*proven, *(replace(p, kind=_kind(p, proven_ml)) for p in left))


def _height_of(lungs: MaskArray, share: float) -> int:
    """The slice up to which this share of `lungs` lies."""
    volume = np.cumsum(np.count_nonzero(lungs, axis=(1, 2)))
    return int(np.searchsorted(volume, share * volume[-1]))


def _surely_lung(pocket: Pocket, highest: int) -> bool:
    if pocket.around > LUNG_AROUND or pocket.below > LUNG_BELOW:
        return True
    return middle_slice(pocket.mask, pocket.box) > highest


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
    found = []
    for box, seed in regions(core, margin):
        mask = whole[box] & dilate_mm(seed, 2.01 * step, spacing_mm)
        ml = float(np.count_nonzero(mask)) * voxel_ml
        if ml >= POCKET_ML:
            found.append(Pocket(box, mask, ml, level=_level(mask)))
    return found


def _seen(pocket: Pocket, lungs: MaskArray, spacing_mm: Triple) -> Pocket:
    """`pocket` with the shares of `lungs` around and below it."""
    inner, outer = (dilate_mm(pocket.mask, reach, spacing_mm) for reach in SHELL_MM)
    shell = outer & ~inner
    around = float(lungs[pocket.box][shell].mean()) if shell.any() else 1.0
    return replace(pocket, around=around, below=share_over_lung(pocket.mask, pocket.box, lungs))


def share_over_lung(part: MaskArray, box: Box, lungs: MaskArray) -> float:
    """Share of the columns of a part, which lies in `box`, that have lung below them.

    Examples
    --------
    >>> lungs = np.array([[[True, False]], [[False, False]]])
    >>> share_over_lung(np.ones((1, 1, 2), bool), np.s_[1:2, 0:1, 0:2], lungs)
    0.5
    """
    columns = part.any(axis=0)
    first = part.argmax(axis=0) + box[0].start
    here = lungs[:, box[1], box[2]]
    lowest = np.where(here.any(axis=0), here.argmax(axis=0), len(lungs))
    return float((lowest < first)[columns].mean())


def middle_slice(part: MaskArray, box: Box) -> float:
    """Slice of the centre of a part that lies in `box`.

    Examples
    --------
    >>> middle_slice(np.ones((3, 1, 1), bool), np.s_[4:7, 0:1, 0:1])
    5.0
    """
    return float(box[0].start + np.nonzero(part)[0].mean())


def _level(pocket: MaskArray) -> float:
    """Share of a pocket's floor within one block of the commonest height."""
    floor: IntArray = (pocket.shape[1] - 1 - pocket[:, ::-1].argmax(axis=1))[pocket.any(axis=1)]
    heights = np.bincount(floor)
    at = int(heights.argmax())
    return float(heights[max(0, at - 1) : at + 2].sum()) / len(floor)
