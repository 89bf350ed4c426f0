"""Tables, and scores of candidates against a truth."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.api.scans import params_of
from lungseg.core.errors import DataError
from lungseg.core.shown import many
from lungseg.core.stage import Scalar
from lungseg.io.results.candidate_list import Detection
from lungseg.io.results.luna16_files import (
    NO_CANDIDATES,
    ScanCandidates,
    read_findings,
    read_submission,
)
from lungseg.io.tables.reader import Tables
from lungseg.ops.scores.detection import RATES, Froc, ScoredCandidates, bootstrap, hits
from lungseg.ops.scores.detection_scores import detection_scores
from lungseg.stages.evaluate import Evaluate

# Centre (x, y, z) in world mm, and diameter in mm; None if that is unknown.
Place = tuple[Sequence[float], float | None]
Places = Mapping[str, Sequence[Place]]

TABLES = "tables.h5"


@dataclass(frozen=True, eq=False)
class Scores:
    """How well candidates find nodules, by LUNA16's rules.

    Attributes
    ----------
    cpm, cpm_interval
        Mean sensitivity at 1/8, 1/4, ... 8 false positives per scan, and the bounds that hold
        95 % of the bootstrap samples (None without samples).
    sensitivity_at
        Sensitivity at each of these rates, ``"0.125"`` to ``"8"``.
    curve
        The whole FROC curve.
    scans, nodules, hits, false_positives, ignored, duplicates
        Counts; a candidate on an ignored place or a second one on a nodule is dropped.
    """

    cpm: float
    cpm_interval: tuple[float, float] | None
    sensitivity_at: Mapping[str, float]
    curve: Froc
    scans: int
    nodules: int
    hits: int
    false_positives: int
    ignored: int
    duplicates: int


def read_table(place: Path | str) -> Tables:
    """The table that ``build-tables`` wrote; its rows are read as arrays when they are asked for.

    ``table.slices``, ``table.scans`` and ``table.nodules`` are record arrays;
    ``table.read("image", rows)`` and ``table.images(rows, context=1)`` give HU.

    Parameters
    ----------
    place
        ``tables.h5``, or the work folder that has it among its results.

    Raises
    ------
    DataError
        If it is absent, damaged, unfinished or not one of ours.

    Examples
    --------
    >>> import lungseg
    >>> with lungseg.read_table(table) as rows:
    ...     rows.read("image", [0, 2]).shape
    (2, 32, 32)
    """
    path = Path(place)
    if path.is_dir():
        beside = path / TABLES
        path = beside if beside.is_file() else path / "results" / TABLES
    table = Tables(path)
    _ = table.attributes  # what is wrong with the file is to be said here, not at its first use
    return table


def score_candidates(
    candidates: Path | str | Iterable[Detection],
    nodules: Path | str | Places,
    ignored: Path | str | Places | None = None,
    scans: Iterable[str] | None = None,
    **settings: Scalar,
) -> Scores:
    """How well candidates find nodules, by LUNA16's rules: FROC and CPM.

    Parameters
    ----------
    candidates
        What `detect` found in any scans, or a CSV as LUNA16 takes it.
    nodules
        Centre (world mm) and diameter (mm) of each nodule by scan, or a CSV like LUNA16's
        ``annotations.csv``.
    ignored
        The same for findings that are neither right nor wrong (``annotations_excluded.csv``);
        their diameter may be unknown.
    scans
        Ids of the scans that count, also those without nodule and candidate; by default all that
        `candidates` or `nodules` name.
    **settings
        Of the stage ``evaluate``: ``bootstraps=1000``, ``seed=1``.

    Raises
    ------
    DataError
        If a row cannot be used, or there is no nodule in these scans.
    ConfigError
        If a file of nodules is absent, or a setting is wrong.

    Examples
    --------
    >>> import lungseg
    >>> candidate = lungseg.Detection("a", (1.0, 2.0, 3.0), probability=0.9, diameter_mm=6.0)
    >>> nodules = {"a": [((1.0, 2.0, 4.0), 8.0), ((50.0, 0.0, 0.0), 5.0)]}
    >>> scores = lungseg.score_candidates([candidate], nodules)
    >>> scores.hits, scores.nodules, scores.cpm
    (1, 2, 0.5)
    """
    params = params_of(Evaluate, settings)
    given = _by_scan(candidates)
    truth = _places(nodules)
    beside = _places(ignored, unknown_size=True) if ignored is not None else {}
    wanted = sorted(truth.keys() | given.keys() if scans is None else set(scans))
    found = []
    for scan in wanted:
        one = given.get(scan, NO_CANDIDATES)
        found.append(hits(one.xyz_mm, one.probability, truth.get(scan, ()), beside.get(scan, ())))
    if not any(len(one.best) for one in found):
        raise DataError(f"there is no nodule in {many(len(wanted), 'scan')}, so there is no score")
    marks = ScoredCandidates(found)
    curve = marks.froc()
    samples = bootstrap(marks, params.bootstraps, params.seed, RATES)
    told = detection_scores(found, curve, samples, None)
    same = ("nodules", "hits", "false_positives", "ignored", "duplicates", "cpm", "cpm_interval",
            "sensitivity_at")  # fmt: skip
    return Scores(curve=curve, scans=len(wanted), **{name: told[name] for name in same})


def _by_scan(candidates: Path | str | Iterable[Detection]) -> dict[str, ScanCandidates]:
    if isinstance(candidates, str | Path):
        return read_submission(Path(candidates))
    rows: dict[str, list[Detection]] = {}
    for row in candidates:
        if not all(map(math.isfinite, (*row.xyz_mm, row.probability))):
            raise DataError(
                f"{row} has a position or a probability that is no finite number; take it out"
            )
        rows.setdefault(row.scan, []).append(row)
    return {
        scan: ScanCandidates(
            np.array([row.xyz_mm for row in mine], float),
            np.array([row.probability for row in mine], float),
        )
        for scan, mine in rows.items()
    }


def _places(given: Path | str | Places, *, unknown_size: bool = False) -> Places:
    if isinstance(given, Mapping):
        return given
    return read_findings(Path(given), unknown_size=unknown_size)
