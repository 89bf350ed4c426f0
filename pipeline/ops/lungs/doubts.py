"""Doubts about a lung mask that its place in the body raises, whatever made it.

All is seen on blocks of 4 mm: what is asked here is where tens of millilitres are.
"""

import numpy as np

from lungseg.ops.grid.morphology import axial_components, components, dilate_mm, open_mm, sizes
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.volume import F32, FloatArray, HuArray, MaskArray

# Tissue closes the body's outline; lung that was left out is dark and, unlike bowel, not empty.
TISSUE_HU = -400
LEFT_OUT_HU = (-940, -600)
LEFT_OUT_ML = 60.0
# The air of trachea and main bronchi is darker than lung by this, and their section as large.
EMPTY_HU = -930
DARKER_HU = 70.0
TUBE_MM2 = (60.0, 900.0)
TUBE_MM = 30.0
# A block of at least this probability is lung to a net, and no airway.
AIRWAY_TO_NET = 0.5
# Half width of the strip about the midline where trachea and carina lie, mm.
MIDLINE_MM = 30.0
# A sound mask holds less air from outside the body than this, ml.
OUTSIDE_ML = 15.0
# Largest section at the end of a lung that is not the scan's end, as a share of its largest one.
FLAT_SHARE = 0.3
# Largest difference in height between the tops of the two lungs, and between their bases, mm.
TOPS_MM = 40.0
BASES_MM = 70.0
_SIDE_NAMES = {RIGHT: "right", LEFT: "left"}


def doubts(blocks: Blocks, likely: F32 | None = None) -> tuple[str, ...]:
    """Reasons to doubt a mask (1 right, 2 left) for its place; axis 0 runs to the head.

    Parameters
    ----------
    blocks
        The scan and its mask.
    likely : (z, y, x) float32, optional
        A net's probability of lung on the blocks: what is lung to it is no trachea.

    Examples
    --------
    >>> ct = np.full((60, 60, 80), -1000, np.int16)
    >>> ct[:, 5:55, 5:75] = 40
    >>> ct[10:50, 15:45, 10:35] = ct[10:50, 15:45, 45:70] = -850
    >>> labels = np.zeros(ct.shape, np.uint8)
    >>> labels[10:30, 15:45, 10:35], labels[10:50, 15:45, 45:70] = RIGHT, LEFT
    >>> reasons = doubts(Blocks(ct, labels, (4.0, 4.0, 4.0)))
    >>> print(reasons[0])
    894 ml of air like the lungs' lie beside the mask
    >>> print(reasons[-1])
    the right lung ends 80 mm below the left
    """
    if not blocks.labels.any():
        return ()
    body = _body(blocks.hu)
    return (
        *_outside(blocks, body),
        *_left_out(blocks, body),
        *_tube(blocks, likely),
        *_ends(blocks),
        *_swapped(blocks),
    )


def _body(hu: HuArray) -> MaskArray:
    """Each slice without the air around: what no path through air joins to empty air at the frame.

    A lung cut by the picture's frame is not empty, and so is inside.
    """
    air = hu < TISSUE_HU
    pieces, count = axial_components(air)
    at_frame = np.zeros(count + 1, bool)
    for edge, values in (
        (pieces[:, [0, -1], :], hu[:, [0, -1], :]),
        (pieces[:, :, [0, -1]], hu[:, :, [0, -1]]),
    ):
        at_frame[edge[values < EMPTY_HU]] = True
    at_frame[0] = False
    return np.asarray(~at_frame[pieces])


def _outside(blocks: Blocks, body: MaskArray) -> list[str]:
    outside_ml = blocks.ml((blocks.labels > 0) & ~body)
    if outside_ml > OUTSIDE_ML:
        return [f"{outside_ml:.0f} ml of the mask lie outside the body"]
    return []


def _left_out(blocks: Blocks, body: MaskArray) -> list[str]:
    """Air that is like the lungs' and is not in the mask."""
    hu = blocks.hu
    free = body & (hu > LEFT_OUT_HU[0]) & (hu < LEFT_OUT_HU[1])
    free &= ~dilate_mm(blocks.labels > 0, 1.01 * max(blocks.spacing_mm), blocks.spacing_mm)
    thick = open_mm(free, 1.01 * max(blocks.spacing_mm), blocks.spacing_mm)
    found, count = components(thick, 6)
    if count == 0:
        return []
    missed_ml = float(sizes(found, count)[1:].max()) * float(np.prod(blocks.spacing_mm)) / 1000
    if missed_ml > LEFT_OUT_ML:
        return [f"{missed_ml:.0f} ml of air like the lungs' lie beside the mask"]
    return []


def _tube(blocks: Blocks, likely: F32 | None) -> list[str]:
    """The trachea in the mask: a tube of empty air near the midline, over some slices."""
    mask = blocks.labels > 0
    x_mm = np.arange(mask.shape[2]) * blocks.spacing_mm[2]
    columns = np.flatnonzero(mask.any(axis=(0, 1)))
    middle_mm = (columns[0] + columns[-1]) / 2 * blocks.spacing_mm[2]
    usual = float(np.median(blocks.hu[mask]))
    empty = mask & (blocks.hu < min(EMPTY_HU, usual - DARKER_HU))
    if likely is not None:
        # A recess of dark lung beside the midline.
        empty &= likely < AIRWAY_TO_NET
    pieces, count = axial_components(empty)
    if count == 0:
        return []
    voxels = sizes(pieces, count)
    area_mm2 = voxels * blocks.spacing_mm[1] * blocks.spacing_mm[2]
    weights = empty * x_mm
    centre_mm = np.bincount(pieces.ravel(), weights.ravel(), count + 1) / np.maximum(voxels, 1)
    tube = (area_mm2 > TUBE_MM2[0]) & (area_mm2 < TUBE_MM2[1])
    tube &= np.abs(centre_mm - middle_mm) < MIDLINE_MM
    tube[0] = False
    found, n = components(tube[pieces], 26)
    height_mm = max(
        (
            np.ptp(np.flatnonzero((found == k).any(axis=(1, 2)))) * blocks.spacing_mm[0]
            for k in range(1, n + 1)
        ),
        default=0.0,
    )
    if height_mm >= TUBE_MM:
        return [f"a tube of air {height_mm:.0f} mm long near the midline may be the trachea"]
    return []


def _areas(blocks: Blocks) -> dict[int, FloatArray]:
    areas = {side: (blocks.labels == side).sum(axis=(1, 2)) for side in (RIGHT, LEFT)}
    return {side: area for side, area in areas.items() if area.any()}


def _ends(blocks: Blocks) -> list[str]:
    """Ends of a lung inside the scan that are flat, and heights of the two lungs that differ."""
    reasons = []
    ends = {}
    last_slice = len(blocks.labels) - 1
    for side, area in _areas(blocks).items():
        seen = np.flatnonzero(area)
        first, last = int(seen[0]), int(seen[-1])
        ends[side] = (first, last)
        for where, at, free in (("bottom", first, first > 1), ("top", last, last < last_slice - 1)):
            if free and area[at] > FLAT_SHARE * area.max():
                reasons.append(f"the {_SIDE_NAMES[side]} lung ends flat at the {where}, as if cut")
    if len(ends) == 2:
        step = blocks.spacing_mm[0]
        for k, most_mm, word in ((0, BASES_MM, "begins"), (1, TOPS_MM, "ends")):
            higher_mm = (ends[RIGHT][k] - ends[LEFT][k]) * step
            if abs(higher_mm) > most_mm:
                how = "above" if higher_mm > 0 else "below"
                reasons.append(f"the right lung {word} {abs(higher_mm):.0f} mm {how} the left")
    return reasons


def _swapped(blocks: Blocks) -> list[str]:
    """Right is where x is small."""
    centres = {
        side: float(np.argwhere(blocks.labels == side)[:, 2].mean()) for side in _areas(blocks)
    }
    if len(centres) == 2 and centres[RIGHT] > centres[LEFT]:
        return ["the right lung lies left of the left lung"]
    return []
