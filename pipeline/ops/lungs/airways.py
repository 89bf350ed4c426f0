"""The trachea and the main bronchi, grown from short lengths of tube between the lungs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lungseg.ops.grid.boxes import bounding_box, ends
from lungseg.ops.grid.morphology import axial_components, components, dilate_mm, regions, sizes
from lungseg.ops.grid.neighbours import grow
from lungseg.ops.hu.hounsfield import PURE_AIR_HU
from lungseg.volume import Box, HuArray, MaskArray, Triple

# A trachea's or main bronchus's cross-section, cut straight or along, mm2.
SECTION_MM2 = (25.0, 800.0)
# Pieces that touch from slice to slice and together cover more than this are emphysema, mm2.
SPREAD_MM2 = 1000.0
# Farthest distance of a tube from the middle of the chest, mm; the long tubes below are exempt.
MIDDLE_MM = 45.0
# A tube in the front of the chest, this share of its depth, is the edge of a lung, but toward the
# abdomen, where it may be bowel, and in the neck; shares of the chest's height from below.
FRONT_SHARE = 0.2
FRONT_HEIGHTS = (0.3, 0.95)
# Shortest tube, mm, unless the scan itself is shorter.
SHORTEST_MM = 12.0
# A tube this long, mm, and this close to pure air, HU, is the trachea.
LONG_MM = 60.0
PURE_HU = 35
# Lumen is this close to pure air, HU; parenchyma is not, at least not around a whole tube.
LUMEN_HU = 120
# Trachea and main bronchi pass more than this of a chest's height, mm. Where less is found, and the
# scan shows WHOLE_MM of the chest, lumen is looked for closer to pure air, too, as in noise and
# emphysema holes in the lung touch the trachea; where nothing is, farther: a blur fills it. It is
# believed if so much is found.
AIRWAY_MM, WHOLE_MM = 100.0, 200.0
CLOSER_LUMEN_HU, FARTHER_LUMEN_HU = (100, 70, 40), 180
# The darkest quarter of a tube is this close to pure air, HU.
CORE_HU = 95
# The wall that is taken out with the lumen, mm.
WALL_MM = 2.0
# Around a tube, from the one to the other distance, mm, lies tissue: its mean HU is above the first
# value, or above the second around a long tube, which may border on lung.
SHELL_MM = (3.0, 6.0)
SHELL_ABOVE_HU = (-450, -650)
# A short tube that ends below LOW_SHARE of the height is bowel, a gullet or a hole in the lung; the
# holes are further than LOW_PURE_HU from pure air and have less than LOW_SHELL_HU around them.
LOW_SHARE, LOW_PURE_HU, LOW_SHELL_HU = 0.45, 50, -250
# A tube with lung over more than this share of its upper end is the lower tip of a lung.
COVERED_SHARE = 0.3
# Dark air connected in 3-D is lung if it is larger than this; the throat is smaller, ml.
LUNG_ML = 150.0
# Thresholds to grow at, HU above pure air; growth beyond LEAK_RATIO times the volume before, plus
# LEAK_ML, is a leak into a lung.
GROW_HU = (50, 75, 100, 125, 150, 175, 200)
LEAK_ML = 15.0
LEAK_RATIO = 1.5
# Where the first of them leaks, as through holes of emphysema and noise, the mean over 3 x 3 x 3
# voxels is grown at these, and then a voxel into the lumen around.
GROW_MEAN_HU = (30, 45, 60, 75, 90)
# So is growth by more than FAR_ML at once farther than FAR_MM from all tubes: dark lung around a
# bronchus may hold less than the first rule asks for.
FAR_MM, FAR_ML = 20.0, 12.0
# And so is a smaller piece, beyond BRANCH_MM from all tubes, of more than BRANCH_ML, if it has lung
# around it: less than BRANCH_HU in the mean.
BRANCH_MM, BRANCH_ML, BRANCH_HU = 4.0, 1.5, -400


@dataclass(frozen=True)
class Airways:
    """Trachea and main bronchi: the lumen, and the lumen with its wall; both ``(z, y, x)`` bool."""

    lumen: MaskArray
    wall: MaskArray


def find_airways(ct: HuArray, inside: MaskArray, air_hu: float, spacing_mm: Triple) -> Airways:
    """Trachea and main bronchi in the air `inside` the patient; empty if none is seen.

    Seeds are lengths of tube: pieces of lumen in consecutive axial slices, of the size of a
    trachea, near the middle of the chest, and with tissue around. In a whole chest in
    which they are too short for trachea and main bronchi, they are looked for at other values. They
    are grown at rising thresholds; the last result before the volume leaps, which means a leak into
    a lung, is kept, without smaller leaks, which lung surrounds.

    Parameters
    ----------
    ct : (z, y, x) int16
    inside : (z, y, x) bool
    air_hu
        HU of pure air in this scan.
    spacing_mm

    Examples
    --------
    A tube of air, 10 mm by 10 mm by 40 mm, in the tissue between two lungs:

    >>> ct = np.full((40, 60, 60), 40, np.int16)
    >>> ct[:, 25:35, 25:35] = -1000
    >>> ct[:, 10:50, :15] = ct[:, 10:50, 45:] = -850
    >>> airways = find_airways(ct, ct < -500, -1000.0, (1.0, 1.0, 1.0))
    >>> int(airways.lumen.sum()), bool(airways.wall[0, 23, 30]), bool(airways.wall[0, 22, 30])
    (4000, True, False)
    """
    nothing = np.zeros_like(inside)
    box = bounding_box(inside)
    if box is None:
        return Airways(nothing, nothing)
    ct, within = ct[box], inside[box]
    seeds = _seeds(ct, within, air_hu, spacing_mm)
    lumen, wall = nothing, nothing.copy()
    if seeds.any():
        grown = _grow(ct, within, seeds, air_hu, spacing_mm)
        lumen[box] = grown
        wall[box] = dilate_mm(grown, WALL_MM, spacing_mm)
    return Airways(lumen, wall)


def _seeds(ct: HuArray, inside: MaskArray, air_hu: float, spacing_mm: Triple) -> MaskArray:
    lumen = inside & (ct < air_hu + LUMEN_HU)
    seeds = _tubes(ct, inside, lumen, lumen, air_hu, spacing_mm)
    if len(ct) * spacing_mm[0] < WHOLE_MM or _passed_mm(seeds, spacing_mm) >= AIRWAY_MM:
        return seeds
    found = seeds
    for rise in (*CLOSER_LUMEN_HU, FARTHER_LUMEN_HU):
        if rise == FARTHER_LUMEN_HU and found.any():
            break
        # Of a dark lung there may be nothing in the lumen of this value, all the same it is lung.
        lumen = inside & (ct < air_hu + rise)
        found = found | _tubes(ct, inside, lumen, inside, air_hu, spacing_mm)
        if _passed_mm(found, spacing_mm) >= AIRWAY_MM:
            return found
    return seeds


def _passed_mm(tubes: MaskArray, spacing_mm: Triple) -> float:
    """Height that tubes pass, gaps left out."""
    return float(np.count_nonzero(tubes.any(axis=(1, 2)))) * spacing_mm[0]


def _tubes(  # noqa: PLR0913, PLR0917 - a chest, and what of its air may be what
    ct: HuArray,
    inside: MaskArray,
    lumen: MaskArray,
    air: MaskArray,
    air_hu: float,
    spacing_mm: Triple,
) -> MaskArray:
    """Tubes of `lumen`; of the `air` beside them, what is as large as a lung is one."""
    pieces, count = axial_components(lumen)
    area = sizes(pieces, count) * spacing_mm[1] * spacing_mm[2]
    fits = (area >= SECTION_MM2[0]) & (area <= SECTION_MM2[1])
    fits[0] = False
    thin, doubted = _without_spread(fits[pieces], spacing_mm)
    candidates, n = components(thin, connectivity=26)
    if n == 0:
        return np.zeros_like(inside)
    import cc3d

    stats = cc3d.statistics(candidates)
    (foot, head), (front, back), (right, left) = (ends(inside, axis) for axis in range(3))
    heights = [foot + share * (head - foot) for share in FRONT_HEIGHTS]
    front += FRONT_SHARE * (back - front)
    shortest = min(SHORTEST_MM, 0.6 * len(ct) * spacing_mm[0])
    rest, n_rest = components(air & ~fits[pieces], connectivity=6)
    large = sizes(rest, n_rest) * float(np.prod(spacing_mm)) / 1000 > LUNG_ML
    large[0] = False
    lung = large[rest]
    chosen = np.zeros(n + 1, bool)
    for label in range(1, n + 1):
        box = stats["bounding_boxes"][label]
        z, y, x = stats["centroids"][label]
        off_mm = abs(x - (right + left) / 2) * spacing_mm[2]
        length_mm = (box[0].stop - box[0].start) * spacing_mm[0]
        # Most are short, or lie in front: the rest need not be asked of them.
        if length_mm < shortest or (y < front and heights[0] < z < heights[1]):
            continue
        tube = candidates[box] == label
        # The trachea is longer than any tip of lung, so less is asked of it: it may lie where a
        # picture of one lung ends, thinly walled.
        core_hu = float(np.percentile(ct[box][tube], 25)) - air_hu
        long = length_mm > LONG_MM and core_hu < PURE_HU
        # In emphysema, too, the trachea is a long tube; short ones there are holes in the lung.
        near = off_mm <= MIDDLE_MM and not doubted[box][tube].any()
        if not (long or near):
            continue
        low = box[0].stop < foot + LOW_SHARE * (head - foot)
        chosen[label] = (
            core_hu < CORE_HU
            and not _hangs(tube, lung, box)
            and _shell_hu(ct, tube, box, spacing_mm) > _least_around(core_hu, long=long, low=low)
        )
    return chosen[candidates]


def _least_around(core_hu: float, *, long: bool, low: bool) -> float:
    """Mean HU that the surroundings of a tube exceed, whose core is so far above pure air."""
    if long:
        return SHELL_ABOVE_HU[1]
    return LOW_SHELL_HU if low and core_hu > LOW_PURE_HU else SHELL_ABOVE_HU[0]


def _without_spread(pieces: MaskArray, spacing_mm: Triple) -> tuple[MaskArray, MaskArray]:
    """`pieces` less the slices where those that hang together are too wide; what hung there."""
    labels, count = components(pieces, connectivity=26)
    z, y, x = np.nonzero(pieces)
    label = labels[z, y, x].astype(np.intp)
    cell = label * len(pieces) + z
    area = np.bincount(cell, minlength=(count + 1) * len(pieces)) * spacing_mm[1] * spacing_mm[2]
    spread = area[cell] > SPREAD_MM2
    if not spread.any():
        return pieces, np.zeros_like(pieces)
    wide = np.zeros(count + 1, bool)
    wide[label[spread]] = True
    thin = pieces.copy()
    thin[z[spread], y[spread], x[spread]] = False
    return thin, thin & wide[labels]


def _hangs(tube: MaskArray, lung: MaskArray, box: Box) -> bool:
    """Whether the upper end of a tube is the lower tip of a lung."""
    top = box[0].stop
    if top >= len(lung):
        return False
    end = tube[-1]
    return bool(lung[top, box[1], box[2]][end].mean() > COVERED_SHARE)


def _shell_hu(ct: HuArray, tube: MaskArray, box: Box, spacing_mm: Triple) -> float:
    """Mean HU of what lies around a tube in the slices it passes."""
    margin = [int(SHELL_MM[1] / step) + 1 for step in spacing_mm[1:]]
    rows, columns = (
        slice(max(0, s.start - m), min(n, s.stop + m))
        for s, m, n in zip(box[1:], margin, ct.shape[1:], strict=True)
    )
    around = np.zeros((len(tube), rows.stop - rows.start, columns.stop - columns.start), bool)
    y, x = box[1].start - rows.start, box[2].start - columns.start
    around[:, y : y + tube.shape[1], x : x + tube.shape[2]] = tube
    # So far apart that no ball reaches the next slice.
    flat = (1e6, spacing_mm[1], spacing_mm[2])
    shell = dilate_mm(around, SHELL_MM[1], flat) & ~dilate_mm(around, SHELL_MM[0], flat)
    return float(ct[box[0], rows, columns][shell].mean()) if shell.any() else PURE_AIR_HU


def _grow(
    ct: HuArray, inside: MaskArray, seeds: MaskArray, air_hu: float, spacing_mm: Triple
) -> MaskArray:
    grown = _spread(seeds, (inside & (ct < air_hu + rise) for rise in GROW_HU), spacing_mm)
    if grown is seeds:
        mean = ndimage.uniform_filter(ct, 3)
        below = (inside & (mean < air_hu + rise) for rise in GROW_MEAN_HU)
        grown = grow(_spread(seeds, below, spacing_mm), within=inside & (ct < air_hu + LUMEN_HU))
    return grown & ~_leaked(ct, grown & ~dilate_mm(seeds, BRANCH_MM, spacing_mm), spacing_mm)


def _spread(seeds: MaskArray, rising: Iterable[MaskArray], spacing_mm: Triple) -> MaskArray:
    """What is joined to `seeds` in the last of masks that rise before one leaks; or `seeds`."""
    grown, voxel_ml = seeds, float(np.prod(spacing_mm)) / 1000
    volume_ml = float(seeds.sum()) * voxel_ml
    for mask in rising:
        labels, count = components(mask | seeds, connectivity=6)
        reached = np.zeros(count + 1, bool)
        reached[labels[seeds]] = True
        candidate = reached[labels]
        ml = float(np.count_nonzero(candidate)) * voxel_ml
        if ml > volume_ml * LEAK_RATIO + LEAK_ML:
            break
        if ml > volume_ml + FAR_ML:
            far = candidate & ~grown & ~dilate_mm(seeds, FAR_MM, spacing_mm)
            if float(np.count_nonzero(far)) * voxel_ml > FAR_ML:
                break
        grown, volume_ml = candidate, max(ml, volume_ml)
    return grown


def _leaked(ct: HuArray, branches: MaskArray, spacing_mm: Triple) -> MaskArray:
    """Those parts of `branches` that are dark lung."""
    leaked = np.zeros_like(branches)
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    for box, piece in regions(branches, connectivity=6):
        ml = float(np.count_nonzero(piece)) * voxel_ml
        if ml > BRANCH_ML and _shell_hu(ct, piece, box, spacing_mm) < BRANCH_HU:
            leaked[box] |= piece
    return leaked
