"""Detection by groups of nodules: how many of each are found, at which price."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lungseg.ops.scores.detection import RATES, ScanHits, ScoredCandidates, bootstrap, interval
from lungseg.ops.scores.groups import in_order

Names = Sequence[Sequence[tuple[str, ...]]]
"""Scan by scan, the groups that each of its nodules is in."""


def strata(
    scans: Sequence[ScanHits], kinds: Mapping[str, Names], rounds: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Sensitivity and CPM of the nodules of each group, against all false positives.

    A hit on a nodule of another group counts nowhere.

    Parameters
    ----------
    scans
        What came of the candidates of each scan.
    kinds
        Groups by kind, such as ``by_size``.
    rounds, seed
        Draws of scans for the intervals, and their seed.

    Examples
    --------
    >>> from lungseg.ops.scores.detection import hits
    >>> scan = hits([(0, 0, 0)], [0.9], nodules=[((0, 0, 0), 8.0), ((50, 0, 0), 5.0)])
    >>> told = strata([scan], {"by_size": [[("large",), ("small",)]]}, rounds=3, seed=1)
    >>> [(name, group["hits"], group["cpm"]) for name, group in told["by_size"].items()]
    [('large', 1, 1.0), ('small', 0, 0.0)]
    """
    return {
        kind: {
            group: _group([_only(scan, group, of) for scan, of in zip(scans, names, strict=True)],
                          rounds, seed)
            for group in in_order([each for of in names for each in of])
        }
        for kind, names in kinds.items()
    }  # fmt: skip


def _only(scan: ScanHits, group: str, names: Sequence[tuple[str, ...]]) -> ScanHits:
    inside = np.array([group in of for of in names], bool)
    return replace(scan, best=scan.best[inside], probability=scan.probability[inside])


def _group(scans: Sequence[ScanHits], rounds: int, seed: int) -> dict[str, Any]:
    marks = ScoredCandidates(scans)
    curve = marks.froc()
    nodules = int(marks.nodules.sum())
    found = sum(int((scan.best >= 0).sum()) for scan in scans)
    return {
        "nodules": nodules,
        "hits": found,
        "sensitivity": found / nodules,
        "sensitivity_at": {f"{rate:g}": s for rate, s in zip(RATES, curve.at(), strict=True)},
        "cpm": curve.cpm,
        "cpm_interval": interval(bootstrap(marks, rounds, seed).mean(axis=1)),
    }
