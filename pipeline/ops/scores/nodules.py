"""How well a net outlines nodules, one by one in 3-D, beside how well radiologists do.

Every nodule counts once: scores against several annotators are first averaged over the nodule's
own. Intervals come from drawing patients, because nodules of one patient are alike.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.morphology import regions_with
from lungseg.ops.nodules.consensus import agreed
from lungseg.ops.nodules.patches import Patch
from lungseg.ops.scores.agreement import agreement
from lungseg.ops.scores.counts import Counts, count
from lungseg.ops.scores.detection import interval, rounds_for
from lungseg.ops.scores.groups import Kinds, grouped, in_order
from lungseg.ops.scores.surfaces import SurfaceDistance, surface_distance
from lungseg.volume import FloatArray, Geometry, IndexArray, IntArray, MaskArray

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
    "asd_mm": "mean over nodules of which something is found, of the mean distance, mm, of the "
    "surface voxels of what is found and of the consensus to the nearest of the other's (both "
    "taken together)",
    "hd95_mm": "the same of the 95 % quantile of these distances",
    "asd_mm_with_annotators": "asd_mm with each annotator in place of the consensus: mean over the "
    "nodule's annotators, then over nodules",
    "hd95_mm_with_annotators": "the same of hd95_mm",
    "asd_mm_between_annotators": "the same of each two of the nodule's annotators, of all nodules",
    "hd95_mm_between_annotators": "the same of hd95_mm",
    "by_found": "found: a voxel of the consensus is found; missed: none is",
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
    surface, surface_with_annotators, surface_between_annotators
        How far the surfaces of what is found and of the consensus lie apart; of what is found and
        each annotator's; of each two annotators'.

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
    surface: SurfaceDistance = field(default_factory=SurfaceDistance)
    surface_with_annotators: tuple[SurfaceDistance, ...] = ()
    surface_between_annotators: tuple[SurfaceDistance, ...] = ()

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
    counted = np.ones(found.shape, bool) if ignored is None else ~ignored
    readings = [Patch(mask, (0, 0, 0)) for mask in masks]
    grid = Geometry((float(spacing_mm[0]), float(spacing_mm[1]), float(spacing_mm[2])))
    readers = agreement(readings, grid)
    consensus = agreed(masks.sum(axis=0, dtype=np.uint8), len(masks))
    touching = regions_with(found, consensus)
    single = len(found) == 1
    spacing = grid.spacing_mm
    disc_mm = 2 * np.sqrt(consensus.sum() * spacing_mm[1] * spacing_mm[2] / np.pi)
    return NoduleScore(
        counts=count(found, consensus, counted),
        touching=count(touching, consensus, counted).dice,
        with_annotators=tuple(count(found, mask, counted).dice for mask in masks),
        between_annotators=readers.between_readers,
        annotators_with_consensus=readers.with_consensus,
        diameter_mm=float(disc_mm) if single else readers.diameter_mm,
        surface=surface_distance(found & counted, consensus, spacing),
        surface_with_annotators=tuple(
            surface_distance(found & counted, mask, spacing) for mask in masks
        ),
        surface_between_annotators=tuple(
            surface_distance(one, other, spacing) for one, other in combinations(masks, 2)
        ),
    )


def summary(  # noqa: PLR0913, PLR0917 - nodules, their groups, and how intervals are drawn
    scores: Sequence[NoduleScore],
    patients: Sequence[str],
    texture: Sequence[float],
    rounds: int = 1000,
    seed: int = 1,
    more: Kinds | None = None,
) -> dict[str, Any]:
    """Scores of all nodules, and by size, number of annotators and texture, with intervals.

    Parameters
    ----------
    scores, patients, texture
        Of each nodule; texture is NaN where it is not known.
    rounds, seed
        Number of draws of patients, and their seed.
    more
        Further groups.

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
    by_size, by_texture = grouped([score.diameter_mm for score in scores], texture).items()
    kinds: dict[str, Sequence[tuple[str, ...]]] = dict(
        [by_size, ("by_annotators", [(str(score.annotators),) for score in scores]), by_texture]
    )
    kinds["by_found"] = [("found" if score.counts.true_positive else "missed",) for score in scores]
    columns = _columns(scores)
    whole = np.arange(len(scores))
    document: dict[str, Any] = {"all": _group(columns, who, whole, rounds, seed)}
    for kind, of in (kinds | dict(more or {})).items():
        document[kind] = {
            group: _group(columns, who, whole[[group in names for names in of]], rounds, seed)
            for group in in_order(of)
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
        "asd": of(lambda s: s.surface.asd_mm),
        "hd95": of(lambda s: s.surface.hd95_mm),
        "asd_with": of(lambda s: _mean(np.array([d.asd_mm for d in s.surface_with_annotators]))),
        "hd95_with": of(lambda s: _mean(np.array([d.hd95_mm for d in s.surface_with_annotators]))),
        "asd_between": of(
            lambda s: _mean(np.array([d.asd_mm for d in s.surface_between_annotators]))
        ),
        "hd95_between": of(
            lambda s: _mean(np.array([d.hd95_mm for d in s.surface_between_annotators]))
        ),
    }


def _mean(values: FloatArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    out = np.full(len(above), np.nan)
    return np.asarray(np.divide(above, below, out=out, where=below != 0))


def _means(values: FloatArray, w: FloatArray) -> FloatArray:
    known = ~np.isnan(values)
    return _ratio(w @ np.where(known, values, 0.0), w @ known.astype(float))


def _medians(values: FloatArray, w: FloatArray) -> FloatArray:
    order = np.argsort(values)
    reached, rows = np.cumsum(w[:, order], axis=1), values[order]
    total = reached[:, -1:]
    low = (reached > (total - 1) // 2).argmax(axis=1)
    high = (reached > total // 2).argmax(axis=1)
    return np.asarray((rows[low] + rows[high]) / 2)


def _pooled(c: Columns, w: FloatArray) -> FloatArray:
    both = 2 * (w @ c["both"])
    return _ratio(both, both + w @ (c["extra"] + c["missed"]))


def _precision(c: Columns, w: FloatArray) -> FloatArray:
    return _ratio(w @ c["both"], w @ (c["both"] + c["extra"]))


def _volume_ratio(c: Columns, w: FloatArray) -> FloatArray:
    return _medians((c["both"] + c["extra"]) / (c["both"] + c["missed"]), w)


STATISTICS: dict[str, Callable[[Columns, FloatArray], FloatArray]] = {
    "dice": lambda c, w: _means(c["dice"], w),
    "dice_median": lambda c, w: _medians(c["dice"], w),
    "dice_pooled": _pooled,
    "dice_touching": lambda c, w: _means(c["touching"], w),
    "found": lambda c, w: _means((c["both"] > 0).astype(float), w),
    "sensitivity": lambda c, w: _means(c["both"] / (c["both"] + c["missed"]), w),
    "precision": _precision,
    "volume_ratio": _volume_ratio,
    "with_annotators": lambda c, w: _means(c["with_annotators"], w),
    "annotators_with_annotators": lambda c, w: _means(c["between"], w),
    "annotators_with_consensus": lambda c, w: _means(c["with_consensus"], w),
    "fifth_reader": lambda c, w: _means(c["with_annotators"] - c["between"], w),
    "asd_mm": lambda c, w: _means(c["asd"], w),
    "hd95_mm": lambda c, w: _means(c["hd95"], w),
    "asd_mm_with_annotators": lambda c, w: _means(c["asd_with"], w),
    "hd95_mm_with_annotators": lambda c, w: _means(c["hd95_with"], w),
    "asd_mm_between_annotators": lambda c, w: _means(c["asd_between"], w),
    "hd95_mm_between_annotators": lambda c, w: _means(c["hd95_between"], w),
}
"""What is told of a group of nodules, for each row of how often every nodule counts;
`NODULE_DEFINITIONS` says what each is."""


def _group(
    columns: Columns, who: npt.NDArray[np.str_], where: IndexArray, rounds: int, seed: int
) -> dict[str, Any]:
    own = {name: column[where] for name, column in columns.items()}
    found: dict[str, Any] = {"nodules": len(where), "patients": len(set(who[where].tolist()))}
    if not len(where):
        return found | {name: {"value": None, "interval": None} for name in STATISTICS}
    once = np.ones((1, len(where)))
    rounds = rounds_for(found["patients"], rounds)
    drawn = draws_of_patients(who[where], rounds, seed).astype(float)
    for name, statistic in STATISTICS.items():
        found[name] = {
            "value": float(statistic(own, once)[0]),
            "interval": interval(statistic(own, drawn)),
        }
    return found


def draws_of_patients(patients: npt.NDArray[np.str_], rounds: int, seed: int) -> IntArray:
    """How often each row counts when as many patients are drawn with replacement, ``(rounds, n)``.

    A patient's rows all count as often as the patient is drawn.

    Examples
    --------
    >>> draws_of_patients(np.array(["a", "b", "a"]), rounds=2, seed=0).tolist()
    [[0, 2, 0], [1, 1, 1]]
    """
    names, of = np.unique(patients, return_inverse=True)
    n = len(names)
    rng = np.random.default_rng(seed)
    times = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(rounds)]
    return np.array(times, np.int64).reshape(rounds, n)[:, of]
