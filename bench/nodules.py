"""The nodule net on phantoms of LIDC scans: what it finds in patients it was not trained on.

    python -m bench.nodules --work nodules-work
    python -m bench.nodules --work nodules-work --set train.network=unet --set train.base_width=16

Phantoms with the contours that LIDC's radiologists drew go through the four commands, with the
preset `lidc` cut down to what two cores train in half an hour: squares of 128 pixels, NASNet's
smaller decoder and 19,200 of them in all. The phantoms are made once and kept in `--work`.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np

from bench import lungseg, parser
from lungseg.core.errors import ScanError
from lungseg.core.record import read_record
from lungseg.phantom.demo import DICOM, DemoPatient, write_phantom
from lungseg.session import work_folder

SCANS = Path(__file__).parents[1] / "data_manifests" / "lidc_scans.csv"
# Few, thick slices are rendered fast; with more nodules, hardly any chest holds them all.
SLICES, NODULES = range(85, 146), range(7)
NUISANCES: tuple[dict[str, Any], ...] = (
    {},
    {"contrast": True},
    {"noise_hu": 25.0},
    {},
    {"open_trachea": True},
    {"effusion": True},
    {},
    {"noise_hu": 35.0},
    {"arms_down": True},
)
SETTINGS = (
    "split-patients.validation_share=0.08",
    "train.decoder=lite",
    "train.crop_px=128",
    "train.slices_per_epoch=1600",
    "train.epochs=12",
    "train.warmup_epochs=1",
    # Whole slices of a tenth of the patients take as long as two epochs of squares.
    "train.validate_every=12",
    "train.workers=1",
    "predict.batch_size=8",
)
PRESET = "lidc"
SHOWN = ("build-tables", "split-patients", "train", "evaluate")
FILE = "phantoms.json"


def main() -> None:
    arguments = parser("nodules-work")
    arguments.add_argument("--scans", type=int, default=80)
    options = arguments.parse_args()
    made = phantoms(options.work / "phantoms", options.scans)
    print(f"{len(made)} phantoms, {sum(made.values())} nodules with 3+ readers", flush=True)
    work, settings = options.work / "work", (*SETTINGS, *options.set)
    how = [f"--preset={PRESET}", f"--work={work}", *(f"--set={value}" for value in settings)]
    lungseg("preprocess", "--src", options.work / "phantoms" / DICOM, *how, "--quiet")
    for command in ("build-tables", "train"):
        lungseg(command, *how)
    printed = lungseg("postprocess", *how)
    print("\n".join(line for line in printed if line.split(":")[0] in SHOWN))
    report(
        work_folder.open_session(
            work, work_folder.CommandOptions(preset=PRESET, assignments=settings)
        )
    )


def phantoms(out: Path, scans: int) -> dict[str, int]:
    """Write phantoms until there are `scans`; nodules with 3 readers or more, by patient."""
    file = out / FILE
    made: dict[str, int] = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for patient in demo_patients():
        if len(made) >= scans:
            break
        if patient.patient in made:
            continue
        try:
            made[patient.patient] = write_phantom(patient, out).counted
        except ScanError as error:
            print(f"left out: {error}")
            continue
        file.write_text(json.dumps(made, indent=1), "utf-8")
    return made


def demo_patients() -> Iterator[DemoPatient]:
    """LIDC patients in a fixed order, every second one with two nodules or more."""
    with SCANS.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    times = Counter(row["patient"] for row in rows)
    rows = [
        row
        for row in rows
        if times[row["patient"]] == 1
        and int(row["slices"]) in SLICES
        and int(row["nodules_3_readers"]) in NODULES
    ]
    rng = np.random.default_rng(85)
    order = [rows[k] for k in rng.permutation(len(rows))]
    rich = [row["patient"] for row in order if int(row["nodules_3_readers"]) > 1]
    others = [row["patient"] for row in order if int(row["nodules_3_readers"]) <= 1]
    patients = chain.from_iterable(zip(rich, others, strict=False))
    for patient, nuisances in zip(patients, cycle(NUISANCES), strict=False):
        yield DemoPatient(patient, "benchmark", nuisances)


def report(done: work_folder.Session) -> None:
    """Print sensitivities, the masks' scores and the seconds to predict a scan."""
    folders = done.folders()
    scores = json.loads((folders[""]["evaluate"] / "scores.json").read_text("utf-8"))
    at = scores["detection"]["sensitivity_at"]
    print("sensitivity at", ", ".join(f"{rate}: {found:.2f}" for rate, found in at.items()))
    print("pooled", scores["segmentation"]["pooled"])
    predicted = [stages["predict"] for stages in folders.values() if "predict" in stages]
    seconds = np.median([read_record(folder).seconds for folder in predicted])
    print(f"predict: {seconds:.1f} s per scan (median)")


if __name__ == "__main__":
    main()
