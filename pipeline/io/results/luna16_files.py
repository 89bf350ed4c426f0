"""LUNA16's files, anybody's: a submission, findings as points with diameters, a list of scans.

Half a million rows are read in a second or two; what cannot be used is named with its line.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import ConfigError, DataError
from lungseg.io.csv_file import CsvFile
from lungseg.volume import FloatArray, IndexArray, Triple

PLACE = ("seriesuid", "coordX", "coordY", "coordZ")
PROBABILITY, DIAMETER = "probability", "diameter_mm"
# Of many rows that cannot be used, so many are named.
NAMED = 3

Found = tuple[Triple, float | None]


@dataclass(frozen=True, eq=False)
class ScanCandidates:
    """What a submission says of one scan: world mm ``(n, 3)`` and probabilities ``(n,)``."""

    xyz_mm: FloatArray
    probability: FloatArray


NO_CANDIDATES = ScanCandidates(np.zeros((0, 3)), np.zeros(0))
"""Of a scan that a submission does not name."""


def read_submission(path: Path) -> dict[str, ScanCandidates]:
    """Candidates by scan, in the order of the file.

    Raises
    ------
    ConfigError
        If the file is absent.
    DataError
        If columns are missing, or a row has no scan, a cell that is no number, or no finite one.
    """
    table = _read(path, PROBABILITY)
    return {
        scan: ScanCandidates(table.xyz_mm[rows], table.value[rows])
        for scan, rows in table.by_scan().items()
    }


def read_findings(path: Path, *, unknown_size: bool = False) -> dict[str, list[Found]]:
    """Centre (world mm) and diameter (mm) of each finding by scan, as LUNA16 gives them.

    A diameter below 0 means that it is unknown; None where the cell is empty.

    Parameters
    ----------
    path
        The CSV.
    unknown_size
        Whether a cell without a diameter is accepted.

    Raises
    ------
    ConfigError
        If the file is absent.
    DataError
        If columns are missing, or a row has no scan or a cell that is no number.
    """
    table = _read(path, DIAMETER, empty=unknown_size)
    found: dict[str, list[Found]] = {}
    for scan, xyz, mm in zip(table.scans, table.xyz_mm.tolist(), table.value.tolist(), strict=True):
        found.setdefault(scan, []).append(
            ((xyz[0], xyz[1], xyz[2]), None if math.isnan(mm) else mm)
        )
    return found


def read_scans(path: Path) -> list[str]:
    """Scan ids of a list, one a line, in their order; a header is skipped.

    Raises
    ------
    ConfigError
        If the file is absent.
    DataError
        If it names no scan, or one twice.
    """
    rows = list(_rows(path, "list of scans, one a line"))
    cells = [(line, row[0].strip()) for line, row in rows if row[0].strip()]
    lines: dict[str, int] = {}
    for line, scan in cells:
        if line == cells[0][0] and scan.lower() in {"seriesuid", "scan"}:
            continue
        if scan in lines:
            raise DataError(
                f"{path.name}, line {line}: {scan} is already on line {lines[scan]}; a scan counts "
                "once, so take one of the two lines out"
            )
        lines[scan] = line
    if not lines:
        raise DataError(f"{path} names no scan; expected a SeriesInstanceUID a line")
    return list(lines)


@dataclass(frozen=True, eq=False)
class _Table:
    scans: Sequence[str]
    xyz_mm: FloatArray
    value: FloatArray

    def by_scan(self) -> dict[str, IndexArray]:
        names = dict.fromkeys(self.scans)
        number = {scan: k for k, scan in enumerate(names)}
        of = np.fromiter((number[scan] for scan in self.scans), np.intp, len(self.scans))
        order = np.argsort(of, kind="stable")
        ends = np.cumsum(np.bincount(of, minlength=len(names)))
        return dict(zip(names, np.split(order, ends[:-1]), strict=True)) if names else {}


def _read(path: Path, value: str, *, empty: bool = False) -> _Table:
    lines = _rows(path, f"CSV with the columns {', '.join((*PLACE, value))}")
    names = next(lines, (1, []))[1]
    places = _columns(path, names, value)
    scans: list[str] = []
    cells: list[float] = []
    blank = 0
    try:
        # Rows are let go at once: half a million lists in memory keep the collector busy.
        for _, row in lines:
            scan, *xyz, last = (row[k] for k in places)
            scans.append(scan.strip())
            cells += map(float, xyz)
            if empty and not last.strip():
                cells.append(math.nan)
                blank += 1
            else:
                cells.append(float(last))
    except (ValueError, IndexError) as error:
        raise _named(path, value, places, names, empty=empty) from error
    table = np.array(cells, float).reshape(-1, len(places) - 1)
    if not all(scans) or np.isfinite(table).sum() + blank < table.size:
        raise _named(path, value, places, names, empty=empty)
    return _Table(scans, table[:, :3], table[:, 3])


def _columns(path: Path, names: Sequence[str], value: str) -> list[int]:
    wanted = [name.lower() for name in (*PLACE, value)]
    known = [name.strip().lower() for name in names]
    missing = [name for name in (*PLACE, value) if name.lower() not in known]
    if missing:
        there = ", ".join(name.strip() for name in names if name.strip()) or "(none)"
        raise DataError(
            f"{path} has no column {', '.join(missing)}; its first line is {there[:200]}, expected "
            f"{','.join((*PLACE, value))}"
        )
    return [known.index(name) for name in wanted]


def _fault(
    row: Sequence[str], places: Sequence[int], names: Sequence[str], *, empty: bool
) -> str | None:
    """What is wrong with a row; None if nothing is."""
    if len(row) <= max(places):
        return f"{len(row)} cells, expected {len(names)}"
    if not row[places[0]].strip():
        return "seriesuid is empty"
    for k in places[1:]:
        text = row[k].strip()
        if empty and k == places[4] and not text:
            continue
        try:
            number = float(text)
        except ValueError:
            return f"{names[k].strip()} is {text!r}, not a number"
        if not math.isfinite(number):
            return f"{names[k].strip()} is {text!r}, not a finite number"
    return None


def _named(
    path: Path, value: str, places: Sequence[int], names: Sequence[str], *, empty: bool
) -> DataError:
    """The error that names the first rows that cannot be used, by their lines."""
    rows = list(_rows(path, value))[1:]
    told = [
        f"{path.name}, line {line}: {why}"
        for line, row in rows
        if (why := _fault(row, places, names, empty=empty))
    ]
    more = f"; and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return DataError(
        f"{path}: {len(told)} of {len(rows)} rows cannot be used: {'; '.join(told[:NAMED])}{more}; "
        "mend them, or take them out"
    )


def _rows(path: Path, expected: str) -> Iterator[tuple[int, list[str]]]:
    """All rows that are not empty, with their lines."""
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; expected a {expected}")
    yield from CsvFile(path, expected).lines()
