"""Loops of bowel with stool or folds, known by the neck they hang by."""

import numpy as np

from lungseg.ops.grid.morphology import components, dilate_mm, erode_mm, regions
from lungseg.ops.lungs.bowel.pockets import BOWEL_BELOW, middle_slice, share_over_lung
from lungseg.volume import HuArray, MaskArray, Triple

# A loop of bowel that a blurred diaphragm joins to a lung hangs by a neck, whatever it holds beside
# gas. It lies further than REACH_MM from all places in the lungs where a ball of BODY_MM fits, and
# is what remains in one piece when NECK_MM is taken off and given back.
BODY_MM, REACH_MM, NECK_MM = 6.0, 8.0, 2.0
# So much of it is less than LOOP_GAS_HU above pure air; it touches other lung with no more than
# NECK_AREA times the square of its size (the cube root of its volume); its middle lies below
# HIGHEST_SHARE of the lungs' height, and less than BOWEL_BELOW of its columns have lung below them.
LOOP_GAS_SHARE, LOOP_GAS_HU, NECK_AREA, HIGHEST_SHARE = 0.05, 80, 1.3, 0.4
# A part whose core is so large a share of the largest's belongs to the lungs' body, unless its
# middle lies below BASE_SHARE of the largest's height.
BODY_SHARE, BASE_SHARE = 0.1, 0.25
# Smaller loops are left as they are, ml.
LOOP_ML = 10.0


def hanging_bowel(ct: HuArray, lungs: MaskArray, air_hu: float, spacing_mm: Triple) -> MaskArray:
    """Loops of bowel among `lungs` that hang below their bases by a neck.

    Stool and folds leave such a loop little that `bowel_gas` would know; it is known by its neck.

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
    A lung, and under it a loop with stool in every second slice, joined by two blocks:

    >>> ct = np.full((72, 48, 48), 40, np.int16)
    >>> ct[32:68, 8:40, 8:40] = -850
    >>> ct[6:22, 16:32, 16:32] = -990
    >>> ct[7:22:2, 16:32, 16:32] = -600
    >>> ct[22:32, 23:25, 23:25] = -700
    >>> bowel = hanging_bowel(ct, ct < -500, -1000.0, (2.0, 2.0, 2.0))
    >>> bool(bowel[6:22, 16:32, 16:32].all()), bool(bowel[32:].any())
    (True, False)
    """
    bowel = np.zeros_like(lungs)
    core, highest = _cores(erode_mm(lungs, BODY_MM, spacing_mm, border=False))
    if not core.any():
        return bowel
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    body = lungs & dilate_mm(core, REACH_MM, spacing_mm)
    rest = lungs & ~body
    pure = rest & (ct < air_hu + LOOP_GAS_HU)
    if np.count_nonzero(pure[: int(highest)]) * voxel_ml < LOOP_GAS_SHARE * LOOP_ML:
        return bowel
    margin = [int((NECK_MM + 2 * step) / step) + 2 for step in spacing_mm]
    for box, seed in regions(
        erode_mm(rest, NECK_MM, spacing_mm, border=False), margin, connectivity=6
    ):
        # A loop loses its outermost blocks here, and no more than nine tenths of itself.
        if np.count_nonzero(seed) * voxel_ml <= LOOP_ML / 10 or box[0].start > highest:
            continue
        loop = dilate_mm(seed, 2 * NECK_MM, spacing_mm) & rest[box]
        ml = float(np.count_nonzero(loop)) * voxel_ml
        if ml < LOOP_ML or pure[box][loop].mean() < LOOP_GAS_SHARE:
            continue
        layer_mm = max(spacing_mm)
        contact = dilate_mm(loop, 1.01 * layer_mm, spacing_mm) & lungs[box] & ~loop
        area = 1000 * float(np.count_nonzero(contact)) * voxel_ml / layer_mm
        if middle_slice(loop, box) > highest or not 0 < area < NECK_AREA * (1000 * ml) ** (2 / 3):
            continue
        if share_over_lung(loop, box, body) < BOWEL_BELOW:
            bowel[box] |= loop
    return bowel


def _cores(core: MaskArray) -> tuple[MaskArray, float]:
    """The lungs' cores, and the slice below which bowel may lie.

    They are the largest part, one lung or both, and those of its kind that are no lower.
    """
    import cc3d

    labels, _ = components(core, connectivity=6)
    stats = cc3d.statistics(labels)
    voxels = stats["voxel_counts"].astype(np.int64)
    voxels[0] = 0
    first = int(voxels.argmax())
    z = stats["bounding_boxes"][first][0]
    base, highest = (z.start + of * (z.stop - 1 - z.start) for of in (BASE_SHARE, HIGHEST_SHARE))
    kept: MaskArray = (voxels > BODY_SHARE * voxels[first]) & (stats["centroids"][:, 0] > base)
    return kept[labels], highest
