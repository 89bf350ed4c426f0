"""Lungs of a scan, on its own grid."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lungseg.api.scans import Resampled, padding_hu_of, params_of, resample
from lungseg.core.stage import Scalar
from lungseg.ops.grid.resample import labels_to_grid
from lungseg.ops.hu.hounsfield import hu_check
from lungseg.stages.segment_lungs import SegmentLungs, lungs_and_region
from lungseg.stages.write_lungs import measured
from lungseg.volume import HU, Mask, Volume


@dataclass(frozen=True, eq=False)
class FoundLungs:
    """The lungs of a scan.

    Attributes
    ----------
    labels
        uint8 on the scan's own grid: 1 right lung, 2 left lung.
    on_even_grid
        The same where they were found, on the even grid.
    region
        Where nodules are looked for, on the even grid.
    verdict, reasons
        ``good`` or ``suspect``, and why the mask should be doubted.
    facts
        Volumes and HU of the mask, as in ``lungs.csv``.
    """

    labels: Volume[np.uint8]
    on_even_grid: Volume[np.uint8]
    region: Volume[Mask]
    verdict: str
    reasons: str
    facts: Mapping[str, Scalar]


def find_lungs(ct: Volume[HU], spacing_mm: float = 1.0, **settings: Scalar) -> FoundLungs:
    """The right and left lung of a scan, on its own grid, and whether to trust them.

    Parameters
    ----------
    ct
        HU, int16.
    spacing_mm
        Of the even grid on which they are found.
    **settings
        Of the stage ``segment-lungs``: ``wall_mm=18.0``.

    Raises
    ------
    ScanError
        If there are no lungs, or the volume is not int16 or nothing but padding.
    ConfigError
        If a setting is wrong.

    Examples
    --------
    >>> import lungseg
    >>> from lungseg.phantom.small_chest import chest
    >>> lungs = lungseg.find_lungs(chest().ct, spacing_mm=3.0)
    >>> lungs.verdict, lungs.labels.shape == chest().ct.shape
    ('good', True)
    """
    params = params_of(SegmentLungs, settings)
    return lungs_of(ct, resample(ct, spacing_mm), params)


def lungs_of(ct: Volume[HU], even: Resampled, params: SegmentLungs) -> FoundLungs:
    """Lungs of `ct`, found in `even`, what `resample` made of it."""
    view = None if even.field_of_view is None else even.field_of_view.array
    found, verdict = lungs_and_region(even.ct, view, params)
    labels = labels_to_grid(found.labels, ct.shape, ct.geometry)
    told = verdict.as_facts()
    padding_hu = padding_hu_of(ct)
    facts = measured(ct, labels, padding_hu)
    facts["hu_check"] = hu_check(ct.array, None if math.isnan(padding_hu) else int(padding_hu))
    return FoundLungs(
        labels, found.labels, found.region, str(told["verdict"]), str(told["reasons"]), facts
    )
