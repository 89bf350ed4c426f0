"""Train the nets that come with the package, from the data alone: hours on two cores.

    make models
    python -m bench.models --data DATA --scans SCANS --out models-work --only nodules --gpu

`DATA` ($LUNGSEG_TEST_DATA) holds `nodules` (slices around LIDC nodules with each annotator's mask),
`LIDC-IDRI/LIDC-IDRI-0314` (a whole scan) and `xray` (films with lung masks); `SCANS`
($LUNGSEG_PUBLIC_SCANS) holds whole LIDC scans, for negatives. Everything is seeded. A run that was
broken off goes on; one that is complete does nothing.

`nodules` learns by the parts in `data_manifests/lidc_parts.csv` (84 patients are its test): windows
first, then on from there with whole scans beside them. With `--gpu` the result is
`OUT/nodules-scans/results/model.keras`, by the presets of the net that is shipped. Without, a
second net goes on from the windows, and the mean of the two is `OUT/nodules.keras`.
`bench.reducer` gives it a reducer. `xray-lungs` learns from the films but for a fifth, on which
`bench.xray` scores it, and then, a fifth as long, from nearly all of them:
`OUT/xray-lungs/results/model.keras`. `ct-lungs` learns from the sound masks of whole scans but
those of `data_manifests/ct_lungs_left_out.csv`, on which `bench.lung_net` scores it:
`OUT/ct-lungs.keras`; and so does `ct-tumours`, but for those of
`data_manifests/ct_tumours_left_out.csv`, on some of which `bench.painted_tumours` scores it:
`OUT/ct-tumours.keras`. `lungseg-cli models pack` packs them.
"""

import argparse
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench import lungseg

WHOLE = "LIDC-IDRI/LIDC-IDRI-0314"
NETS = ("nodules", "xray-lungs", "ct-lungs", "ct-tumours")
# What the second of two is shown on a CPU: nodules between 0.6 and 1.6 times their size, half as
# long again.
OF_SIZES = ("--set=train.zoom=0.6", "--set=train.epochs=6")
OF_ALL_FILMS = (
    "--set=split-patients.test_share=0",
    "--set=train.epochs=6",
    "--set=train.learning_rate=3e-4",
)
PARTS = Path("data_manifests/lidc_parts.csv")
LEFT_OUT = Path("data_manifests/ct_lungs_left_out.csv")
WITHOUT_TUMOURS = Path("data_manifests/ct_tumours_left_out.csv")


def main() -> None:
    for command in commands(_parser().parse_args()):
        print("lungseg-cli", *command, flush=True)
        try:
            print("\n".join(lungseg(*command)), flush=True)
        except subprocess.CalledProcessError as failed:
            # What is wrong the command has said itself.
            raise SystemExit(failed.returncode) from None


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
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--gpu", action="store_true", help="nodules: by the presets for a GPU")
    arguments.add_argument("--set", action="append", default=[], metavar="STAGE.NAME=VALUE")
    return arguments


def commands(options: argparse.Namespace) -> Iterator[list[str]]:
    """What is typed, one command after another."""
    steps = {
        "nodules": _nodules, "xray-lungs": _xray_lungs,
        "ct-lungs": _ct_lungs, "ct-tumours": _ct_tumours,
    }  # fmt: skip
    more = [f"--jobs={options.jobs}", *(f"--set={value}" for value in options.set)]
    for name in options.only or NETS:
        yield from steps[name](options, more)


def _xray_lungs(options: argparse.Namespace, more: list[str]) -> Iterator[list[str]]:
    """A fifth of the films held back; then on from that net with nearly all, a fifth as long."""
    first, second = (options.out / name for name in ("xray-lungs-scored", "xray-lungs"))
    pairs = [f"--{kind}={options.data / 'xray' / kind}" for kind in ("images", "masks")]
    yield ["train", "--preset=xray", *pairs, f"--work={first}", *more]
    changed = [f"--set=train.start_from={_net_in(first)}", *OF_ALL_FILMS]
    yield ["train", "--preset=xray", *pairs, *changed, f"--work={second}", *more]


def _nodules(options: argparse.Namespace, more: list[str]) -> Iterator[list[str]]:
    """Windows alone first; then whole scans beside them; on a CPU twice, and the mean of both."""
    preset = "lidc-gpu" if options.gpu else "lidc-cpu"
    # Rather refused than begun on a CPU, where it would take a day.
    device = ["--device=gpu"] if options.gpu else []
    first, second, third = (
        options.out / name for name in ("nodules-windows", "nodules-scans", "nodules-sizes")
    )
    data = [
        *device,
        f"--set=build-tables.nodule_slices={options.data / 'nodules'}",
        f"--set=split-patients.file={options.parts}",
    ]
    yield ["train", f"--preset={preset}", *data, f"--work={first}", *more]
    scans = [*sorted(options.scans.glob("LIDC-IDRI-*")), options.data / WHOLE]
    start = f"--set=train.start_from={_net_in(first)}"
    on = ((second, ()),) if options.gpu else ((second, ()), (third, OF_SIZES))
    for work, changed in on:
        how = [*data, start, *changed, f"--work={work}", *more]
        yield ["preprocess", *(f"--src={scan}" for scan in scans), f"--work={work}", *more]
        yield ["train", f"--preset={preset}-scans", *how]
    if options.gpu:
        return
    mean = options.out / "nodules.keras"
    yield ["models", "average", str(_net_in(third)), str(_net_in(second)), f"--out={mean}"]


def _ct_lungs(options: argparse.Namespace, more: list[str]) -> Iterator[list[str]]:
    how = ["--epochs=40", "--precision=mixed_bfloat16", f"--leave-out={LEFT_OUT}"]
    yield from _taught_by_masks(options, more, "ct-lungs", how)


def _ct_tumours(options: argparse.Namespace, more: list[str]) -> Iterator[list[str]]:
    how = ["--tumours", "--epochs=44", f"--leave-out={WITHOUT_TUMOURS}"]
    yield from _taught_by_masks(options, more, "ct-tumours", how)


def _taught_by_masks(
    options: argparse.Namespace, more: list[str], name: str, how: list[str]
) -> Iterator[list[str]]:
    """Masks without a second opinion, which the net is taught to give."""
    work = options.out / "ct-lungs-work"
    scans = [*sorted(options.scans.iterdir()), *sorted(options.data.glob("lungs/lctsc_*_ct.*"))]
    sources = [f"--src={scan}" for scan in (*scans, options.data / WHOLE)]
    alone = "--set=segment-lungs.second_opinion=never"
    yield ["preprocess", *sources, alone, f"--work={work}", *more]
    net, jobs = options.out / f"{name}.keras", f"--jobs={options.jobs}"
    yield ["models", "teach-lungs", f"--work={work}", f"--out={net}", *how, jobs]


def _net_in(work: Path) -> Path:
    return work / "results" / "model.keras"


if __name__ == "__main__":
    main()
