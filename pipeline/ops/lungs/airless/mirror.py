"""The plane about which the two lungs mirror each other, and masks mirrored in it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lungseg.volume import F32, FloatArray, HuArray, MaskArray, Triple

# Brighter than this is bone, also where a block holds some marrow or muscle.
BONE_BLOCK_HU = 150
# Vertebrae lie within SPINE_MM of the middle of the lungs' box, in its hinder half and as far
# behind it.
SPINE_MM = (40.0, 60.0)
# The plane passes within ASIDE_MM of the spine's middle, and is turned and tilted by no more than
# MOST_TURN and MOST_TILT, radians: patients lie that crooked.
ASIDE_MM = 16.0
MOST_TURN, MOST_TILT = 0.3, 0.2
# Steps of the search, degrees; those aside are as many times ASIDE_PER_DEGREE mm.
SEARCH_DEGREES = (6.0, 3.0, 1.5)
ASIDE_PER_DEGREE = 1.5
# A plane farther from the spine by 1 mm must mirror a thousandth of the lungs more.
OFF_SPINE = 0.001


@dataclass(frozen=True, eq=False)
class MirrorPlane:
    """A plane in an array.

    Attributes
    ----------
    point_mm : (3,)
        A point of it, (z, y, x), mm from the first voxel.
    normal : (3,)
        Of length 1, towards the patient's left.
    """

    point_mm: FloatArray
    normal: FloatArray

    def left_mm(self, shape: tuple[int, ...], spacing_mm: Triple) -> F32:
        """Distance of every voxel to the plane, mm, positive to the patient's left.

        Examples
        --------
        >>> plane = MirrorPlane(np.array([0.0, 0.0, 2.0]), np.array([0.0, 0.0, 1.0]))
        >>> plane.left_mm((1, 1, 4), (1.0, 1.0, 2.0)).ravel().tolist()
        [-2.0, 0.0, 2.0, 4.0]
        """
        total = np.zeros(shape, np.float32)
        for axis, (n, step, at, way) in enumerate(
            zip(shape, spacing_mm, self.point_mm, self.normal, strict=True)
        ):
            line = ((np.arange(n) * step - at) * way).astype(np.float32)
            total += line.reshape([-1 if k == axis else 1 for k in range(3)])
        return total


def mirrored(mask: MaskArray, plane: MirrorPlane, spacing_mm: Triple) -> MaskArray:
    """`mask` seen in the mirror, on the same grid; nothing comes from beyond the array.

    Examples
    --------
    >>> plane = MirrorPlane(np.array([0.0, 0.0, 2.0]), np.array([0.0, 0.0, 1.0]))
    >>> mask = np.array([[[True, False, False, False, False]]])
    >>> mirrored(mask, plane, (1.0, 1.0, 1.0)).ravel().tolist()
    [False, False, False, False, True]
    """
    from scipy import ndimage

    step, normal = np.array(spacing_mm), plane.normal
    turn = (np.eye(3) - 2 * np.outer(normal, normal)) * step[None, :] / step[:, None]
    offset = 2 * float(plane.point_mm @ normal) * normal / step
    image = ndimage.affine_transform(mask.view(np.uint8), turn, offset, order=0)
    return np.asarray(image > 0)


def mirror_plane(ct: HuArray, lungs: MaskArray, spacing_mm: Triple) -> MirrorPlane:
    """The plane near the spine in which most of `lungs` is mirrored into lungs.

    Parameters
    ----------
    ct : (z, y, x) int16
        Means of blocks of about 4 mm; y to the back, x to the patient's left.
    lungs : (z, y, x) bool
        Both lungs, not empty.
    spacing_mm

    Examples
    --------
    >>> lungs = np.zeros((20, 20, 40), bool)
    >>> lungs[:, 5:15, 3:15] = lungs[:, 5:15, 23:35] = True
    >>> ct = np.zeros(lungs.shape, np.int16)
    >>> plane = mirror_plane(ct, lungs, (4.0, 4.0, 4.0))
    >>> np.round(plane.normal, 2).tolist(), float(plane.point_mm[2])
    ([0.0, 0.0, 1.0], 74.0)
    """
    step = np.array(spacing_mm)
    # Every other block tells as much, in an eighth of the time.
    points = np.argwhere(lungs[::2, ::2, ::2]) * (2 * step)
    height, depth = points[:, 0].mean(), points[:, 1].mean()
    middle = _spine_mm(ct, lungs, spacing_mm)

    def plane_of(turn: float, tilt: float, aside: float) -> MirrorPlane:
        way = np.array([np.sin(tilt), np.sin(turn), 1.0])
        return MirrorPlane(np.array([height, depth, middle + aside]), way / np.linalg.norm(way))

    def agreement(at: tuple[float, float, float]) -> float:
        plane = plane_of(*at)
        off = (points - plane.point_mm) @ plane.normal
        index = np.rint((points - 2 * off[:, None] * plane.normal) / step).astype(np.intp)
        index = index[((index >= 0) & (index < lungs.shape)).all(axis=1)]
        share = np.count_nonzero(lungs[tuple(index.T)]) / len(points)
        return share - OFF_SPINE * abs(at[2])

    best = (0.0, 0.0, 0.0)
    score = agreement(best)
    for degrees in SEARCH_DEGREES:
        moved = True
        while moved:
            moved = False
            for at in _beside(best, degrees):
                if (found := agreement(at)) > score + 1e-4:
                    best, score, moved = at, found, True
                    break
    return plane_of(*best)


def _beside(at: tuple[float, float, float], degrees: float) -> Iterator[tuple[float, float, float]]:
    """One step from `at` (turn, tilt, mm aside) each way, within what is allowed."""
    angle = float(np.deg2rad(degrees))
    steps = (angle, angle, degrees * ASIDE_PER_DEGREE)
    most = (MOST_TURN, MOST_TILT, ASIDE_MM)
    for k in range(3):
        for sign in (-1, 1):
            value = at[k] + sign * steps[k]
            if abs(value) <= most[k]:
                turn, tilt, aside = (value if i == k else one for i, one in enumerate(at))
                yield turn, tilt, aside


def _spine_mm(ct: HuArray, lungs: MaskArray, spacing_mm: Triple) -> float:
    """Column of the spine, mm; of the middle of the lungs' box if there is no bone."""
    columns, rows = (np.flatnonzero(lungs.any(axis=axes)) for axes in ((0, 1), (0, 2)))
    slices = np.flatnonzero(lungs.any(axis=(1, 2)))
    middle = (columns[0] + columns[-1]) / 2
    half = SPINE_MM[0] / spacing_mm[2]
    first = max(0, int(middle - half) + 1)
    box = (
        slice(slices[0], slices[-1] + 1),
        slice((rows[0] + rows[-1]) // 2, rows[-1] + round(SPINE_MM[1] / spacing_mm[1])),
        slice(first, int(middle + half) + 1),
    )
    bone = np.nonzero(ct[box] > BONE_BLOCK_HU)[2]
    return float(np.median(bone) + first if len(bone) else middle) * spacing_mm[2]
