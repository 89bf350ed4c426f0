"""How well lung masks agree with lungs drawn by hand, and what they cost, method by method.

    python -m bench.lungs [--json] [--drawn CT DRAWING]...

Scans come from the folder of test data: whole lungs drawn by hand give Dice on the drawing's own
grid, LIDC scans the share of the voxels that two or more radiologists marked, abdomens the error.
With --drawn they are those named, each with its lungs drawn by hand, any value above 0.
CPU seconds are segment-lungs alone, without reading and writing. Below each drawn case stand Dice
and the ml more and less than drawn, region by region.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.io.annotations.lidc_database import scans_of_patient
from lungseg.io.sources.index import find_scans
from lungseg.io.volumes.formats import read_volume
from lungseg.ops.grid.boxes import shares_along
from lungseg.ops.grid.resample import to_grid
from lungseg.ops.nodules.contours import rasterise, slice_z_mm
from lungseg.ops.scores.counts import count
from lungseg.stages.ingest import Ingest, ct_of_source
from lungseg.stages.resample import Resample, on_working_grid
from lungseg.stages.segment_lungs import SegmentLungs, segment
from lungseg.volume import AnyVolume, MaskArray

DATA = Path(os.environ.get("LUNGSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
# CT, lungs drawn by hand, and the least Dice required.
DRAWN = (
    ("lctsc_case0_ct.nii.gz", "lctsc_case0_lungs.nii.gz", 0.975),
    ("lctsc_case3_ct.nii.gz", "lctsc_case3_lungs.nii.gz", 0.975),
    ("cip64_ct.nrrd", "cip64_regions.nrrd", 0.97),
    ("one_lung_touching_border_ct.mha", "one_lung_touching_border_lungs.mha", 0.97),
)
ABDOMENS = ("no_lungs_abdomen_ct.nii.gz", "abdomen_two_slices")
PATIENTS = ("LIDC-IDRI-0314", "LIDC-IDRI-0001", "LIDC-IDRI-0002", "LIDC-IDRI-0003")
METHODS = ("volume3d", "slice2d")
# Shares of the drawn lungs' height below which is the base, above which the apex, and between which
# the hilum; and the share of their half width within which the mediastinal side lies.
BASE, APEX, HILUM, MEDIAL = 0.2, 0.85, (0.35, 0.7), 0.45


def drawn_lungs(path: Path) -> AnyVolume:
    """A drawing; of the Chest Imaging Platform's, regions 9 to 14 of the low byte."""
    drawn = read_volume(path)
    if path.suffix == ".nrrd":
        region = drawn.array & 0xFF
        return drawn.like((region >= 9) & (region <= 14))
    return drawn.like(drawn.array > 0)


def marked(patient: str, ct: AnyVolume) -> AnyVolume:
    """Voxels that two or more radiologists marked."""
    votes = np.zeros(ct.shape, np.uint8)
    z_mm = slice_z_mm(ct.shape, ct.geometry)
    for reading in scans_of_patient(patient)[0].readings:
        patch, _ = rasterise(reading, z_mm)
        if patch is not None:
            votes[patch.box] += patch.mask
    return ct.like(votes >= 2)


def masks(
    path: Path, methods: Sequence[str] = METHODS
) -> Iterator[tuple[AnyVolume, AnyVolume | None, dict[str, object]]]:
    """The scan, its lungs on its own grid, and facts, for each method."""
    with tempfile.TemporaryDirectory() as cache:
        (source,), _ = find_scans([path], Path(cache))
    ct, padding_hu, _ = ct_of_source(source, Ingest(min_slices=2))
    padding = float("nan") if padding_hu is None else float(padding_hu)
    working, view = on_working_grid(ct, padding, Resample())
    for method in methods:
        start = time.process_time()
        row: dict[str, object] = {"scan": path.name, "method": method}
        found = None
        try:
            lungs, verdict = segment(
                working,
                None if view is None else view.array,
                SegmentLungs(method=method),
            )
            row |= verdict.as_facts()
            found = to_grid(lungs, ct.shape, ct.geometry, "nearest")
        except ScanError as error:
            row["error"] = str(error)
        row["cpu_seconds"] = round(time.process_time() - start, 2)
        yield ct, found, row


def regions(drawn: AnyVolume) -> dict[str, MaskArray]:
    """Parts of the chest by the drawn lungs' box: each voxel lies in one."""
    mask = drawn.array
    height, across = (shares_along(mask, axis) for axis in (0, 2))
    if drawn.geometry.direction_xyz[8] < 0:
        height = 1 - height
    medial = np.abs(2 * across - 1) < MEDIAL
    ends = (height < BASE) | (height > APEX)
    hilum = medial & (height > HILUM[0]) & (height < HILUM[1])
    whole = np.ones(mask.shape, bool)
    return {
        "apex": (height > APEX) & whole,
        "base": (height < BASE) & whole,
        "hilum": hilum & whole,
        "mediastinal": medial & ~ends & ~hilum,
        "costal": ~medial & ~ends & whole,
    }


def by_region(lungs: MaskArray, drawn: AnyVolume) -> dict[str, object]:
    """Dice in each region, and ml that one mask has and the other has not: ``+more -less``."""
    told: dict[str, object] = {}
    for name, where in regions(drawn).items():
        ours, theirs = lungs & where, drawn.array & where
        more, less = (
            float(np.count_nonzero(one & ~other)) * drawn.voxel_ml
            for one, other in ((ours, theirs), (theirs, ours))
        )
        told[name] = f"{count(ours, theirs).dice:.3f} +{more:.0f} -{less:.0f}"
    return told


def against(
    path: Path, drawing: Path, methods: Sequence[str] = METHODS
) -> Iterator[dict[str, object]]:
    """One row per method, of one scan with its lungs drawn by hand."""
    drawn = drawn_lungs(drawing)
    for _, found, row in masks(path, methods):
        lungs = np.zeros_like(drawn.array) if found is None else found.array > 0
        row["dice"] = round(count(lungs, drawn.array).dice, 4)
        row["regions"] = by_region(lungs, drawn)
        yield row


def measure() -> Iterator[dict[str, object]]:
    """One row per scan and method."""
    for name, truth, required in DRAWN:
        for row in against(DATA / "lungs" / name, DATA / "lungs" / truth):
            yield row | {"required": required}
    for patient in PATIENTS:
        for ct, found, row in masks(DATA / "LIDC-IDRI" / patient):
            voxels = marked(patient, ct).array
            if found is not None:
                row["marked_inside"] = round(float((found.array > 0)[voxels].mean()), 4)
            yield row | {"required": 0.995}
    for name in ABDOMENS:
        for _, _, row in masks(DATA / "lungs" / name):
            yield row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--drawn", nargs=2, type=Path, action="append", metavar=("CT", "DRAWING"))
    options = parser.parse_args()
    if options.drawn:
        rows = (row for pair in options.drawn for row in against(*pair, ("volume3d",)))
    elif DATA.is_dir():
        rows = measure()
    else:
        print(f"no scans to measure: {DATA} is absent; set LUNGSEG_TEST_DATA")
        return
    for row in rows:
        if options.json:
            print(json.dumps(row), flush=True)
            continue
        figure = row.get("dice", row.get("marked_inside", ""))
        outcome = row.get("error") or f"{row['verdict']} {row['lung_ml']} ml {row['reasons']}"
        print(
            f"{row['scan']:32} {row['method']:9} "
            f"{figure!s:7} (required {row.get('required', '-')!s:5}) "
            f"{row['cpu_seconds']:6} CPU-s  {str(outcome)[:70]}",
            flush=True,
        )
        regions_told = row.get("regions")
        if isinstance(regions_told, dict):
            print("    " + ", ".join(f"{name} {told}" for name, told in regions_told.items()))


if __name__ == "__main__":
    main()
