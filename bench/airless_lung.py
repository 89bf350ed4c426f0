"""Lung without air put into a sound scan: lobes solid or collapsed, fluid behind a lung.

The lobes are cut by planes at shares of one lung's height, depth and width: only about where
fissures lie, but on real chests.
"""

from collections.abc import Callable

import numpy as np

from lungseg.ops.grid.boxes import shares_along
from lungseg.ops.lungs.left_right import LEFT, Sides
from lungseg.volume import HU, FloatArray, MaskArray, Volume

SOLID_HU, SPREAD_HU = 30.0, 15.0
Shares = tuple[FloatArray, FloatArray, FloatArray]


def shares_of(lung: MaskArray, side: int) -> Shares:
    """Height, depth and distance from the middle of a lung's box, each from 0 to 1."""
    up, back, out = (shares_along(lung, axis) for axis in range(3))
    if side != LEFT:
        out = 1 - out
    return up, back, out


def solid_lower(up: FloatArray, back: FloatArray, _: FloatArray) -> MaskArray:
    return np.asarray(up < 0.8 * back)


def solid_base(up: FloatArray, back: FloatArray, _: FloatArray) -> MaskArray:
    return np.asarray((up < 0.8 * back) & (up < 0.35))


def solid_upper(up: FloatArray, back: FloatArray, _: FloatArray) -> MaskArray:
    return np.asarray((up >= 0.8 * back) & (up > 0.45))


def solid_front(up: FloatArray, back: FloatArray, _: FloatArray) -> MaskArray:
    """Middle lobe or lingula."""
    return np.asarray((up >= 0.8 * back) & (up < 0.45))


def collapsed_lower(up: FloatArray, back: FloatArray, out: FloatArray) -> MaskArray:
    return np.asarray((out < 0.5 - 0.4 * up) & (back > 0.5) & (up < 0.6))


def collapsed_upper(up: FloatArray, back: FloatArray, out: FloatArray) -> MaskArray:
    return np.asarray((out < 0.42 + 0.4 * (up - 0.55)) & (up > 0.55) & (back < 0.85))


def fluid_small(up: FloatArray, back: FloatArray, _: FloatArray) -> MaskArray:
    return np.asarray((back > 0.86 - 0.1 * (up < 0.2)) & (up < 0.5))


def fluid_large(up: FloatArray, back: FloatArray, _: FloatArray) -> MaskArray:
    return np.asarray(((back > 0.5) & (up < 0.8)) | (up < 0.25))


KINDS: dict[str, Callable[[FloatArray, FloatArray, FloatArray], MaskArray]] = {
    "lower lobe solid": solid_lower,
    "base solid": solid_base,
    "upper lobe solid": solid_upper,
    "middle lobe or lingula solid": solid_front,
    "lower lobe collapsed": collapsed_lower,
    "upper lobe collapsed": collapsed_upper,
    "small effusion": fluid_small,
    "large effusion": fluid_large,
}


def without_air(
    ct: Volume[HU], labels: Sides, kind: str, sides: tuple[int, ...], solid_hu: float = SOLID_HU
) -> tuple[Volume[HU], Sides] | None:
    """The scan with a part of the lungs of `sides` turned solid, and the mask without it."""
    hu, left = ct.array.copy(), labels.copy()
    rng = np.random.default_rng(0)
    for side in sides:
        lung = labels == side
        if not lung.any():
            return None
        solid = lung & KINDS[kind](*shares_of(lung, side))
        hu[solid] = rng.normal(solid_hu, SPREAD_HU, np.count_nonzero(solid)).astype(HU)
        left[solid] = 0
    return ct.like(hu), left
