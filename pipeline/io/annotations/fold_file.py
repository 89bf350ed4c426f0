"""A person's own split: a CSV of patients or scans and their part or fold, or LUNA16's folders."""

import re
from pathlib import Path

from lungseg.core.errors import DataError
from lungseg.io.csv_file import CsvFile, read_ids

WHO = {
    "patient": "patient",
    "patientid": "patient",
    "scan": "scan",
    "seriesuid": "scan",
    "seriesinstanceuid": "scan",
}
WHERE = ("part", "fold", "subset", "split")
PART_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "test": "test",
    "testing": "test",
}

Assigned = dict[tuple[str, str], str | int]


def read_folds(path: Path) -> Assigned:
    """Part (train, validation, test) or number of a fold, by ("patient" or "scan", id).

    Parameters
    ----------
    path
        A CSV with a column ``patient`` or ``scan`` (also ``seriesuid``, ``PatientID``) and a
        column ``part`` or ``fold`` (also ``subset``); or a folder with LUNA16's ``subset0`` to
        ``subset9``, in which a scan's id is the name of its ``.mhd``.

    Raises
    ------
    DataError
        If the file cannot be read or has other columns, a part is unknown, an id is in two parts,
        or a folder has no such subfolders.
    """
    if path.is_dir():
        return _luna_folders(path)
    file = CsvFile(path, "CSV of folds")
    header = [_plain(name) for name in file.names()]
    who = [column for column, name in enumerate(header) if name in WHO]
    where = [column for column, name in enumerate(header) if name in WHERE]
    if len(who) != 1 or len(where) != 1:
        raise DataError(
            f"{path} must have one column patient or scan and one column part or fold; its first "
            f"line has {', '.join(header) or 'nothing'}"
        )
    kind = WHO[header[who[0]]]
    assigned: Assigned = {}
    for row in file.rows():
        cells, at = row.cells, f"{path} line {row.line}"
        if row.fault:
            raise DataError(f"{at}: {row.fault}")
        if len(cells) <= max(who[0], where[0]):
            raise DataError(f"{at}: {len(cells)} cells, the header has {len(header)}")
        key = (kind, cells[who[0]])
        if not key[1]:
            raise DataError(f"{at}: the {kind} is empty")
        part = _part(cells[where[0]], at)
        if assigned.setdefault(key, part) != part:
            raise DataError(f"{at}: {key[1]} was in {assigned[key]}, now in {part}")
    return assigned


def read_asked(path: Path) -> set[str]:
    """Ids of patients or scans that are asked for: those of the part test, or of a plain list.

    Raises
    ------
    DataError
        If it cannot be read, or names nobody.
    """
    if path.is_dir() or any(_plain(n) in WHERE for n in CsvFile(path, "list of ids").names()):
        return {name for (_, name), part in read_folds(path).items() if part == "test"}
    names = set(read_ids(path, {*WHO, "patient id", "patient_id"}, "list of ids, one per line"))
    if not names:
        raise DataError(f"{path} names nobody; expected ids of patients or scans, one per line")
    return names


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _part(text: str, where: str) -> str | int:
    plain = text.strip().lower()
    if plain in PART_NAMES:
        return PART_NAMES[plain]
    match = re.fullmatch(r"(?:fold|subset)?\s*(\d+)", plain)
    if not match:
        raise DataError(
            f"{where}: {text.strip()!r} is neither train, validation, test nor the number of a fold"
        )
    return int(match[1])


def _luna_folders(path: Path) -> Assigned:
    assigned: Assigned = {}
    for folder in sorted(path.glob("subset[0-9]*")):
        for file in sorted(folder.glob("*.mhd")):
            assigned["scan", file.stem] = _part(folder.name, str(folder))
    if not assigned:
        raise DataError(f"{path} has no folders subset0, subset1, ... with .mhd files in them")
    return assigned
