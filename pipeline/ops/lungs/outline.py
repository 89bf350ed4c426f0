"""The outline of lungs, voxel by voxel, where their shape is known in coarse blocks."""

from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.blocks import Zoom
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import dilate_mm, erode_mm
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.volume import F32, HuArray, IndexArray, MaskArray, Triple

# A voxel brighter than the edge's HU by more than this is tissue, however near the edge is.
MOST_RIM_HU = 350
# Where HU rise less steeply than SOFT_SHARE of the usual rise at an edge, and stay below
# SOFT_BELOW_HU, there is no edge but denser lung.
SOFT_SHARE = 0.5
SOFT_BELOW_HU = -250
# Lengths in blocks: to the six neighbours, and to all but the eight corners.
FACES, EDGES = 1.01, 1.5
UNIT = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class CoarseLungs:
    """Lungs in blocks.

    Attributes
    ----------
    dark
        Blocks found dark enough for lung, ``(z, y, x)`` bool.
    closed
        Labels 0, 1, 2, with all that closing added, ``(z, y, x)``.
    airways
        Blocks of airway, which are not lung.
    """

    dark: MaskArray
    closed: Sides
    airways: MaskArray


def outlined(  # noqa: PLR0913, PLR0917 - two grids, and what an edge is
    ct: HuArray,
    lungs: CoarseLungs,
    zoom: Zoom,
    edge_hu: float,
    rim_mm: float,
    spacing_mm: Triple,
) -> Sides:
    """Labels of `lungs` on the fine grid of `ct`.

    Blocks deep inside, and blocks that closing added, are taken whole. Within one block of the dark
    blocks' surface, voxels darker than `edge_hu` are lung, and so are denser ones at most `rim_mm`
    from where HU pass `edge_hu`. (A distance in mm, not a second threshold: in a blurred image
    the same HU lie much farther out.)

    Examples
    --------
    With blocks of one voxel and no rim, the outline is the threshold's:

    >>> ct = np.full((8, 8, 8), 40, np.int16)
    >>> ct[2:6, 2:6, 2:6] = -850
    >>> dark = ct < -400
    >>> coarse = CoarseLungs(dark=dark, closed=dark.astype(np.uint8), airways=np.zeros_like(dark))
    >>> zoom = Zoom((8, 8, 8), (1, 1, 1))
    >>> labels = outlined(ct, coarse, zoom, edge_hu=-400, rim_mm=0.0, spacing_mm=(1.0, 1.0, 1.0))
    >>> bool((labels == dark).all())
    True
    """
    labels = np.zeros(ct.shape, np.uint8)
    box = bounding_box(lungs.closed, (2, 2, 2))
    if box is None:
        return labels
    closed, dark, airways = lungs.closed[box], lungs.dark[box], lungs.airways[box]
    reach = closed.copy()
    around = dilate_mm(dark, EDGES, UNIT)
    for side in (RIGHT, LEFT):
        reach[dilate_mm(closed == side, EDGES, UNIT) & around & (reach == 0)] = side
    sure = closed.copy()
    sure[~erode_mm(closed > 0, FACES, UNIT, border=False) & dark] = 0
    reach[airways] = 0
    sure[airways] = 0

    fine = zoom.fine_box(box)
    hu = np.ascontiguousarray(ct[fine])
    limit = np.ascontiguousarray(zoom.enlarged(reach, box))
    result = np.multiply(limit, hu < edge_hu, order="C")
    np.maximum(result, zoom.enlarged(sure, box), out=result)
    _add_rim(result, limit, hu, edge_hu, rim_mm, spacing_mm)
    labels[fine] = result
    return labels


def _add_rim(  # noqa: PLR0913, PLR0917
    result: Sides,
    limit: Sides,
    ct: HuArray,
    edge_hu: float,
    rim_mm: float,
    spacing_mm: Triple,
) -> None:
    # In place: each of these is as large as the scan.
    beside = ct < edge_hu + MOST_RIM_HU
    beside &= limit > 0
    beside &= result == 0
    rim = np.flatnonzero(beside)
    del beside
    # All three are contiguous: ravel gives views, and labels are set in place.
    values, allowed, labels = ct.ravel(), limit.ravel(), result.ravel()
    distance, rise = _edges(ct, labels > 0, rim, edge_hu, spacing_mm)
    near = distance <= rim_mm
    labels[rim[near]] = allowed[rim[near]]
    if rim_mm > 0 and near.any():
        usual = float(np.median(rise[near]))
        rest = rim[~near & (values[rim] < SOFT_BELOW_HU)]
        _, rise = _edges(ct, labels > 0, rest, edge_hu, spacing_mm)
        soft = rest[rise < SOFT_SHARE * usual]
        labels[soft] = allowed[soft]


def _edges(
    ct: HuArray, inside: MaskArray, at: IndexArray, edge_hu: float, spacing_mm: Triple
) -> tuple[F32, F32]:
    """For voxels `at` (flat): mm to where HU pass `edge_hu`, and HU per mm of rise from `inside`.

    Both along the axis where it is least; infinite where no neighbour is dark, or inside.
    """
    values = ct.ravel()
    here = values[at].astype(np.float32)
    distance = np.full(len(at), np.inf, np.float32)
    rise = np.full(len(at), np.inf, np.float32)
    strides = (ct.shape[1] * ct.shape[2], ct.shape[2], 1)
    for stride, n, step_mm in zip(strides, ct.shape, spacing_mm, strict=True):
        place = at // stride % n
        for sign, last in ((-1, 0), (1, n - 1)):
            other = np.where(place == last, at, at + sign * stride)
            there = values[other].astype(np.float32)
            slope = (here - there) / np.float32(step_mm)
            crossing = (here - np.float32(edge_hu)) / np.maximum(slope, 1e-3)
            crossing[there >= edge_hu] = np.inf
            np.minimum(distance, crossing, out=distance)
            np.minimum(rise, np.where(inside[other], np.maximum(slope, 0), np.inf), out=rise)
    return distance, rise
