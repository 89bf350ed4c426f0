"""Results to compare: a work folder, a file of scores, or a submission in LUNA16's form."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.commands.own_scans.again import work_named
from lungseg.commands.scoring.submission import Truth, read_truth, score_submission
from lungseg.core.errors import ConfigError, DataError
from lungseg.ops.scores.comparison import NoduleOutcome, ScanOutcome

SCORES = "scores.json"
PLACES = (Path("results") / SCORES, Path(SCORES))


@dataclass(frozen=True, kw_only=True)
class ScoredBy:
    """By what submissions are scored; the files are those of `froc`."""

    annotations: Path | None
    excluded: Path | None
    seriesuids: Path | None
    max_marks: int


@dataclass(frozen=True, eq=False)
class Result:
    """What a result made of its scans.

    Attributes
    ----------
    name
        What it is called: its path, as short as it tells it from the others.
    kind
        ``work folder``, ``scores`` or ``submission``.
    scans
        By id.
    work
        The work folder, which has pictures to show; None for the others.
    notes
        What is to be known of it, in words.
    """

    name: str
    kind: str
    scans: Mapping[str, ScanOutcome]
    work: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def nodules(self) -> int:
        """How many its scans have."""
        return sum(len(scan.nodules) for scan in self.scans.values())


def read_results(places: Sequence[Path], scored_by: ScoredBy) -> list[Result]:
    """Read two or more results.

    Raises
    ------
    ConfigError
        If there are fewer, a file is absent, or a submission is given without annotations.
    DataError
        If one cannot be used.
    """
    if len(places) < 2:
        raise ConfigError(f"{len(places)} result is given; a comparison needs two or more")
    truth: Truth | None = None
    results = []
    for place in places:
        if not (place.is_dir() or place.is_file()):
            raise ConfigError(f"{place}: there is no such file or folder")
    for name, place in zip(_names(places), places, strict=True):
        if place.is_dir() or place.suffix.lower() == ".json":
            results.append(_scored(name, place))
            continue
        if scored_by.annotations is None:
            raise ConfigError(
                f"{place} is taken for a submission in LUNA16's form (it is no folder, and no "
                ".json); name the nodules that it is scored by with --annotations"
            )
        truth = truth or read_truth(scored_by.annotations, scored_by.excluded, scored_by.seriesuids)
        results.append(_submitted(name, place, truth, scored_by.max_marks))
    return results


def _names(places: Sequence[Path]) -> list[str]:
    """The last part of each path, of as many parts as tell it from the others."""
    parts = [place.absolute().parts for place in places]
    for n in range(1, max(len(p) for p in parts) + 1):
        names = [str(Path(*p[-n:])) for p in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{place} ({k})" for k, place in enumerate(places, 1)]


def _scored(name: str, place: Path) -> Result:
    is_folder = place.is_dir()
    # Of a folder that `lungs` or `detect` wrote to it is the one within.
    work = work_named({"work": place}) if is_folder else place
    files = [work / part for part in PLACES] if is_folder else [place]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        raise ConfigError(
            f"{place} has no {SCORES}; `lungseg-cli postprocess --work {work}` makes it"
        )
    try:
        document: dict[str, Any] = json.loads(file.read_text("utf-8"))
        scans = {scan: _scan(told) for scan, told in document["outcomes"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise DataError(
            f"{file} has not, scan by scan, what results are compared by ({error!r}); it must be "
            "the scores.json of `evaluate`, of release 0.3.0 or later: score again"
        ) from error
    notes = []
    if document.get("includes_training_patients"):
        notes.append(f"{name} is scored on patients, too, that its net was trained on")
    is_work = is_folder and file == files[0]
    return Result(
        name,
        "work folder" if is_work else "scores",
        scans,
        work if is_work else None,
        tuple(notes),
    )


def _scan(told: Mapping[str, Any]) -> ScanOutcome:
    nodules = tuple(
        NoduleOutcome(
            (float(n["xyz_mm"][0]), float(n["xyz_mm"][1]), float(n["xyz_mm"][2])),
            float(n["diameter_mm"]),
            math.nan if n["probability"] is None else float(n["probability"]),
            float(n["dice"]),
        )
        for n in told["nodules"]
    )
    return ScanOutcome(nodules, np.array([float(p) for p in told["false_positives"].split()]))


def _submitted(name: str, place: Path, truth: Truth, max_marks: int) -> Result:
    scored = score_submission(place, truth, max_marks)
    scans = {
        scan: ScanOutcome(
            tuple(
                NoduleOutcome(xyz, mm, p)
                for (xyz, mm), p in zip(
                    scored.nodules[scan], found.probability.tolist(), strict=True
                )
            ),
            found.false,
        )
        for scan, found in scored.hits.items()
    }
    return Result(name, "submission", scans, notes=scored.notes)
