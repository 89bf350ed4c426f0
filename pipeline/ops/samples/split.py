"""Split: patients into train, validation and test, so that no patient is on two sides.

Everything is a function of the patients and the seed: the order in which they come does not
matter, and the same patients always give the same split.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lungseg.core.errors import DataError

PARTS = ("train", "validation", "test")
Parts = dict[str, list[str]]


def split_hash(parts: Mapping[str, Sequence[str]]) -> str:
    """SHA-256 of who is in train, validation and test; it travels into models and scores.

    Patients outside the three do not count: a scan that nobody read may come or go.

    Examples
    --------
    >>> split_hash({"train": ["a", "b"], "test": ["c"]})[:8]
    'c0786215'
    >>> split_hash({"test": ["c"], "train": ["b", "a"], "unannotated": ["d"]})[:8]
    'c0786215'
    """
    canonical = {part: sorted(parts.get(part, ())) for part in PARTS}
    text = json.dumps(canonical, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def random_split(
    nodules: Mapping[str, int], validation_share: float, test_share: float, seed: int
) -> Parts:
    """Patients by part, at random, with equal nodule counts per patient in each.

    Parameters
    ----------
    nodules
        Count of nodules, by patient.
    validation_share, test_share
        Shares of the patients, 0 or more, together below 1; the rest is train.
    seed
        Another one gives another split.

    Returns
    -------
    dict
        Sorted patients of each of train, validation and test; every part with a share above 0
        has at least one patient, and one with nodules if there are enough.

    Raises
    ------
    DataError
        If there are fewer patients than parts, or the shares leave nothing to train on.

    Examples
    --------
    >>> nodules = {f"patient {k}": k % 3 for k in range(10)}
    >>> split = random_split(nodules, validation_share=0.2, test_share=0.2, seed=85)
    >>> {part: len(patients) for part, patients in split.items()}
    {'train': 6, 'validation': 2, 'test': 2}
    """
    shares = {
        "train": 1.0 - validation_share - test_share,
        "validation": validation_share,
        "test": test_share,
    }
    if shares["train"] < 1e-9 or min(shares.values()) < 0:
        raise DataError(
            f"validation_share {validation_share:g} and test_share {test_share:g} leave nothing "
            "to train on; together they must be below 1"
        )
    counts = _part_counts(len(nodules), {p: s for p, s in shares.items() if s > 0})
    return _dealt(nodules, counts, seed)


def extended_split(
    kept: Mapping[str, Sequence[str]],
    nodules: Mapping[str, int],
    validation_share: float,
    test_share: float,
    seed: int,
) -> Parts:
    """Patients by part where those of an earlier split keep theirs, and only new ones are placed.

    A patient who changed from test to train when a scan was added would leak into every score
    made before. New patients go, in an order that the seed decides, to the part that lacks most
    of its share.

    Parameters
    ----------
    kept
        The earlier split; patients who are no longer there are passed over.
    nodules, validation_share, test_share, seed
        As for `random_split`.

    Examples
    --------
    >>> kept = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    >>> extended_split(kept, dict.fromkeys("abcde", 1), 0.2, 0.2, seed=1)
    {'train': ['a', 'b', 'e'], 'validation': ['c'], 'test': ['d']}
    """
    parts: Parts = {part: [p for p in kept.get(part, ()) if p in nodules] for part in PARTS}
    placed = {patient for patients in parts.values() for patient in patients}
    shares = {
        "train": 1.0 - validation_share - test_share,
        "validation": validation_share,
        "test": test_share,
    }
    for patient in sorted(set(nodules) - placed, key=lambda patient: _draw(seed, patient)):
        total = sum(map(len, parts.values())) + 1
        lacks = {part: share * total - len(parts[part]) for part, share in shares.items()}
        parts[max(lacks, key=lacks.__getitem__)].append(patient)
    return {part: sorted(patients) for part, patients in parts.items()}


def fold_split(
    nodules: Mapping[str, int], folds: int, fold: int, validation_share: float, seed: int
) -> Parts:
    """Patients by part where fold number `fold` (from 0) of `folds` is the test.

    The folds of one seed are a partition of the patients. Validation is `validation_share` of
    the patients outside the test.

    Raises
    ------
    DataError
        If there are too few patients, or no such fold.

    Examples
    --------
    >>> nodules = {"a": 1, "b": 0, "c": 2, "d": 1}
    >>> splits = [fold_split(nodules, 2, fold, validation_share=0.5, seed=85) for fold in (0, 1)]
    >>> sorted(splits[0]["test"] + splits[1]["test"])
    ['a', 'b', 'c', 'd']
    """
    if not 0 <= fold < folds:
        raise DataError(f"fold {fold} of {folds}: folds are counted from 0 to {folds - 1}")
    if len(nodules) < folds:
        raise DataError(
            f"{folds} folds need {folds} patients with annotations; there are {len(nodules)}"
        )
    size, over = divmod(len(nodules), folds)
    names = {str(k): size + (k < over) for k in range(folds)}
    dealt = _dealt(nodules, names, seed)
    test = dealt[str(fold)]
    rest = {patient: n for patient, n in nodules.items() if patient not in set(test)}
    inner = random_split(rest, validation_share, 0.0, seed)
    return {"train": inner["train"], "validation": inner["validation"], "test": test}


def assigned_split(
    nodules: Mapping[str, int], assigned: Mapping[str, str | int], fold: int,
    validation_share: float, seed: int,
) -> Parts:  # fmt: skip
    """Patients by part, as a person's list says.

    Parameters
    ----------
    nodules
        Count of nodules, by patient.
    assigned
        Part's name, or number of a fold, by patient. With numbers, `fold` is the test and
        `validation_share` of the other listed patients are the validation.
    fold, validation_share, seed
        As for `fold_split`; not used with names.

    Raises
    ------
    DataError
        If names and numbers are mixed, no patient is listed, or a part stays empty.

    Examples
    --------
    >>> nodules = {"a": 1, "b": 0, "not listed": 2}
    >>> assigned_split(nodules, {"a": "train", "b": "test"}, fold=0, validation_share=0, seed=0)
    {'train': ['a'], 'validation': [], 'test': ['b']}
    """
    listed = {patient: assigned[patient] for patient in nodules if patient in assigned}
    if not listed:
        raise DataError(
            f"the split's file lists none of the {len(nodules)} patients with annotations; "
            "are its ids the SeriesInstanceUIDs or patient ids of these scans?"
        )
    numbers = [isinstance(part, int) for part in listed.values()]
    if any(numbers) and not all(numbers):
        raise DataError("the split's file mixes folds by number and parts by name; use one")
    if all(numbers):
        test = sorted(patient for patient, part in listed.items() if part == fold)
        rest = {patient: nodules[patient] for patient in listed if patient not in set(test)}
        if not test:
            folds = sorted({int(part) for part in listed.values()})
            raise DataError(f"no patient here is in fold {fold} of the split's file, only {folds}")
        inner = random_split(rest, validation_share, 0.0, seed)
        return {"train": inner["train"], "validation": inner["validation"], "test": test}
    parts = {
        part: sorted(patient for patient, where in listed.items() if where == part)
        for part in PARTS
    }
    if not parts["train"]:
        raise DataError(f"the split's file puts none of the {len(listed)} patients here into train")
    return parts


def _part_counts(n: int, shares: Mapping[str, float]) -> dict[str, int]:
    if n < len(shares):
        raise DataError(
            f"{', '.join(shares)} need a patient with annotations each, and there are {n}: add "
            "scans, or do without a part",
            setting=("validation_share=0", "test_share=0"),
        )
    # Rounded, at least one each; what rounding costs or gains is train's, the largest part,
    # and where train has none to give, the largest other's.
    counts = {part: max(1, round(n * share)) for part, share in shares.items()}
    while (over := sum(counts.values()) - n) != 0:
        part = "train" if over < 0 or counts["train"] > 1 else max(counts, key=counts.__getitem__)
        counts[part] -= 1 if over > 0 else -1
    return counts


def _dealt(nodules: Mapping[str, int], counts: Mapping[str, int], seed: int) -> Parts:
    # Patients in the order of their nodule count (within a count by a seeded hash, so that the
    # order they came in does not matter) get parts from a sequence in which each part is spread
    # evenly; where that sequence begins is the seed's.
    order = sorted(nodules, key=lambda patient: (nodules[patient], _draw(seed, patient)))
    labels = _spread(counts)
    if labels:
        start = int(np.random.default_rng(seed).integers(len(labels)))
        labels = labels[start:] + labels[:start]
    parts: Parts = {part: [] for part in (*PARTS, *counts)}
    for patient, part in zip(order, labels, strict=True):
        parts[part].append(patient)
    _share_nodules(parts, nodules, list(counts))
    return {part: sorted(patients) for part, patients in parts.items()}


def _draw(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"{seed}/{patient}".encode()).digest()


def _spread(counts: Mapping[str, int]) -> list[str]:
    total = sum(counts.values())
    given = dict.fromkeys(counts, 0)
    labels = []
    for place in range(1, total + 1):
        # Who is owed most of his quota up to here; ties go in the order of the parts.
        behind: Callable[[str], float] = lambda p: counts[p] * place / total - given[p]  # noqa: E731, B023
        part = max((p for p in counts if given[p] < counts[p]), key=behind)
        given[part] += 1
        labels.append(part)
    return labels


def _share_nodules(parts: Parts, nodules: Mapping[str, int], wanted: Sequence[str]) -> None:
    # With a handful of patients a part may be dealt none with nodules; it then swaps with the
    # richest part that has one to spare.
    for part in wanted:
        if any(nodules[patient] for patient in parts[part]):
            continue
        with_nodules = {p: [q for q in parts[p] if nodules[q]] for p in wanted if p != part}
        giver = max(with_nodules, key=lambda p: len(with_nodules[p]), default=part)
        spare = len(with_nodules.get(giver, ())) - (0 if part == "train" else 1)
        if giver == part or spare < 1:
            continue
        there, here = with_nodules[giver][0], parts[part][0]
        parts[giver][parts[giver].index(there)] = here
        parts[part][0] = there
