"""Even slices whose positions were rounded: 0, 1, 3, 4, 5 mm for one every 1.25 mm.

Some exports round positions to 0.1 mm or to whole mm. The decimals show it, and the slices are even
if one even grid explains every position within half a step of the rounding. Where two distances
differ so much that a slice may be missing, that grid must be the one that the header states.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungseg.volume import FloatArray

_STEPS_MM = (1.0, 0.5, 0.1)
_LEAST_SLICES = 8
# Distances this much apart may be one slice and two.
_AMBIGUOUS = 1.6
_LEAST_WIDE = 2


@dataclass(frozen=True)
class Rounding:
    """What a series tells of how its positions were written.

    Attributes
    ----------
    step_mm
        What positions along the normal are rounded to; 0 if they are not.
    stated_mm
        Distances of slices that headers state, the likelier first.

    Examples
    --------
    >>> Rounding().step_mm
    0.0
    """

    step_mm: float = 0.0
    stated_mm: tuple[float, ...] = ()


def rounding_of(
    positions_xyz: FloatArray, normal_xyz: FloatArray, stated_mm: Sequence[float] = ()
) -> Rounding:
    """To what the positions of slices are rounded, by their decimals.

    Parameters
    ----------
    positions_xyz
        World positions as the headers have them, mm, ``(n, 3)``.
    normal_xyz
        Direction of the slices' normal.
    stated_mm
        Distances of slices that headers state.

    Examples
    --------
    >>> places = np.array([[0, 0, z] for z in (0.0, 0.6, 1.3, 1.9)])
    >>> rounding_of(places, np.array([0.0, 0.0, 1.0])).step_mm
    0.1
    >>> rounding_of(places + 0.02, np.array([0.0, 0.0, 1.0])).step_mm
    0.0
    """
    along = np.abs(normal_xyz) > 1e-3
    for step in _STEPS_MM:
        parts = positions_xyz[:, along] / step
        if np.abs(parts - np.rint(parts)).max(initial=0) < 1e-4:
            return Rounding(float(step * np.abs(normal_xyz[along]).sum()), tuple(stated_mm))
    return Rounding()


def even_places(z_mm: FloatArray, rounding: Rounding) -> FloatArray | None:
    """The even places that were rounded to `z_mm`; None if there are none.

    Parameters
    ----------
    z_mm
        Places of slices along the normal, ascending, ``(n,)``.
    rounding
        How they were written.

    Examples
    --------
    >>> z = np.array([0.0, 0.6, 1.3, 1.9, 2.5, 3.1, 3.8, 4.4])
    >>> even_places(z, Rounding(0.1, (0.625,))).tolist()
    [0.0, 0.625, 1.25, 1.875, 2.5, 3.125, 3.75, 4.375]
    >>> even_places(np.array([0.0, 1, 2, 4, 5, 6, 7, 8]), Rounding(1.0, (1.0,)))
    """
    if len(z_mm) < _LEAST_SLICES or not rounding.step_mm:
        return None
    half = rounding.step_mm / 2 + 1e-6
    number = np.arange(len(z_mm), dtype=float)
    gaps = np.diff(z_mm)
    narrow, wide = gaps.min(), gaps.max()
    ambiguous = wide >= _AMBIGUOUS * narrow
    if ambiguous and (gaps > _AMBIGUOUS * narrow).sum() < _LEAST_WIDE:
        return None
    for step in rounding.stated_mm:
        off = z_mm - step * number
        if step > 0 and np.ptp(off) <= 2 * half:
            first = float(np.clip(z_mm[0], off.max() - half, off.min() + half))
            return np.asarray(first + step * number)
    if ambiguous:
        return None
    line = _line_within(z_mm, number, half)
    return None if line is None else np.asarray(line[0] + line[1] * number)


def _line_within(z_mm: FloatArray, number: FloatArray, half: float) -> tuple[float, float] | None:
    # The line that is nearest to the place it is farthest from: first place, step, that distance.
    from scipy.optimize import linprog

    ones = np.ones_like(z_mm)
    upper = np.stack([ones, number, -ones], axis=1)
    lower = np.stack([-ones, -number, -ones], axis=1)
    shift = z_mm[0]
    found = linprog(
        [0, 0, 1],
        A_ub=np.concatenate([upper, lower]),
        b_ub=np.concatenate([z_mm - shift, shift - z_mm]),
        bounds=[(None, None), (0, None), (0, None)],
    )
    if not found.success or found.x[2] > half:
        return None
    return float(found.x[0] + shift), float(found.x[1])
