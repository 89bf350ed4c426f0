"""How well a net outlines nodules, one by one in 3-D, beside how well radiologists do.

Every nodule counts once: scores against several annotators are first averaged over the nodule's
own. Intervals come from drawing patients, because nodules of one patient are alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.nodules.consensus import agreed
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.scores.agreement import agreement
from lungseg.ops.scores.counts import Counts, count, quotient
from lungseg.ops.scores.detection import interval
from lungseg.volume import FloatArray, Geometry, IndexArray, IntArray, MaskArray

# Lower bounds of the groups by diameter, mm, after the thresholds of nodule management (6 and
# 8 mm, Fleischner Society 2017) and LUNA16's many of below 15 mm.
SIZES_MM: tuple[tuple[str, float, float], ...] = (
    ("below 6 mm", 0.0, 6.0),
    ("6 to 8 mm", 6.0, 8.0),
    ("8 to 15 mm", 8.0, 15.0),
    ("15 mm and more", 15.0, np.inf),
)
# LIDC's rating of texture, 1 to 5, by the median of the annotators.
TEXTURES: tuple[tuple[str, float, float], ...] = (
    ("ground-glass", 1.0, 2.5),
    ("part-solid", 2.5, 4.0),
    ("solid", 4.0, np.inf),
)

NODULE_DEFINITIONS = {
    "grid": "the slices' own pixels; a nodule's score is over all voxels of its window, in 3-D, "
    "without those that an annotator of another nodule drew",
    "consensus": "voxels that at least half of the nodule's annotators drew (all that any drew, "
    "where no voxel has half of them)",
    "diameter": "of the ball of the consensus' volume; slices are as thick as their median "
    "distance; of a single slice, of the disc",
    "dice": "found voxels against the consensus: mean and median over nodules, a nodule that is "
    "not found being 0; dice_pooled: from the counts of voxels of all nodules together",
    "dice_touching": "mean over nodules, of the found regions alone that touch the consensus",
    "found": "share of the nodules of which a consensus voxel is found",
    "sensitivity": "mean over nodules of the share of the consensus that is found",
    "precision": "share of the found voxels that are consensus, of all nodules together",
    "volume_ratio": "median over nodules of found volume by the consensus' volume",
    "with_annotators": "mean over nodules of the mean Dice with each of its annotators",
    "annotators_with_annotators": "the same of each two of the nodule's annotators",
    "annotators_with_consensus": "the same of each annotator with the consensus of all, which "
    "holds the annotator's own",
    "fifth_reader": "with_annotators less annotators_with_annotators: 0 or more where the net "
    "agrees with a radiologist no worse than another radiologist does",
    "interval": "2.5 % and 97.5 % quantile over draws of as many patients with replacement",
}


@dataclass(frozen=True, kw_only=True)
class NoduleScore:
    """What came of one nodule.

    Attributes
    ----------
    counts
        Voxels by consensus and mark, in the window.
    touching
        Dice of the found regions that touch the consensus.
    with_annotators
        Dice with each annotator.
    between_annotators, annotators_with_consensus
        Dice of each two annotators, and of each with the consensus of all.
    diameter_mm
        Of the ball of the consensus' volume.

    Examples
    --------
    >>> score = NoduleScore(
    ...     counts=Counts(3, 1, 1, 0), touching=0.75, with_annotators=(0.5, 0.75),
    ...     between_annotators=(0.8,), annotators_with_consensus=(1.0, 0.9), diameter_mm=7.0,
    ... )
    >>> score.annotators, score.counts.dice
    (2, 0.75)
    """

    counts: Counts
    touching: float
    with_annotators: tuple[float, ...]
    between_annotators: tuple[float, ...]
    annotators_with_consensus: tuple[float, ...]
    diameter_mm: float

    @property
    def annotators(self) -> int:
        """How many drew it."""
        return len(self.with_annotators)


def score_nodule(
    found: MaskArray,
    masks: MaskArray,
    spacing_mm: tuple[float, float, float],
    ignored: MaskArray | None = None,
) -> NoduleScore:
    """Score one nodule in its window.

    Parameters
    ----------
    found : (z, y, x) bool
        What the net marked.
    masks : (k, z, y, x) bool
        What each annotator drew; at least one voxel altogether.
    spacing_mm
        ``(z, y, x)``; of a single slice z does not matter.
    ignored : (z, y, x) bool, optional
        Voxels that count nowhere, such as another nodule's.

    Examples
    --------
    >>> masks = np.zeros((2, 1, 1, 4), bool)
    >>> masks[0, ..., :2] = masks[1, ..., 1:3] = True
    >>> found = np.array([[[False, True, True, False]]])
    >>> score = score_nodule(found, masks, (1.0, 1.0, 1.0))
    >>> score.with_annotators, score.between_annotators, score.counts.dice
    ((0.5, 1.0), (0.5,), 0.8)
    """
    from scipy.ndimage import label

    counted = np.ones(found.shape, bool) if ignored is None else ~ignored
    readings = [Patch(mask, (0, 0, 0)) for mask in masks]
    grid = Geometry((float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])))
    readers = agreement(readings, grid)
    consensus = agreed(masks.sum(axis=0, dtype=np.uint8), len(masks))
    regions, _ = label(found, np.ones((3, 3, 3)))
    touching = np.isin(regions, np.setdiff1d(regions[consensus], 0))
    single = len(found) == 1
    disc_mm = 2 * np.sqrt(consensus.sum() * spacing_mm[1] * spacing_mm[2] / np.pi)
    return NoduleScore(
        counts=count(found, consensus, counted),
        touching=count(touching, consensus, counted).dice,
        with_annotators=tuple(count(found, mask, counted).dice for mask in masks),
        between_annotators=readers.between_readers,
        annotators_with_consensus=readers.with_consensus,
        diameter_mm=float(disc_mm) if single else readers.diameter_mm,
    )


def group_of(value: float, groups: Sequence[tuple[str, float, float]]) -> str | None:
    """Name of the group in whose half-open range a value lies; None outside all of them.

    Examples
    --------
    >>> group_of(6.0, SIZES_MM), group_of(float("nan"), TEXTURES)
    ('6 to 8 mm', None)
    """
    return next((name for name, low, high in groups if low <= value < high), None)


def summary(
    scores: Sequence[NoduleScore],
    patients: Sequence[str],
    texture: Sequence[float],
    rounds: int = 1000,
    seed: int = 1,
) -> dict[str, Any]:
    """Scores of all nodules, and by size, number of annotators and texture, with intervals.

    Parameters
    ----------
    scores, patients, texture
        Of each nodule; texture is NaN where it is not known.
    rounds, seed
        Number of draws of patients, and their seed.

    Examples
    --------
    >>> one = score_nodule(np.ones((1, 1, 2), bool), np.ones((1, 1, 1, 2), bool), (1.0, 1.0, 1.0))
    >>> found = summary([one, one], ["a", "b"], [5.0, float("nan")], rounds=9)
    >>> found["all"]["nodules"], found["all"]["dice"]
    (2, {'value': 1.0, 'interval': (1.0, 1.0)})
    >>> list(found["by_size"]), found["by_texture"]["solid"]["nodules"]
    (['below 6 mm'], 1)
    """
    who = np.asarray(patients, dtype=np.str_)
    told: dict[str, list[str | None]] = {
        "by_size": [group_of(score.diameter_mm, SIZES_MM) for score in scores],
        "by_annotators": [str(score.annotators) for score in scores],
        "by_texture": [group_of(value, TEXTURES) for value in texture],
    }
    orders = {
        "by_size": [name for name, _, _ in SIZES_MM],
        "by_annotators": [str(n) for n in sorted({score.annotators for score in scores})],
        "by_texture": [name for name, _, _ in TEXTURES],
    }
    columns = _columns(scores)
    whole = np.arange(len(scores))
    document: dict[str, Any] = {"all": _group(columns, who, whole, rounds, seed)}
    for kind, names in told.items():
        document[kind] = {
            group: _group(columns, who, whole[[name == group for name in names]], rounds, seed)
            for group in orders[kind]
            if group in names
        }
    return document


Columns = Mapping[str, FloatArray]


def _columns(scores: Sequence[NoduleScore]) -> Columns:
    """Each nodule's numbers, ``(n,)`` by name."""

    def of(number: Callable[[NoduleScore], float]) -> FloatArray:
        return np.array([number(score) for score in scores], float)

    return {
        "dice": of(lambda s: s.counts.dice),
        "touching": of(lambda s: s.touching),
        "both": of(lambda s: s.counts.true_positive),
        "extra": of(lambda s: s.counts.false_positive),
        "missed": of(lambda s: s.counts.false_negative),
        "with_annotators": of(lambda s: float(np.mean(s.with_annotators))),
        "between": of(lambda s: _mean(np.asarray(s.between_annotators))),
        "with_consensus": of(lambda s: float(np.mean(s.annotators_with_consensus))),
    }


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _pooled(c: Columns) -> float:
    both = 2 * c["both"].sum()
    return quotient(both, both + c["extra"].sum() + c["missed"].sum())


def _precision(c: Columns) -> float:
    return quotient(c["both"].sum(), c["both"].sum() + c["extra"].sum())


def _volume_ratio(c: Columns) -> float:
    return float(np.median((c["both"] + c["extra"]) / (c["both"] + c["missed"])))


STATISTICS: dict[str, Callable[[Columns], float]] = {
    "dice": lambda c: _mean(c["dice"]),
    "dice_median": lambda c: float(np.median(c["dice"])),
    "dice_pooled": _pooled,
    "dice_touching": lambda c: _mean(c["touching"]),
    "found": lambda c: float((c["both"] > 0).mean()),
    "sensitivity": lambda c: _mean(c["both"] / (c["both"] + c["missed"])),
    "precision": _precision,
    "volume_ratio": _volume_ratio,
    "with_annotators": lambda c: _mean(c["with_annotators"]),
    "annotators_with_annotators": lambda c: _mean(c["between"]),
    "annotators_with_consensus": lambda c: _mean(c["with_consensus"]),
    "fifth_reader": lambda c: _mean(c["with_annotators"] - c["between"]),
}
"""What is told of a group of nodules; `NODULE_DEFINITIONS` says what each is."""


def _group(
    columns: Columns, who: npt.NDArray[np.str_], where: IndexArray, rounds: int, seed: int
) -> dict[str, Any]:
    own = {name: column[where] for name, column in columns.items()}
    found: dict[str, Any] = {"nodules": len(where), "patients": len(set(who[where].tolist()))}
    if not len(where):
        return found | {name: {"value": None, "interval": None} for name in STATISTICS}
    drawn = [
        [statistic({k: v[rows] for k, v in own.items()}) for statistic in STATISTICS.values()]
        for rows in draws_of_patients(who[where], rounds, seed)
    ]
    samples = np.asarray(drawn, float).reshape(rounds, len(STATISTICS))
    for (name, statistic), column in zip(STATISTICS.items(), samples.T, strict=True):
        found[name] = {"value": statistic(own), "interval": interval(column)}
    return found


def draws_of_patients(patients: npt.NDArray[np.str_], rounds: int, seed: int) -> list[IntArray]:
    """Rows of as many patients drawn with replacement, all rows of each, for every round.

    Examples
    --------
    >>> rows = draws_of_patients(np.array(["a", "b", "a"]), rounds=2, seed=0)
    >>> [sorted(r.tolist()) for r in rows]
    [[1, 1], [0, 1, 2]]
    """
    names, of = np.unique(patients, return_inverse=True)
    rows = [np.flatnonzero(of == k) for k in range(len(names))]
    rng = np.random.default_rng(seed)
    return [
        np.concatenate([rows[k] for k in rng.integers(0, len(names), len(names))])
        for _ in range(rounds)
    ]
