"""Tumours at the lungs' surface that a net sees close up, in blocks of 2 mm, added to a mask.

In blocks of 4 mm a tumour of 15 mm is four blocks wide, and half of these are its edge. Here eight
blocks of 2 mm make one of 4 mm to the net, whose image has as many channels more and whose answer
is one for each (Shi et al. 2016 do so in two dimensions): it sees as sharply as a net on 2 mm,
for little more than the work of one on 4 mm. It is shown the mask, too, so that it need not find
the lungs again.
"""

import numpy as np
from scipy import ndimage

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import components, dilate_mm, shares_in, sizes
from lungseg.ops.grid.neighbours import grow, shrink
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.volume import F32, FloatArray, HuArray, MaskArray

# Edge of a block.
CLOSE_MM = 2.0
# Blocks of at least this probability are lung to the net, and those around them from LIKELY_BESIDE
# on, as far as BESIDE blocks.
LIKELY, LIKELY_BESIDE, BESIDE = 0.5, 0.25, 2
# HU of tumours, which neither fat nor vessels with contrast medium have; what is mixed with air at
# their edge is darker.
TUMOUR_HU, AIR_HU = (-60, 130), -400
# What is no thicker than twice as many blocks, with what the mask holds of it, is a vessel.
THICK = 1
# A part is believed with so much, ml, of this probability, and if so much of it lies in the region.
SURE, LEAST_ML, IN_REGION = 0.97, 0.1, 0.5
# Nearer than this to the middle between the lungs lie heart, great vessels and hernias, mm. There a
# part is believed only if contrast medium tells vessels from it: if of what is as dense as tissue
# or denser, in the front CHEST of the lungs' depth, ENHANCED is brighter than tumours.
MEDIAL_MM, CHEST, DENSEST_HU, ENHANCED = 60.0, 0.6, 400, 0.15
# How far beyond the region the rest of such a part may lie, mm.
BEYOND_MM = 10.0
CHANNELS, ANSWERS = 24, 8
"""Channels of an image, and answers, of a net's block: three windows, and one probability."""


def channels(hu: F32 | HuArray, mask: MaskArray) -> F32:
    """HU and mask of blocks as the net sees them: ``(z, y, x)``, even, to ``(z/2, y/2, x/2, 24)``.

    Air and fat, soft tissue, and what is lung already, of the eight blocks of 2 mm side by side.

    Examples
    --------
    >>> hu = np.full((2, 2, 2), 40, np.int16)
    >>> channels(hu, np.ones((2, 2, 2), bool))[0, 0, 0, :6].tolist()
    [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    """
    values = hu.astype(np.float32)
    air = (np.clip(values, -1000, 0) + 500) / 500
    soft = (np.clip(values, -150, 300) - 40) / 120
    return folded(np.stack([air, soft, mask.astype(np.float32)], axis=-1))


def folded(values: F32) -> F32:
    """Values ``(z, y, x, n)`` of blocks, edges even, as ``(z/2, y/2, x/2, 8 n)``.

    Examples
    --------
    >>> folded(np.arange(8, dtype=np.float32).reshape(2, 2, 2, 1)).ravel().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    z, y, x, n = values.shape
    apart = values.reshape(z // 2, 2, y // 2, 2, x // 2, 2, n)
    eight = apart.transpose(0, 2, 4, 1, 3, 5, 6)
    return np.ascontiguousarray(eight).reshape(z // 2, y // 2, x // 2, 8 * n)


def unfolded(eights: F32) -> F32:
    """What `folded` makes of `values`, made into them again.

    Examples
    --------
    >>> values = np.arange(32, dtype=np.float32).reshape(2, 2, 4, 2)
    >>> bool((unfolded(folded(values)) == values).all())
    True
    """
    z, y, x, n = eights.shape
    apart = eights.reshape(z, y, x, 2, 2, 2, n // 8)
    joined = np.ascontiguousarray(apart.transpose(0, 3, 1, 4, 2, 5, 6))
    return joined.reshape(2 * z, 2 * y, 2 * x, n // 8)


def tumours(seen: Blocks, likely: F32, region: MaskArray) -> Sides:
    """What the net adds to a mask: 1 right and 2 left, the side of the lung that lies nearest.

    Parameters
    ----------
    seen
        The scan and its mask in blocks of 2 mm.
    likely : (z, y, x) float32
        Probability of lung, on the blocks.
    region : (z, y, x) bool
        The search region, on the blocks.

    Examples
    --------
    A ball of 16 mm at a lung's surface, and a vessel that the net takes for lung, too:

    >>> z, y, x = np.ogrid[:30, :30, :120]
    >>> ball = (z - 15) ** 2 + (y - 15) ** 2 + (x - 22) ** 2 < 17
    >>> labels = np.zeros((30, 30, 120), np.uint8)
    >>> labels[:, :, :22], labels[:, :, 100:] = RIGHT, LEFT
    >>> labels[ball] = 0
    >>> seen = Blocks(np.where(labels > 0, -850, 40).astype(np.int16), labels, (2.0, 2.0, 2.0))
    >>> likely = ball.astype(np.float32)
    >>> likely[5, 5, 22:] = 1
    >>> added = tumours(seen, likely, np.ones(labels.shape, bool))
    >>> bool((added[ball] == RIGHT).all()), int((added > 0).sum()) == int(ball.sum())
    (True, True)
    """
    added = np.zeros_like(seen.labels)
    box = bounding_box(region, [int(BEYOND_MM / edge) + 2 for edge in seen.spacing_mm])
    if box is not None:
        within = Blocks(seen.hu[box], seen.labels[box], seen.spacing_mm)
        added[box] = _tumours(within, likely[box], region[box], _away_mm(seen)[box[2]])
    return added


def _tumours(seen: Blocks, likely: F32, region: MaskArray, away_mm: FloatArray) -> Sides:
    tissue = (seen.labels == 0) & (seen.hu > AIR_HU)
    tissue &= dilate_mm(region, BEYOND_MM, seen.spacing_mm)
    solid = (seen.hu > TUMOUR_HU[0]) & (seen.hu < TUMOUR_HU[1])
    extra = tissue & solid & (likely >= LIKELY)
    # Of many a tumour the mask holds the half that lung surrounds.
    core = shrink(extra | (solid & (seen.labels > 0)), THICK) & extra
    parts, count = components(grow(core, THICK) & extra)
    sure = np.bincount(parts[likely >= SURE], minlength=count + 1) * seen.block_ml
    believed = (sure >= LEAST_ML) & (shares_in(parts, sizes(parts, count), region) >= IN_REGION)
    believed[0] = False
    away = np.broadcast_to(away_mm, parts.shape)
    believed &= np.bincount(parts.ravel(), away.ravel()) >= MEDIAL_MM * sizes(parts, count)
    part = believed[parts]
    if not part.any():
        return np.zeros_like(seen.labels)
    part = grow(part, BESIDE, within=tissue & (likely >= LIKELY_BESIDE))
    right, left = (ndimage.distance_transform_edt(seen.labels != k) for k in (RIGHT, LEFT))
    side = np.where(right <= left, np.uint8(RIGHT), np.uint8(LEFT))
    return np.where(part, side, np.uint8(0))


def _away_mm(seen: Blocks) -> FloatArray:
    """How far each column is from the middle, where vessels may be taken for tumours.

    Infinitely far if contrast medium tells them apart; 0 if there is one lung only, whose heart may
    lie anywhere.
    """
    columns = np.arange(seen.labels.shape[2])
    lungs = [np.count_nonzero(seen.labels == side, axis=(0, 1)) for side in (RIGHT, LEFT)]
    if not all(blocks.any() for blocks in lungs):
        return np.zeros(len(columns))
    middle = sum(float(np.average(columns, weights=blocks)) for blocks in lungs) / 2
    if has_contrast(seen, middle):
        return np.full(len(columns), np.inf)
    return np.asarray(np.abs(columns - middle) * seen.spacing_mm[2])


def has_contrast(seen: Blocks, middle: float) -> bool:
    """Whether heart and great vessels are brighter than tumours, by contrast medium.

    Parameters
    ----------
    seen
        The scan and its mask in blocks of 2 mm.
    middle
        Column of blocks between the lungs.

    Examples
    --------
    A heart of 40 HU between two lungs, and the same with contrast medium:

    >>> labels = np.zeros((20, 60, 60), np.uint8)
    >>> labels[:, 10:50, :20], labels[:, 10:50, 40:] = RIGHT, LEFT
    >>> hu = np.where(labels > 0, -850, 40).astype(np.int16)
    >>> has_contrast(Blocks(hu, labels, (2.0, 2.0, 2.0)), 29.5)
    False
    >>> hu[:, 15:30, 22:38] = 200
    >>> has_contrast(Blocks(hu, labels, (2.0, 2.0, 2.0)), 29.5)
    True
    """
    box = bounding_box(seen.labels)
    if box is None:
        return False
    height, depth, _ = box
    reach = MEDIAL_MM / seen.spacing_mm[2]
    front = slice(depth.start, depth.start + int(CHEST * (depth.stop - depth.start)))
    between = seen.hu[height, front, max(0, int(middle - reach)) : int(middle + reach)]
    dense = (between > TUMOUR_HU[0]) & (between < DENSEST_HU)
    bright = dense & (between >= TUMOUR_HU[1])
    return bool(np.count_nonzero(bright) >= ENHANCED * max(1, int(np.count_nonzero(dense))))
