"""How much of a lung is seen from inside of what it may enclose.

From each place 26 lines of sight run to the neighbours' sides, edges and corners, as far as what is
enclosed is thick.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32, FloatArray, MaskArray, Triple

# A line of sight is REACH times half of the thickness long, and SLACK_MM more.
REACH = 1.5
SLACK_MM = 4.0
# So many of the 13 axes may be open at both ends; a plate is open along more.
OPEN_AXES = 2
# Open lines of sight face the wall, the top or the diaphragm if the cosine between their mean and
# the way there is larger.
FACING = 0.6
# Above this share of a lung's height nothing but the chest wall is above it.
TOP_SHARE = 0.75
# More blocks of way to the lung than the largest of sights.
FAR = np.uint8(200)
Steps = npt.NDArray[np.uint8]


def reach(half_mm: F32, times: float = REACH) -> F32:
    """How long lines of sight are in what is twice `half_mm` thick, mm.

    Examples
    --------
    >>> reach(np.array([10.0], np.float32)).tolist()
    [19.0]
    """
    return np.asarray(times * half_mm + SLACK_MM, np.float32)


def sights(lung: MaskArray, piece: MaskArray, at: FloatArray, spacing_mm: Triple) -> MaskArray:
    """Whether each of 26 lines of sight meets `lung`; they are as long as `piece` is thick.

    Parameters
    ----------
    lung : (z, y, x) bool
    piece : bool
        A piece of any box, from whose inside it is looked.
    at
        Where the lines begin, in voxels of `lung`.
    spacing_mm

    Returns
    -------
    (26,) bool
        The first 9 run down, toward the feet, 8 in the slice, the last 9 up; opposite ones stand
        end to end.

    Examples
    --------
    >>> lung, piece = np.zeros((5, 5, 5), bool), np.ones((1, 1, 1), bool)
    >>> lung[4] = True
    >>> seen = sights(lung, piece, np.array([2.0, 2.0, 2.0]), (1.0, 1.0, 1.0))
    >>> int(seen[:17].sum()), int(seen[17:].sum())
    (0, 9)
    """
    # Of the ball of the same volume.
    radius_mm = float(np.cbrt(0.75 / np.pi * np.count_nonzero(piece) * np.prod(spacing_mm)))
    reach_mm = float(reach(np.asarray(radius_mm, np.float32)))
    ways = np.array([way for way in product((-1, 0, 1), repeat=3) if any(way)])
    unit = ways / np.linalg.norm(ways * np.array(spacing_mm), axis=1)[:, None]
    steps = np.arange(0, reach_mm, min(spacing_mm) / 2)
    places = np.rint(at + unit[:, None] * steps[None, :, None]).astype(np.intp)
    within = ((places >= 0) & (places < lung.shape)).all(axis=2)
    inside = np.clip(places, 0, np.array(lung.shape) - 1)
    seen: MaskArray = (lung[tuple(np.moveaxis(inside, 2, 0))] & within).any(axis=1)
    return seen


class Sight:
    """In how many of 26 directions lung is met, and where it is not.

    Attributes
    ----------
    seen
        Directions that meet lung within the reach.
    open_axes
        Axes that do in neither direction.
    away
        Mean of the directions that do not, times their number, (z, y, x).

    Examples
    --------
    >>> lung = np.ones((9, 9, 9), bool)
    >>> lung[4:, 4, 4] = False
    >>> (sight,) = Sight.of(lung, [np.full(lung.shape, 5.0, np.float32)], (1.0, 1.0, 1.0))
    >>> int(sight.seen[4, 4, 4]), int(sight.open_axes[4, 4, 4]), sight.away[:, 4, 4, 4].tolist()
    (25, 0, [1.0, 0.0, 0.0])
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.seen = np.zeros(shape, np.uint8)
        self.open_axes = np.zeros(shape, np.uint8)
        self.away = np.zeros((3, *shape), np.float32)

    @classmethod
    def of(
        cls, lung: MaskArray, reaches_mm: Sequence[F32], spacing_mm: Triple
    ) -> tuple["Sight", ...]:
        """What is seen within each of some reaches: the way to the lung is measured once for all.

        Parameters
        ----------
        lung : (z, y, x) bool
        reaches_mm
            How long the lines of sight from each block are, each of the lung's shape.
        spacing_mm
        """
        sights_of = tuple(cls(lung.shape) for _ in reaches_mm)
        for way in product((0, 1), (-1, 0, 1), (-1, 0, 1)):
            if way <= (0, 0, 0):
                continue
            step_mm = float(np.linalg.norm(np.multiply(way, spacing_mm)))
            unit = (np.multiply(way, spacing_mm) / step_mm).astype(np.float32)
            behind, ahead = _steps_to(lung, way), _steps_to(lung, (-way[0], -way[1], -way[2]))
            for sight, reach_mm in zip(sights_of, reaches_mm, strict=True):
                most = np.minimum(reach_mm / step_mm, FAR - 1).astype(np.uint8)
                sight._look_along(unit, behind <= most, ahead <= most)
        return sights_of

    def _look_along(self, unit: F32, behind: MaskArray, ahead: MaskArray) -> None:
        self.seen += behind
        self.seen += ahead
        self.open_axes += ~(behind | ahead)
        one_end = behind.astype(np.int8) - ahead
        for axis in np.flatnonzero(unit):
            self.away[axis] += unit[axis] * one_end

    def meets(self, least: tuple[int, int, int], outward: F32) -> MaskArray:
        """Where enough is met, by what it is open to.

        Parameters
        ----------
        least
            Directions that must meet lung where what is open faces the chest wall or the top,
            where it faces the diaphragm, and elsewhere, which is the mediastinum.
        outward : (2, z, y, x) float32
            Way to the chest wall along y and x, of length 1; 0 near the middle of the chest.
        """
        length = np.sqrt((self.away**2).sum(axis=0)) + np.float32(1e-3)
        wall = (self.away[1:] * outward).sum(axis=0) > FACING * length
        top = round(TOP_SHARE * len(wall))
        wall[top:] |= self.away[0, top:] > FACING * length[top:]
        down = (-self.away[0] > FACING * length) & outward.any(axis=0)
        need = np.where(wall, least[0], np.where(down, least[1], least[2]))
        enough: MaskArray = (self.seen >= need) & (self.open_axes <= OPEN_AXES)
        return enough


def _steps_to(lung: MaskArray, way: tuple[int, int, int]) -> Steps:
    """Steps back along `way` to the next block of lung; beyond the array there is none."""
    axis = next(k for k in range(3) if way[k])
    order = [axis, *(k for k in range(3) if k != axis)]
    planes = np.transpose(lung, order)
    steps = np.full(planes.shape, FAR, np.uint8)
    rows, columns = (_shifted(way[k], n) for k, n in zip(order[1:], planes.shape[1:], strict=True))
    indices = range(len(planes)) if way[axis] > 0 else range(len(planes) - 1, -1, -1)
    before: Steps | None = None
    for k in indices:
        here = steps[k]
        if before is not None:
            here[rows[0], columns[0]] = np.minimum(before[rows[1], columns[1]], FAR - 1) + 1
        here[planes[k]] = 0
        before = here
    return np.transpose(steps, np.argsort(order))


def _shifted(by: int, n: int) -> tuple[slice, slice]:
    """Where values go to that move `by` places along an axis of `n`, and where they come from."""
    return slice(max(by, 0), n + min(by, 0)), slice(max(-by, 0), n + min(-by, 0))
