"""What a net calls lung and a mask leaves out: added to the mask, or told.

A threshold sees no lung without air; a net that was taught on chests made ill knows its place by
ribs, diaphragm, heart and the other lung. It sees blocks of 4 mm, so that its outline is not as
good as the mask's: only what is thick and not air is taken from it, and the mask stays as it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from lungseg.ops.grid.blocks import Zoom
from lungseg.ops.grid.boxes import bounding_box, shares_along
from lungseg.ops.grid.morphology import (
    components,
    fill,
    regions_with,
    shares_in,
    sizes,
)
from lungseg.ops.grid.neighbours import grow, shrink, thick
from lungseg.ops.lungs.airless.fluid import fluid
from lungseg.ops.lungs.in_blocks import Blocks, zoom_of
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.ops.lungs.opinion.completed import completed
from lungseg.ops.lungs.opinion.denied import AIR_HU, UNLIKELY, denied
from lungseg.ops.lungs.verdict import Verdict
from lungseg.volume import F32, HU, MaskArray, Volume

# Blocks and voxels of at least this probability are lung to the net: rather less lung than heart.
LIKELY = 0.7
# The same of tumours, where no lung seems to be missing, and by method net alone.
LIKELY_MASS = 0.55
# What is added holds LEAST_ML and more of this probability: where the net wavers, it is a vessel.
SURE = 0.9
# The net wavers over a part of which less than this is SURE: an aorta without contrast medium. The
# first for LIKELY_MASS; parts from LIKELY on have more of what is sure.
SURE_SHARE = (0.3, 0.42)
# Where no lung seems to be missing, so much of a part lies in the search region, as of tumours that
# a lung surrounds; else it is the heart or a shoulder of a chest unlike those that the net knows.
IN_REGION = 0.5
# So much of a part the net sees in the scan's mirror image, too: a heart on the right side passes
# for lung without air in one of them alone.
IN_IMAGE = 0.5
# Of a part the net is SURE in the mirror image, but on its own side doubts so much more: it is what
# lies on this side alone, the descending aorta.
DOUBTED_HERE = 0.3
# A side of which the mask holds less than this may have been taken out: nothing is added there, ml.
LEAST_LUNG_ML = 50.0
# Smaller parts are not added, ml: a ball of 18 mm, whose shape blocks of 4 mm still show.
LEAST_ML = 3.0
# More than this is told as a reason to look, ml: added, and called no lung.
MUCH_ADDED_ML, MUCH_AGAINST_ML = 20.0, 80.0
# Loose parts of what the net alone sees that are smaller are no lungs, ml.
LOOSE_ML = 15.0
# Slices that are enlarged at once.
SLAB = 32
# Closes the seam between the mask and what is added to it, voxels along each axis.
SEAM = 2


@dataclass(frozen=True, eq=False)
class Opinion:
    """What the net says of a mask.

    Attributes
    ----------
    blocks : (z, y, x) uint8
        Lung without air that the net adds, 1 right and 2 left, on the grid of the blocks.
    right_ml, left_ml
        Volume of these.
    against_ml
        Volume of the mask's thick parts that the net calls no lung.
    against
        Where these lie.
    denied : (z, y, x) bool, or None
        What of the mask is taken out, if anything, on the grid of the blocks.
    denied_ml, denied_at
        Volume of it, and where it lies.
    edge
        Probability from which on a voxel is lung to the net.
    alone
        The mask is the net's alone, so that nothing is added to it.
    """

    blocks: Sides
    right_ml: float
    left_ml: float
    against_ml: float
    against: str
    edge: float = LIKELY
    alone: bool = False
    denied: MaskArray | None = None
    denied_ml: float = 0.0
    denied_at: str = ""

    @property
    def added_ml(self) -> float:
        """Volume of all that the net adds."""
        return self.right_ml + self.left_ml

    def told(self, verdict: Verdict) -> Verdict:
        """The verdict with the opinion among its facts, and among its reasons if it differs.

        Examples
        --------
        >>> none = np.zeros((1, 1, 1), np.uint8)
        >>> verdict = Opinion(none, 0.0, 410.0, 0.0, "").told(Verdict({}, ()))
        >>> verdict.facts["net_added_left_ml"], verdict.facts["net_taken_ml"]
        (410.0, 0.0)
        >>> print(*verdict.reasons)
        the lung net added about 410 ml of left lung without air: look at it
        """
        facts = {
            "net_added_right_ml": round(self.right_ml, 1),
            "net_added_left_ml": round(self.left_ml, 1),
            "net_against_ml": round(self.against_ml, 1),
            "net_taken_ml": round(self.denied_ml, 1),
        }
        does = "alone sees" if self.alone else "added"
        reasons = [
            f"the lung net {does} about {round(ml, -1):.0f} ml of {side} lung without air: look "
            "at it"
            for side, ml in (("right", self.right_ml), ("left", self.left_ml))
            if ml >= MUCH_ADDED_ML
        ]
        if self.denied_ml:
            reasons.append(
                f"the lung net took about {round(self.denied_ml, -1):.0f} ml out of the mask, "
                f"{self.denied_at}, as liver, heart or bowel: look at it"
            )
        if self.against_ml >= MUCH_AGAINST_ML:
            of = "what a threshold finds" if self.alone else "the mask"
            reasons.append(
                f"about {round(self.against_ml, -1):.0f} ml of {of} are no lung to the lung net, "
                f"{self.against}"
            )
        return replace(
            verdict, facts={**verdict.facts, **facts}, reasons=(*verdict.reasons, *reasons)
        )


def opinion_of(
    seen: Blocks,
    likely: F32,
    region: MaskArray | None = None,
    of_the_image: Callable[[], F32] | None = None,
    *,
    missing: bool = False,
) -> Opinion:
    """What the net adds to a mask, and what of it the net calls no lung: thick parts alone.

    Parameters
    ----------
    seen
        The scan and its mask.
    likely : (2, z, y, x) float32
        Probability of right and of left lung, on the blocks.
    region : (z, y, x) bool, optional
        The search region, on the blocks: parts of which less than half lies in it are not believed,
        unless what of them is LIKELY is a part that is, and those that are get their unsure edge
        (`completed`), unless lung is missing. Without it, by method net alone, nothing is taken
        out of the mask.
    of_the_image : () -> (2, z, y, x) float32, optional
        Returns `likely` of the mirror image, laid back on the scan: of what the net is much surer
        there is nothing believed. It is called only if there is something to believe.
    missing
        Whether lung seems to be missing, a lobe of which may lie anywhere: parts of which half is
        lung in the mirror image are believed outside of `region`, too, and `LIKELY` counts, not
        `LIKELY_MASS`.

    Examples
    --------
    The lower half of a lung of 512 ml has no air; a rim of one block beside the upper is not
    believed:

    >>> labels = np.zeros((30, 30, 30), np.uint8)
    >>> labels[15:25, 5:25, 5:25] = RIGHT
    >>> hu = np.where(labels > 0, -850, 40).astype(np.int16)
    >>> likely = np.zeros((2, 30, 30, 30), np.float32)
    >>> likely[0, 5:25, 5:25, 5:26] = 0.9
    >>> opinion = opinion_of(Blocks(hu, labels, (4.0, 4.0, 4.0)), likely)
    >>> round(opinion.right_ml), opinion.left_ml, opinion.against_ml
    (269, 0.0, 0.0)
    """
    most, side = likely.max(axis=0), (likely.argmax(axis=0) + 1).astype(np.uint8)
    edge, share = (LIKELY, SURE_SHARE[1]) if missing else (LIKELY_MASS, SURE_SHARE[0])
    tissue = (seen.labels == 0) & (seen.hu > AIR_HU) & ~fluid(seen.hu)
    extra = (most >= edge) & tissue
    for label in (RIGHT, LEFT):
        if seen.ml(seen.labels == label) < LEAST_LUNG_ML:
            extra &= side != label
    net = _Net(seen, most, region, None if of_the_image is None else cache(of_the_image), missing)
    believed, refused = net.believed(extra, edge, share)
    if region is not None and not missing and refused.any():
        # Of heart that hangs on a tumour the net is less sure.
        believed |= net.believed(refused & (most >= LIKELY), LIKELY, SURE_SHARE[1])[0]
    blocks = np.where(believed, side, 0).astype(np.uint8)
    if region is not None and not missing:
        # Where lung is missing there is fluid, too, thin layers of which look like a tumour's edge.
        blocks = completed(blocks, seen, most, tissue & region)
    out = np.zeros_like(tissue) if region is None else denied(seen, most)
    against = thick((most < UNLIKELY) & (seen.labels > 0) & ~out, 2)
    return Opinion(
        blocks,
        seen.ml(blocks == RIGHT),
        seen.ml(blocks == LEFT),
        seen.ml(against),
        _place(against, seen.labels),
        edge,
        denied=out if out.any() else None,
        denied_ml=seen.ml(out),
        denied_at=_place(out, seen.labels),
    )


@dataclass(frozen=True, eq=False)
class _Net:
    """What a net says of a scan, as `opinion_of` takes it."""

    seen: Blocks
    most: F32
    region: MaskArray | None
    of_the_image: Callable[[], F32] | None
    missing: bool

    def believed(self, extra: MaskArray, edge: float, share: float) -> tuple[MaskArray, MaskArray]:
        """Thick parts of `extra` that are believed, and those that are sure enough and are not.

        Parameters
        ----------
        extra : (z, y, x) bool
            What of at least the probability `edge` is not in the mask.
        edge
        share
            The least share of a part of which the net is SURE.
        """
        seen, most, region = self.seen, self.most, self.region
        # Lung without air lies on lung: what has tissue between is heart, liver or spleen.
        beside = grow(seen.labels > 0)
        parts, count = components(regions_with(thick(extra, 1), beside), connectivity=26)
        blocks_of = sizes(parts, count)
        sure = shares_in(parts, blocks_of, most >= SURE)
        enough = (sure >= share) & (sure * blocks_of * seen.block_ml >= LEAST_ML)
        enough[0] = False
        if region is None:
            return enough[parts], np.zeros_like(extra)
        placed = shares_in(parts, blocks_of, region) >= IN_REGION
        doubted = np.zeros_like(enough)
        if self.of_the_image and (enough if self.missing else enough & placed).any():
            image = self.of_the_image().max(axis=0)
            if self.missing:
                placed |= shares_in(parts, blocks_of, image >= edge) >= IN_IMAGE
            doubted = shares_in(parts, blocks_of, image >= SURE) - sure >= DOUBTED_HERE
        believed = enough & placed & ~doubted
        return believed[parts], (enough & ~believed)[parts]


def _place(part: MaskArray, labels: Sides) -> str:
    """Which lung and third of the lungs' height most of a part lies in."""
    if not part.any():
        return ""
    side = "right" if (labels[part] == RIGHT).mean() > 0.5 else "left"
    height = shares_along(labels > 0, 0)[np.nonzero(part)[0], 0, 0].mean()
    return f"mostly {('below', 'in the middle', 'above')[min(2, int(3 * height))]} on the {side}"


def as_seen(ct: Volume[HU], likely: F32) -> Volume[np.uint8]:
    """Lungs as the net alone sees them, 1 right and 2 left, on the scan's grid.

    Parameters
    ----------
    ct
        The scan.
    likely : (2, z, y, x) float32
        Probability of right and of left lung, on the blocks of `in_blocks`.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> ct = Volume(np.zeros((4, 4, 8), HU), Geometry((20.0, 20.0, 20.0)))
    >>> likely = np.zeros((2, 4, 4, 8), np.float32)
    >>> likely[1, :, :, 4:] = 1
    >>> as_seen(ct, likely).array[0, 0].tolist()
    [0, 0, 0, 0, 2, 2, 2, 2]
    """
    zoom = zoom_of(ct)
    labels = np.zeros(ct.shape, np.uint8)
    block_ml = ct.voxel_ml * float(np.prod(zoom.factors))
    parts, count = components(likely.max(axis=0) >= LIKELY_MASS, connectivity=26)
    loose = (sizes(parts, count) * block_ml < LOOSE_ML)[parts] & (parts > 0)
    likely = np.where(grow(loose), np.float32(0), likely)
    for k, likely_slab in _slabs(likely, zoom):
        right, left = likely_slab
        slab = np.where(right >= left, np.uint8(RIGHT), np.uint8(LEFT))
        labels[k] = np.where(np.maximum(right, left) >= LIKELY_MASS, slab, 0)
    return ct.like(labels)


def _slabs(likely: F32, zoom: Zoom) -> Iterator[tuple[slice, tuple[F32, F32]]]:
    """Voxels of a few slices at a time, so that no more are held in single precision."""
    n_z, n_y, n_x = zoom.shape
    for start in range(0, n_z, SLAB):
        z = slice(start, min(start + SLAB, n_z))
        box = (z, slice(0, n_y), slice(0, n_x))
        yield z, (zoom.smoothly(likely[0], box), zoom.smoothly(likely[1], box))


def joined(  # noqa: PLR0913, PLR0917 - a scan, its mask, and what is added how
    ct: Volume[HU],
    labels: Volume[np.uint8],
    likely: F32,
    blocks: Sides,
    edge: float,
    zoom: Zoom,
) -> Volume[np.uint8]:
    """The mask with what a net adds to it, outlined voxel by voxel.

    Parameters
    ----------
    ct, labels
        The scan and its mask, 1 right and 2 left.
    likely : (2, z, y, x) float32
        Probability of right and of left lung, on the blocks of `in_blocks`.
    blocks : (z, y, x) uint8
        What of it is added, on the blocks, 1 right and 2 left.
    edge
        Probability from which on a voxel is lung to the net.
    zoom
        How the blocks lie on the scan's grid.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> ct = Volume(np.full((30, 30, 30), 40, HU), Geometry((4.0, 4.0, 4.0)))
    >>> labels = ct.like(np.zeros(ct.shape, np.uint8))
    >>> labels.array[15:25, 5:25, 5:25] = RIGHT
    >>> likely = np.zeros((2, 30, 30, 30), np.float32)
    >>> likely[0, 5:25, 5:25, 5:25] = 0.9
    >>> seen = Blocks(ct.array, labels.array, ct.spacing_mm)
    >>> opinion = opinion_of(seen, likely)
    >>> whole = joined(ct, labels, likely, opinion.blocks, opinion.edge, zoom_of(ct))
    >>> int((whole.array == RIGHT).sum())
    8000
    """
    whole = labels.array.copy()
    for label in (RIGHT, LEFT):
        box = bounding_box(blocks == label, (2, 2, 2))
        if box is None:
            continue
        fine = zoom.fine_box(box)
        inside = blocks[box] == label
        near = grow(inside)
        # What belongs to a part less likely than it must be: up to the edge of its blocks.
        lung_of_blocks = likely[label - 1].copy()
        lung_of_blocks[box][inside & (lung_of_blocks[box] < edge)] = 1
        lung = zoom.smoothly(lung_of_blocks, fine) >= edge
        lung &= zoom.whole(near, box)
        part = whole[fine]
        lung &= (ct.array[fine] > AIR_HU) & (part == 0)
        part[lung] = label
        seam = shrink(grow(part == label, SEAM, corners=False), SEAM) & (part == 0)
        part[seam & grow(lung, SEAM, corners=False)] = label
        # A tumour's dead middle is as dense as fluid, and is the tumour's all the same.
        part[fill(part > 0) & (part == 0)] = label
    return labels.like(whole)
