"""Cost of the tables: slices per second and memory while building, milliseconds per batch.

`python -m bench.tables [SCANS]` tabulates one phantom at 1 mm SCANS times (default 10).
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from lungseg.core.record import NAME, Record, write_record
from lungseg.core.stage import DatasetInputs
from lungseg.io.annotations.nodule_list import Nodule, NoduleList, write_nodules
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import ARRAYS
from lungseg.io.tables.writer import TableWriter
from lungseg.io.volumes import volume_file
from lungseg.phantom.small_chest import chest
from lungseg.stages import build_tables
from lungseg.volume import Volume

BATCH = 16
MS = 1000.0


def phantom_folders(folder):
    """Outputs of the stages before build-tables for a phantom at 1 mm, by stage."""
    phantom = chest((1.0, 1.0, 1.0), field_mm=(360.0, 400.0))
    labels = phantom.nodules.array
    found = [
        Nodule(
            label=int(label),
            readers=4,
            truth="contours",
            centroid_xyz_mm=(0.0, 0.0, 0.0),
            diameter_mm=10.0,
            min_diameter_mm=8.0,
            max_diameter_mm=12.0,
            volume_mm3=500.0,
            voxels=int((labels == label).sum()),
            share_in_lungs=1.0,
        )
        for label in np.unique(labels[labels > 0])
    ]
    lungs = phantom.lungs.array.astype(np.uint8)
    outputs = {
        "resample": {"ct.h5": phantom.ct.array.clip(-1024, 400)},
        "segment-lungs": {"lungs.h5": lungs},
        "annotate-nodules": {
            "votes.h5": 4 * (labels > 0).astype(np.uint8),
            "nodules.h5": labels.astype(np.uint16),
        },
    }
    folders = {}
    for stage, volumes in outputs.items():
        folders[stage] = folder / stage
        folders[stage].mkdir(parents=True)
        for name, array in volumes.items():
            volume_file.write(Volume(array, phantom.ct.geometry), folders[stage] / name)
        record = Record(
            stage=stage, version=1, fingerprint=stage, scan="1", facts={"verdict": "good"}
        )
        write_record(record, folders[stage] / NAME)
    listed = NoduleList(scan="1", truth="contours", nodules=tuple(found))
    write_nodules(listed, folders["annotate-nodules"] / "nodules.json")
    return folders


def build(folders, scans, out, previous=None):
    """Facts, wall and CPU seconds, and the memory after each tenth of the scans, MiB."""
    out.mkdir()
    memory = []
    original = TableWriter.add

    def add(writer, rows):
        original(writer, rows)
        memory.append(psutil.Process().memory_info().rss / 2**20)

    TableWriter.add = add
    inputs = DatasetInputs(
        scans={f"1.2.{k:06}": folders for k in range(scans)}, stages={}, previous=previous
    )
    wall, cpu = time.perf_counter(), time.process_time()
    facts = build_tables.run(build_tables.BuildTables(), inputs, out)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    TableWriter.add = original
    return facts, wall, cpu, memory[:: max(1, len(memory) // 10)]


def batches(path, context, names, repeats=60):
    """Median and 95th percentile of the milliseconds for a random batch, and CPU milliseconds."""
    rng = np.random.default_rng(0)
    took = []
    with Tables(path) as table:
        table.images([0], context)
        cpu = time.process_time()
        for _ in range(repeats):
            rows = rng.integers(0, len(table), BATCH)
            start = time.perf_counter()
            table.images(rows, context)
            for name in names:
                table.read(name, rows)
            took.append((time.perf_counter() - start) * MS)
        cpu = (time.process_time() - cpu) / repeats * MS
    return float(np.median(took)), float(np.percentile(took, 95)), cpu


def main():
    scans = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="bench-tables-") as name:
        folder = Path(name)
        folders = phantom_folders(folder / "cache")
        facts, wall, cpu, memory = build(folders, scans, folder / "one")
        path = folder / "one" / "tables.h5"
        rows = facts["rows"]
        print(
            f"build: {scans} scans, {rows} rows of {facts['size']} x {facts['size']}: "
            f"{wall:.1f} s, {rows / wall:.0f} rows/s, {rows / cpu:.0f} rows per CPU-s, "
            f"{path.stat().st_size / rows / 1024:.0f} KiB per row"
        )
        print("memory after each tenth, MiB:", " ".join(f"{mib:.0f}" for mib in memory))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"peak, the phantom's rendering included: {peak:.0f} MiB")
        others = [name for name in ARRAYS if name != "image"]
        for context, names, what in (
            (0, others, "image, lungs, votes, nodule"),
            (1, others, "the same with one neighbour on each side"),
            (0, ["lungs"], "image and lungs"),
        ):
            median, late, ms = batches(path, context, names)
            print(
                f"random batch of {BATCH}, {what}: {median:.1f} ms (95 %: {late:.1f}), "
                f"{ms:.1f} CPU-ms"
            )
        facts, wall, cpu, _ = build(folders, scans + 1, folder / "two", previous=folder / "one")
        print(
            f"append one scan to {facts['taken_over']}: {wall:.1f} s, {cpu:.1f} CPU-s, of which "
            f"the copy is {path.stat().st_size / 2**20:.0f} MiB"
        )
        print(json.dumps(dict(facts)))


if __name__ == "__main__":
    main()
