"""Chest that ought to hold lung, by the other lung and by the ribs, and holds no air.

Consolidated and collapsed lobes, fluid and tumours look alike to a threshold: soft tissue, as heart
and liver are. Two things tell of them. Where the mirror image of the other lung lies well inside
soft tissue, lung is missing; the heart's place is left out, and what lies near the image's edge,
since no two lungs are alike. And lungs lie on the ribs behind them: a thick layer between is
pleural fluid or lung without air, on both sides if need be. Domes, hearts, vessels and fat of one
side alone look as if lung were missing there, too: where a net that knows chests was asked, and
sees neither lung nor what may be fluid, only much of it counts.
"""

from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.boxes import bounding_box, shares_along
from lungseg.ops.grid.morphology import dilate_mm, erode_mm
from lungseg.ops.lungs.airless.fluid import fluid
from lungseg.ops.lungs.airless.mirror import MirrorPlane, mirror_plane, mirrored
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT
from lungseg.volume import F32, FloatArray, HuArray, MaskArray, Triple

# Lung without air, fluid and tumours are brighter.
AIRLESS_HU = -200
# How far inside the mirror image of the other lung missing lung lies, mm along (z, y, x): domes,
# front borders and sides of two sound lungs differ by less.
INSIDE_MM = (16.0, 10.0, 12.0)
# And how far from the mask, mm.
FROM_LUNG_MM = 8.0
# The back of the chest is behind this share of the lungs' depth, its upper part above this share of
# their height; in front and below, nearer to the mirror on the left than this share of the chest's
# half width, is the heart.
BACK_SHARE = 0.62
UPPER_SHARE = 0.6
HEART_SHARE = 0.65
# Behind the lungs, between these distances from the mirror, are ribs, mm; brighter than RIB_HU,
# seen over RIB_GAP_MM of height, since they lie aslant and apart.
BEHIND_RIBS_MM = (35.0, 100.0)
RIB_HU = 140
RIB_GAP_MM = 16.0
# Pleura, fat and muscles before the ribs, and the blocks' edge, mm.
LAYER_MM = 12.0
# Slices with a smaller share of the lung's largest section are below its base or in its apex.
BASE_SHARE = 0.2
# More missing lung than this raises doubt, ml: at the back, in the upper front, in the lower front;
# right and left. Two sound lungs differ by less, for tilted domes, aorta and heart.
MISSING_RIGHT_ML = (150.0, 75.0, 115.0)
MISSING_LEFT_ML = (160.0, 88.0, 70.0)
# And so does a layer before the ribs of this volume, or parts of both, ml.
LAYER_ML = 40.0
# What seems to be missing is another organ where a net was asked and calls nearly all of it rather
# less likely lung than this, and no fluid; lung or fluid are less than this share of it then.
UNLIKELY_LUNG, LUNG_SHARE = 0.2, 0.15
# So many times what raises doubt is told, whatever the net says.
TOO_MUCH = 3.0
# Lungs of which the scan shows less than this height are too short to judge, mm.
LEAST_HEIGHT_MM = 60.0
# Room around the lungs that the mirror image and the ribs need, mm.
ROOM_AROUND_MM = (0.0, 50.0, 80.0)


@dataclass(frozen=True, eq=False)
class Missing:
    """Lung without air on one side.

    Attributes
    ----------
    side
        1 right, 2 left.
    ml
        Its volume, estimated; fluid counts.
    score
        1 and more is reason for doubt.
    where
        upper, middle or lower, by thirds of the lungs' height.
    lung_share
        Share of it that is lung to a net, or fluid; 1 where no net was asked.
    """

    side: int
    ml: float
    score: float
    where: str
    lung_share: float = 1.0

    @property
    def is_doubtful(self) -> bool:
        """Whether it is reason for doubt.

        Examples
        --------
        >>> [Missing(RIGHT, 200.0, 1.5, "lower", share).is_doubtful for share in (0.02, 0.6)]
        [False, True]
        """
        return self.score >= (1 if self.lung_share >= LUNG_SHARE else TOO_MUCH)


def missing_lung(seen: Blocks, likely: F32 | None = None) -> tuple[Missing, ...]:
    """Lung that holds no air and is not in the mask, right and left.

    Parameters
    ----------
    seen
        Axes to the head, the back and the patient's left.
    likely : (z, y, x) float32, optional
        Probability of lung on the blocks, as a net sees it.

    Returns
    -------
    tuple of Missing
        None where there are not two lungs, or less height than can be judged.

    Examples
    --------
    Two lungs of 2.4 l each, the right one without air below the middle:

    >>> labels = np.zeros((60, 50, 80), np.uint8)
    >>> labels[5:55, 10:40, 10:35], labels[5:55, 10:40, 45:70] = RIGHT, LEFT
    >>> labels[5:30, :, :35] = 0
    >>> ct = np.where(labels > 0, -850, 40).astype(np.int16)
    >>> seen = Blocks(ct, labels, (4.0, 4.0, 4.0))
    >>> [(one.side, one.where, one.score > 1) for one in missing_lung(seen)]
    [(1, 'lower', True), (2, 'middle', False)]
    """
    spacing_mm = seen.spacing_mm
    margin = [int(mm / step) for mm, step in zip(ROOM_AROUND_MM, spacing_mm, strict=True)]
    box = bounding_box(seen.labels, margin)
    if box is None or (box[0].stop - box[0].start) * spacing_mm[0] < LEAST_HEIGHT_MM:
        return ()
    ct, labels = np.ascontiguousarray(seen.hu[box]), np.ascontiguousarray(seen.labels[box])
    if not ((labels == RIGHT).any() and (labels == LEFT).any()):
        return ()
    plane = mirror_plane(ct, labels > 0, spacing_mm)
    left_mm = plane.left_mm(ct.shape, spacing_mm)
    absent = _absent(ct, labels > 0, plane, spacing_mm)
    zones = _zones(labels > 0, left_mm)
    found = []
    for side, most_ml in ((RIGHT, MISSING_RIGHT_ML), (LEFT, MISSING_LEFT_ML)):
        parts = [absent & zone & ((left_mm > 0) == (side == LEFT)) for zone in zones]
        amounts = [seen.ml(part) for part in parts]
        layer = _layer(ct, labels == side, np.abs(left_mm), spacing_mm)
        by_mirror, by_ribs = sum(amounts), float(layer.slices_ml.sum())
        score = by_ribs / LAYER_ML + max(
            ml / most for ml, most in zip(amounts, most_ml, strict=True)
        )
        heights = np.sum(parts, axis=(0, 2, 3)) if by_mirror > by_ribs else layer.slices_ml
        share = 1.0
        if likely is not None and score >= 1:
            seems = np.logical_or.reduce([*parts, layer.blocks])
            share = _lung_share(seems, ct, likely[box])
        where = _third(np.asarray(heights))
        found.append(Missing(side, max(by_mirror, by_ribs), score, where, share))
    return tuple(found)


def airless_doubts(seen: Blocks, likely: F32 | None = None) -> list[str]:
    """Sentences on lung without air that is not in the mask; see `missing_lung`.

    Examples
    --------
    >>> labels = np.zeros((60, 50, 80), np.uint8)
    >>> labels[5:55, 10:40, 10:35], labels[5:55, 10:40, 45:70] = RIGHT, LEFT
    >>> labels[35:55, :, 45:] = 0
    >>> ct = np.where(labels > 0, -850, 40).astype(np.int16)
    >>> reason, = airless_doubts(Blocks(ct, labels, (4.0, 4.0, 4.0)))
    >>> print(reason[:52])
    about 940 ml of the left upper chest hold no air (co
    """
    names = {RIGHT: "right", LEFT: "left"}
    return [
        f"about {round(one.ml, -1):.0f} ml of the {names[one.side]} {one.where} chest hold no air "
        "(consolidation, collapse, fluid or tumour?) and are not in the mask"
        for one in missing_lung(seen, likely)
        if one.is_doubtful
    ]


def _absent(ct: HuArray, lungs: MaskArray, plane: MirrorPlane, spacing_mm: Triple) -> MaskArray:
    """Blocks without air where the other lung's image is."""
    image = mirrored(lungs, plane, spacing_mm)
    # A ball on a grid of other steps is an ellipsoid.
    radius = INSIDE_MM[2]
    scaled = [step * radius / mm for step, mm in zip(spacing_mm, INSIDE_MM, strict=True)]
    core = erode_mm(image, radius, scaled, border=False) & (ct > AIRLESS_HU)
    core &= ~dilate_mm(lungs, FROM_LUNG_MM, spacing_mm)
    return np.asarray(dilate_mm(core, radius, scaled) & image & ~lungs & (ct > AIRLESS_HU))


def _zones(lungs: MaskArray, left_mm: F32) -> tuple[MaskArray, MaskArray, MaskArray]:
    """The chest's back, its upper front, and its lower front without the heart's place."""
    height, depth = (shares_along(lungs, axis) for axis in (0, 1))
    back: MaskArray = (depth > BACK_SHARE) & np.ones_like(lungs)
    upper: MaskArray = (height > UPPER_SHARE) & ~back
    half_mm = float(np.percentile(np.abs(left_mm[lungs]), 98))
    heart = (left_mm > 0) & (left_mm < HEART_SHARE * half_mm)
    return back, upper, ~(back | upper | heart)


@dataclass(frozen=True, eq=False)
class _Layer:
    """What lies between one lung's back and the ribs behind it, beyond LAYER_MM.

    Attributes
    ----------
    slices_ml : (z,)
        Its volume in each slice.
    blocks : (z, y, x) bool
        The blocks that it fills.
    """

    slices_ml: FloatArray
    blocks: MaskArray


def _layer(ct: HuArray, lung: MaskArray, aside_mm: F32, spacing_mm: Triple) -> _Layer:
    rows = np.flatnonzero(lung.any(axis=(0, 2)))
    back = int(rows[-1])
    first = (rows[0] + back) // 2
    aside = aside_mm[:, back]
    here = (aside > BEHIND_RIBS_MM[0]) & (aside < BEHIND_RIBS_MM[1])
    bone = (ct[:, first:] > RIB_HU) & here[:, None]
    none = ct.shape[1]
    rib = np.where(bone.any(axis=1), first + bone.argmax(axis=1), none)
    reach = max(1, round(RIB_GAP_MM / spacing_mm[0]))
    padded = np.pad(rib, ((reach, reach), (0, 0)), constant_values=none)
    rib = np.min([padded[k : k + len(rib)] for k in range(2 * reach + 1)], axis=0)
    last = np.where(lung.any(axis=1), none - 1 - lung[:, ::-1].argmax(axis=1), none)
    thick_mm = (rib - last - 1) * spacing_mm[1] - LAYER_MM
    area = lung.sum(axis=(1, 2))
    seen = here & (rib < none) & (last < none) & (area > BASE_SHARE * area.max())[:, None]
    thick_mm = np.where(seen, np.maximum(thick_mm, 0), 0)
    deep_mm = (np.arange(none)[:, None] - last[:, None]) * spacing_mm[1]
    blocks = (deep_mm > 0) & (deep_mm <= thick_mm[:, None])
    area_mm2 = spacing_mm[0] * spacing_mm[2]
    return _Layer(np.asarray(thick_mm.sum(axis=1) * area_mm2 / 1000), blocks)


def _lung_share(seems: MaskArray, ct: HuArray, likely: F32) -> float:
    """Share of what seems to be missing that may be lung to a net, or is as fluid is."""
    like_lung = (likely > UNLIKELY_LUNG) | fluid(ct)
    return float(like_lung[seems].mean()) if seems.any() else 0.0


def _third(amounts: FloatArray) -> str:
    """Where along the slices the middle of `amounts` lies."""
    total = float(amounts.sum())
    if total == 0:
        return "middle"
    middle = float((amounts * np.arange(len(amounts))).sum()) / total / len(amounts)
    return ("lower", "middle", "upper")[int(np.clip(3 * middle, 0, 2))]
