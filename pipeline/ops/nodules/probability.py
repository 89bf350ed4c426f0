"""Probabilities: as they are stored, in 16 bits a voxel, joined, and what is found by them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.morphology import regions_with
from lungseg.volume import F32, FloatArray, MaskArray

# Probabilities nearer to 0 or 1 than this are not told apart when opinions are joined: a net that
# is sure of itself must not outvote the other by its last digits.
SURE = 1e-4

Probability = npt.NDArray[np.uint16]

ONE = 65535
"""What a probability of 1 is stored as."""


def to_stored(probability: npt.NDArray[np.floating[Any]]) -> Probability:
    """Probabilities from 0 to 1 as they are stored, rounded; `from_stored` is the way back.

    Examples
    --------
    >>> to_stored(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 32768, 65535]
    """
    stored = np.empty(probability.shape, np.uint16)
    # Slice by slice, for as long as a slice is in the processor's cache.
    for k, part in enumerate(probability):
        stored[k] = np.rint(part * ONE)
    return stored


def from_stored(stored: Probability) -> F32:
    """Stored probabilities as numbers from 0 to 1.

    Examples
    --------
    >>> from_stored(np.array([0, 65535], np.uint16)).tolist()
    [0.0, 1.0]
    """
    return np.asarray(stored.astype(np.float32) / ONE)


def found_marks(likely: F32, threshold: float, sure: float = 0.0) -> MaskArray:
    """Voxels of at least `threshold`, but for regions of them that nowhere reach `sure`.

    Regions hang together by sides, edges or corners. What a net is nowhere sure of is seldom a
    nodule, and a lower threshold outlines those that are (hysteresis; Canny 1986).

    Examples
    --------
    >>> likely = np.array([[[0.5, 0.9, 0.0, 0.5, 0.0]]], np.float32)
    >>> found_marks(likely, 0.4, 0.8)[0, 0].tolist()
    [True, True, False, False, False]
    """
    above: MaskArray = np.asarray(likely >= threshold)
    return above if sure <= threshold else regions_with(above, likely >= sure)


def joint(one: npt.ArrayLike, other: npt.ArrayLike) -> FloatArray:
    """What two opinions of equal weight say together: the mean of their log odds.

    Examples
    --------
    >>> joint([0.5, 0.9, 0.9, 1.0], [0.5, 0.9, 0.1, 0.5]).round(3).tolist()
    [0.5, 0.9, 0.5, 0.99]
    """
    odds = [
        np.log(p / (1 - p))
        for p in (np.clip(np.asarray(p, float), SURE, 1 - SURE) for p in (one, other))
    ]
    together: FloatArray = 1 / (1 + np.exp(-(odds[0] + odds[1]) / 2))
    return together
