"""Where a histogram of HU falls apart in two: 2-means, solved exactly."""

from dataclasses import dataclass

import numpy as np

from lungseg.volume import HuArray, IntArray, MaskArray


@dataclass(frozen=True)
class TwoMeans:
    """The two centres of a 2-means clustering, and the value half-way between them.

    Examples
    --------
    >>> TwoMeans(low=-850.0, high=50.0).threshold
    -400.0
    """

    low: float
    high: float

    @property
    def threshold(self) -> float:
        """Value that separates the two clusters."""
        return (self.low + self.high) / 2


def hu_counts(
    ct: HuArray, lowest_hu: int, highest_hu: int, inside: MaskArray | None = None
) -> IntArray:
    """Voxels per HU from `lowest_hu` to `highest_hu`; values beyond count as the bound they pass.

    Parameters
    ----------
    ct : (z, y, x) int16
    lowest_hu, highest_hu
        First and last value counted.
    inside : (z, y, x) bool, optional
        Only voxels where it is True count.

    Raises
    ------
    ValueError
        If `lowest_hu` is above `highest_hu`.

    Examples
    --------
    >>> hu_counts(np.array([[[-2000, -1, 0, 1, 1]]], np.int16), -1, 1).tolist()
    [2, 1, 2]
    """
    if lowest_hu > highest_hu:
        raise ValueError(f"lowest_hu {lowest_hu} is above highest_hu {highest_hu}")
    counts = np.zeros(1 << 16, np.int64)
    # Slice by slice, because bincount makes 8-byte integers of what it gets; read as unsigned,
    # an int16 is its own index and negative values come last.
    for k, axial in enumerate(ct):
        values = axial if inside is None else axial[inside[k]]
        counts += np.bincount(values.ravel().view(np.uint16), minlength=1 << 16)
    counts = np.roll(counts, 1 << 15)
    zero = 1 << 15
    kept = counts[lowest_hu + zero : highest_hu + zero + 1].copy()
    kept[0] += counts[: lowest_hu + zero].sum()
    kept[-1] += counts[highest_hu + zero + 1 :].sum()
    return kept


def two_means(counts: IntArray, first_value: float = 0.0) -> TwoMeans:
    """Best two centres of the values a histogram counts: the global optimum, no seed.

    In one dimension each cluster is a run of neighbouring values, so the cut with the largest
    variance between the runs is found by trying all of them (Fisher 1958, "On grouping for
    maximum homogeneity").

    Parameters
    ----------
    counts : (n,) integers
        How often each of the values `first_value`, `first_value` + 1, ... occurs.
    first_value
        Value of the first bin.

    Raises
    ------
    ValueError
        If fewer than two different values occur.

    Examples
    --------
    >>> two_means(np.array([3, 0, 3, 0, 0, 0, 6]), first_value=-1000)
    TwoMeans(low=-999.0, high=-994.0)
    """
    occurring = np.flatnonzero(counts)
    if len(occurring) < 2:
        raise ValueError(f"2-means needs two different values; the histogram has {len(occurring)}")
    weight = np.asarray(counts, np.float64)[occurring]
    value = occurring.astype(np.float64)
    below = np.cumsum(weight)[:-1]
    above = weight.sum() - below
    sum_below = np.cumsum(weight * value)[:-1]
    sum_above = (weight * value).sum() - sum_below
    low, high = sum_below / below, sum_above / above
    between = below * above * (high - low) ** 2
    cut = int(np.argmax(between))
    return TwoMeans(first_value + float(low[cut]), first_value + float(high[cut]))
