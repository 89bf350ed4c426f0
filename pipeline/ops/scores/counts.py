"""How well marked voxels agree with the truth, over a whole set of slices.

A mean of the scores of batches depends on how the slices were batched, and a slice without any
nodule has no Dice at all. So voxels are counted slice by slice, and scores are made from the counts
at the end: `pooled` over all voxels of the set, or over slices, where those with and without any
truth are told apart.

Where nothing is there and nothing is marked, Dice and IoU are 1: the answer is right. A quotient
that asks about voxels that do not exist (the sensitivity without any truth) is nan.
"""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lungseg.volume import IntArray, MaskArray


def quotient(above: float, below: float, empty: float = float("nan")) -> float:
    """`above` / `below`, or `empty` where `below` is 0.

    Examples
    --------
    >>> quotient(1, 4), quotient(0, 0), quotient(0, 0, empty=1.0)
    (0.25, nan, 1.0)
    """
    return above / below if below else empty


@dataclass(frozen=True)
class Counts:
    """Voxels by truth and mark, and the scores they make.

    Attributes
    ----------
    true_positive, false_positive, false_negative, true_negative
        Numbers of voxels; those ignored are in none of them.

    Examples
    --------
    >>> counts = Counts(true_positive=2, false_positive=1, false_negative=1, true_negative=6)
    >>> counts.iou, counts.accuracy, round(counts.dice, 3), round(counts.sensitivity, 3)
    (0.5, 0.8, 0.667, 0.667)
    >>> (counts + counts).true_negative
    12
    """

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0
    true_negative: int = 0

    def __add__(self, other: Self) -> "Counts":
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def dice(self) -> float:
        """2 |A and B| / (|A| + |B|)."""
        both = 2 * self.true_positive
        return quotient(both, both + self.false_positive + self.false_negative, 1.0)

    @property
    def iou(self) -> float:
        """|A and B| / |A or B| (Jaccard)."""
        union = self.true_positive + self.false_positive + self.false_negative
        return quotient(self.true_positive, union, 1.0)

    @property
    def sensitivity(self) -> float:
        """Share of the true voxels that is marked (recall)."""
        return quotient(self.true_positive, self.true_positive + self.false_negative)

    @property
    def precision(self) -> float:
        """Share of the marked voxels that is true."""
        return quotient(self.true_positive, self.true_positive + self.false_positive)

    @property
    def specificity(self) -> float:
        """Share of the voxels outside the truth that is left unmarked."""
        return quotient(self.true_negative, self.true_negative + self.false_positive)

    @property
    def accuracy(self) -> float:
        """Share of the voxels that is right."""
        right = self.true_positive + self.true_negative
        return quotient(right, right + self.false_positive + self.false_negative)


def count(marked: MaskArray, target: MaskArray, counted: MaskArray | None = None) -> Counts:
    """Count voxels by truth and mark.

    Parameters
    ----------
    marked, target
        Of one shape.
    counted
        False where a voxel is to be ignored; all count without it.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> count(np.array([True, True, False]), np.array([True, False, False]))
    Counts(true_positive=1, false_positive=1, false_negative=0, true_negative=1)
    """
    table = slice_counts(marked[np.newaxis], target[np.newaxis], _first_axis(counted))
    return Counts(*(int(n) for n in table[0]))


def slice_counts(
    marked: MaskArray, target: MaskArray, counted: MaskArray | None = None
) -> IntArray:
    """Counts ``(n, 4)`` of each slice of ``(n, ...)``, in the order of the fields of `Counts`.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> slice_counts(np.array([[True, False]]), np.array([[True, True]])).tolist()
    [[1, 0, 1, 0]]
    """
    shapes = {marked.shape, target.shape} | ({counted.shape} if counted is not None else set())
    if len(shapes) > 1:
        raise ValueError(f"marks, truth and counted voxels differ in shape: {sorted(shapes)}")
    marked, target = marked.astype(bool), target.astype(bool)
    if counted is not None:
        marked, target = marked & counted, target & counted
    flat = (len(marked), -1)
    both = (marked & target).reshape(flat).sum(axis=1, dtype=np.int64)
    n_marked = marked.reshape(flat).sum(axis=1, dtype=np.int64)
    n_target = target.reshape(flat).sum(axis=1, dtype=np.int64)
    size = (
        np.full(len(marked), marked[0].size if len(marked) else 0, np.int64)
        if counted is None
        else counted.reshape(flat).sum(axis=1, dtype=np.int64)
    )
    return np.stack([both, n_marked - both, n_target - both, size - n_marked - n_target + both], 1)


@dataclass(frozen=True)
class SliceScores:
    """Mean scores of slices, those with and without any truth told apart.

    Attributes
    ----------
    slices, empty
        Number of slices, and of those among them that hold no truth.
    dice, iou
        Mean over the slices that hold truth.
    dice_with_empty, iou_with_empty
        Mean over all; an empty slice scores 1 if nothing is marked in it, else 0.
    empty_clean
        Share of the empty slices in which nothing is marked.
    found
        Share of the slices with truth in which at least one true voxel is marked.
    """

    slices: int
    empty: int
    dice: float
    iou: float
    dice_with_empty: float
    iou_with_empty: float
    empty_clean: float
    found: float


class Tally:
    """Counts of a set of slices, gathered batch by batch, so that the set need not fit in memory.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add(np.array([[True, False]]), np.array([[True, True]]))
    >>> round(tally.pooled().dice, 3)
    0.667
    """

    def __init__(self) -> None:
        self._tables: list[IntArray] = []

    def add(self, marked: MaskArray, target: MaskArray, counted: MaskArray | None = None) -> None:
        """Count a batch ``(n, ...)`` of slices."""
        self._tables.append(slice_counts(marked, target, counted))

    @property
    def table(self) -> IntArray:
        """Counts ``(n, 4)`` of all slices, in the order they came."""
        return np.concatenate([np.zeros((0, 4), np.int64), *self._tables])

    def pooled(self) -> Counts:
        """Counts of the whole set."""
        return Counts(*(int(n) for n in self.table.sum(axis=0)))

    def per_slice(self) -> SliceScores:
        """Means over slices."""
        table = self.table
        hits, false, missed, _ = table.T
        empty = hits + missed == 0
        clean = empty & (false == 0)
        slices = [Counts(*row) for row in table.tolist()]
        dice = np.array([counts.dice for counts in slices])
        iou = np.array([counts.iou for counts in slices])
        return SliceScores(
            slices=len(table),
            empty=int(empty.sum()),
            dice=_mean(dice[~empty]),
            iou=_mean(iou[~empty]),
            dice_with_empty=_mean(dice),
            iou_with_empty=_mean(iou),
            empty_clean=_mean(clean[empty]),
            found=_mean(hits[~empty] > 0),
        )

    def scores(self) -> dict[str, Any]:
        """Pooled and per-slice scores for a JSON file; None where a score is undefined."""
        pooled = self.pooled()
        names = ("dice", "iou", "sensitivity", "precision", "specificity", "accuracy")
        slices = self.per_slice()
        return {
            "pooled": {name: _known(getattr(pooled, name)) for name in names},
            "voxels": {f.name: getattr(pooled, f.name) for f in fields(pooled)},
            "per_slice": {f.name: _known(getattr(slices, f.name)) for f in fields(slices)},
        }


def _first_axis(counted: MaskArray | None) -> MaskArray | None:
    return None if counted is None else counted[np.newaxis]


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
