"""Where slices lie: order, spacing, holes, duplicates, tilt. Pure functions of their positions.

A DICOM series says nothing of a volume: only where each slice's first pixel lies and which way
its rows and columns run. Whether that makes an even, orthogonal grid is decided here, each doubt
by a check with a name and a tolerance in mm or degrees. What is no such grid is told apart as
something that can be put right from the true positions (uneven spacing, gantry tilt) and
something that cannot be known (slices missing, two pictures at one place).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ScanError
from lungseg.ops.grid.rounded import Rounding, even_places
from lungseg.volume import FloatArray


@dataclass(frozen=True, kw_only=True)
class SliceRules:
    """What is taken for noise, and what is accepted.

    Attributes
    ----------
    min_slices
        Fewer positions than this are no volume.
    position_tolerance_mm
        How far a slice may lie from where an even, orthogonal grid would have it.
    angle_tolerance_degrees
        How far the directions of two slices, or rows and columns from a right angle, may differ.
    fill_missing_slices
        Put slices that are missing in between their neighbours.
    correct_tilt
        Put the slices of a tilted gantry back over each other.
    resample_uneven
        Bring uneven distances to an even grid.
    """

    min_slices: int = 3
    position_tolerance_mm: float = 0.05
    angle_tolerance_degrees: float = 0.1
    fill_missing_slices: bool = False
    correct_tilt: bool = True
    resample_uneven: bool = True


@dataclass(frozen=True)
class Axes:
    """Orthonormal directions of a stack of slices.

    Attributes
    ----------
    matrix_xyz
        3x3; its columns are the world directions in which the column index, the row index and the
        slice index grow.

    Examples
    --------
    >>> Axes(np.eye(3)).along((1.0, 2.0, 3.0)).tolist()
    [1.0, 2.0, 3.0]
    """

    matrix_xyz: FloatArray

    def along(self, positions_xyz: npt.ArrayLike) -> FloatArray:
        """Coordinates of world positions along columns, rows and slices, mm, ``(..., 3)``."""
        return np.asarray(np.asarray(positions_xyz, float) @ self.matrix_xyz)


@dataclass(frozen=True)
class Gap:
    """A place where slices are missing, between two that are there (counted from 0).

    Examples
    --------
    >>> print(Gap(after=1, from_mm=2.0, to_mm=6.0, missing=1))
    4 mm between 2.00 and 6.00 mm
    """

    after: int
    from_mm: float
    to_mm: float
    missing: int

    def __str__(self) -> str:
        return (
            f"{self.to_mm - self.from_mm:.4g} mm between {self.from_mm:.2f} and {self.to_mm:.2f} mm"
        )


@dataclass(frozen=True)
class StackGeometry:
    """How slices in order lie along and across their normal.

    Attributes
    ----------
    step_mm
        Distance of slices in the even grid that they are, or will be brought to.
    grid_z_mm
        Position of each slice of that grid along the normal.
    z_mm
        Position of each slice there is.
    shift_xy_mm
        Place of each slice's first pixel along columns and rows from the first slice's, ``(n, 2)``.
    tilt_degrees
        Angle between the normal and the line through the first pixels; 0 within the tolerance.
    kind
        ``even``, ``holes`` or ``uneven``.
    noise_mm
        Largest distance of a slice from an even grid, where `kind` is even.
    gaps
        Where slices are missing.
    rounded_mm
        What the positions of an even grid were rounded to; 0 if they are written in full.

    Examples
    --------
    >>> z_mm = np.array([0.0, 2.0, 4.0])
    >>> StackGeometry(2.0, z_mm, z_mm, np.zeros((3, 2)), 0.0, "even").is_plain
    True
    """

    step_mm: float
    grid_z_mm: FloatArray
    z_mm: FloatArray
    shift_xy_mm: FloatArray
    tilt_degrees: float
    kind: str
    noise_mm: float = 0.0
    gaps: tuple[Gap, ...] = field(default=())
    rounded_mm: float = 0.0

    @property
    def is_plain(self) -> bool:
        """True if the slices are the grid as they lie."""
        return self.kind == "even" and self.tilt_degrees == 0


def axes_of(directions: Sequence[Sequence[float]], rules: SliceRules) -> Axes:
    """Directions that all slices share.

    Parameters
    ----------
    directions
        Of each slice: direction in which columns grow, then rows; six numbers.
    rules
        Tolerances.

    Raises
    ------
    ScanError
        If rows and columns are no right angle, or slices are turned against each other.

    Examples
    --------
    Coronal slices: columns run to the patient's left, rows to the feet.

    >>> axes_of([(1, 0, 0, 0, 0, -1)] * 3, SliceRules()).matrix_xyz[:, 2].tolist()
    [0.0, 1.0, 0.0]
    """
    every = np.asarray(directions, float).reshape(-1, 2, 3)
    lengths = np.linalg.norm(every, axis=2)
    if not np.allclose(lengths, 1, atol=1e-2):
        raise ScanError(
            f"orientation: ImageOrientationPatient has directions of length {lengths.min():.3f} to "
            f"{lengths.max():.3f}; each must be 1"
        )
    every = every / lengths[..., None]
    skew = _degrees_from_right(np.einsum("ij,ij->i", every[:, 0], every[:, 1]))
    if skew.max() > rules.angle_tolerance_degrees:
        raise ScanError(
            f"orientation: rows and columns are {skew.max():.2f} degrees off a right angle "
            f"(slice {int(skew.argmax()) + 1}); at most {rules.angle_tolerance_degrees:g} are "
            "allowed",
            setting="angle_tolerance_degrees higher to accept it",
        )
    turned = np.degrees(
        2 * np.arcsin(np.clip(np.linalg.norm(every - every[:1], axis=2) / 2, 0, 1))
    ).max(axis=1)
    if turned.max() > rules.angle_tolerance_degrees:
        raise ScanError(
            f"orientation: slice {int(turned.argmax()) + 1} is turned by {turned.max():.2f} "
            "degrees against the first; a volume needs slices of one direction, at most "
            f"{rules.angle_tolerance_degrees:g} are allowed: this may be more than one stack, or "
            "there is a localizer among the slices",
            setting="angle_tolerance_degrees higher to accept it",
        )
    row, column = every.mean(axis=0)
    return Axes(orthonormal(np.stack([row, column, np.cross(row, column)], axis=1)))


def orthonormal(matrix: npt.ArrayLike) -> FloatArray:
    """Nearest orthonormal 3x3 matrix (polar decomposition), mirrored if `matrix` is.

    Examples
    --------
    >>> orthonormal(np.diag([2.0, 1.0, -3.0])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, -1.0]]
    """
    left, _, right = np.linalg.svd(np.asarray(matrix, float))
    # Adding 0 makes -0 into 0.
    return np.asarray(left @ right) + 0.0


def skew_degrees(matrix: npt.ArrayLike) -> float:
    """How far the columns of a 3x3 matrix are from right angles, degrees, at most.

    Examples
    --------
    >>> round(skew_degrees([[1, 1, 0], [0, 1, 0], [0, 0, 1]]), 6)
    45.0
    """
    unit = np.asarray(matrix, float)
    lengths = np.linalg.norm(unit, axis=0)
    if not (np.isfinite(lengths).all() and lengths.min() > 0):
        return float("inf")
    unit = unit / lengths
    products = np.array([unit[:, 0] @ unit[:, 1], unit[:, 0] @ unit[:, 2], unit[:, 1] @ unit[:, 2]])
    return float(_degrees_from_right(products).max())


def _degrees_from_right(cosines: FloatArray) -> FloatArray:
    return np.asarray(np.degrees(np.arcsin(np.clip(np.abs(cosines), 0, 1))))


def same_places(coordinates_mm: FloatArray, rules: SliceRules) -> list[list[int]]:
    """Slices grouped by place, the groups in order along the normal.

    Parameters
    ----------
    coordinates_mm
        Of each slice's first pixel, along columns, rows and normal, ``(n, 3)``.
    rules
        Tolerances: slices closer than the position tolerance are at one place.

    Examples
    --------
    >>> same_places(np.array([[0, 0, 5.0], [0, 0, 0.0], [0, 0, 5.01]]), SliceRules())
    [[1], [0, 2]]
    """
    z = coordinates_mm[:, 2]
    groups: list[list[int]] = []
    for i in np.argsort(z, kind="stable"):
        if groups and z[i] - z[groups[-1][0]] <= rules.position_tolerance_mm:
            groups[-1].append(int(i))
        else:
            groups.append([int(i)])
    return groups


def stack_geometry_of(
    coordinates_mm: FloatArray, rules: SliceRules, rounding: Rounding | None = None
) -> StackGeometry:
    """How slices lie that are in order and each at a place of its own.

    Parameters
    ----------
    coordinates_mm
        Of each slice's first pixel, along columns, rows and normal, ``(n, 3)``, ascending in the
        last.
    rules
        Tolerances and what is accepted.
    rounding
        How the positions were written; None: in full.

    Raises
    ------
    ScanError
        If there are too few, if some are missing, or if they are uneven or tilted and that is not
        accepted.

    Examples
    --------
    >>> places = np.array([[0, 0, z] for z in (0.0, 2.0, 4.0, 8.0)])
    >>> stack = stack_geometry_of(places, SliceRules(fill_missing_slices=True))
    >>> stack.kind, stack.grid_z_mm.tolist()
    ('holes', [0.0, 2.0, 4.0, 6.0, 8.0])
    """
    count = len(coordinates_mm)
    if count < max(rules.min_slices, 2):
        raise ScanError(
            f"too-few-slices: the series has {count} slice{'s' * (count != 1)} at different "
            f"places; a volume needs {max(rules.min_slices, 2)}",
            setting=f"min_slices={count} to accept it" if count > 1 else (),
        )
    z = coordinates_mm[:, 2]
    even = np.linspace(z[0], z[-1], count)
    noise = float(np.abs(z - even).max())
    rounded = None
    if noise > rules.position_tolerance_mm and rounding:
        rounded = even_places(z, rounding)
        if rounded is not None:
            rules = replace(rules, position_tolerance_mm=max(rules.position_tolerance_mm,
                            rounding.step_mm))  # fmt: skip
    tilt, shift = _tilt(coordinates_mm, rules)
    if tilt and not rules.correct_tilt:
        raise ScanError(
            f"tilt: the slices slide by {tilt:.2f} degrees against their normal (a tilted gantry)",
            setting="correct_tilt=true to put them back over each other",
        )
    if rounding and rounded is not None:
        noise = float(np.abs(z - rounded).max())
        step = float(rounded[-1] - rounded[0]) / (count - 1)
        # The slices lie where they were before their positions were rounded.
        return StackGeometry(
            step, rounded, rounded, shift, tilt, "even", noise, rounded_mm=rounding.step_mm
        )
    if noise <= rules.position_tolerance_mm:
        return StackGeometry((z[-1] - z[0]) / (count - 1), even, z, shift, tilt, "even", noise)
    gaps = np.diff(z)
    holes = _even_with_holes(z, gaps, rules)
    if holes is None:
        holes = _sudden_gaps(z, gaps)
        step = float(np.quantile(gaps, 0.25, method="lower"))
    else:
        step = (z[-1] - z[0]) / (count - 1 + sum(gap.missing for gap in holes))
    _check_gaps(holes, gaps, step, rules)
    steps = max(round((z[-1] - z[0]) / step), 1)
    grid = np.linspace(z[0], z[-1], steps + 1)
    kind = "holes" if holes else "uneven"
    return StackGeometry((z[-1] - z[0]) / steps, grid, z, shift, tilt, kind, 0.0, tuple(holes))


def _check_gaps(holes: list[Gap], gaps: FloatArray, step: float, rules: SliceRules) -> None:
    if holes and not rules.fill_missing_slices:
        shown = "; ".join(str(gap) for gap in holes[:4]) + ("; ..." if len(holes) > 4 else "")
        raise ScanError(
            f"missing-slices: {len(holes)} gap{'s' * (len(holes) > 1)} in a series of slices every "
            f"{step:.4g} mm, {sum(gap.missing for gap in holes)} missing: {shown} along the "
            "normal; the series is best fetched again",
            setting="fill_missing_slices=true to put interpolated slices there",
        )
    if not holes and not rules.resample_uneven:
        raise ScanError(
            f"uneven-spacing: slices are {gaps.min():.4g} to {gaps.max():.4g} mm apart",
            setting=(
                "resample_uneven=true to bring them to an even grid from their true positions",
                "position_tolerance_mm higher to take them as even",
            ),
        )


def _tilt(coordinates_mm: FloatArray, rules: SliceRules) -> tuple[float, FloatArray]:
    # A tilted gantry moves every slice sideways in proportion to its place on the normal; any
    # other way of moving is no one scan.
    across = coordinates_mm[:, :2] - coordinates_mm[0, :2]
    z = coordinates_mm[:, 2] - coordinates_mm[0, 2]
    if np.linalg.norm(across, axis=1).max() <= rules.position_tolerance_mm:
        return 0.0, np.zeros_like(across)
    per_mm = across[-1] / z[-1]
    stray = np.linalg.norm(across - z[:, None] * per_mm, axis=1)
    if stray.max() > rules.position_tolerance_mm:
        raise ScanError(
            f"sideways: slice {int(stray.argmax()) + 1} in order lies {stray.max():.3g} mm "
            "sideways of the line through the others; these are reconstructions of different "
            "fields of view under one SeriesInstanceUID (at most "
            f"{rules.position_tolerance_mm:g} mm are allowed)",
            setting="position_tolerance_mm higher if it is one scan all the same",
        )
    return float(np.degrees(np.arctan(np.linalg.norm(per_mm)))), across


def _even_with_holes(z: FloatArray, gaps: FloatArray, rules: SliceRules) -> list[Gap] | None:
    # None if the positions are no even grid, whether whole or with holes.
    near = gaps <= gaps.min() + 2 * rules.position_tolerance_mm
    step = float(gaps[near].mean())
    counts = np.maximum(np.rint(gaps / step), 1)
    step = float((z[-1] - z[0]) / counts.sum())
    counts = np.maximum(np.rint(gaps / step), 1)
    places = z[0] + step * np.concatenate([[0], np.cumsum(counts)])
    # Half the slices must have their neighbour, else "one every 0.3 mm" would explain anything.
    mostly = (counts == 1).mean() >= 0.5
    if not mostly or np.abs(z - places).max() > rules.position_tolerance_mm:
        return None
    return [
        Gap(int(i), float(z[i]), float(z[i + 1]), int(counts[i]) - 1)
        for i in np.flatnonzero(counts > 1)
    ]


def _sudden_gaps(z: FloatArray, gaps: FloatArray) -> list[Gap]:
    # In uneven spacing a distance is like one of its neighbours'; one that is not is a hole.
    beside = np.maximum(np.concatenate([[0.0], gaps[:-1]]), np.concatenate([gaps[1:], [0.0]]))
    typical = float(np.median(gaps))
    sudden = gaps > 1.6 * np.maximum(beside, typical)
    return [
        Gap(int(i), float(z[i]), float(z[i + 1]), max(round(gaps[i] / typical) - 1, 1))
        for i in np.flatnonzero(sudden)
    ]
