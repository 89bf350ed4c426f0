"""Readings joined to nodules, and how well they agree."""

import numpy as np

from lungseg.ops.nodules.readings import nodule_masks
from tests.readings import box_reading

Z = [0.0, 2.0, 4.0]


def test_each_nodule_has_its_readings_and_their_masks():
    readings = [box_reading(str(k), Z, x, 4, x + 3, 9) for k, x in enumerate((4, 6, 40))]
    (first, first_masks), (second, second_masks) = nodule_masks(readings, np.array(Z), 2.0, 2.0)
    assert [reading.key for reading in first] == ["0", "1"]
    assert [reading.key for reading in second] == ["2"]
    assert [np.argwhere(mask.mask)[:, 2].min() + mask.first_zyx[2] for mask in first_masks] == [
        4,
        6,
    ]
    assert [mask.mask.sum() for mask in second_masks] == [3 * 6 * 4]
