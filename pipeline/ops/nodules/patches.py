"""A mask in its box: cut to a grid, and brought to another one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungseg.ops.grid.boxes import bounding_box
from lungseg.ops.grid.ranking import highest_ranked
from lungseg.volume import Box, Geometry, MaskArray


@dataclass(frozen=True, eq=False)
class Patch:
    """A mask in its bounding box, and where the box lies.

    Attributes
    ----------
    mask
        ``(z, y, x)`` bool.
    first_zyx
        Index of the box's voxel ``[0, 0, 0]`` on the whole grid; may be negative.

    Examples
    --------
    >>> Patch(np.ones((1, 2, 3), bool), (4, 5, 6)).box
    (slice(4, 5, None), slice(5, 7, None), slice(6, 9, None))
    """

    mask: MaskArray
    first_zyx: tuple[int, int, int]

    @property
    def box(self) -> Box:
        """Slices of the box on the whole grid."""
        z, y, x = (
            slice(first, first + size)
            for first, size in zip(self.first_zyx, self.mask.shape, strict=True)
        )
        return z, y, x


def resample_mask(patch: Patch, source: Geometry, target: Geometry) -> Patch:
    """A mask on another grid, with the volume it had.

    The voxels of the new grid are ranked by linear interpolation of the mask (of equal ones the
    nearest to its centre first), and taken until its volume is met to half a voxel: one at least,
    and none that the mask does not cover at all. A body without gaps keeps its centre to half a new
    voxel along each axis; of scattered voxels those that are covered best are taken, and they may
    all lie on one side. Over LIDC's readings on slices of at most 0.8 mm, thinned out to 2.5 mm,
    the volume is then off by 0.1 and 0.8 % above and below 6 mm (linear and half or more: 5.5 and
    15 %; nearest: 5.7 and 15 %), and the Dice against the thin original is the best of the three
    (`bench.regrid`).

    Parameters
    ----------
    patch
        A mask that is not empty, on the grid `source`.
    source, target
        The two grids; any two will do.

    Returns
    -------
    Patch
        On the grid `target`, which is taken to go on without end: clip it with `clipped`.

    Examples
    --------
    Eight voxels of 1 mm3 are four of 2 mm3:

    >>> patch = Patch(np.ones((2, 2, 2), bool), (0, 0, 0))
    >>> thick = Geometry((2.0, 1.0, 1.0))
    >>> int(resample_mask(patch, Geometry((1.0, 1.0, 1.0)), thick).mask.sum())
    4
    """
    from scipy.ndimage import map_coordinates

    padded = np.pad(patch.mask, 1).astype(np.float32)
    first = np.asarray(patch.first_zyx) - 1
    corners = np.stack(np.meshgrid(*((0, n - 1) for n in padded.shape), indexing="ij"), axis=-1)
    reach = target.to_index(source.to_world(corners.reshape(-1, 3) + first))
    low = np.floor(reach.min(axis=0)).astype(np.int64)
    shape = np.ceil(reach.max(axis=0)).astype(np.int64) - low + 1
    index = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3)
    where = source.to_index(target.to_world(index + low)) - first
    value = map_coordinates(padded, where.T, order=1, mode="constant").round(6)

    offset = where - np.argwhere(padded).mean(axis=0)
    away_mm2 = ((offset * np.asarray(source.spacing_mm)) ** 2).sum(axis=1).round(6)
    wanted = max(1, round(float(patch.mask.sum()) * source.voxel_mm3 / target.voxel_mm3))
    mask = highest_ranked(value, wanted, above=0, distance=away_mm2)
    if not mask.any():
        # thinner than the new voxels: the one that its centre lies in
        mask = highest_ranked(-(offset**2).sum(axis=1), 1)
    z, y, x = (int(n) for n in low)
    return _trimmed(Patch(mask.reshape(shape), (z, y, x)))


def _trimmed(patch: Patch) -> Patch:
    """The same mask in the smallest box."""
    box = bounding_box(patch.mask)
    if box is None:
        return patch
    z, y, x = (first + s.start for first, s in zip(patch.first_zyx, box, strict=True))
    return Patch(patch.mask[box], (z, y, x))


def clipped(patch: Patch, shape: Sequence[int]) -> Patch | None:
    """The part of a mask on a grid of this `shape`; None if there is none.

    Examples
    --------
    >>> part = clipped(Patch(np.ones((1, 1, 3), bool), (0, 0, -1)), (4, 4, 4))
    >>> part.first_zyx, part.mask.shape
    ((0, 0, 0), (1, 1, 2))
    """
    box = [
        slice(max(0, -first), max(0, min(size, n - first)))
        for first, size, n in zip(patch.first_zyx, patch.mask.shape, shape, strict=True)
    ]
    mask = patch.mask[tuple(box)]
    if not mask.any():
        return None
    z, y, x = (first + s.start for first, s in zip(patch.first_zyx, box, strict=True))
    return _trimmed(Patch(mask, (z, y, x)))
