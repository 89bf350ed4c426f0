"""A tiny table of made-up scans: bright balls in dark lungs, for tests of data and training."""

import json

import numpy as np

from lungseg.io.tables.schema import NODULES
from lungseg.io.tables.writer import ScanRows, TableWriter
from lungseg.volume import Geometry

SIZE = 32
AIR, TISSUE, NODULE = -850, 40, 30
# votes of nodule 1 (four readers) on each slice: some agree, some do not
SLICES = 6


def toy_scan(patient, *, truth="contours", size=SIZE, slices=SLICES, readers=4, shift=0):
    """Rows of one scan; slices 1 to 3 hold a nodule of `readers` readers, 0 and 4, 5 none."""
    rng = np.random.default_rng(sum(patient.encode()) + shift)
    y, x = np.indices((size, size))
    half = size // 2
    lungs = (np.abs(y - half) < half - 3) & (np.abs(np.abs(x - half) - half // 2) < half // 2 - 1)
    image = np.where(lungs, AIR, TISSUE)[None] + rng.normal(0, 20, (slices, size, size))
    votes = np.zeros((slices, size, size), np.uint8)
    centre = half + rng.integers(-3, 4), half // 2 + rng.integers(-1, 2) + 1
    for z in range(1, 4):
        distance = np.hypot(y - centre[0], x - centre[1])
        votes[z][distance <= 3.5] = 1
        votes[z][distance <= 2.5] = readers
        image[z][distance <= 2.5] = NODULE
    if truth in {"none", "unannotated"}:
        votes[:] = 0
    nodules = np.zeros(int(votes.any()), NODULES)
    nodules["label"], nodules["readers"] = 1, readers
    areas = {
        f"nodule_mm2_{k}": np.count_nonzero(votes >= k, (1, 2)).astype(np.float32)
        for k in range(1, 5)
    }
    target = np.count_nonzero((votes >= 2) & (readers >= 3), (1, 2)).astype(np.float32)
    return ScanRows(
        scan=f"scan of {patient}",
        patient=patient,
        fingerprint=f"made of {patient}",
        geometry=Geometry((1.0, 1.0, 1.0)),
        shape_zyx=(slices, size, size),
        corner_zyx=(0, 0, 0),
        truth=truth,
        verdict="ok",
        z_index=np.arange(slices, dtype=np.int32),
        arrays={
            "image": image.astype(np.int16),
            "lungs": np.repeat(lungs[None], slices, 0).astype(np.uint8),
            "votes": votes,
            "nodule": (votes > 0).astype(np.uint16),
        },
        areas={
            "lung_mm2": np.full(slices, lungs.sum(), np.float32),
            "target_mm2": target,
            **areas,
        },
        nodules=nodules,
    )


def toy_table(path, *scans, size=SIZE, kind="ct"):
    """A complete table file of these scans."""
    attributes = {
        "kind": kind,
        "spacing_mm": np.ones(3),
        "fingerprint": "toy",
        "params": json.dumps({"min_readers": 3, "consensus_level": 0.5}),
    }
    with TableWriter.create(path, size, attributes) as writer:
        for rows in scans:
            writer.add(rows)
    return path
