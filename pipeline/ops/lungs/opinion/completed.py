"""The rest of a tumour of which a net has seen the most: its unsure edge, and corners behind it.

In blocks of 4 mm the deep side of a tumour that lies broadly on the mediastinum or the diaphragm is
less likely lung than its middle. Around a part that is believed, less is asked of a block; and
tumour and lung together have no corners, as a lung has none.
"""

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.morphology import close_mm, dilate_mm
from lungseg.ops.grid.neighbours import grow
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.left_right import LEFT, RIGHT, Sides
from lungseg.volume import F32, MaskArray

# Blocks of at least this probability belong to a part that is believed, at most so many away.
LIKELY_BESIDE, BESIDE = 0.25, 2
# Ball that cannot enter the corners that are filled, and how far from the part they are, mm.
CORNER_MM = 12.0


def completed(parts: Sides, seen: Blocks, most: F32, tissue: MaskArray) -> Sides:
    """Parts that are believed with what of their surroundings belongs to them.

    Parameters
    ----------
    parts : (z, y, x) uint8
        On the blocks, 1 right and 2 left.
    seen
        The scan and its mask.
    most : (z, y, x) float32
        Probability of lung.
    tissue : (z, y, x) bool
        Blocks outside of the mask that hold neither air nor fluid.

    Examples
    --------
    Of a tumour of ten blocks on a lung the net is sure of five, and unsure of two more:

    >>> import numpy as np
    >>> labels = np.zeros((10, 10, 30), np.uint8)
    >>> labels[:, :, :8] = RIGHT
    >>> seen = Blocks(np.where(labels > 0, -850, 40).astype(np.int16), labels, (4.0, 4.0, 4.0))
    >>> most = np.zeros(labels.shape, np.float32)
    >>> most[:, :, 8:13], most[:, :, 13:18] = 0.9, 0.3
    >>> whole = completed((most > 0.55).astype(np.uint8), seen, most, labels == 0)
    >>> whole[5, 5].tolist().count(1)
    7
    """
    whole = parts.copy()
    for label in (RIGHT, LEFT):
        part = parts == label
        margin = [int(2 * CORNER_MM / edge) + BESIDE + 2 for edge in seen.spacing_mm]
        box = bounding_box(part, margin)
        if box is None:
            continue
        part, may, lung = part[box], tissue[box], seen.labels[box] == label
        beside = may & (most[box] >= LIKELY_BESIDE)
        grown = grow(part, BESIDE, within=beside)
        corners = close_mm(grown | lung, CORNER_MM, seen.spacing_mm) & may
        corners &= dilate_mm(grown, CORNER_MM, seen.spacing_mm)
        inside = whole[box]
        inside[(grown | corners) & (inside == 0)] = label
    return whole
