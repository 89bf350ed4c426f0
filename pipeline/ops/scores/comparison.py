"""Two or more results on the same scans and nodules, and how sure their differences are."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungseg.ops.scores.detection import (
    RATES,
    ScanHits,
    ScoredCandidates,
    bootstrap,
    draws_of_scans,
    interval,
    radius_mm,
    rounds_for,
)
from lungseg.volume import FloatArray, Triple


@dataclass(frozen=True)
class NoduleOutcome:
    """What a result made of one nodule.

    Attributes
    ----------
    xyz_mm, diameter_mm
        Its centre in world mm, and its size; None if unknown.
    probability
        Of the likeliest candidate that hits it; NaN if none does.
    dice
        Of the masks that touch it; NaN where there are no masks.
    """

    xyz_mm: Triple
    diameter_mm: float | None
    probability: float
    dice: float = float("nan")


@dataclass(frozen=True, eq=False)
class ScanOutcome:
    """What a result made of one scan: its nodules, and probabilities of its false positives."""

    nodules: tuple[NoduleOutcome, ...]
    false: FloatArray

    def of(self, chosen: Sequence[int]) -> "ScanOutcome":
        """The same with these of its nodules, in this order.

        Examples
        --------
        >>> nodules = tuple(NoduleOutcome((x, 0.0, 0.0), 5.0, 0.9) for x in (1.0, 2.0))
        >>> [n.xyz_mm[0] for n in ScanOutcome(nodules, np.zeros(0)).of([1]).nodules]
        [2.0]
        """
        return ScanOutcome(tuple(self.nodules[k] for k in chosen), self.false)


def common_nodules(results: Sequence[Sequence[NoduleOutcome]]) -> list[tuple[int, ...]]:
    """Which nodules of one scan all results know: for each its place in every result's list.

    Two are the same if their centres are nearer to each other than the radius of the smaller; the
    nearest pairs first.

    Examples
    --------
    >>> one = [NoduleOutcome((0.0, 0.0, 0.0), 8.0, 0.9), NoduleOutcome((50.0, 0.0, 0.0), 8.0, 0.9)]
    >>> other = [NoduleOutcome((50.5, 0.0, 0.0), 9.0, 0.9)]
    >>> common_nodules([one, other])
    [(1, 0)]
    """
    first, *others = results
    partners = [_partners(first, other) for other in others]
    return [
        (k, *(of[k] for of in partners))
        for k in range(len(first))
        if all(k in of for of in partners)
    ]


def _partners(one: Sequence[NoduleOutcome], other: Sequence[NoduleOutcome]) -> dict[int, int]:
    pairs = []
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            apart = float(np.linalg.norm(np.subtract(a.xyz_mm, b.xyz_mm)))
            # A nodule of no size is itself.
            if apart < min(radius_mm(a.diameter_mm), radius_mm(b.diameter_mm)) or apart == 0:
                pairs.append((apart, i, j))
    found: dict[int, int] = {}
    for _, i, j in sorted(pairs):
        if i not in found and j not in found.values():
            found[i] = j
    return found


@dataclass(frozen=True, eq=False)
class Measured:
    """A figure of each result, and of every draw ``(rounds,)``."""

    value: float
    drawn: FloatArray


def measure(scans: Sequence[ScanOutcome], rounds: int, seed: int) -> dict[str, Measured]:
    """CPM, sensitivities, false positives per scan and Dice of one result, and of draws of scans.

    Of results on the same scans the draws are the same, so that their differences are paired.

    Examples
    --------
    >>> scan = ScanOutcome((NoduleOutcome((0.0, 0.0, 0.0), 8.0, 0.9, 0.5),), np.array([0.3]))
    >>> found = measure([scan], rounds=2, seed=1)
    >>> {name: found[name].value for name in ("cpm", "false_positives_per_scan", "dice")}
    {'cpm': 1.0, 'false_positives_per_scan': 1.0, 'dice': 0.5}
    """
    marks = ScoredCandidates([hits_of(scan) for scan in scans])
    rounds = rounds_for(len(scans), rounds)
    draws = np.array(list(draws_of_scans(len(scans), rounds, seed))).reshape(rounds, len(scans))
    drawn, curve = bootstrap(marks, rounds, seed), marks.froc().at()
    found = {"cpm": Measured(float(curve.mean()), drawn.mean(axis=1))}
    for rate, value, column in zip(RATES, curve.tolist(), drawn.T, strict=True):
        found[f"sensitivity_at_{rate:g}"] = Measured(value, column)
    once = np.ones((1, len(scans)))

    def share(name: str, above: Callable[[ScanOutcome], float],
              below: Callable[[ScanOutcome], float]) -> None:  # fmt: skip
        sums = np.array([[above(scan), below(scan)] for scan in scans], float).reshape(-1, 2)
        value, of_draws = (_ratio(w @ sums) for w in (once, draws))
        found[name] = Measured(float(value[0]), of_draws)

    share("sensitivity", lambda s: sum(not math.isnan(n.probability) for n in s.nodules),
          lambda s: len(s.nodules))  # fmt: skip
    share("false_positives_per_scan", lambda s: len(s.false), lambda _: 1)
    if not any(np.isnan(n.dice) for scan in scans for n in scan.nodules):
        share("dice", lambda s: sum(n.dice for n in s.nodules), lambda s: len(s.nodules))
    return found


def _ratio(sums: FloatArray) -> FloatArray:
    out = np.full(len(sums), np.nan)
    return np.asarray(np.divide(sums[:, 0], sums[:, 1], out=out, where=sums[:, 1] > 0))


def difference(one: Measured, other: Measured) -> dict[str, Any]:
    """How much larger `other` is than `one`, and what holds 95 % of the differences of draws.

    Examples
    --------
    >>> difference(Measured(0.5, np.array([0.4, 0.6])), Measured(0.75, np.array([0.65, 0.85])))
    {'value': 0.25, 'interval': (0.25, 0.25)}
    """
    return {"value": other.value - one.value, "interval": interval(other.drawn - one.drawn)}


def hits_of(scan: ScanOutcome) -> ScanHits:
    """The same as what came of the scan's candidates.

    Examples
    --------
    >>> scan = ScanOutcome((NoduleOutcome((0.0, 0.0, 0.0), 8.0, float("nan")),), np.zeros(0))
    >>> hits_of(scan).best.tolist()
    [-1]
    """
    p = np.array([nodule.probability for nodule in scan.nodules], float)
    return ScanHits(np.where(np.isnan(p), -1, 0), p, scan.false, duplicates=0, ignored=0)


def threshold_at(scans: Sequence[ScanOutcome], rate: float) -> float:
    """The lowest probability at which there are no more than `rate` false positives per scan.

    Examples
    --------
    >>> nodule = NoduleOutcome((0.0, 0.0, 0.0), 8.0, 0.6)
    >>> scan = ScanOutcome((nodule,), np.array([0.9, 0.7, 0.5]))
    >>> threshold_at([scan], 2.0), threshold_at([scan], 0.5)
    (0.6, inf)
    """
    curve = ScoredCandidates([hits_of(scan) for scan in scans]).froc()
    return float(curve.threshold[np.flatnonzero(curve.fp_per_scan <= rate + 1e-9)[-1]])
