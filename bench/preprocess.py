"""CPU seconds and memory of ingest + resample + segment-lungs, against the unavoidable part.

Unavoidable is to decode every DICOM file once (pydicom), and to write the 1 mm volume once.
Everything is measured in one run, in CPU seconds of one thread, each part in a process of its own;
where the cores have other work, the least of several runs says most (`REPEAT=3`).
Longer and shorter scans are the real one cut, or followed by its mirror image.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STAGES = ("ingest", "resample", "segment-lungs")
DATA = Path(os.environ.get("LUNGSEG_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SCAN = DATA / "LIDC-IDRI" / "LIDC-IDRI-0314"
REPEAT = int(os.environ.get("REPEAT", "1"))
# As in a worker: processes are what is spread over the cores.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
LENGTHS = (100, 200, 400, 764)  # the largest of LIDC-IDRI has 764


def floor(files, ct):
    """CPU seconds to read `files`, and to write the 1 mm volume in the file `ct`."""
    import numpy as np
    import pydicom

    from lungseg.io.volumes import volume_file

    volume = np.empty((len(files), *pydicom.dcmread(files[0]).pixel_array.shape), np.int16)
    start = time.process_time()
    for z, file in enumerate(files):
        volume[z] = pydicom.dcmread(file).pixel_array
    read = time.process_time() - start
    one_mm = volume_file.read_hu(ct)
    start = time.process_time()
    volume_file.write(one_mm, ct.with_name("floor.h5"))
    return read, time.process_time() - start


def stages(folder, work, last=STAGES[-1]):
    """CPU seconds by stage up to `last`, and peak memory in MiB, for the one scan in `folder`."""
    # Imported before the clock starts, as in a worker that has done a scan before. These alone:
    # what the stages never import (SimpleITK, 80 MiB of it) would count as their memory.
    import cc3d  # noqa: F401
    import scipy.ndimage  # noqa: F401

    from lungseg.core.executor import EngineOptions
    from lungseg.core.runner import Watch
    from lungseg.session.work_folder import CommandOptions, open_session

    before = time.process_time()
    session = open_session(work, CommandOptions(), [folder])
    start = time.process_time()
    summary = session.run((last,), EngineOptions(), Watch())
    total = time.process_time() - start
    if summary.failed:
        raise SystemExit(str([result.error for result in summary.results.values()]))
    return {
        "index": start - before,
        **{stage: r.record.cpu_seconds for (stage, _), r in summary.results.items()},
        "total": total,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def write_length(ct, slices, folder):
    """The scan of the file `ct` (`ingest`'s), cut to `slices` or there and back again."""
    import numpy as np

    from lungseg.io.dicom.write import SeriesHeader, write_series
    from lungseg.io.volumes import volume_file
    from lungseg.volume import Volume

    whole = volume_file.read_hu(ct)
    there_and_back = np.concatenate([whole.array, whole.array[::-1]])
    longer = np.take(there_and_back, range(slices), axis=0, mode="wrap")
    header = SeriesHeader(patient="P", study="1.2.826.1", series=f"1.2.826.{slices}")
    write_series(Volume(longer, whole.geometry), folder, header)


def in_a_process(what, *arguments):
    """Result of a function of this module in a fresh process of one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "BLOSC_NTHREADS"), "1")
    command = [sys.executable, "-m", "bench.preprocess", what, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **threads}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def least(what, source, work):
    """Of `REPEAT` runs of `what`, each in a work folder of its own, that with the least CPU-s."""
    runs = [in_a_process(what, source, f"{work}-{k}") for k in range(REPEAT)]
    return min(runs, key=lambda run: run["total"])


def row(name, got):
    """One line of the table."""
    seconds = "  ".join(f"{got[stage]:{max(len(stage), 6)}.2f}" for stage in ("index", *STAGES))
    print(f"{name:>12}  {seconds}  {got['total']:6.2f}  {got['peak_mib']:9.0f}", flush=True)


def main():
    """Print the table."""
    if not SCAN.is_dir():
        print(f"no scan to measure: {SCAN} is absent; set LUNGSEG_TEST_DATA")
        return
    print("      slices   index  ingest  resample  segment-lungs   total   peak MiB")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        real = least("stages", SCAN, base / "real")
        row("275 (0314)", real)
        ct, one_mm = (next(base.glob(f"real-0/scans/*/{stage}/*/ct.h5")) for stage in STAGES[:2])
        floors = [in_a_process("floor", SCAN, one_mm) for _ in range(REPEAT)]
        read, write = (min(seconds) for seconds in zip(*floors, strict=True))
        for slices in LENGTHS:
            in_a_process("write_length", ct, slices, base / f"src{slices}")
            row(slices, least("stages", base / f"src{slices}", base / f"work{slices}"))
        # One stage a process, of what the one before it has left on the disk.
        alone = [in_a_process("stages", SCAN, base / "alone", stage) for stage in STAGES]
    print(
        f"floor: read {read:.2f} + write {write:.2f} = {read + write:.2f} CPU-s; "
        f"the three stages take {real['total'] / (read + write):.1f} times that"
    )
    each = ", ".join(f"{k} {got['peak_mib']:.0f}" for k, got in zip(STAGES, alone, strict=True))
    print(f"peak MiB by stage, each in a process of its own: {each}")


def _called(what, *arguments):
    if what == "stages":
        return stages(Path(arguments[0]), Path(arguments[1]), *arguments[2:])
    if what == "floor":
        return floor(sorted(Path(arguments[0]).rglob("*.dcm")), Path(arguments[1]))
    return write_length(Path(arguments[0]), int(arguments[1]), Path(arguments[2]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(_called(*sys.argv[1:])))
    else:
        main()
