"""What bookkeeping costs a scan: made-up scans of a few voxels, a first run and a second.

``python -m bench.engine 1000 2000 5000``: numbers of scans; a third number is to be no worse than
the first, or something grows with the square of the scans.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lungseg.core.executor import EngineOptions
from lungseg.core.runner import Watch
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import open_session


def make_scans(folder, count):
    voxels = np.random.default_rng(1).integers(-1000, 400, (8, 8, 8)).astype("<i2").tobytes()
    header = (
        "ObjectType = Image\nNDims = 3\nDimSize = 8 8 8\nElementSpacing = 3 3 3\n"
        "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    folder.mkdir(parents=True)
    for number in range(count):
        (folder / f"scan{number}.mha").write_bytes(header.encode() + voxels)


def run(source, work):
    """CPU and wall milliseconds a scan: looking at the files, planning, running, counting."""
    cpu, wall = time.process_time(), time.perf_counter()
    session = open_session(work, CommandOptions(), [source])
    summary = session.run(["resample"], EngineOptions(), Watch())
    spent = time.process_time() - cpu, time.perf_counter() - wall
    if summary.failed or not summary.done:
        raise SystemExit(f"{summary.failed} failed, {summary.done} done")
    return [1000 * seconds / summary.done for seconds in spent]


def main():
    counts = [int(word) for word in sys.argv[1:]] or [500, 2000]
    print("scans   first run: CPU ms, wall ms a scan   second run: CPU ms, wall ms a scan")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            source, work = Path(folder) / "scans", Path(folder) / "work"
            make_scans(source, count)
            first, second = run(source, work), run(source, work)
        print(
            f"{count:>5}   {first[0]:>8.1f} {first[1]:>8.1f}   {second[0]:>24.2f} {second[1]:>8.2f}"
        )


if __name__ == "__main__":
    main()
