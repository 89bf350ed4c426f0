"""Probabilities as they are stored: whole parts of 65,535, in 16 bits a voxel."""

from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32

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
