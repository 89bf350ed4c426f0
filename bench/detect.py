"""How long `detect` takes a scan: on the clock, and CPU seconds of each stage.

    python -m bench.detect [SCANS...]

By default LIDC-IDRI-0314. Where the cores have other work, the CPU seconds say more. Those of the
stages leave out the start of processes and what the command does itself; `all` has them.
"""

import argparse
import json
import resource
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from bench import lungseg
from bench.lungs import DATA


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    arguments.add_argument("scans", nargs="*", default=[DATA / "LIDC-IDRI" / "LIDC-IDRI-0314"])
    arguments.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE")
    options = arguments.parse_args()
    settings = [f"--set={value}" for value in options.set]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        lungseg("detect", *options.scans, "--out", folder, "--quiet", *settings)
        seconds = time.perf_counter() - begin
        records = [json.loads(path.read_text()) for path in Path(folder).rglob("stage.json")]
    cpu: dict[str, float] = defaultdict(float)
    for record in sorted(records, key=lambda one: one["finished"]):
        cpu[record["stage"]] += record["cpu_seconds"]
    n = len({record["scan"] for record in records})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{n} scans, each: {seconds / n:.1f} s on the clock; CPU seconds:")
    print(", ".join(f"{stage} {spent / n:.1f}" for stage, spent in cpu.items()))
    print(f"all {(used.ru_utime + used.ru_stime) / n:.1f}")
    kinds = {one["facts"]["precision"] for one in records if one["stage"] == "predict"}
    print(f"predicted in {' and '.join(sorted(kinds))}")


if __name__ == "__main__":
    main()
