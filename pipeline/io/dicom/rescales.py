"""Slope and intercept of each slice, held against those of its neighbours by the pixels.

Scanners may give every slice a scale of its own (PET does), and some CT change it along a scan.
Then the HU of neighbours fit. Where one slice has another scale than most and would fit its
neighbour much better with theirs, its header is wrong.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.io.dicom.planes import Plane
from lungseg.volume import HuArray

# How much worse its own scale must fit than the others', beyond the noise of rounding.
_TIMES, _BEYOND_HU = 1.5, 5.0


def check_rescales(planes: Sequence[Plane], stack: HuArray) -> None:
    """See that no slice's slope and intercept are out of line.

    Parameters
    ----------
    planes
        In the order of the stack.
    stack
        ``(z, y, x) int16`` HU by each slice's own slope and intercept.

    Raises
    ------
    ScanError
        If slices with another scale than most would fit their neighbours better with theirs.
    """
    scales = [(plane.slope, plane.intercept) for plane in planes]
    counts = Counter(scales)
    if len(counts) == 1 or len(counts) > len(scales) / 2:
        return
    (slope, intercept), most = counts.most_common(1)[0]
    usual = np.array([k for k, scale in enumerate(scales) if scale == (slope, intercept)])
    wrong: list[tuple[int, float, float]] = []
    for k, (own_slope, own_intercept) in enumerate(scales):
        if (own_slope, own_intercept) == (slope, intercept):
            continue
        beside = stack[usual[np.abs(usual - k).argmin()]].astype(np.float32)
        own = stack[k].astype(np.float32)
        other = (own - own_intercept) / own_slope * slope + intercept
        off, off_other = float(np.abs(own - beside).mean()), float(np.abs(other - beside).mean())
        if off > _TIMES * off_other + _BEYOND_HU:
            wrong.append((k, off, off_other))
    if wrong:
        k, off, off_other = wrong[0]
        raise ScanError(
            f"rescale-outlier: {planes[k].path} has slope {scales[k][0]:g} and intercept "
            f"{scales[k][1]:g}, and {most} of {len(scales)} slices {slope:g} and {intercept:g}; by "
            f"its own it differs from its neighbour by {off:.0f} HU, by theirs by {off_other:.0f}"
            f"{f'; so do {len(wrong) - 1} more' if len(wrong) > 1 else ''}: the header is wrong",
            setting="accept_rescale_outliers=true to take each slice as it is stated",
        )
