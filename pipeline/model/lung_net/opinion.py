"""Asking a lung net about a scan: which net, and what it says."""

import math
from pathlib import Path

import numpy as np

from lungseg.core.errors import DataError
from lungseg.core.limits import check_memory
from lungseg.model.lung_net.weights import read_weights
from lungseg.model.model_record import read_model_record
from lungseg.model.nets import SUFFIX, TRAINED
from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.lungs.in_blocks import Blocks
from lungseg.ops.lungs.opinion.examples import BRIGHTEST_HU, DARKEST_HU, channels
from lungseg.ops.lungs.opinion.forward import UNet, answer
from lungseg.volume import F32, Box, HuArray

TARGET = "lungs without air"
"""What a lung net's record says that it finds."""

SHIPPED = TRAINED / f"ct-lungs{SUFFIX}"
# What is held at once for each block: the answers of all levels.
BLOCK_BYTES = 170.0
# What is shown reaches so much farther than the lungs found, above and below, and than the body,
# on all sides, mm.
ABOVE_MM, AROUND_MM = 40.0, 16.0
# Blocks brighter than this are of the body, the couch or a blanket.
BODY_HU = -300


def ask(seen: Blocks, file: Path = SHIPPED) -> F32:
    """Probability of right and of left lung, ``(2, z, y, x)``, in each block of a scan.

    Parameters
    ----------
    seen
        The scan; of its mask, only from where to where it reaches.
    file
        The lung net.

    Raises
    ------
    DataError
        If the file is no lung net.
    LimitError
        If memory is too small.
    """
    window, net = _window(seen), checked_net(file, TARGET, "a lung net")
    blocks = math.prod(n + -n % net.multiple for n in seen.hu[window].shape)
    check_memory(BLOCK_BYTES * blocks, "asking the lung net", setting="second_opinion=never")
    likely = np.zeros((2, *seen.hu.shape), np.float32)
    likely[:, *window] = likely_lungs(net, seen.hu[window])
    return likely


def checked_net(file: Path, target: str, expected: str) -> UNet:
    """The net of a file whose record says that it finds `target`; `expected` says so to a person.

    Raises
    ------
    DataError
        If it finds something else.
    """
    record = read_model_record(file)
    if record.target != target:
        raise DataError(
            f"{file} finds {record.target} in {record.kind}; expected {expected}, or none, for the "
            "one that comes with the package"
        )
    return read_weights(file)


def ask_of_the_image(seen: Blocks, file: Path = SHIPPED) -> F32:
    """As `ask`, but what the net says of the scan's mirror image, laid back on the scan."""
    image = Blocks(
        np.ascontiguousarray(seen.hu[:, :, ::-1]),
        np.ascontiguousarray(seen.labels[:, :, ::-1]),
        seen.spacing_mm,
    )
    return np.ascontiguousarray(ask(image, file)[::-1, :, :, ::-1])


def _window(seen: Blocks) -> Box:
    """Blocks that a chest may lie in; air around a body costs as much time."""
    above, *around = (
        round(mm / step)
        for mm, step in zip((ABOVE_MM, AROUND_MM, AROUND_MM), seen.spacing_mm, strict=True)
    )
    everything = tuple(slice(0, n) for n in seen.hu.shape)
    height = (bounding_box(seen.labels, [above, 0, 0]) or everything)[0]
    there = (seen.hu[height] > BODY_HU) | (seen.labels[height] > 0)
    body = bounding_box(there, [0, *around]) or everything
    return height, body[1], body[2]


def likely_lungs(net: UNet, hu: HuArray) -> F32:
    """Probability of right and of left lung, ``(2, z, y, x)``, in each block of a chest.

    Parameters
    ----------
    net
        The lung net.
    hu : (z, y, x) int16
        Blocks of about 4 mm; to the head, the back and the patient's left.
    """
    z, y, x = hu.shape
    likely = answer(net, channels(with_room(hu, net.multiple)))
    return np.ascontiguousarray(np.moveaxis(likely[:z, :y, :x], -1, 0))


def with_room(hu: HuArray, multiple: int) -> HuArray:
    """HU as a net knows them, with air behind, so that all edges are multiples of `multiple`."""
    known = np.clip(hu, DARKEST_HU, BRIGHTEST_HU)
    return np.pad(known, [(0, -n % multiple) for n in hu.shape], constant_values=DARKEST_HU)
