"""Candidates on disk: the CSV that LUNA16 scores, with more columns."""

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import DataError
from lungseg.io.csv_file import CsvFile, Row
from lungseg.ops.nodules.bodies.candidates import Candidate
from lungseg.ops.scores.calibration import Calibration
from lungseg.ops.surroundings.measure import Surroundings
from lungseg.volume import Triple

NAME = "candidates.csv"
_DIGITS, _DIGITS_MM = 6, 3
_UNKNOWN = {None, "", "nan"}
COLUMNS = (
    "seriesuid", "coordX", "coordY", "coordZ", "probability", "diameter_mm", "calibrated",
    "found_probability", "reducer_probability",
)  # fmt: skip
# What `locate-candidates` adds.
PLACE_COLUMNS = ("side", "third", "edge_mm", "vessels", "touches_rib", "at_scan_end")
YES, NO = "true", "false"


@dataclass(frozen=True)
class Detection:
    """One row: a candidate of a scan; `xyz_mm` in world mm.

    `calibrated` is the share of candidates with this probability that are nodules, where the net
    knows it. `found_probability` and `reducer_probability` are the two opinions that `probability`
    joins, where a reducer judged the candidate. `around` is where it lies and what it touches, once
    that was measured.
    """

    scan: str
    xyz_mm: Triple
    probability: float
    diameter_mm: float
    calibrated: float | None = None
    found_probability: float | None = None
    reducer_probability: float | None = None
    around: Surroundings | None = None


def write_candidates(
    scan: str, candidates: Iterable[Candidate], path: Path, calibration: Calibration | None = None
) -> None:
    """Write the candidates of one scan, in their order."""
    write_detections(listed(scan, candidates, calibration), path)


def listed(
    scan: str, candidates: Iterable[Candidate], calibration: Calibration | None = None
) -> list[Detection]:
    """The candidates of one scan as they are read again from their list: rounded."""
    rows = []
    for c in candidates:
        x, y, z = (round(mm, _DIGITS_MM) for mm in c.xyz_mm)
        diameter_mm = round(c.diameter_mm, _DIGITS_MM)
        known = None if calibration is None else round(float(calibration.of(c.probability)), 6)
        p = round(c.probability, _DIGITS)
        rows.append(Detection(scan, (x, y, z), p, diameter_mm, known))
    return rows


def write_detections(detections: Sequence[Detection], path: Path, *, located: bool = False) -> None:
    """Write rows of any scans: positions to a micrometre, probabilities to six digits.

    With `located`, there are columns of where they lie and what they touch, too.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow((*COLUMNS, *(PLACE_COLUMNS if located else ())))
        for d in detections:
            x, y, z = d.xyz_mm
            rows.writerow(
                (d.scan, *(f"{mm:.{_DIGITS_MM}f}" for mm in (x, y, z)),
                 f"{d.probability:.{_DIGITS}f}", f"{d.diameter_mm:.{_DIGITS_MM}f}",
                 *("" if p is None else f"{p:.{_DIGITS}f}"
                   for p in (d.calibrated, d.found_probability, d.reducer_probability)),
                 *(place_cells(d.around) if located else ()))
            )  # fmt: skip


def place_cells(around: Surroundings | None) -> tuple[str | int | float, ...]:
    """The cells of `PLACE_COLUMNS`; empty ones of what was not measured.

    Examples
    --------
    >>> place_cells(Surroundings("left", "upper", 0.0, 2, False, True))
    ('left', 'upper', 0.0, 2, 'false', 'true')
    """
    if around is None:
        return ("",) * len(PLACE_COLUMNS)
    edge = "" if around.edge_mm is None else around.edge_mm
    touches, ends = (YES if yes else NO for yes in (around.touches_rib, around.at_scan_end))
    return around.side, around.third, edge, around.vessels, touches, ends


def read_detections(path: Path) -> list[Detection]:
    """Read rows that `write_detections` wrote; what columns do not tell is NaN or None.

    Anybody's submission is read by `luna16_files.read_submission`: faster, and by its lines.

    Raises
    ------
    DataError
        If the file cannot be read, columns are missing, or a number is not one.
    """
    file = CsvFile(path, "list of candidates")
    missing = [name for name in COLUMNS[:5] if name.lower() not in file.names()]
    if missing:
        raise DataError(f"{path} has no column {', '.join(missing)}; expected {','.join(COLUMNS)}")
    found = []
    for row in file.rows():
        try:
            found.append(_detection(row, file.number))
        except ValueError as error:
            raise DataError(
                f"{path} is not a list of candidates: line {row.line}: {error}"
            ) from error
    return found


def _detection(row: Row, number: Callable[[str], float]) -> Detection:
    if row.fault:
        raise ValueError(row.fault)
    cells = row.named

    def of(name: str) -> float:
        try:
            return number(cells[name.lower()])
        except ValueError as error:
            raise ValueError(f"{name} is {error}") from None

    return Detection(
        scan=cells["seriesuid"],
        xyz_mm=(of("coordX"), of("coordY"), of("coordZ")),
        probability=of("probability"),
        diameter_mm=of("diameter_mm") if cells.get("diameter_mm") not in _UNKNOWN else math.nan,
        **{name: of(name) for name in COLUMNS[6:] if cells.get(name) not in _UNKNOWN},
        around=_around(cells, of),
    )


def _around(cells: Mapping[str, str], of: Callable[[str], float]) -> Surroundings | None:
    if cells.get("vessels") in _UNKNOWN:
        return None
    return Surroundings(
        cells["side"],
        cells["third"],
        None if cells["edge_mm"] in _UNKNOWN else of("edge_mm"),
        int(of("vessels")),
        touches_rib=cells["touches_rib"] == YES,
        at_scan_end=cells["at_scan_end"] == YES,
    )
