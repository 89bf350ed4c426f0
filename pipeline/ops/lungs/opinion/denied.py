"""What a net denies of a mask: an organ that lung seemed to enclose.

A liver that stands high in the chest has lung on most of its sides, as a tumour has, and no
geometry tells them apart. A net that knows chests does, if it knows this one: large parts of the
mask without air that it is sure are no lung are taken out again. They stay in the search region.
"""

import numpy as np

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import components, shares_in, sizes
from lungseg.ops.grid.neighbours import grow, thick
from lungseg.ops.lungs.in_blocks import Blocks, zoom_of
from lungseg.volume import F32, HU, MaskArray, Volume

# Thick parts of the mask less likely than this are no lung to the net.
UNLIKELY = 0.5
# Blocks and voxels darker than this hold air, which the mask knows better.
AIR_HU = -400
# A net that calls less than this share of the mask's air lung does not know this chest.
KNOWN = 0.9
# The net is sure of a part of which so much is less likely lung than NEVER.
NEVER, SURE_SHARE = 0.2, 0.85
# Smaller parts stay, ml: a tumour that the net does not know loses less than one it would take.
LEAST_DENIED_ML = 50.0


def denied(seen: Blocks, most: F32) -> MaskArray:
    """Large parts of a mask, without air, that a net is sure are no lung, ``(z, y, x) bool``.

    Parameters
    ----------
    seen
        The scan and its mask.
    most : (z, y, x) float32
        Probability of lung, of the likelier side, on the blocks.

    Examples
    --------
    A mask of two lungs and a liver of 170 ml, and a net that knows the lungs, or nothing at all:

    >>> from lungseg.ops.lungs.left_right import LEFT, RIGHT
    >>> labels = np.zeros((30, 30, 30), np.uint8)
    >>> labels[2:28, 4:26, 2:12], labels[2:28, 4:26, 18:28] = RIGHT, LEFT
    >>> hu = np.where(labels > 0, -850, 40).astype(np.int16)
    >>> hu[2:16, 6:20, 2:16] = 50
    >>> labels[2:16, 6:20, 2:16] = RIGHT
    >>> seen = Blocks(hu, labels, (4.0, 4.0, 4.0))
    >>> out = denied(seen, (hu < -400).astype(np.float32))
    >>> round(seen.ml(out)), bool((hu[out] > -400).all())
    (176, True)
    >>> denied(seen, np.zeros(hu.shape, np.float32)).any()
    np.False_
    """
    lung = seen.labels > 0
    air = lung & (seen.hu <= AIR_HU)
    likely = most >= UNLIKELY
    if np.count_nonzero(air & likely) < KNOWN * np.count_nonzero(air):
        return np.zeros_like(lung)
    parts, count = components(thick(lung & ~air & ~likely, 1), connectivity=26)
    blocks_of = sizes(parts, count)
    out = blocks_of * seen.block_ml >= LEAST_DENIED_ML
    out &= shares_in(parts, blocks_of, most < NEVER) >= SURE_SHARE
    out[0] = False
    taken: MaskArray = out[parts]
    return taken


def without(
    ct: Volume[HU], labels: Volume[np.uint8], most: F32, parts: MaskArray
) -> Volume[np.uint8]:
    """The mask without what a net denies of it, outlined voxel by voxel.

    Parameters
    ----------
    ct, labels
        The scan and its mask, 1 right and 2 left.
    most : (z, y, x) float32
        Probability of lung, of the likelier side, on the blocks.
    parts : (z, y, x) bool
        What is taken out, on the blocks.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> labels = Volume(np.ones((8, 8, 8), np.uint8), Geometry((4.0, 4.0, 4.0)))
    >>> ct = labels.like(np.full((8, 8, 8), -850, HU))
    >>> liver = np.zeros((8, 8, 8), bool)
    >>> liver[:4] = True
    >>> ct.array[liver] = 50
    >>> less = without(ct, labels, (~liver).astype(np.float32), liver)
    >>> bool(np.array_equal(less.array == 0, liver))
    True
    """
    whole, zoom = labels.array.copy(), zoom_of(ct)
    box = bounding_box(parts, (2, 2, 2))
    if box is not None:
        fine = zoom.fine_box(box)
        near = zoom.whole(grow(parts[box]), box)
        out = near & (zoom.smoothly(most, fine) < UNLIKELY) & (ct.array[fine] > AIR_HU)
        whole[fine][out] = 0
    return labels.like(whole)
