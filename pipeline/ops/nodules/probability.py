"""Probabilities as they are stored: whole parts of 65,535, in 16 bits a voxel."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32, FloatArray

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
    return np.asarray(np.rint(probability * ONE).astype(np.uint16))


def from_stored(stored: Probability) -> F32:
    """Stored probabilities as numbers from 0 to 1.

    Examples
    --------
    >>> from_stored(np.array([0, 65535], np.uint16)).tolist()
    [0.0, 1.0]
    """
    return np.asarray(stored.astype(np.float32) / ONE)


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
