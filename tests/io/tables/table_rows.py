"""Rows of made-up scans, for tests of the table file."""

import numpy as np

from lungseg.io.tables.schema import ARRAYS, NODULES, VOTE_LEVELS
from lungseg.io.tables.writer import ScanRows, TableWriter
from lungseg.volume import Geometry

SIZE = 32
AREAS = ("lung_mm2", *(f"nodule_mm2_{level}" for level in VOTE_LEVELS), "target_mm2")


def scan_rows(scan="1.2.3", z=(4, 5, 6), *, size=SIZE, **what):
    """Rows whose every array tells scan and slice apart."""
    rng = np.random.default_rng(sum(scan.encode()))
    n = len(z)
    arrays = {
        name: rng.integers(0, 200, (n, size, size)).astype(kind) for name, kind in ARRAYS.items()
    }
    arrays["image"] = arrays["image"] - np.int16(1024)
    nodules = np.zeros(2, NODULES)
    nodules["label"], nodules["readers"] = [1, 2], [4, 2]
    return ScanRows(
        **{
            "scan": scan,
            "patient": f"P-{scan}",
            "fingerprint": f"made of {scan}",
            "geometry": Geometry((1.0, 1.0, 1.0), (-100.0, -90.0, -300.0)),
            "shape_zyx": (20, 40, 44),
            "corner_zyx": (0, 3, -2),
            "truth": "contours",
            "verdict": "good",
            "z_index": np.asarray(z, np.int32),
            "arrays": arrays,
            "areas": {name: np.full(n, k, np.float32) for k, name in enumerate(AREAS)},
            "nodules": nodules,
        }
        | what
    )


def write_table(path, *scans, **attributes):
    """A complete table file of these rows."""
    with TableWriter.create(path, SIZE, {"kind": "ct", **attributes}) as writer:
        for rows in scans:
            writer.add(rows)
    return path


def rows_of(table, scan):
    """Rows of one scan in a table."""
    return np.flatnonzero(table.slices["scan"] == scan.encode())
