"""Split patients: the table's patients -> train, validation and test.

reads   build-tables/tables.h5
writes  split.json   hash, seed, method, patients of each part, part of each scan

The split is by patient: slices of one scan, and scans of one patient, look alike, so that scores
on one would be too good if the net was trained on the other. It is stratified by the number of
nodules: each part gets its share of patients with many nodules and with none. A nodule counts if
enough readers drew it (build-tables.min_readers). Unannotated scans are in no part: they cannot be
scored, and a nodule in them would be trained as background.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import DataError
from lungseg.core.json_file import write_json
from lungseg.core.stage import DatasetInputs, DatasetStage, Facts, Params, param
from lungseg.io.annotations.fold_file import Assigned, read_folds
from lungseg.io.annotations.nodule_list import UNANNOTATED
from lungseg.io.sources.pseudonyms import is_pseudonym, key_above, pseudonym
from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import decoded
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

# What it means that no nodule is in a part.
_WITHOUT = {
    "train": "nothing is learnt of nodules",
    "validation": "the best epoch is chosen by chance",
    "test": "the scores say nothing",
}


@dataclass(frozen=True, kw_only=True)
class SplitPatients(Params):
    """Parameters of this stage."""

    seed: int = param(1, "another seed gives another split", ge=0)
    validation_share: float = param(
        0.1, "share of the patients on whom the best epoch is chosen", ge=0, lt=1
    )
    test_share: float = param(0.2, "share of the patients that are scored", ge=0, lt=1)
    folds: int = param(0, "cross-validation: number of folds; 0 for none", ge=0)
    fold: int = param(0, "the fold that is scored, counted from 0", ge=0)
    file: str = param(
        "", "CSV that assigns parts or folds, or LUNA16's folder of subsets", path=True
    )
    unannotated: bool = param(
        False, "split patients of unannotated scans, too; useful with train.target = lungs"
    )


@dataclass(frozen=True)
class _Scan:
    scan: str
    patient: str
    truth: str
    nodules: int


def run(params: SplitPatients, inputs: DatasetInputs, out: Path) -> Facts:
    """Read the table's scans, split their patients, write the split."""
    with Tables(inputs.stages["build-tables"] / "tables.h5") as table:
        scans = _scans(table)
    eligible = _nodules_by_patient(scans, unannotated=params.unannotated)
    key = _key(scans, inputs.stages["build-tables"])
    parts = split(eligible, scans, params, _earlier(inputs.previous, params, key), key)
    extra = {UNANNOTATED: {s.patient for s in scans} - set(eligible)}
    extra[UNLISTED] = set(eligible).difference(*(parts[part] for part in PARTS))
    if extra[UNLISTED]:
        log.warning(
            "%d patients are in no part: %s has none of them", len(extra[UNLISTED]), params.file
        )
    parts |= {name: sorted(patients) for name, patients in extra.items() if patients}
    part_of = {patient: part for part, patients in parts.items() for patient in patients}
    document = {
        "hash": split_hash(parts),
        "seed": params.seed,
        "method": method(params),
        "parts": parts,
        "scans": {
            s.scan: UNANNOTATED
            if _unannotated(s) and not params.unannotated
            else part_of[s.patient]
            for s in scans
        },
    }
    write_json(document, out / FILE)
    nodules = {part: sum(eligible[p] for p in parts[part]) for part in PARTS}
    for part in PARTS if any(nodules.values()) else ():
        if parts[part] and not nodules[part]:
            log.warning(
                "no nodule that counts is in the %s part (patients: %d), so that %s; take more "
                "scans, or another split-patients.seed",
                part,
                len(parts[part]),
                _WITHOUT[part],
            )
    return {
        "hash": split_hash(parts),
        "method": method(params),
        **{f"{part}_patients": len(parts[part]) for part in PARTS},
        **{f"{part}_nodules": nodules[part] for part in PARTS},
        "unannotated_patients": len(extra[UNANNOTATED]),
        "unlisted_patients": len(extra[UNLISTED]),
    }


def _key(scans: Sequence[_Scan], folder: Path) -> bytes | None:
    # Lists and earlier splits may have the true names of those who have pseudonyms now.
    return key_above(folder) if any(is_pseudonym(scan.patient) for scan in scans) else None


def _earlier(previous: Path | None, params: SplitPatients, key: bytes | None) -> Parts:
    """The parts of the split before, which patients keep; folds and lists are not kept."""
    if previous is None or params.file or params.folds:
        return {}
    found = json.loads((previous / FILE).read_text("utf-8"))["parts"]
    return {part: [_name(patient, key) for patient in found[part]] for part in PARTS}


def _name(patient: str, key: bytes | None) -> str:
    return pseudonym(patient, key) if key else patient


def split(
    eligible: Mapping[str, int],
    scans: list[_Scan],
    params: SplitPatients,
    earlier: Mapping[str, list[str]],
    key: bytes | None = None,
) -> Parts:
    """Patients of each part; `eligible` has the number of nodules by patient.

    `key` is that of the patients' pseudonyms, where they have some.
    """
    if not eligible:
        raise DataError(
            f"none of the {len(scans)} scans in the tables is annotated: no scan can be trained "
            "on or scored; to train on lungs, set split-patients.unannotated = true"
        )
    if params.file:
        listed = by_patient(read_folds(Path(params.file)), {s.scan: s.patient for s in scans}, key)
        return assigned_split(eligible, listed, params.fold, params.validation_share, params.seed)
    if params.folds:
        return fold_split(eligible, params.folds, params.fold, params.validation_share, params.seed)
    shares = (params.validation_share, params.test_share)
    if set(eligible) & {patient for patients in earlier.values() for patient in patients}:
        return extended_split(earlier, eligible, *shares, params.seed)
    return random_split(eligible, *shares, params.seed)


def method(params: SplitPatients) -> str:
    """How the patients were split, in a few words."""
    if params.file:
        return f"file {Path(params.file).name}, fold {params.fold}"
    if params.folds:
        return f"fold {params.fold} of {params.folds}, by nodule count"
    return "random, by nodule count"


def by_patient(
    assigned: Assigned, patient_of: Mapping[str, str], key: bytes | None = None
) -> dict[str, str | int]:
    """A list by patient or by scan, as one by patient; scans not in the table are left out.

    One patient of LUNA16 has two scans: where the scans of a patient are in several numbered
    folds, all go into the lowest of these, and the log says so.

    Raises
    ------
    DataError
        If it puts two scans of one patient into different named parts.
    """
    listed: dict[str, str | int] = {}
    for (kind, name), part in assigned.items():
        patient = _name(name, key) if kind == "patient" else patient_of.get(name)
        if patient is None:
            continue
        other = listed.setdefault(patient, part)
        if other == part:
            continue
        if isinstance(other, str) or isinstance(part, str):
            raise DataError(
                f"the split's file has scans of patient {patient} in {other} and in {part}; a "
                "patient can be in one part only"
            )
        listed[patient] = min(other, part)
        log.warning(
            "patient %s has scans in folds %d and %d of the split's file; all go into %d",
            patient, other, part, listed[patient],
        )  # fmt: skip
    return listed


def _scans(table: Tables) -> list[_Scan]:
    records = table.scans
    min_readers = int(json.loads(table.attributes.get("params", "{}")).get("min_readers", 1))
    true_nodules = table.nodules[table.nodules["readers"] >= min_readers]
    return [
        _Scan(scan, patient, truth, int(nodules))
        for scan, patient, truth, nodules in zip(
            decoded(records["scan"]),
            decoded(records["patient"]),
            decoded(records["truth"]),
            np.bincount(true_nodules["scan_row"], minlength=len(records)),
            strict=True,
        )
    ]


def _unannotated(scan: _Scan) -> bool:
    return scan.truth == UNANNOTATED


def _nodules_by_patient(scans: list[_Scan], *, unannotated: bool) -> dict[str, int]:
    """Number of nodules of each patient that can be in a part."""
    counts: Counter[str] = Counter()
    for scan in scans:
        if unannotated or not _unannotated(scan):
            counts[scan.patient] += scan.nodules
    return dict(counts)


STAGE = DatasetStage(
    name="split-patients",
    version=2,
    help="split the patients into train, validation and test",
    params=SplitPatients,
    needs=("build-tables",),
    run=run,
)
"""The stage, for `lungseg.flow`."""
