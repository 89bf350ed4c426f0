"""Where a file's volume lies: decided from what its header says, or refused.

A NIfTI may state its place twice. The two forms are the same place, or one of them is wrong, and
readers differ in which they believe: nibabel takes the `sform`, ITK mostly the `qform`. They agree
if no corner of the volume is moved by more than half a millimetre. A `qform` cannot say a shear;
beside an `sform` of a tilted gantry it agrees if it is what programs write in its place.
"""

from dataclasses import dataclass

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.core.shown import shown
from lungseg.core.stage import Scalar
from lungseg.io.volumes.layout import VolumeHeader
from lungseg.ops.grid.slices import StackGeometry, orthonormal, skew_degrees
from lungseg.volume import FloatArray, Geometry, Shape

FORMS = ("agree", "sform", "qform")
"""Which form of a NIfTI counts: both if they agree, or one whatever the other says."""
AGREE_MM = 0.5
"""Largest distance of a corner by one form from the same corner by the other."""
SPACING_MM = (0.01, 100.0)
"""Spacings outside of this range are of no CT."""
FARTHEST_MM = 1e5
MOST_TILT_DEGREES = 45.0


@dataclass(frozen=True, kw_only=True)
class PlaceRules:
    """What is accepted of a file's geometry.

    Attributes
    ----------
    angle_tolerance_degrees
        How far its axes may be off right angles, and are put right.
    correct_tilt
        Put the slices of a tilted gantry, a shear in the header, back over each other.
    nifti_form
        One of `FORMS`.
    accept_missing_geometry
        Take an NRRD that does not state its space, directions or origin as one along the patient's
        axes (x to the left, y to the back, z to the head), its first voxel at 0.
    """

    angle_tolerance_degrees: float = 0.1
    correct_tilt: bool = True
    nifti_form: str = "agree"
    accept_missing_geometry: bool = False


@dataclass(frozen=True)
class Placed:
    """Where a volume lies.

    Attributes
    ----------
    geometry
        Of the voxels as they are; of a tilted gantry, its slices moved along themselves to lie over
        the first.
    skew_degrees
        How far the axes were from right angles, before they were put right.
    tilt
        How the slices of a tilted gantry lie; None if they lie over each other.
    form
        Name of the form that counted: ``sform``, ``qform`` or empty.
    """

    geometry: Geometry
    skew_degrees: float
    tilt: StackGeometry | None = None
    form: str = ""


def place(header: VolumeHeader, rules: PlaceRules) -> Placed:
    """Where the volume of `header` lies.

    Raises
    ------
    ScanError
        If the header does not say it, contradicts itself, or says what no CT has.
    """
    _check_unsaid(header, rules)
    form = _form(header, rules)
    affine = header.affines[form]
    with np.errstate(all="ignore"):
        _check_numbers(header, affine, form)
    if rules.nifti_form == "agree" and header.pixel_mm:
        _check_agreement(header, rules)
    matrix, origin = affine[:, :3], affine[:, 3]
    lengths = np.linalg.norm(matrix, axis=0)
    skew = skew_degrees(matrix)
    if skew <= rules.angle_tolerance_degrees:
        direction = orthonormal(matrix / lengths)
        x, y, z = lengths
        return Placed(Geometry((z, y, x), tuple(origin), tuple(direction.ravel())), skew, form=form)
    if not _is_tilt(matrix, rules):
        raise ScanError(
            f"orientation: the axes of {shown(header.path)} are {skew:.2f} degrees off right "
            f"angles; at most {rules.angle_tolerance_degrees:g} are allowed: resample it to an "
            "orthogonal grid first",
            setting="angle_tolerance_degrees higher to accept it",
        )
    return _tilted(header, affine, skew, rules, form)


def _check_unsaid(header: VolumeHeader, rules: PlaceRules) -> None:
    # Of a MetaImage and a NIfTI the format itself says what holds where nothing is said.
    if header.is_open and not rules.accept_missing_geometry:
        raise ScanError(
            f"orientation: {shown(header.path)} does not state {', '.join(header.unsaid)}; which "
            "side of it is the patient's left is unknown: export it with its geometry",
            setting="accept_missing_geometry=true to take it as lying along the patient's axes, "
            "x to the left, y to the back, z to the head",
        )


def _form(header: VolumeHeader, rules: PlaceRules) -> str:
    names = list(header.affines)
    if rules.nifti_form in names:
        return rules.nifti_form
    return names[0]


def _check_numbers(header: VolumeHeader, affine: FloatArray, form: str) -> None:
    told = f"{form} of {shown(header.path)}" if form else shown(header.path)
    if not np.isfinite(affine).all():
        raise ScanError(f"orientation: the {told} holds what is no number; it is damaged")
    lengths = np.linalg.norm(affine[:, :3], axis=0)
    mm = lengths if not header.pixel_mm else (*lengths, *header.pixel_mm)
    low, high = SPACING_MM
    if not all(low <= length <= high for length in mm):
        shown_mm = " x ".join(f"{length:g}" for length in lengths)
        stated = " x ".join(f"{length:g}" for length in header.pixel_mm)
        beside = f" (pixdim: {stated})" if stated else ""
        raise ScanError(
            f"spacing: {shown(header.path)} has a spacing of {shown_mm} mm{beside}; expected "
            f"{low:g} to {high:g} along x, y and z: the header, or its unit of length, is wrong"
        )
    if np.abs(affine[:, 3]).max() > FARTHEST_MM:
        raise ScanError(
            f"orientation: {shown(header.path)} begins {np.abs(affine[:, 3]).max():g} mm from the "
            f"origin; at most {FARTHEST_MM:g} are possible: the header is damaged"
        )
    if abs(np.linalg.det(affine[:, :3] / lengths)) < 1e-3:
        raise ScanError(
            f"orientation: the {told} has axes that lie in one plane, and no volume; it is damaged"
        )


def _check_agreement(header: VolumeHeader, rules: PlaceRules) -> None:
    one = next(iter(header.affines.values()))
    other = header.affines.get("qform", one)
    others = [one, *_said_by_qform(one, rules)]
    off = min(_farthest_mm(candidate, other, header.shape) for candidate in others)
    if not off <= AGREE_MM:
        flipped = np.linalg.det(one[:, :3]) * np.linalg.det(other[:, :3]) < 0
        mirror = ", and one is the mirror of the other" if flipped else ""
        raise ScanError(
            f"orientation: sform and qform of {shown(header.path)} contradict each other: a corner "
            f"lies {off:.4g} mm apart by the two, at most {AGREE_MM:g} are allowed{mirror}; "
            "convert it again from where it came, or tell which of them is right",
            setting=(
                "nifti_form=sform to believe the sform",
                "nifti_form=qform to believe the qform",
            ),
        )
    lengths = [np.linalg.norm(candidate[:, :3], axis=0) for candidate in others]
    last = np.asarray(header.shape[::-1]) - 1
    stray = min(
        float((np.abs(mm - np.asarray(header.pixel_mm)) * np.maximum(last, 1)).max())
        for mm in lengths
    )
    if not stray <= AGREE_MM:
        by_form = " x ".join(f"{mm:.6g}" for mm in lengths[0])
        by_header = " x ".join(f"{mm:.6g}" for mm in header.pixel_mm)
        raise ScanError(
            f"spacing: {shown(header.path)} has a spacing of {by_form} mm by its sform, and of "
            f"{by_header} by pixdim; convert it again from where it came",
            setting="nifti_form=sform to believe the sform",
        )


def _said_by_qform(sform: FloatArray, rules: PlaceRules) -> list[FloatArray]:
    # What programs write for a qform where the sform is a shear: the nearest rotation, with the
    # steps along or across the slices; or the slices as they are, put upright.
    matrix, origin = sform[:, :3], sform[:, 3]
    if not _is_tilt(matrix, rules):
        return []
    lengths = np.linalg.norm(matrix, axis=0)
    x, y, upright = _upright(matrix)
    across = np.array([*lengths[:2], abs(matrix[:, 2] @ upright)])
    nearest = orthonormal(matrix / lengths)
    as_they_are = np.stack([x, y, upright], axis=1)
    return [
        np.column_stack([directions * mm, origin])
        for directions in (nearest, as_they_are)
        for mm in (lengths, across)
    ]


def _farthest_mm(one: FloatArray, other: FloatArray, shape: Shape) -> float:
    last = np.asarray(shape[::-1]) - 1
    corners = np.array(list(np.ndindex(2, 2, 2))) * last
    places = np.column_stack([corners, np.ones(8)])
    return float(np.linalg.norm(places @ (one - other).T, axis=1).max())


def _is_tilt(matrix: FloatArray, rules: PlaceRules) -> bool:
    # Rows and columns at a right angle, and the slices slide against their normal.
    x, y, upright = _upright(matrix)
    z = matrix[:, 2] / np.linalg.norm(matrix[:, 2])
    in_plane = float(np.degrees(np.arcsin(np.clip(abs(x @ y), 0, 1))))
    tilt = float(np.degrees(np.arccos(np.clip(z @ upright, -1, 1))))
    return (
        in_plane <= rules.angle_tolerance_degrees
        and rules.angle_tolerance_degrees < tilt <= MOST_TILT_DEGREES
    )


def _upright(matrix: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    # Directions of columns and rows, and the normal on the side that the slices go to.
    x, y = (matrix[:, k] / np.linalg.norm(matrix[:, k]) for k in (0, 1))
    normal = np.cross(x, y)
    normal = normal / np.linalg.norm(normal)
    return x, y, normal if normal @ matrix[:, 2] > 0 else -normal


def _tilted(
    header: VolumeHeader, affine: FloatArray, skew: float, rules: PlaceRules, form: str
) -> Placed:
    matrix, origin = affine[:, :3], affine[:, 3]
    direction = orthonormal(np.stack(_upright(matrix), axis=1))
    step_x, step_y, step_z = (float(matrix[:, 2] @ direction[:, k]) for k in range(3))
    degrees = float(np.degrees(np.arctan2(np.hypot(step_x, step_y), step_z)))
    if not rules.correct_tilt:
        raise ScanError(
            f"tilt: the slices of {shown(header.path)} slide by {degrees:.2f} degrees against "
            "their normal (a tilted gantry)",
            setting="correct_tilt=true to put them back over each other",
        )
    index = np.arange(header.shape[0])
    heights: FloatArray = np.asarray(index * step_z, float)
    shifts = np.outer(index, (step_x, step_y))
    lengths = np.linalg.norm(matrix[:, :2], axis=0)
    return Placed(
        Geometry((step_z, lengths[1], lengths[0]), tuple(origin), tuple(direction.ravel())),
        skew,
        StackGeometry(step_z, heights, heights, shifts, degrees, "even"),
        form,
    )


def moved(geometry: Geometry, first_xy_mm: FloatArray) -> Geometry:
    """`geometry` of a canvas whose first pixel lies at `first_xy_mm` along columns and rows.

    Examples
    --------
    >>> moved(Geometry((2.0, 1.0, 1.0)), np.array([-3.0, 4.0])).origin_xyz_mm
    (-3.0, 4.0, 0.0)
    """
    direction = np.reshape(geometry.direction_xyz, (3, 3))
    origin = np.asarray(geometry.origin_xyz_mm) + direction[:, :2] @ first_xy_mm
    return Geometry(geometry.spacing_mm, tuple(origin), geometry.direction_xyz)


def facts_of(placed: Placed, header: VolumeHeader) -> dict[str, Scalar]:
    """What is recorded of how a volume's place was found."""
    return {
        "skew_degrees": round(placed.skew_degrees, 4),
        "tilt_degrees": round(placed.tilt.tilt_degrees, 3) if placed.tilt else 0.0,
        "orientation_known": not header.unsaid,
        "geometry_from": placed.form or "header",
    }
