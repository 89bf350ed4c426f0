"""Squares around the nodules of the validation part: windows of nodules are validated on these."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.model.epochs.draws import Draws
from lungseg.model.samples import Rows
from lungseg.model.selection import Selection

# Edge of the squares.
SQUARE_PX = 128


@dataclass(frozen=True, eq=False)
class Squares:
    """Squares around nodules, and the number of the nodule that each shows."""

    draws: Draws
    nodules: Rows


def squares_of(validation: Selection, whole: npt.NDArray[np.bool_]) -> Squares | None:
    """Squares around all nodules of the validation part, or None without any window in it."""
    if whole[validation.rows].all() or not validation.nodules:
        return None
    rows = [nodule.rows for nodule in validation.nodules]
    counts = [len(some) for some in rows]
    centres = np.repeat([nodule.centre for nodule in validation.nodules], counts, axis=0)
    draws = Draws(np.concatenate(rows), centres)
    return Squares(draws, np.repeat(np.arange(len(rows)), counts))
