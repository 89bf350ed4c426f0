"""CPU seconds and memory of ingest + resample + segment-lungs, against the floor.

The floor is what nothing can avoid: decode every DICOM file once (pydicom), and write the 1 mm
volume once. Everything is measured in one run, in CPU seconds, each part in a process of its own.
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


def floor(files, out):
    """Seconds of CPU for the floor over `files`, after imports."""
    import numpy as np
    import pydicom

    from pipeline.io import images
    from pipeline.volume import Geometry, Volume

    pixels = [pydicom.dcmread(file).pixel_array for file in files[:1]]
    shape = (len(files), *pixels[0].shape)
    start = time.process_time()
    volume = np.empty(shape, np.int16)
    for z, file in enumerate(files):
        volume[z] = pydicom.dcmread(file).pixel_array
    read = time.process_time() - start
    from pipeline.io.images import read_hu

    one_mm = read_hu(out / "ct.h5") if (out / "ct.h5").exists() else Volume(volume, Geometry((1, 1, 1)))
    start = time.process_time()
    images.write(one_mm, out / "floor.h5")
    return read, time.process_time() - start


def stages(files, work):
    """CPU seconds by stage, and peak memory in MiB, for one scan made of `files`."""
    import cc3d  # noqa: F401 - imported before the clock starts, as in a worker that has done a scan
    import scipy.ndimage  # noqa: F401
    import skimage.measure  # noqa: F401

    from pipeline.core.config import settings
    from pipeline.core.engine import EngineOptions
    from pipeline.core.plan import Request, ScanRef
    from pipeline.core.runner import Run
    from pipeline.core.store import Store
    from pipeline.flow import FLOW
    from pipeline.io.sources import index, write_source

    folder = work / "src"
    folder.mkdir()
    for n, file in enumerate(files):
        (folder / f"{n:05d}.dcm").symlink_to(file)
    start = time.process_time()
    (source,), _ = index([folder], work / "headers.cache")
    indexed = time.process_time() - start
    write_source(source, work / "source.json")
    refs = [ScanRef(source.scan, source.patient, source.identity)]
    request = Request(FLOW, (STAGES[-1],), refs, settings(FLOW, []))
    start = time.process_time()
    summary = Run(
        Store(work), request, {source.scan: work / "source.json"}, EngineOptions()
    ).execute()
    total = time.process_time() - start
    seconds = {stage: r.record.cpu_seconds for (stage, _), r in summary.results.items()}
    (resampled,) = work.glob("scans/*/resample/*/ct.h5")
    return {
        "index": indexed,
        **seconds,
        "total": total,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "resampled": str(resampled.parent),
    }


def in_a_process(what, *arguments):
    """Result of `what` in a fresh process of one thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "bench.preprocess", what, *map(str, arguments)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Print the table."""
    if not SCAN.is_dir():
        print(f"no scan to measure: {SCAN} is absent; set LUNGSEG_TEST_DATA")
        return
    files = sorted(SCAN.rglob("*.dcm"))
    print("slices   index  ingest  resample  segment-lungs   total   peak MiB")
    for count in (100, 200, 275):
        with tempfile.TemporaryDirectory() as work:
            got = in_a_process("stages", work, count)
            print(
                f"{count:6d}  {got['index']:6.2f}  {got['ingest']:6.2f}  {got['resample']:8.2f}"
                f"  {got['segment-lungs']:13.2f}  {got['total']:6.2f}  {got['peak_mib']:9.0f}"
            )
            if count == len(files):
                read, write = in_a_process("floor", got["resampled"], count)
                floor_s = read + write
                print(
                    f"floor: read {read:.2f} + write {write:.2f} = {floor_s:.2f} CPU-s; "
                    f"the three stages take {got['total'] / floor_s:.1f} times that"
                )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        chosen = sorted(SCAN.rglob("*.dcm"), key=lambda p: p.name)[: int(sys.argv[3])]
        function = {"stages": stages, "floor": floor}[sys.argv[1]]
        print(json.dumps(function(chosen, Path(sys.argv[2]))))
    else:
        main()
