"""A whole chest at 3 mm that is rendered in a second, for tests and benchmarks.

`chest()` has four nodules; its arguments add the nuisances of real scans. Results are cached, so
their arrays are read-only.
"""

from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from lungseg.phantom.anatomy import Build
from lungseg.phantom.chest import Chest, Phantom
from lungseg.phantom.nodules import place
from lungseg.phantom.render import render
from lungseg.volume import FloatArray, Geometry, Triple

NODULES = ("isolated", "juxtapleural", "vessel_attached", "ground_glass")


@lru_cache(maxsize=24)
def chest(  # noqa: PLR0913 - each argument is one property of the chest
    spacing_mm: Triple = (3.0, 3.0, 3.0),
    *,
    nodules: tuple[str, ...] = NODULES,
    z_range_mm: tuple[float, float] = (-190.0, 160.0),
    field_mm: tuple[float, float] = (300.0, 384.0),
    flip: str = "",
    tilt_deg: float = 0.0,
    seed: int = 0,
    junction: bool = False,
    single: bool = False,
    **nuisances: Any,
) -> Phantom:
    """Render a chest.

    Parameters
    ----------
    spacing_mm
        Of the grid, (z, y, x).
    nodules
        Kinds, of `lungseg.phantom.nodules.KINDS`; () for none.
    z_range_mm
        Height of the scan's ends in the body: lungs reach from -165 to 134, so (-60, 80) cuts them
        at both ends.
    field_mm
        Depth and width of the grid; the body is about 236 by 322.
    flip
        Axes of the array (of "zyx") whose index runs the other way.
    tilt_deg
        Turns the grid about an oblique axis.
    seed
        Chooses vessels, noise and the nodules' places.
    junction, single
        The lungs touch in front; the right lung is gone.
    nuisances
        Any other field of `Chest`: table, bowel_gas, open_trachea, contrast, collapsed_lobe,
        effusion, tumour, arms_down (bool), padding_hu (int or None), noise_hu (float).

    Raises
    ------
    TypeError
        If `Chest` has no such field.
    """
    known = {f.name for f in fields(Chest)}
    if unknown := set(nuisances) - known:
        raise TypeError(f"chest() has no nuisance {sorted(unknown)}; there are {sorted(known)}")
    build = Build(junction=junction, single=single)
    wanted = Chest(
        build=build,
        seed=seed,
        nodules=place(build, nodules, seed, z_range_mm),
        **nuisances,
    )
    shape, geometry = grid(spacing_mm, z_range_mm, field_mm, flip, tilt_deg)
    phantom = render(wanted, shape, geometry)
    for volume in (phantom.ct, phantom.lungs, phantom.nodules, phantom.airways, phantom.vessels):
        volume.array.flags.writeable = False
    return phantom


def grid(
    spacing_mm: Triple,
    z_range_mm: tuple[float, float],
    field_mm: tuple[float, float],
    flip: str = "",
    tilt_deg: float = 0.0,
) -> tuple[tuple[int, int, int], Geometry]:
    """Grid around the body's origin: its shape and geometry."""
    length = (z_range_mm[1] - z_range_mm[0], *field_mm)
    z, y, x = (round(mm / step) for mm, step in zip(length, spacing_mm, strict=True))
    shape = (z, y, x)
    signs = np.array([-1.0 if axis in flip else 1.0 for axis in "xyz"])
    direction = _turn(tilt_deg) @ np.diag(signs)
    middle = np.array([0.0, 10.0, (z_range_mm[0] + z_range_mm[1]) / 2])
    half = (np.array(shape[::-1]) - 1) / 2 * np.array(spacing_mm[::-1])
    origin = middle - direction @ half
    return shape, Geometry(spacing_mm, tuple(origin), tuple(direction.ravel()))


def _turn(degrees: float) -> FloatArray:
    """Rotation about the axis (1, 2, 1): oblique in every plane."""
    if not degrees:
        return np.eye(3)
    a, (x, y, z) = np.deg2rad(degrees), np.array([1.0, 2.0, 1.0]) / np.sqrt(6.0)
    k = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(a) * k + (1 - np.cos(a)) * k @ k)
