"""Split patients: the table's patients -> train, validation and test.

reads   build-tables/tables.h5
writes  split.json   hash, seed, method, patients of each part, part of each scan

The split is by patient: slices of one scan, and scans of one patient, look alike, and a net
that saw one knows the other. Patients are dealt out in the order of their nodule count, so each
part has its share of the rich and of the empty; a nodule counts if enough radiologists drew it
to be truth (build-tables.min_readers). Scans nobody read are in no part: they cannot be scored,
and a nodule in them would be trained as background.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import DataError
from lungseg.core.json_file import write_json
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, param
from lungseg.io.annotations.fold_file import Assigned, read_folds
from lungseg.io.tables.reader import UNANNOTATED, Tables, decoded
from lungseg.ops.samples.split import (
    PARTS,
    Parts,
    assigned_split,
    extended_split,
    fold_split,
    random_split,
    split_hash,
)

FILE = "split.json"
UNLISTED = "unlisted"

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SplitPatients(Params):
    """Parameters of this stage."""

    seed: int = param(1, "another seed gives another split", ge=0)
    validation_share: float = param(
        0.1, "share of the patients to choose the best epoch on", ge=0, lt=1
    )
    test_share: float = param(0.2, "share of the patients to score on", ge=0, lt=1)
    folds: int = param(0, "cross-validation: number of folds; 0 for none", ge=0)
    fold: int = param(0, "the fold to score on, counted from 0", ge=0)
    file: str = param(
        "", "CSV with your own parts or folds, or LUNA16's folder of subsets", path=True
    )
    unannotated: bool = param(
        False, "deal out scans that nobody read, too; of use with train.target = lungs"
    )


@dataclass(frozen=True)
class _TabledScan:
    scan: str
    patient: str
    truth: str
    nodules: int


def run(params: SplitPatients, inputs: DatasetInputs, out: Path) -> Facts:
    """Read the table's scans, deal out their patients, write the split."""
    with Tables(inputs.stages["build-tables"] / "tables.h5") as table:
        scans = _scans(table)
    annotated = _dealt(scans, unread=params.unannotated)
    parts = split(annotated, scans, params, _earlier(inputs.previous, params))
    extra = {UNANNOTATED: {s.patient for s in scans} - set(annotated)}
    extra[UNLISTED] = set(annotated).difference(*(parts[part] for part in PARTS))
    if extra[UNLISTED]:
        log.warning("%d patients are not in %s: no part", len(extra[UNLISTED]), params.file)
    parts |= {name: sorted(patients) for name, patients in extra.items() if patients}
    part_of = {patient: part for part, patients in parts.items() for patient in patients}
    document = {
        "hash": split_hash(parts),
        "seed": params.seed,
        "method": method(params),
        "parts": parts,
        "scans": {
            s.scan: UNANNOTATED if _unread(s) and not params.unannotated else part_of[s.patient]
            for s in scans
        },
    }
    write_json(document, out / FILE)
    nodules = {part: sum(annotated[p] for p in parts[part]) for part in PARTS}
    return {
        "hash": split_hash(parts),
        "method": method(params),
        **{f"{part}_patients": len(parts[part]) for part in PARTS},
        **{f"{part}_nodules": nodules[part] for part in PARTS},
        "unannotated_patients": len(extra[UNANNOTATED]),
        "unlisted_patients": len(extra[UNLISTED]),
    }


def _earlier(previous: Path | None, params: SplitPatients) -> Parts:
    """The parts of the split before, which patients keep; folds and lists are what they are."""
    if previous is None or params.file or params.folds:
        return {}
    found = json.loads((previous / FILE).read_text("utf-8"))["parts"]
    return {part: found[part] for part in PARTS}


def split(
    annotated: Mapping[str, int],
    scans: list[_TabledScan],
    params: SplitPatients,
    earlier: Mapping[str, list[str]],
) -> Parts:
    """Patients of each part by the method that the parameters ask for."""
    if not annotated:
        raise DataError(
            f"none of the {len(scans)} scans in the tables was annotated: nothing can be "
            "trained on or scored; for a net of lungs, set split-patients.unannotated = true"
        )
    if params.file:
        listed = by_patient(read_folds(Path(params.file)), {s.scan: s.patient for s in scans})
        return assigned_split(annotated, listed, params.fold, params.validation_share, params.seed)
    if params.folds:
        return fold_split(
            annotated, params.folds, params.fold, params.validation_share, params.seed
        )
    shares = (params.validation_share, params.test_share)
    if set(annotated) & {patient for patients in earlier.values() for patient in patients}:
        return extended_split(earlier, annotated, *shares, params.seed)
    return random_split(annotated, *shares, params.seed)


def method(params: SplitPatients) -> str:
    """How the patients were split, in a few words."""
    if params.file:
        return f"file {Path(params.file).name}, fold {params.fold}"
    if params.folds:
        return f"fold {params.fold} of {params.folds}, by nodule count"
    return "random, by nodule count"


def by_patient(assigned: Assigned, patient_of: Mapping[str, str]) -> dict[str, str | int]:
    """A list by patient or scan as one by patient; scans that are not here are passed over.

    One patient of LUNA16 has two scans: where numbered folds part the scans of a patient, all
    of them go into the lowest of those folds, and the log says so.

    Raises
    ------
    DataError
        If it puts two scans of one patient into different parts by name.
    """
    listed: dict[str, str | int] = {}
    for (kind, name), part in assigned.items():
        patient = name if kind == "patient" else patient_of.get(name)
        if patient is None:
            continue
        other = listed.setdefault(patient, part)
        if other == part:
            continue
        if isinstance(other, str) or isinstance(part, str):
            raise DataError(
                f"the split's file has scans of patient {patient} in {other} and in {part}; a "
                "patient can be on one side only"
            )
        listed[patient] = min(other, part)
        log.warning(
            "patient %s has scans in folds %d and %d of the split's file; all go into %d",
            patient, other, part, listed[patient],
        )  # fmt: skip
    return listed


def _scans(table: Tables) -> list[_TabledScan]:
    records = table.scans
    least = int(json.loads(table.attributes.get("params", "{}")).get("min_readers", 1))
    true_nodules = table.nodules[table.nodules["readers"] >= least]
    return [
        _TabledScan(scan, patient, truth, int(nodules))
        for scan, patient, truth, nodules in zip(
            decoded(records["scan"]),
            decoded(records["patient"]),
            decoded(records["truth"]),
            np.bincount(true_nodules["scan_row"], minlength=len(records)),
            strict=True,
        )
    ]


def _unread(scan: _TabledScan) -> bool:
    return scan.truth == UNANNOTATED


def _dealt(scans: list[_TabledScan], *, unread: bool) -> dict[str, int]:
    """Nodules by patient, of those whom the split deals out."""
    counts: Counter[str] = Counter()
    for scan in scans:
        if unread or not _unread(scan):
            counts[scan.patient] += scan.nodules
    return dict(counts)


STAGE = DatasetStage(
    name="split-patients",
    version=2,
    help="deal the patients out into train, validation and test",
    params=SplitPatients,
    needs=("build-tables",),
    run=run,
)
"""The stage, for `lungseg.flow`."""
