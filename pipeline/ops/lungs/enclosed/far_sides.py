"""The side of a mass that faces no lung, by the sides that do."""

import numpy as np

from lungseg.ops.grid.morphology import dilate_mm, regions
from lungseg.volume import FloatArray, MaskArray, Triple

# The surface of a ball lies within MISFIT of its radius from half of a mass's surface and more.
MISFIT = 0.15
# Fewer places of a surface tell no ball.
LEAST_SURFACE = 20
# No ball of a mass is larger, mm.
LARGEST_MM = 42.0


def far_sides(mass: MaskArray, lung: MaskArray, within_mm: float, spacing_mm: Triple) -> MaskArray:
    """What masses lack of the balls that their surface, where it faces lung, is part of.

    Parameters
    ----------
    mass, lung : (z, y, x) bool
    within_mm
        How far it may reach beyond the mass.
    spacing_mm

    Examples
    --------
    Of a ball of which a third lies outside of the lung, that third but for its tip was not found:

    >>> z, y, x = np.ogrid[:30, :30, :30]
    >>> ball = (z - 15) ** 2 + (y - 15) ** 2 + (x - 8) ** 2 < 36
    >>> lung = (x > 4) & ~ball
    >>> mass = ball & (x > 4)
    >>> added = far_sides(mass, lung, 8.0, (1.0, 1.0, 1.0))
    >>> round(float(added[ball & ~mass].mean()), 1), int((added & ~ball).sum())
    (1.0, 0)
    """
    added = np.zeros_like(mass)
    margin = [int(within_mm / step) + 1 for step in spacing_mm]
    for box, body in regions(mass, margin):
        near = lung[box]
        surface = _faces(body, near) * spacing_mm
        if len(surface) < LEAST_SURFACE:
            continue
        # The ball nearest to it: |p|^2 = 2 c p + (r^2 - |c|^2) is linear in c and in the rest.
        ones = np.ones((len(surface), 1))
        terms, *_ = np.linalg.lstsq(
            np.hstack([2 * surface, ones]), (surface**2).sum(axis=1), rcond=None
        )
        centre = terms[:3]
        radius = float(np.sqrt(max(terms[3] + centre @ centre, 0.0)))
        off = np.abs(np.linalg.norm(surface - centre, axis=1) - radius)
        if radius > LARGEST_MM or np.median(off) > MISFIT * radius:
            continue
        grid = np.ogrid[tuple(slice(0, n) for n in body.shape)]
        squares = sum(
            (g * step - c) ** 2 for g, step, c in zip(grid, spacing_mm, centre, strict=True)
        )
        ball = squares <= radius**2
        added[box] |= ball & dilate_mm(body, within_mm, spacing_mm) & ~near
    return added


def _faces(body: MaskArray, lung: MaskArray) -> FloatArray:
    """Places half-way between blocks of `body` and neighbours in `lung`, ``(n, 3)`` in blocks."""
    places = []
    for axis in range(3):
        low = np.moveaxis(body, axis, 0)
        high = np.moveaxis(lung, axis, 0)
        for first, second in ((low[:-1] & high[1:], 0.5), (high[:-1] & low[1:], 0.5)):
            found = np.argwhere(np.moveaxis(first, 0, axis)).astype(float)
            found[:, axis] += second
            places.append(found)
    return np.concatenate(places)
