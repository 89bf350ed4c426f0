"""Train the nets that come with the package, from the data alone: hours on two cores.

    make models
    python -m bench.models --data DATA --scans SCANS --out models-work --only nodules

`DATA` ($LUNGSEG_TEST_DATA) holds `nodules` (slices around LIDC nodules with each annotator's mask),
`LIDC-IDRI/LIDC-IDRI-0314` (a whole scan) and `xray` (films with lung masks); `SCANS`
($LUNGSEG_PUBLIC_SCANS) holds whole LIDC scans, for negatives. Everything is seeded. A run that was
broken off goes on; one that is complete does nothing. `nodules` learns by the parts in
`data_manifests/lidc_parts.csv` (84 patients are its test), in two steps. `xray-lungs` learns from
all films unless `--test-share` holds some back. The nets lie in `OUT/NAME/results/model.keras`,
and `lungseg-cli models pack` packs them.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from bench import lungseg

WHOLE = "LIDC-IDRI/LIDC-IDRI-0314"
NETS = ("nodules", "xray-lungs")
PARTS = Path("data_manifests/lidc_parts.csv")


def main() -> None:
    for command in commands(_parser().parse_args()):
        print("lungseg-cli", *command, flush=True)
        print("\n".join(lungseg(*command)), flush=True)


def _parser() -> argparse.ArgumentParser:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, variable in (("data", "LUNGSEG_TEST_DATA"), ("scans", "LUNGSEG_PUBLIC_SCANS")):
        told = os.environ.get(variable)
        arguments.add_argument(
            f"--{name}", type=Path, default=told, required=not told, help=f"default: ${variable}"
        )
    arguments.add_argument("--out", type=Path, default=Path("models-work"))
    arguments.add_argument("--only", action="append", choices=NETS)
    arguments.add_argument("--parts", type=Path, default=PARTS, help="patients and their parts")
    arguments.add_argument("--test-share", type=float, default=0.0, help="of films")
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE")
    return arguments


def commands(options: argparse.Namespace) -> Iterator[list[str]]:
    """What is typed, one command after another."""
    settings = [f"--set=split-patients.test_share={options.test_share}"]
    settings += [f"--set={value}" for value in options.set]
    for name in options.only or NETS:
        work = [f"--work={options.out / name}", f"--jobs={options.jobs}"]
        if name == "xray-lungs":
            pairs = [f"--{kind}={options.data / 'xray' / kind}" for kind in ("images", "masks")]
            yield ["train", "--preset=xray", *pairs, *work, *settings]
            continue
        yield from _nodules(
            options, [f"--jobs={options.jobs}", *(f"--set={v}" for v in options.set)]
        )


def _nodules(options: argparse.Namespace, more: list[str]) -> Iterator[list[str]]:
    """Windows alone first; then whole scans beside them, going on from that net."""
    first, second = (options.out / name for name in ("nodules-windows", "nodules"))
    data = [
        f"--set=build-tables.nodule_slices={options.data / 'nodules'}",
        f"--set=split-patients.file={options.parts}",
    ]
    yield ["train", "--preset=lidc-cpu", *data, f"--work={first}", *more]
    scans = [*sorted(options.scans.glob("LIDC-IDRI-*")), options.data / WHOLE]
    yield ["preprocess", *(f"--src={scan}" for scan in scans), f"--work={second}", *more]
    start = f"--set=train.start_from={first / 'results' / 'model.keras'}"
    yield ["train", "--preset=lidc-cpu-scans", *data, start, f"--work={second}", *more]


if __name__ == "__main__":
    main()
