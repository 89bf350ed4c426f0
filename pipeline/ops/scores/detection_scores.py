"""What is told of detections: counts, sensitivity at seven rates, CPM, and their intervals."""

from collections.abc import Sequence
from typing import Any

from lungseg.ops.scores.detection import RATES, Froc, ScanHits, interval
from lungseg.volume import FloatArray


def detection_scores(
    scans: Sequence[ScanHits], curve: Froc, samples: FloatArray, reason: str | None
) -> dict[str, Any]:
    """Hits, false positives, sensitivity at seven rates and their mean, with 95 % intervals.

    Parameters
    ----------
    scans, curve
        What came of the candidates of each scan, and the curve of all of them.
    samples
        Sensitivities ``(rounds, rates)`` of draws of scans, at `RATES`.
    reason
        Why there is no score; None if there is one.

    Examples
    --------
    >>> from lungseg.ops.scores.detection import ScoredCandidates, bootstrap, hits
    >>> scan = hits([(0, 0, 0), (50, 0, 0)], [0.9, 0.3], nodules=[((0, 0, 0), 10.0)])
    >>> marks = ScoredCandidates([scan])
    >>> told = detection_scores([scan], marks.froc(), bootstrap(marks, 3, seed=1), None)
    >>> told["hits"], told["false_positives"], told["cpm"], told["cpm_interval"]
    (1, 1, 1.0, None)
    >>> marks = ScoredCandidates([scan, scan])
    >>> detection_scores(
    ...     [scan, scan], marks.froc(), bootstrap(marks, 3, seed=1), None
    ... )["cpm_interval"]
    (1.0, 1.0)
    """
    n_scans = len(scans)
    nodules = sum(len(scan.best) for scan in scans)
    found = sum(int((scan.best >= 0).sum()) for scan in scans)
    false = sum(len(scan.false) for scan in scans)
    bounds = [interval(column) for column in samples.T]
    return {
        "reason": reason,
        "nodules": nodules,
        "hits": found,
        "missed": nodules - found,
        "false_positives": false,
        "ignored": sum(scan.ignored for scan in scans),
        "duplicates": sum(scan.duplicates for scan in scans),
        "sensitivity": found / nodules if nodules else None,
        "false_positives_per_scan": false / n_scans if n_scans else None,
        "cpm": curve.cpm,
        "cpm_interval": interval(samples.mean(axis=1)),
        "sensitivity_at": {f"{rate:g}": s for rate, s in zip(RATES, curve.at(), strict=True)},
        "sensitivity_at_interval": {
            f"{rate:g}": bound for rate, bound in zip(RATES, bounds, strict=True)
        },
        "draws": len(samples),
    }
