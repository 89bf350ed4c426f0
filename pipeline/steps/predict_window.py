"""A net applied to one window: to the working grid, through the net, back to its own pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungseg.core.errors import DataError
from lungseg.model import inference
from lungseg.model.model_record import ModelRecord
from lungseg.model.samples import scaled
from lungseg.ops.grid.crop import MULTIPLE
from lungseg.ops.hu.padding import AIR_HU
from lungseg.ops.nodules.windows import (
    Canvas,
    NoduleSlices,
    WorkingWindow,
    joined,
    on_working_grid,
)
from lungseg.ops.samples.context import neighbours
from lungseg.volume import F32

# Rows at a time; a window has hardly more.
BATCH = 8


@dataclass(frozen=True, eq=False)
class LikelyWindow:
    """A canvas on the working grid, and the probability of nodule in it, ``(row, y, x)``."""

    canvas: Canvas
    working: WorkingWindow
    probability: F32


def probability_in_window(
    window: NoduleSlices, net: Any, record: ModelRecord, *, mirrors: bool = False
) -> F32:
    """Probability of nodule ``(z, y, x)`` on the window's own pixels and slices.

    The net is shown what it would be shown of a table: the window on its working grid, with air
    around it where nothing is known.

    Raises
    ------
    DataError
        If the net finds no nodules in CT, looks inside the lungs alone, or takes a square that
        the window does not fit into.
    """
    likely = likely_window([window], net, record, mirrors=mirrors)
    return on_own_pixels(likely.probability, likely.working, likely.canvas, record.grid_mm)


def likely_window(
    windows: Sequence[NoduleSlices], net: Any, record: ModelRecord, *, mirrors: bool = False
) -> LikelyWindow:
    """Probability of nodule in windows of one scan that overlap, on the working grid.

    Raises
    ------
    DataError
        If the net looks for something else, or takes a square that they do not fit into.
    """
    if record.target != "nodules" or record.kind != "ct" or record.inside_lungs:
        where = " inside lung masks, which windows lack" if record.inside_lungs else ""
        raise DataError(
            f"the net finds {record.target} in {record.kind}{where}; expected one that finds "
            "nodules in CT"
        )
    canvas = joined(windows)
    edge = _pixels(max(canvas.hu.shape[1:]), canvas.pixel_mm / record.grid_mm)
    free = inference.of_any_size(net)
    size = -(-edge // MULTIPLE) * MULTIPLE if free else record.crop_px
    if edge > size:
        raise DataError(f"the net takes {size} x {size} pixels and the window has {edge} x {edge}")
    working = on_working_grid(canvas, record.grid_mm, size)
    hu = np.where(working.known, working.hu, np.int16(AIR_HU))
    stacks = hu[neighbours(np.arange(len(hu)), record.context, working.z_index)]
    predict = inference.predict_mirrored if mirrors else inference.predict
    found = predict(free or net, scaled(stacks, record.input_spec, None), BATCH)
    return LikelyWindow(canvas, working, found)


def _pixels(n: int, step: float) -> int:
    """Even number of the working grid's pixels between the outermost of `n` native ones."""
    return 2 * int(np.floor((n - 1) / 2 * step + 0.5))


def on_own_pixels(found: F32, working: WorkingWindow, canvas: Canvas, spacing_mm: float) -> F32:
    """Values ``(row, y, x)`` of the working grid on the canvas' own slices and pixels.

    Linear in between; slices and pixels beyond the working grid's last have its value.
    """
    from scipy.ndimage import map_coordinates

    n_z, n_y, n_x = canvas.hu.shape
    z = np.interp(
        canvas.z_mm - canvas.z_mm[0], working.z_index * spacing_mm, np.arange(len(working.z_index))
    )
    step, middle = canvas.pixel_mm / spacing_mm, (found.shape[1] - 1) / 2
    y, x = ((np.arange(n) - (n - 1) / 2) * step + middle for n in (n_y, n_x))
    at = np.stack(np.meshgrid(z, y, x, indexing="ij"))
    own: F32 = map_coordinates(found, at, order=1, mode="nearest")
    return own.reshape(n_z, n_y, n_x)
