"""What bookkeeping costs a scan does not grow with the scans, and nothing is written anew."""

import time

import numpy as np

from lungseg.core.executor import EngineOptions
from lungseg.core.runner import Watch
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session

FEW, MANY = 250, 1000
FIRST_MS, SECOND_MS = 60, 1
HEADER = (
    b"ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementSpacing = 3 3 3\n"
    b"ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def write_scans(folder, count):
    voxels = np.random.default_rng(1).integers(-1000, 400, (8, 8, 8)).astype("<i2").tobytes()
    folder.mkdir()
    for number in range(count):
        (folder / f"scan{number}.mha").write_bytes(HEADER + voxels)


def cpu_ms(work, source, count):
    """CPU milliseconds a scan of a run over `count` scans."""
    begin = time.process_time()
    session = open_session(work, CommandOptions(), [source])
    summary = session.run(["resample"], EngineOptions(), Watch())
    assert (summary.done, summary.failed) == (count, 0)
    return 1000 * (time.process_time() - begin) / count


def test_a_run_over_many_scans_costs_as_little_a_scan_as_one_over_few(tally, tmp_path):
    kind = tally("bookkeeping of many scans")
    cost = {}
    for count in (FEW, MANY):
        source, work = tmp_path / f"src{count}", tmp_path / f"w{count}"
        write_scans(source, count)
        first = cpu_ms(work, source, count)
        times = {path: path.stat().st_mtime_ns for path in (work / "sources").rglob("*.json")}
        cost[count] = first, cpu_ms(work, source, count)
        assert len(times) == count
        assert {path: path.stat().st_mtime_ns for path in times} == times
    for few, many, most in zip(cost[FEW], cost[MANY], (FIRST_MS, SECOND_MS), strict=True):
        # Quadratic would be four times as much; half as much again is noise.
        if many < most and many < 1.5 * few:
            kind.right()
        else:
            kind.wrong(f"{few:.2f} ms a scan of {FEW}, {many:.2f} of {MANY}, at most {most}")
