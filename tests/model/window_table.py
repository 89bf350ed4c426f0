"""A toy table with windows: scans of which a square is known, and the rest is not."""

import dataclasses

import numpy as np

from lungseg.io.tables.schema import NO_MASK, UNKNOWN_HU
from tests.model.toy_table import toy_scan

SIZE = 64
# First and last known pixel, on both axes.
FIRST, LAST = 10, 39


def toy_window(patient, readers=4):
    """A scan of which slices 1 to 3 are known, in a square; each shows the nodule."""
    scan = toy_scan(patient, size=SIZE, readers=readers)
    known = np.zeros((SIZE, SIZE), bool)
    known[FIRST : LAST + 1, FIRST : LAST + 1] = True
    arrays = {name: values[1:4].copy() for name, values in scan.arrays.items()}
    arrays["image"][:, ~known] = UNKNOWN_HU
    for name in ("votes", "nodule"):
        arrays[name][:, ~known] = 0
    arrays["lungs"][:] = known
    areas = {name: values[1:4] for name, values in scan.areas.items()}
    areas["lung_mm2"] = np.full(3, known.sum(), np.float32)
    return dataclasses.replace(
        scan, scan=f"window of {patient}", arrays=arrays, areas=areas,
        z_index=scan.z_index[1:4], verdict=NO_MASK, shape_zyx=(3, SIZE, SIZE),
    )  # fmt: skip
