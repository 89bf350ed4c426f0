"""How well candidates find nodules: hits by LUNA16's rules, FROC, CPM, and how sure that is.

The rules (Setio et al. 2017, Med Image Anal 42:1-13, and its evaluation script): a candidate hits
a nodule if it lies nearer to its centre than its radius; of several hits on one nodule the
likeliest counts and the others are dropped; a candidate on a finding that is neither right nor
wrong is dropped; every other is a false positive. A nodule that nothing hits stays in the
denominator at every threshold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.volume import FloatArray, IndexArray, IntArray, MaskArray

# False positives per scan at which the CPM samples the curve (Niemeijer et al. 2011).
RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
# Diameter of a finding whose own is unknown, mm.
UNKNOWN_DIAMETER_MM = 10.0


@dataclass(frozen=True, eq=False)
class ScanHits:
    """What came of the candidates of one scan.

    Attributes
    ----------
    best
        Which candidate hits each nodule; -1 where none does.
    probability
        That candidate's probability, NaN where none does.
    false
        Probabilities of the false positives.
    duplicates, ignored
        Candidates dropped as further hits on a nodule, and as neither right nor wrong.
    """

    best: IndexArray
    probability: FloatArray
    false: FloatArray
    duplicates: int
    ignored: int


def radius_mm(diameter_mm: float | None) -> float:
    """Radius within which a candidate hits; 5 mm where the diameter is unknown or negative.

    Examples
    --------
    >>> radius_mm(8.0), radius_mm(None), radius_mm(-1.0)
    (4.0, 5.0, 5.0)
    """
    known = diameter_mm is not None and np.isfinite(diameter_mm) and diameter_mm >= 0
    return (diameter_mm if known and diameter_mm is not None else UNKNOWN_DIAMETER_MM) / 2


def hits(
    candidates_xyz: npt.ArrayLike,
    probability: npt.ArrayLike,
    nodules: Sequence[tuple[Sequence[float], float | None]],
    ignore: Sequence[tuple[Sequence[float], float | None]] = (),
) -> ScanHits:
    """Match the candidates of one scan with its nodules.

    Parameters
    ----------
    candidates_xyz : (n, 3)
        World mm.
    probability : (n,)
        Of each candidate.
    nodules, ignore
        Centre (world mm) and diameter (mm; None or negative if unknown) of each nodule, and of
        each finding on which a candidate is neither right nor wrong.

    Examples
    --------
    >>> candidates = [(0, 0, 0), (1, 0, 0), (50, 0, 0)]
    >>> found = hits(candidates, [0.8, 0.9, 0.3], nodules=[((0, 0, 0), 10.0)])
    >>> found.best.tolist(), found.duplicates, found.false.tolist()
    ([1], 1, [0.3])
    """
    xyz = np.asarray(candidates_xyz, float).reshape(-1, 3).T
    p = np.asarray(probability, float).reshape(-1)
    best = np.full(len(nodules), -1, np.intp)
    used = np.zeros(len(p), bool)
    duplicates = 0
    for k, (centre, diameter_mm) in enumerate(nodules):
        near = np.flatnonzero(_within(xyz, centre, diameter_mm))
        used[near] = True
        if near.size:
            best[k] = near[p[near].argmax()]
            duplicates += near.size - 1
    left = np.flatnonzero(~used)
    others = xyz[:, left]
    irrelevant = np.zeros(len(left), bool)
    for centre, diameter_mm in ignore:
        irrelevant |= _within(others, centre, diameter_mm)
    return ScanHits(
        best=best,
        probability=np.where(best >= 0, p[best] if p.size else np.nan, np.nan),
        false=p[left[~irrelevant]],
        duplicates=duplicates,
        ignored=int(irrelevant.sum()),
    )


def _within(xyz: FloatArray, centre: Sequence[float], diameter_mm: float | None) -> MaskArray:
    # Squares are compared, as LUNA16's script does: at the very edge a root rounds otherwise.
    x, y, z = (at - mm for at, mm in zip(xyz, centre, strict=True))
    return np.asarray(x * x + y * y + z * z < radius_mm(diameter_mm) ** 2)


def likeliest(probability: npt.ArrayLike, most: int) -> MaskArray:
    """Which candidates of a scan count if it may have `most` of them: those above the next one.

    By LUNA16's rule; so of several with the probability at the limit none counts.

    Examples
    --------
    >>> likeliest([0.5, 0.9, 0.1], 2).tolist(), likeliest([0.5, 0.9, 0.5], 2).tolist()
    ([True, True, False], [False, True, False])
    """
    p = np.asarray(probability, float)
    if len(p) <= most:
        return np.ones(len(p), bool)
    return np.asarray(p > np.sort(p)[::-1][most])


@dataclass(frozen=True, eq=False)
class Froc:
    """Free-response curve: one point a threshold, from the highest down.

    Attributes
    ----------
    threshold
        Candidates at least this probable count; infinite at the first point, where none does.
    fp_per_scan, sensitivity
        Of those; sensitivity is NaN if there is no nodule.

    Examples
    --------
    >>> curve = Froc(np.array([np.inf, 0.9]), np.array([0.0, 8.0]), np.array([0.0, 1.0]))
    >>> curve.at([4.0]).tolist()
    [0.5]
    """

    threshold: FloatArray
    fp_per_scan: FloatArray
    sensitivity: FloatArray

    def at(self, rates: npt.ArrayLike = RATES) -> FloatArray:
        """Sensitivity at these false positives per scan, between points by straight lines.

        Beyond the last point it stays what it was there.
        """
        at = np.interp(np.asarray(rates, float), self.fp_per_scan, self.sensitivity)
        return np.asarray(at)

    @property
    def cpm(self) -> float:
        """Competition performance metric: mean sensitivity at 1/8, 1/4, ... 8 per scan."""
        return float(self.at().mean())


class ScoredCandidates:
    """Hits and false positives of many scans, in the order of their probability.

    Examples
    --------
    One scan with one nodule, which is found first, and then a false positive:

    >>> scan = hits([(0, 0, 0), (50, 0, 0)], [0.9, 0.3], nodules=[((0, 0, 0), 10.0)])
    >>> curve = ScoredCandidates([scan]).froc()
    >>> curve.fp_per_scan.tolist(), curve.sensitivity.tolist(), curve.cpm
    ([0.0, 0.0, 1.0], [0.0, 1.0, 1.0], 1.0)
    """

    def __init__(self, scans: Sequence[ScanHits]) -> None:
        parts: list[tuple[int, bool, FloatArray]] = []
        for k, scan in enumerate(scans):
            parts.append((k, True, scan.probability[~np.isnan(scan.probability)]))
            parts.append((k, False, scan.false))
        sizes = [len(p) for _, _, p in parts]
        p = np.concatenate([np.zeros(0), *(p for _, _, p in parts)])
        hit = np.repeat(np.array([is_hit for _, is_hit, _ in parts], bool), sizes)
        scan_of = np.repeat(np.array([k for k, _, _ in parts], np.intp), sizes)
        self.nodules = np.array([len(s.best) for s in scans], np.int64)
        order = np.argsort(-p, kind="stable")
        self.probability = p[order]
        self.is_hit = hit[order]
        self.scan = scan_of[order]
        # Candidates of one probability pass a threshold together.
        self.last = np.flatnonzero(np.diff(self.probability, append=-np.inf) != 0)
        self.false_positives = np.array([len(s.false) for s in scans], np.int64)
        self._false_before = np.cumsum(~self.is_hit)[self.last]

    def froc(self, weight: IntArray | None = None, up_to: float = np.inf) -> Froc:
        """The curve; scan *k* counts `weight[k]` times (once without weights).

        It may end anywhere beyond `up_to` false positives per scan, which is quicker.
        """
        w = np.ones(len(self.nodules), np.int64) if weight is None else weight
        if np.isfinite(up_to):
            enough = np.searchsorted(self._false_before, 2 * up_to * len(w)) + 1
            curve = self._froc(w, self.last[:enough])
            if curve.fp_per_scan[-1] > up_to:
                return curve
        return self._froc(w, self.last)

    def _froc(self, w: IntArray, last: IndexArray) -> Froc:
        seen = int(last[-1]) + 1 if len(last) else 0
        each, is_hit = w[self.scan[:seen]], self.is_hit[:seen]
        found = np.cumsum(each * is_hit)[last]
        false = np.cumsum(each * ~is_hit)[last]
        n_scans, n_nodules = int(w.sum()), int((w * self.nodules).sum())
        n_false = int((w * self.false_positives).sum())
        nan = np.full(len(last) + 1, np.nan)
        # By way of the share of all false positives, as LUNA16's script has it: where the curve
        # rises at exactly 1/8, the last bit decides which end of the rise is read.
        share = np.r_[0, false] / n_false if n_false else np.zeros(len(last) + 1)
        return Froc(
            threshold=np.r_[np.inf, self.probability[last]],
            fp_per_scan=share * n_false / n_scans if n_scans else nan,
            sensitivity=np.r_[0, found] / n_nodules if n_nodules else nan,
        )


def bootstrap(
    marks: ScoredCandidates, rounds: int, seed: int, rates: Sequence[float] = RATES
) -> FloatArray:
    """Sensitivities ``(rounds, rates)`` of as many scans drawn with replacement.

    Scans are drawn and not nodules, because the nodules of a scan are found or missed together.
    A draw without any nodule has no sensitivity and is NaN. Of one scan there are no draws: each
    would be that scan, and say nothing of how sure its figures are.

    Examples
    --------
    >>> scan = hits([(0, 0, 0)], [0.9], nodules=[((0, 0, 0), 10.0)])
    >>> bootstrap(ScoredCandidates([scan, scan]), rounds=2, seed=85, rates=(1.0,)).tolist()
    [[1.0], [1.0]]
    >>> bootstrap(ScoredCandidates([scan]), rounds=2, seed=85, rates=(1.0,)).shape
    (0, 1)
    """
    up_to = max(rates)
    rounds = rounds_for(len(marks.nodules), rounds)
    draws = draws_of_scans(len(marks.nodules), rounds, seed)
    drawn = [marks.froc(weight, up_to).at(rates) for weight in draws]
    return np.array(drawn, float).reshape(rounds, len(rates))


def rounds_for(scans: int, rounds: int) -> int:
    """How many draws say something: none of fewer than two scans (or patients).

    Examples
    --------
    >>> rounds_for(1, 1000), rounds_for(2, 1000)
    (0, 1000)
    """
    return rounds if scans > 1 else 0


def draws_of_scans(scans: int, rounds: int, seed: int) -> Iterator[IntArray]:
    """How often each scan counts when as many are drawn with replacement, round by round.

    Results on the same scans, in the same order, are drawn alike by one seed.

    Examples
    --------
    >>> [times.tolist() for times in draws_of_scans(3, rounds=2, seed=0)]
    [[0, 2, 1], [3, 0, 0]]
    """
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        yield np.bincount(rng.integers(0, max(scans, 1), scans), minlength=scans)


def interval(drawn: FloatArray, level: float = 0.95) -> tuple[float, float] | None:
    """Bounds that leave out equal shares of the draws on both sides; None if there are none.

    Examples
    --------
    >>> interval(np.linspace(0.0, 1.0, 101), level=0.5)
    (0.25, 0.75)
    """
    known = drawn[~np.isnan(drawn)]
    if not known.size:
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
