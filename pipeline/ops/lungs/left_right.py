"""Right and left lung separated, also where they touch at a junction line."""

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.boxes import bounding_box, ends
from lungseg.ops.grid.morphology import components, shares_in, sizes
from lungseg.volume import F32, HuArray, IntArray, MaskArray, Triple

# Labels of a lung mask, and the mask: 0 where there is no lung.
RIGHT, LEFT = 1, 2
Sides = npt.NDArray[np.uint8]

# How far from the middle of the chest the line between the lungs may run, mm.
BAND_MM = 70.0
# Columns the line may shift from one row to the next: a junction line can lie far from upright.
SLOPE = 3
# What a column off the middle costs, in voxels of lung per mm.
OFF_MIDDLE = 0.002
# Cutting through a voxel of tissue costs this, against 1 for one of mean lung.
TISSUE_COST = 0.02
# A part with more than this share of its voxels on one side of the line goes to that side whole.
WHOLE_SHARE = 0.93
# There is only one lung if its largest part holds SINGLE_PART_SHARE of all, and the slices with
# more than SLICE_SHARE of their lung on each side of the line hold less than BOTH_SHARE of it.
SINGLE_PART_SHARE = 0.9
SLICE_SHARE = 0.1
BOTH_SHARE = 0.4


def separate_sides(ct: HuArray, lungs: MaskArray, spacing_mm: Triple) -> Sides:
    """Label map of `lungs`: 1 the patient's right lung (low column), 2 the left.

    In every axial slice a line is laid from front to back where it passes least lung: through
    the mediastinum, and where the lungs touch through the junction line, which is denser than
    the lung at its sides. Parts that lie almost wholly on one side of it stay whole.

    Parameters
    ----------
    ct : (z, y, x) int16
    lungs : (z, y, x) bool
    spacing_mm

    Examples
    --------
    >>> lungs = np.zeros((4, 20, 60), bool)
    >>> lungs[:, 5:15, 10:25] = lungs[:, 5:15, 35:50] = True
    >>> ct = np.where(lungs, np.int16(-850), np.int16(40))
    >>> sides = separate_sides(ct, lungs, (2.0, 2.0, 2.0))
    >>> int(sides[0, 10, 12]), int(sides[0, 10, 48]), int((sides == RIGHT).sum())
    (1, 2, 600)
    """
    sides = np.zeros(lungs.shape, np.uint8)
    box = bounding_box(lungs)
    if box is None:
        return sides
    part = lungs[box]
    line = _lines(ct[box], part, spacing_mm)
    right_of_line = np.arange(part.shape[2]) < line[:, :, None]
    labels, count = components(part, connectivity=6)
    voxels = sizes(labels, count)
    right = shares_in(labels, voxels, right_of_line & part)
    if _is_single(part, right_of_line, voxels):
        whole = np.full(count + 1, _side_of_single(part), np.uint8)
    else:
        whole = np.where(right > WHOLE_SHARE, RIGHT, np.where(right < 1 - WHOLE_SHARE, LEFT, 0))
    whole[0] = 0
    cut = (whole == 0) & (voxels > 0)
    cut[0] = False
    labelled = whole.astype(np.uint8)[labels]
    split = cut[labels]
    labelled[split] = np.where(right_of_line[split], RIGHT, LEFT)
    sides[box] = labelled
    return sides


def _is_single(lungs: MaskArray, right_of_line: MaskArray, voxels: IntArray) -> bool:
    """Whether only one lung is there: a single part that the dividing line does not cut in two."""
    if voxels[1:].max() < SINGLE_PART_SHARE * voxels[1:].sum():
        return False
    area = lungs.sum(axis=(1, 2))
    right = (lungs & right_of_line).sum(axis=(1, 2))
    both = np.minimum(right, area - right) > SLICE_SHARE * area
    return float(area[both].sum()) < BOTH_SHARE * float(area.sum())


def _side_of_single(lung: MaskArray) -> int:
    """Side of a single lung: its hollow faces the heart, in the middle of the chest.

    The outer, costal side bulges: over the rows, its edge stays closer to the slice's outermost
    column of lung than the inner edge does.
    """
    columns = np.arange(lung.shape[2])
    filled = lung.any(axis=2)
    first = np.where(filled, lung.argmax(axis=2), 0)
    last = np.where(filled, lung.shape[2] - 1 - lung[:, :, ::-1].argmax(axis=2), 0)
    lowest = np.where(lung.any(axis=(1, 2)), np.where(filled, first, columns[-1]).min(axis=1), 0)
    highest = np.where(filled, last, 0).max(axis=1)
    # Mean depth of the hollows at either side, over all rows with lung.
    hollow_low = (first - lowest[:, None])[filled].mean()
    hollow_high = (highest[:, None] - last)[filled].mean()
    return RIGHT if hollow_high > hollow_low else LEFT


def _lines(ct: HuArray, lungs: MaskArray, spacing_mm: Triple) -> IntArray:
    """Column of the dividing line, ``(z, y)``: the cheapest path from front to back."""
    middle = sum(ends(lungs, 2)) / 2
    reach = BAND_MM / spacing_mm[2]
    first = int(max(0, middle - reach))
    band = slice(first, int(min(lungs.shape[2], middle + reach + 1)))
    within = lungs[:, :, band]
    hu = ct[:, :, band].astype(np.float32)
    air = float(np.median(ct[lungs]))
    airy = np.clip((air - hu) / 400 + 1, 0.1, 1.2)
    cost = np.where(within, airy, TISSUE_COST).astype(np.float32)
    # Neighbouring slices see each other, so that the surface does not jump between them.
    cost[1:-1] = 0.5 * cost[1:-1] + 0.25 * (cost[:-2] + cost[2:])
    off = np.abs(np.arange(band.start, band.stop) - middle) * spacing_mm[2] * OFF_MIDDLE
    cost += off.astype(np.float32)
    return _cheapest(cost) + first


def _cheapest(cost: F32) -> IntArray:
    """Columns ``(z, y)`` of the cheapest path along y in every slice of `cost`."""
    depth, rows, width = cost.shape
    total = cost[:, 0].copy()
    came = np.zeros((rows, depth, width), np.int8)
    for y in range(1, rows):
        padded = np.pad(total, ((0, 0), (SLOPE, SLOPE)), constant_values=np.inf)
        best = padded[:, SLOPE : SLOPE + width].copy()
        step = came[y]
        # Straight on first, then ever farther: of equal paths the straighter wins.
        for shift in sorted(range(-SLOPE, SLOPE + 1), key=abs)[1:]:
            other = padded[:, SLOPE + shift : SLOPE + shift + width] + np.float32(0.01 * abs(shift))
            better = other < best
            step[better] = shift
            np.minimum(best, other, out=best)
        total = best + cost[:, y]
    line = np.empty((depth, rows), np.int64)
    at = total.argmin(axis=1)
    slices = np.arange(depth)
    for y in range(rows - 1, -1, -1):
        line[:, y] = at
        at = at + came[y][slices, at]
    return line
