"""Lungs of a chest CT: found on coarse blocks, outlined on the grid itself."""

from dataclasses import dataclass

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.ops.grid.blocks import (
    Factors,
    Zoom,
    block_all,
    block_factors,
    block_mean,
    block_spacing,
)
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.histogram import hu_counts, two_means
from lungseg.ops.grid.morphology import Components, components, erode_mm, shares_in, sizes
from lungseg.ops.lungs.airways import Airways, find_airways
from lungseg.ops.lungs.bowel.gas import bowel_gas
from lungseg.ops.lungs.bowel.loops import hanging_bowel
from lungseg.ops.lungs.dense_lung import dense_lung
from lungseg.ops.lungs.enclosed.masses import enclosed_masses
from lungseg.ops.lungs.enclosed.vessel_nodules import vessel_nodules
from lungseg.ops.lungs.enclosed.wall_side import wall_side
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides, separate_sides
from lungseg.ops.lungs.outline import CoarseLungs, outlined
from lungseg.ops.lungs.outside_air import separate_body_air
from lungseg.ops.lungs.shape import filled_lung, search_region, wall_bulges
from lungseg.volume import HU, Box, FloatArray, HuArray, Mask, MaskArray, Triple, Volume

# What the histogram counts: from vacuum to dense bone; beyond is padding and metal.
COUNTED_HU = (-1024, 400)
# A part smaller than PART_ML is never lung; one with more than PART_SHARE of the largest part's
# volume is; between them, one whose centre lies above BASES_SHARE of the largest part's height is.
PART_SHARE = 0.1
PART_ML = 15.0
BASES_SHARE = 0.25
# A part whose voxels mostly lie more than BEHIND_MM behind the largest part, in the same slice, is
# air between back and couch.
BEHIND_MM = 10.0
# Margin around the air inside the patient within which the search goes on, mm; wall_mm if larger.
ROOM_MM = 14.0
# A part is bowel gas if at least GAS_SHARE of its core is less than GAS_HU above pure air.
GAS_SHARE = 0.6
GAS_HU = 60
# If all parts look like gas, those larger than this are lung, ml.
LUNG_OF_GAS_ML = 1000.0


@dataclass(frozen=True, kw_only=True)
class LungSettings:
    """Settings of `find_lungs`; `SegmentLungs` explains each."""

    threshold_min_hu: float = -600.0
    threshold_max_hu: float = -300.0
    rim_mm: float = 0.8
    coarse_mm: float = 2.0
    vessel_mm: float = 4.0
    wall_mm: float = 18.0
    smallest_lung_ml: float = 150.0


@dataclass(frozen=True)
class Lungs:
    """Lungs and their search region, the air threshold, the volume of the airways.

    Attributes
    ----------
    labels
        0, 1 right, 2 left; on the scan's grid.
    region
        Where nodules are looked for, on the same grid; holds the lungs.
    threshold_hu
        Voxels darker than this are air.
    airways_ml
        Volume of trachea and main bronchi.
    nearly_ml
        Volume of what may be a tumour and was not taken for lung in the first place.
    """

    labels: Volume[np.uint8]
    region: Volume[Mask]
    threshold_hu: float
    airways_ml: float
    nearly_ml: float = 0.0


def air_and_tissue(
    ct: HuArray, field_of_view: MaskArray | None, settings: LungSettings
) -> tuple[float, float]:
    """HU that separates air from tissue, within the bounds set, and the mean HU of tissue.

    Raises
    ------
    ScanError
        If all voxels have the same value.

    Examples
    --------
    >>> ct = np.array([[[-900, -900, 50, 50]]], HU)
    >>> air_and_tissue(ct, None, LungSettings())
    (-425.0, 50.0)
    """
    counts = hu_counts(ct, *COUNTED_HU, inside=field_of_view)
    if np.count_nonzero(counts) < 2:
        raise ScanError(
            f"no lungs found: all voxels have the same value ({int(ct.flat[0])} HU); a chest CT in "
            "Hounsfield units has air and tissue; look at the file with a viewer"
        )
    means = two_means(counts, COUNTED_HU[0])
    low, high = settings.threshold_min_hu, settings.threshold_max_hu
    return float(np.clip(means.threshold, low, high)), means.high


def find_lungs(
    ct: Volume[HU],
    field_of_view: MaskArray | None = None,
    settings: LungSettings | None = None,
) -> Lungs:
    """Right and left lung of a chest CT, without trachea and main bronchi.

    Parameters
    ----------
    ct
        HU; axis 0 runs to the head, 1 to the back, 2 to the patient's left.
    field_of_view : (z, y, x) bool, optional
        False where there is no image (padding).
    settings

    Raises
    ------
    ScanError
        If there are no lungs.

    Examples
    --------
    Two boxes of lung, 240 ml each, in a block of tissue with air around:

    >>> from lungseg.volume import Geometry
    >>> array = np.full((40, 80, 100), -1000, HU)
    >>> array[:, 10:70, 10:90] = 40
    >>> array[5:35, 20:60, 20:45] = array[5:35, 20:60, 55:80] = -850
    >>> lungs = find_lungs(Volume(array, Geometry((2.0, 2.0, 2.0))))
    >>> [int((lungs.labels.array == side).sum()) for side in (RIGHT, LEFT)], lungs.airways_ml
    ([30000, 30000], 0.0)
    """
    settings = settings or LungSettings()
    threshold, tissue_hu = air_and_tissue(ct.array, field_of_view, settings)
    factors = block_factors(ct.spacing_mm, settings.coarse_mm)
    # What the search in blocks holds is given back before the outline needs as much.
    found = _found_in_blocks(ct, field_of_view, factors, threshold, tissue_hu, settings)
    zoom = Zoom(ct.shape, factors)
    fine = zoom.fine_box(found.box)
    labels = np.zeros(ct.shape, np.uint8)
    labels[fine] = outlined(
        ct.array[fine],
        found.lungs,
        Zoom(ct.crop(fine).shape, factors),
        found.edge_hu,
        settings.rim_mm,
        ct.spacing_mm,
    )
    wide = search_region(found.lungs.closed, block_spacing(ct.spacing_mm, factors), found.nearly)
    region = np.zeros(ct.shape, bool)
    within = region[fine]
    np.greater(labels[fine], 0, out=within)
    within |= zoom.whole(wide, found.box)
    block_ml = ct.voxel_ml * float(np.prod(factors))
    nearly_ml = float(np.count_nonzero(found.nearly)) * block_ml
    return Lungs(ct.like(labels), ct.like(region), threshold, found.airways_ml, nearly_ml)


@dataclass(frozen=True, eq=False)
class _Found:
    """Lungs in blocks, and the box of blocks that they lie in.

    Attributes
    ----------
    nearly
        Blocks that may be a tumour and are no lung.
    edge_hu
        HU half-way between lung and tissue.
    """

    box: Box
    lungs: CoarseLungs
    nearly: MaskArray
    edge_hu: float
    airways_ml: float


def _found_in_blocks(  # noqa: PLR0913, PLR0917 - a scan, its HU, and how coarse
    ct: Volume[HU],
    field_of_view: MaskArray | None,
    factors: Factors,
    threshold: float,
    tissue_hu: float,
    settings: LungSettings,
) -> _Found:
    coarse = block_mean(ct.array, factors)
    spacing_mm = block_spacing(ct.spacing_mm, factors)
    seen = None if field_of_view is None else block_all(field_of_view, factors)
    air = separate_body_air(coarse, threshold, spacing_mm, seen)
    # From here on the work is done where the patient's air is, with room for what closing adds.
    room_mm = max(settings.wall_mm, ROOM_MM)
    margin = [int(room_mm / step) + 2 for step in spacing_mm]
    box = bounding_box(air.inside, margin) or (slice(0, 1), slice(0, 1), slice(0, 1))
    coarse, inside = np.ascontiguousarray(coarse[box]), np.ascontiguousarray(air.inside[box])
    airways = find_airways(coarse, inside, air.air_hu, spacing_mm)
    airways_ml = float(np.count_nonzero(airways.lumen)) * float(np.prod(spacing_mm)) / 1000
    parts = _parts(coarse, inside & ~airways.wall, air.air_hu, spacing_mm)
    dark, gas = _lungs_of(parts, settings.smallest_lung_ml, spacing_mm)
    joined = bowel_gas(coarse, dark, air.air_hu, spacing_mm)
    joined |= hanging_bowel(coarse, dark & ~joined, air.air_hu, spacing_mm)
    if joined.any():
        parts = _parts(coarse, inside & ~airways.wall & ~joined, air.air_hu, spacing_mm)
        dark, gas = _lungs_of(parts, settings.smallest_lung_ml, spacing_mm)
    gas |= joined
    not_lung = Airways(airways.lumen | gas, airways.wall | gas)
    edge_hu = max(threshold, (float(np.median(coarse[dark])) + tissue_hu) / 2)
    dark |= dense_lung(coarse, dark, not_lung.wall, spacing_mm)
    closed, nearly = _closed(
        coarse, separate_sides(coarse, dark, spacing_mm), not_lung, spacing_mm, settings
    )
    lungs = CoarseLungs(dark=dark, closed=closed, airways=not_lung.lumen)
    return _Found(box, lungs, nearly, edge_hu, airways_ml)


@dataclass(frozen=True)
class _Parts:
    """Connected parts of the air inside the patient: labels, and by label volume and place.

    Attributes
    ----------
    lung_ml
        Volume of what may be lung; 0 for the background and for gas.
    large
        Whether it is more than a crumb.
    z_box, z_middle
        First and last slice, and centre, in slices.
    """

    labels: Components
    lung_ml: FloatArray
    large: MaskArray
    z_box: list[tuple[int, int]]
    z_middle: FloatArray


def _parts(ct: HuArray, inside: MaskArray, air_hu: float, spacing_mm: Triple) -> _Parts:
    """Parts of the air `inside`; bowel gas is known by the share of pure air in the core."""
    import cc3d

    labels, _ = components(inside, connectivity=6)
    stats = cc3d.statistics(labels)
    boxes = stats["bounding_boxes"]
    ml = stats["voxel_counts"] * (float(np.prod(spacing_mm)) / 1000)
    lung_ml, gas_ml = np.zeros(len(ml)), np.zeros(len(ml))
    for label in np.flatnonzero(ml > PART_ML):
        box = boxes[label]
        part = labels[box] == label
        if label == 0 or not inside[box][part].any():
            continue
        core = erode_mm(part, 1.01 * max(spacing_mm), spacing_mm, border=False)
        values = ct[box][core if core.any() else part]
        gas = float((values < air_hu + GAS_HU).mean()) >= GAS_SHARE
        (gas_ml if gas else lung_ml)[label] = ml[label]
    if not lung_ml.any():
        # No bowel holds as much: these lungs have emphysema, or the scanner is badly calibrated.
        lung_ml = np.where(gas_ml > LUNG_OF_GAS_ML, gas_ml, 0.0)
    z_box = [(int(box[0].start), int(box[0].stop)) for box in boxes]
    large = (lung_ml + gas_ml) > 0
    return _Parts(labels, lung_ml, large, z_box, stats["centroids"][:, 0])


def _lungs_of(
    parts: _Parts, smallest_lung_ml: float, spacing_mm: Triple
) -> tuple[MaskArray, MaskArray]:
    """Parts that are lung: the largest, those of its kind, and smaller ones not far below; and gas.

    Gas are all other parts but crumbs.
    """
    main = int(np.argmax(parts.lung_ml))
    first, last = parts.z_box[main]
    kept: MaskArray = parts.lung_ml > PART_SHARE * parts.lung_ml[main]
    # Below the lungs' bases air is bowel, whatever it looks like.
    kept |= (parts.lung_ml > 0) & (parts.z_middle > first + BASES_SHARE * (last - first))
    if np.count_nonzero(kept) > 1:
        kept &= _share_behind(parts.labels, main, BEHIND_MM / spacing_mm[1]) < 0.5
    found_ml = float(parts.lung_ml[kept].sum())
    if found_ml == 0 or found_ml < smallest_lung_ml:
        raise ScanError(
            f"no lungs found: {found_ml:.0f} ml of lung-like air inside the body below the air "
            f"threshold, against at least {smallest_lung_ml:g} ml; is this a chest CT, in "
            "Hounsfield units?",
            setting=f"smallest_lung_ml={int(found_ml)} for small or short ones"
            if found_ml >= 1
            else (),
        )
    return kept[parts.labels], (parts.large & ~kept)[parts.labels]


def _share_behind(labels: Components, main: int, rows: float) -> FloatArray:
    """Share of each label's voxels that lie more than `rows` behind label `main` in its slice."""
    lines = (labels == main).any(axis=2)
    n = lines.shape[1]
    last = np.where(lines.any(axis=1), n - 1 - lines[:, ::-1].argmax(axis=1), n)
    behind = np.arange(n) > last[:, None] + rows
    return shares_in(labels, sizes(labels, int(labels.max())), behind)


def _closed(
    ct: HuArray,
    sides: Sides,
    airways: Airways,
    spacing_mm: Triple,
    settings: LungSettings,
) -> tuple[Sides, MaskArray]:
    """`sides` with vessels, wall nodules and holes given back, and what else may be lung."""
    middle = _middle_yx(sides > 0)
    closed, nearly = sides.copy(), np.zeros(sides.shape, bool)
    both = bool((sides == RIGHT).any() and (sides == LEFT).any())
    for side in (RIGHT, LEFT):
        lung = sides == side
        free = ~airways.wall & (closed != 3 - side)
        whole = filled_lung(lung, free, settings.vessel_mm, spacing_mm)
        known = middle if both else None
        masses = enclosed_masses(whole, free, ct, airways.lumen, known, spacing_mm)
        nearly |= masses.nearly
        mass = masses.found | vessel_nodules(whole, free, ct, airways.lumen, spacing_mm)
        if mass.any():
            whole = filled_lung(whole | mass, free, settings.vessel_mm, spacing_mm)
        whole |= wall_bulges(whole, free, ct, middle, settings.wall_mm, spacing_mm)
        if both:
            whole |= wall_side(whole, free, ct, middle, spacing_mm)
        closed[whole & (closed == 0)] = side
    return closed, nearly & (closed == 0)


def _middle_yx(lungs: MaskArray) -> FloatArray:
    """Middle of the box around both lungs in each slice; of the whole where a slice has none."""
    middle = np.zeros((len(lungs), 2))
    for k, axis in enumerate((2, 1)):
        line: MaskArray = np.any(lungs, axis=axis)
        seen: MaskArray = np.any(line, axis=1)
        centre = (line.argmax(axis=1) + line.shape[1] - 1 - line[:, ::-1].argmax(axis=1)) / 2
        middle[:, k] = np.where(seen, centre, np.median(centre[seen]))
    return middle
