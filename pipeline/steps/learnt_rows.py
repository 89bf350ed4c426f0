"""What a net learns from, as one digest: rows of other patients come and go without harm."""

import json
from collections.abc import Mapping
from pathlib import Path

from lungseg.core.fingerprint import digest_of
from lungseg.io.annotations.nodule_list import UNANNOTATED
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import decoded

# The parts of the split that a net learns from, or is chosen on.
TAUGHT = ("train", "validation")
# Settings of build-tables that choose scans, pictures and nodule slices, and what these are taken
# for; the rows themselves show the result.
WHICH_SCANS = (
    "unannotated", "leave_out_suspect", "leave_out_misfits", "images", "masks", "nodule_slices",
    "slices_spacing_mm", "stretched_slices", "stretched_low_hu", "stretched_high_hu",
    "stretched_pixel_mm", "stretched_gap_mm",
)  # fmt: skip


def learnt_from(target: str, folders: Mapping[str, Path]) -> str:
    """Identity of the rows that a net learns from: those of its train and validation patients.

    Parameters
    ----------
    target
        A net of nodules learns from annotated scans alone.
    folders
        Of the complete outputs of build-tables and split-patients.
    """
    split = json.loads((folders["split-patients"] / "split.json").read_text("utf-8"))
    part_of = {p: part for part in TAUGHT for p in split["parts"].get(part, ())}
    with Tables(folders["build-tables"] / "tables.h5") as table:
        made_with = json.loads(table.attributes["params"])
        rows = [
            [part_of[patient], scan, made_of]
            for scan, patient, made_of, truth in zip(
                *(
                    decoded(table.scans[name])
                    for name in ("scan", "patient", "fingerprint", "truth")
                ),
                strict=True,
            )
            if patient in part_of and (truth != UNANNOTATED or target == "lungs")
        ]
        spacing = [float(mm) for mm in table.attributes["spacing_mm"]]
    settings = {name: value for name, value in made_with.items() if name not in WHICH_SCANS}
    return digest_of([settings, spacing, sorted(rows)])
