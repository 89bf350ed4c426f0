"""A submission in LUNA16's form, matched with the nodules of its scans by LUNA16's rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from lungseg.core.errors import DataError
from lungseg.core.shown import many
from lungseg.io.results.luna16_files import (
    NO_CANDIDATES,
    Found,
    ScanCandidates,
    read_findings,
    read_scans,
    read_submission,
)
from lungseg.ops.scores.detection import ScanHits, hits, likeliest

# So many ids are named of those that are too many.
NAMED = 2


@dataclass(frozen=True, kw_only=True)
class Truth:
    """By what a submission is scored.

    Attributes
    ----------
    scans
        Ids of the scans that count; None: all that the submission or the nodules name.
    nodules, excluded
        Findings by scan; None: nothing is known to be excluded.
    """

    scans: Sequence[str] | None
    nodules: Mapping[str, Sequence[Found]]
    excluded: Mapping[str, Sequence[Found]] | None


@dataclass(frozen=True)
class ScoredSubmission:
    """What came of the candidates, scan by scan.

    Attributes
    ----------
    hits, nodules
        By scan; `hits` has a place for each nodule, in the same order.
    candidates
        How many count.
    notes
        What was left out, and what is not known, in words.
    """

    hits: Mapping[str, ScanHits]
    nodules: Mapping[str, Sequence[Found]]
    candidates: int
    notes: tuple[str, ...]


def read_truth(annotations: Path, excluded: Path | None, seriesuids: Path | None) -> Truth:
    """Read the files by which submissions are scored.

    Raises
    ------
    ConfigError
        If one is absent.
    DataError
        If one cannot be used, or no nodule is in a scan that counts.
    """
    nodules = read_findings(annotations)
    scans = read_scans(seriesuids) if seriesuids else None
    if scans is not None and nodules and not set(scans) & nodules.keys():
        raise DataError(
            f"none of the {len(nodules)} scans in {annotations.name} (such as "
            f"{next(iter(nodules))}) is one of the {len(scans)} in {seriesuids} (such as "
            f"{scans[0]}); the ids must be the same in both"
        )
    if not nodules:
        raise DataError(f"{annotations} names no nodule, so there is no score")
    beside = read_findings(excluded, unknown_size=True) if excluded else None
    return Truth(scans=scans, nodules=nodules, excluded=beside)


def score_submission(results: Path, truth: Truth, max_marks: int) -> ScoredSubmission:
    """Match a submission with the truth.

    Parameters
    ----------
    results
        CSV with the columns seriesuid, coordX, coordY, coordZ, probability.
    truth
        By what it is scored.
    max_marks
        Of the candidates of one scan so many count, the likeliest; 0: all.

    Raises
    ------
    ConfigError
        If the file is absent.
    DataError
        If it cannot be used, or none of its rows is of a scan that counts or has a nodule.
    """
    given = read_submission(results)
    scans = truth.scans
    if scans is None:
        scans = sorted(truth.nodules.keys() | given.keys())
        if given and not truth.nodules.keys() & given.keys():
            first, with_nodule = next(iter(given)), next(iter(truth.nodules))
            raise DataError(
                f"none of the {len(given)} scans in {results.name} (such as {first}) is one of the "
                f"{len(truth.nodules)} that have nodules (such as {with_nodule}); the ids must be "
                "the same in both. If none of these scans has a nodule, name those that count with "
                "--seriesuids"
            )
    counted = set(scans)
    unknown = [scan for scan in given if scan not in counted]
    if given and len(unknown) == len(given):
        raise DataError(
            f"none of the {len(given)} scans in {results.name} (such as {unknown[0]}) is one of "
            f"the {len(scans)} to be scored (such as {scans[0]}); the ids must be the same in both"
        )
    notes = list(_notes(truth, scans))
    if not given:
        notes.append(f"{results.name} has no candidate")
    if unknown:
        rows = sum(len(given[scan].probability) for scan in unknown)
        notes.append(
            f"{results.name}: {many(rows, 'row counts', 'rows count')} nowhere, of "
            f"{many(len(unknown), 'scan')} not to be scored ({_some(unknown)})"
        )
    found, cut, candidates = {}, [], 0
    for scan in scans:
        one = given.get(scan, NO_CANDIDATES)
        if max_marks:
            kept = likeliest(one.probability, max_marks)
            cut += [(~kept).sum()] if not kept.all() else []
            one = ScanCandidates(one.xyz_mm[kept], one.probability[kept])
        candidates += len(one.probability)
        beside = (truth.excluded or {}).get(scan, ())
        found[scan] = hits(one.xyz_mm, one.probability, truth.nodules.get(scan, ()), beside)
    if cut:
        notes.append(
            f"{results.name}: {many(sum(cut), 'candidate counts', 'candidates count')} nowhere, of "
            f"{many(len(cut), 'scan')} with more than the {max_marks} likeliest (--max-marks; of "
            "several with the probability at the limit none counts)"
        )
    nodules = {scan: truth.nodules.get(scan, ()) for scan in scans}
    return ScoredSubmission(found, nodules, candidates, tuple(notes))


def _notes(truth: Truth, scans: Sequence[str]) -> Iterator[str]:
    """What is not known, and what LUNA16's rules make of odd findings."""
    if truth.scans is None:
        yield (
            f"without --seriesuids all scans that a file names count ({len(scans)}); scans without "
            "nodule and candidate are missing among them, so the false positives per scan may be "
            "too many"
        )
    else:
        counted = set(scans)
        outside = [scan for scan in truth.nodules if scan not in counted]
        if outside:
            n = sum(len(truth.nodules[scan]) for scan in outside)
            yield (
                f"{many(n, 'nodule counts', 'nodules count')} nowhere, of "
                f"{many(len(outside), 'scan')} not to be scored ({_some(outside)})"
            )
    if truth.excluded is None:
        yield (
            "without --excluded a candidate on a finding that is neither right nor wrong counts as "
            "a false positive"
        )
    listed = [nodule for scan in scans for nodule in truth.nodules.get(scan, ())]
    flat = sum(mm == 0 for _, mm in listed)
    if flat:
        yield f"nothing can hit {many(flat, 'nodule')} with a diameter of 0 mm"
    twice = sum(
        one[0] == other[0]
        for scan in scans
        for one, other in combinations(truth.nodules.get(scan, ()), 2)
    )
    if twice:
        yield (
            f"{many(twice, 'nodule lies', 'nodules lie')} where another one of the scan lies; each "
            "of them counts"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")
