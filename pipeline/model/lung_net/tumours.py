"""Asking a tumour net about a scan: what beside its lungs is lung, too."""

import math
from pathlib import Path

import numpy as np

from lungseg.core.limits import check_memory
from lungseg.model.lung_net.opinion import checked_net, with_room
from lungseg.model.nets import SUFFIX, TRAINED
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.opinion.close_up import channels, unfolded
from lungseg.ops.lungs.opinion.forward import UNet, answer
from lungseg.volume import F32, HuArray, MaskArray

TARGET = "tumours beside lungs"
"""What a tumour net's record says that it finds."""

SHIPPED = TRAINED / f"ct-tumours{SUFFIX}"
# What is held at once for each block of 2 mm: the answers of all levels.
BLOCK_BYTES = 60.0
# What is shown reaches so much farther than the search region, mm.
AROUND_MM = 12.0


def ask(seen: Blocks, region: MaskArray, file: Path = SHIPPED) -> F32:
    """Probability of lung, ``(z, y, x)``, in each block of 2 mm in and around the search region.

    Parameters
    ----------
    seen
        The scan and its mask.
    region : (z, y, x) bool
        The search region, on the blocks.
    file
        The tumour net.

    Raises
    ------
    DataError
        If the file is no tumour net.
    LimitError
        If memory is too small.
    """
    net = checked_net(file, TARGET, "a tumour net")
    likely = np.zeros(seen.hu.shape, np.float32)
    window = bounding_box(region, [round(AROUND_MM / edge) for edge in seen.spacing_mm])
    if window is not None:
        blocks = math.prod(n + -n % (2 * net.multiple) for n in seen.hu[window].shape)
        check_memory(BLOCK_BYTES * blocks, "asking the tumour net", setting="second_opinion=never")
        likely[window] = likely_lung(net, seen.hu[window], seen.labels[window] > 0)
    return likely


def likely_lung(net: UNet, hu: HuArray, mask: MaskArray) -> F32:
    """Probability of lung, ``(z, y, x)``, in each block.

    Parameters
    ----------
    net
        The tumour net.
    hu : (z, y, x) int16
        Blocks of about 2 mm; to the head, the back and the patient's left.
    mask : (z, y, x) bool
        What is lung already.
    """
    z, y, x = hu.shape
    known = with_room(hu, 2 * net.multiple)
    held = np.zeros(known.shape, bool)
    held[:z, :y, :x] = mask
    likely = unfolded(answer(net, channels(known, held)))
    return np.ascontiguousarray(likely[:z, :y, :x, 0])
