"""LIDC's ratings of nodules that are known by their windows, matched by series and position."""

from collections.abc import Sequence

import numpy as np

from lungseg.core.errors import ConfigError
from lungseg.io.annotations.lidc_database import read_scan
from lungseg.ops.nodules.contours import Reading
from lungseg.ops.nodules.windows import NoduleSlices

# How far apart a reading's and a mask's centre may lie, slices' z in mm and pixels.
NEAR_MM, NEAR_PX = 1.0, 4.0


def textures(windows: Sequence[NoduleSlices]) -> list[float]:
    """Median rating of texture of each nodule of one series, 1 to 5; NaN where none is known.

    A reading is of the nodule if its outline has the centre and the slices of one of the
    annotators' masks.
    """
    unknown = [float("nan")] * len(windows)
    if not windows:
        return unknown
    try:
        scan = read_scan(windows[0].series)
    except ConfigError:
        return unknown
    if scan is None:
        return unknown
    return [_median(window, scan.readings) for window in windows]


def _median(window: NoduleSlices, readings: Sequence[Reading]) -> float:
    if window.first_yx is None:
        return float("nan")
    masks = [_place(window, k) for k in range(len(window.masks)) if window.masks[k].any()]
    rated = [
        reading.ratings["texture"]
        for reading in readings
        if "texture" in reading.ratings and any(_alike(_outline(reading), m) for m in masks)
    ]
    return float(np.median(rated)) if rated else float("nan")


def _place(window: NoduleSlices, k: int) -> tuple[float, float, float, float]:
    """Lowest and highest z, mm, and the middle of the mask's box, whole slice's pixels."""
    z, y, x = np.nonzero(window.masks[k])
    first = window.first_yx or (0, 0)
    return (
        float(window.z_mm[z.min()]),
        float(window.z_mm[z.max()]),
        first[0] + (int(y.min()) + int(y.max())) / 2,
        first[1] + (int(x.min()) + int(x.max())) / 2,
    )


def _outline(reading: Reading) -> tuple[float, float, float, float]:
    points = np.concatenate(
        [contour.points_xy for contour in reading.contours if contour.inclusion]
    )
    heights = [contour.z_mm for contour in reading.contours if contour.inclusion]
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = (low + high) / 2
    return float(min(heights)), float(max(heights)), float(y), float(x)


def _alike(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    overlap = one[0] <= other[1] + NEAR_MM and other[0] <= one[1] + NEAR_MM
    return overlap and abs(one[2] - other[2]) <= NEAR_PX and abs(one[3] - other[3]) <= NEAR_PX
