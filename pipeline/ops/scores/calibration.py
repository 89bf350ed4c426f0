"""What a candidate's score is worth: whether of candidates with 0.8 eight in ten are nodules.

A net's probabilities are of voxels, taught on crops that hold far more nodule than a scan does; a
candidate's score orders candidates well and says little by itself. Calibration turns it into the
share of such candidates that are nodules, by a rising curve fitted to candidates of patients whom
the net did not learn from. It is kept as a table with straight lines between, so that it travels
with the net.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.scores.detection import ScoredCandidates
from lungseg.volume import FloatArray

METHODS = ("platt", "isotonic")
# Fewer hits or false positives than this tell nothing that is worth keeping.
FEWEST = 5
# Scores of 0 and 1 have no logit.
_LIMIT = 1e-4
# Scores at which Platt's curve is kept: between them straight lines are off by 0.002 at most.
_KNOTS = 41


@dataclass(frozen=True)
class Calibration:
    """A rising curve from score to the share of nodules.

    Attributes
    ----------
    score, probability
        Points of the curve, both rising; straight lines between them, level beyond.

    Examples
    --------
    >>> Calibration((0.2, 0.6), (0.0, 0.5)).of([0.1, 0.4, 0.9]).tolist()
    [0.0, 0.25, 0.5]
    """

    score: tuple[float, ...]
    probability: tuple[float, ...]

    def of(self, score: npt.ArrayLike) -> FloatArray:
        """Share of candidates with these scores that are nodules.

        Examples
        --------
        >>> Calibration((0.0, 1.0), (0.0, 0.5)).of([0.5]).tolist()
        [0.25]
        """
        return np.asarray(np.interp(np.asarray(score, float), self.score, self.probability))


def fitted(
    score: npt.ArrayLike, is_nodule: npt.ArrayLike, method: str = "platt"
) -> Calibration | None:
    """The curve that fits these candidates; None if they are too few, see `FEWEST`.

    Parameters
    ----------
    score, is_nodule : (n,)
        Score of each candidate, and whether it hit a nodule; those that count as neither left out.
    method
        ``platt``: a logistic curve of the score's logit, two numbers (Platt 1999), for few
        candidates. ``isotonic``: the rising steps that fit best (Zadrozny and Elkan 2002), which
        need hundreds of hits.

    Examples
    --------
    >>> score, hit = [0.1] * 10 + [0.9] * 10, [0] * 10 + [1, 1, 1, 1, 1, 1, 1, 1, 0, 0]
    >>> fitted(score, hit, "isotonic").of([0.1, 0.5, 0.9]).tolist()
    [0.0, 0.4, 0.8]
    >>> fitted([0.5], [1]) is None
    True
    """
    p, hit = np.asarray(score, float), np.asarray(is_nodule, bool)
    if min(int(hit.sum()), int((~hit).sum())) < FEWEST:
        return None
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, hit)
        return Calibration(tuple(steps.X_thresholds_.tolist()), tuple(steps.y_thresholds_.tolist()))
    from scipy.special import expit
    from sklearn.linear_model import LogisticRegression

    # Hardly any penalty: the classes are few, and the two numbers are all there is.
    curve = LogisticRegression(C=1e6).fit(_logit(p)[:, None], hit)
    knots = np.r_[0.0, expit(np.linspace(-9, 9, _KNOTS)), 1.0]
    share = curve.predict_proba(_logit(knots)[:, None])[:, 1]
    # A net whose false positives score higher than its nodules has nothing to calibrate.
    return Calibration(tuple(knots.tolist()), tuple(np.maximum.accumulate(share).tolist()))


def _logit(p: FloatArray) -> FloatArray:
    from scipy.special import logit

    return np.asarray(logit(p.clip(_LIMIT, 1 - _LIMIT)))


@dataclass(frozen=True)
class Reliability:
    """Candidates by their probability, in ten bins of a tenth; empty bins are left out.

    Attributes
    ----------
    predicted, observed
        Mean probability in each bin, and the share of nodules.
    count
        Candidates in it.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    count: tuple[int, ...]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of predicted and observed, by candidates.

        Naeini et al. 2015; NaN without candidates.

        Examples
        --------
        >>> round(Reliability((0.1, 0.9), (0.2, 0.8), (3, 1)).ece, 3)
        0.1
        """
        n = np.asarray(self.count, float)
        if not n.size:
            return float("nan")
        gap = np.abs(np.asarray(self.predicted) - np.asarray(self.observed))
        return float((gap * n).sum() / n.sum())

    def as_dict(self) -> dict[str, Any]:
        """For JSON.

        Examples
        --------
        >>> Reliability((0.25,), (0.5,), (3,)).as_dict()
        {'ece': 0.25, 'predicted': [0.25], 'observed': [0.5], 'candidates': [3]}
        """
        return {
            "ece": self.ece,
            "predicted": list(self.predicted),
            "observed": list(self.observed),
            "candidates": list(self.count),
        }


def reliability(probability: npt.ArrayLike, is_nodule: npt.ArrayLike) -> Reliability:
    """How often candidates of each tenth of probability are nodules.

    Examples
    --------
    >>> found = reliability([0.05, 0.85, 0.85, 1.0], [0, 1, 0, 1])
    >>> found.predicted, found.observed, found.count
    ((0.05, 0.85, 1.0), (0.0, 0.5, 1.0), (1, 2, 1))
    """
    p, hit = np.asarray(probability, float), np.asarray(is_nodule, bool)
    bins = np.minimum((p * 10).astype(int), 9)
    used = np.unique(bins)
    return Reliability(
        tuple(float(p[bins == k].mean()) for k in used),
        tuple(float(hit[bins == k].mean()) for k in used),
        tuple(int((bins == k).sum()) for k in used),
    )


SETTINGS = (
    "score", "score_mm", "smooth_mm", "min_overlap", "threshold_method", "threshold",
    "candidate_threshold", "reduced",
)  # fmt: skip
"""Settings of `find-nodules` that decide a candidate's score, and whether a reducer judged it."""


def settings_of(found: Mapping[str, Any], *, reduced: bool) -> dict[str, Any]:
    """Settings that a candidate's score is of: those of `find-nodules`, and that it was reduced.

    Examples
    --------
    >>> settings_of({"score": "top"}, reduced=True)
    {'score': 'top', 'reduced': True}
    >>> settings_of({"score": "top"}, reduced=False)
    {'score': 'top'}
    """
    return {**found, "reduced": True} if reduced else dict(found)


def kept(
    curve: Calibration, method: str, settings: Mapping[str, Any], told: Mapping[str, Any]
) -> dict[str, Any]:
    """A curve as a net's record has it: with the settings whose scores it is of.

    Parameters
    ----------
    curve, method
        The curve, and how it was fitted.
    settings
        All settings of `find-nodules`.
    told
        Of how many candidates, hits and scans it is.

    Examples
    --------
    >>> settings = {name: 0 for name in SETTINGS}
    >>> entry = kept(Calibration((0.0, 1.0), (0.0, 0.5)), "platt", settings, {"scans": 3})
    >>> usable(entry, settings), usable(entry, settings | {"score": "max"}), usable({}, settings)
    (Calibration(score=(0.0, 1.0), probability=(0.0, 0.5)), None, None)
    """
    return {
        "method": method,
        "score": [round(v, 6) for v in curve.score],
        "probability": [round(v, 6) for v in curve.probability],
        "settings": {name: settings.get(name) for name in SETTINGS},
        **told,
    }


def usable(entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Calibration | None:
    """The curve that a net's record keeps, if it is of scores made with these settings.

    Examples
    --------
    >>> usable({}, {"score": "top"}) is None
    True
    """
    if not entry or any(entry["settings"].get(k) != settings.get(k) for k in SETTINGS):
        return None
    score: Sequence[float] = entry["score"]
    probability: Sequence[float] = entry["probability"]
    return Calibration(tuple(score), tuple(probability))


def calibration_scores(
    candidates: ScoredCandidates,
    entry: Mapping[str, Any],
    settings: Mapping[str, Any],
    method: str,
    told: Mapping[str, Any],
) -> dict[str, Any]:
    """How far scores are shares of nodules, as they are and calibrated, and the curve that fits.

    Parameters
    ----------
    candidates
        Hits and false positives of the scored scans.
    entry
        The curve that the net keeps; empty if it keeps none.
    settings
        All settings of `find-nodules`.
    method
        How the new curve is fitted.
    told
        What is kept with the new curve.

    Examples
    --------
    >>> scored = ScoredCandidates([])
    >>> found = calibration_scores(scored, {}, {name: 0 for name in SETTINGS}, "platt", {})
    >>> found["calibrated"], found["fitted"]
    (None, None)
    """
    score, hit = candidates.probability, candidates.is_hit
    known = usable(entry, settings)
    curve = fitted(score, hit, method)
    counts = {"candidates": len(score), "hits": int(hit.sum())}
    return {
        "score": reliability(score, hit).as_dict(),
        "calibrated": reliability(known.of(score), hit).as_dict() if known else None,
        "fitted": kept(curve, method, settings, {**told, **counts}) if curve else None,
    }
