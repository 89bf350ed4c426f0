"""Volume: an array of voxels and where they lie in the patient. The one noun all stages pass on.

Arrays are indexed ``(z, y, x)``; everything here follows that order unless its name ends in
``_xyz``. World coordinates are DICOM's LPS millimetres (x to the patient's left, y to the back,
z to the head), given as ``(x, y, z)``.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt

HU = np.int16
Mask = np.bool_
T = TypeVar("T", bound=np.generic)
U = TypeVar("U", bound=np.generic)

HuArray = npt.NDArray[HU]
MaskArray = npt.NDArray[Mask]
FloatArray = npt.NDArray[np.float64]
F32 = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]
Triple = tuple[float, float, float]
Shape = tuple[int, int, int]
Box = tuple[slice, slice, slice]


def _gram(direction: FloatArray) -> FloatArray:
    matrix = direction.reshape(3, 3)
    return np.asarray(matrix.T @ matrix)


IDENTITY: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Geometry:
    """Where a grid of voxels lies.

    Attributes
    ----------
    spacing_mm
        Distance of neighbouring voxel centres along ``(z, y, x)``, mm; each above 0.
    origin_xyz_mm
        World position of the centre of voxel ``[0, 0, 0]``, mm.
    direction_xyz
        3x3 matrix, row by row; column *k* is the world direction in which the index of axis
        x, y, z (k = 0, 1, 2) grows. Orthonormal; it may be flipped or oblique.

    Examples
    --------
    >>> grid = Geometry(spacing_mm=(2.0, 0.5, 0.5), origin_xyz_mm=(10.0, 20.0, 30.0))
    >>> grid.voxel_mm3
    0.5
    >>> grid.to_world((1, 0, 4)).tolist()
    [12.0, 20.0, 32.0]
    >>> grid.to_index((12.0, 20.0, 32.0)).tolist()
    [1.0, 0.0, 4.0]
    >>> grid.moved((1, 0, 0)).origin_xyz_mm
    (10.0, 20.0, 32.0)
    """

    spacing_mm: Triple
    origin_xyz_mm: Triple = (0.0, 0.0, 0.0)
    direction_xyz: tuple[float, ...] = field(default=IDENTITY)

    def __post_init__(self) -> None:
        if len(self.spacing_mm) != 3 or not all(
            np.isfinite(mm) and mm > 0 for mm in self.spacing_mm
        ):
            raise ValueError(
                f"spacing_mm must be three positive lengths (z, y, x), not {self.spacing_mm}"
            )
        d = np.asarray(self.direction_xyz, float)
        if d.size != 9 or not np.allclose(_gram(d), np.eye(3), atol=1e-4):
            raise ValueError(
                f"direction_xyz must be an orthonormal 3x3 matrix, not {self.direction_xyz}"
            )
        object.__setattr__(self, "spacing_mm", tuple(float(v) for v in self.spacing_mm))
        object.__setattr__(self, "origin_xyz_mm", tuple(float(v) for v in self.origin_xyz_mm))
        object.__setattr__(self, "direction_xyz", tuple(float(v) for v in d.ravel()))

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel, mm3."""
        return float(np.prod(self.spacing_mm))

    @property
    def matrix(self) -> FloatArray:
        """3x3 matrix that takes an ``(x, y, z)`` index to mm from the origin."""
        direction = np.asarray(self.direction_xyz, float).reshape(3, 3)
        return np.asarray(direction * np.asarray(self.spacing_mm[::-1]))

    def to_world(self, index_zyx: npt.ArrayLike) -> FloatArray:
        """World ``(x, y, z)`` mm of fractional ``(z, y, x)`` indices, each ``(..., 3)``."""
        index = np.asarray(index_zyx, float)[..., ::-1]
        return np.asarray(index @ self.matrix.T + np.asarray(self.origin_xyz_mm))

    def to_index(self, world_xyz: npt.ArrayLike) -> FloatArray:
        """Fractional ``(z, y, x)`` indices of world ``(x, y, z)`` mm, each ``(..., 3)``."""
        offset = np.asarray(world_xyz, float) - np.asarray(self.origin_xyz_mm)
        return np.asarray(offset @ np.linalg.inv(self.matrix).T)[..., ::-1]

    def moved(self, first_zyx: npt.ArrayLike) -> Self:
        """Geometry of a crop, or a pad, whose voxel ``[0, 0, 0]`` was at index `first_zyx`."""
        x, y, z = self.to_world(first_zyx)
        return replace(self, origin_xyz_mm=(float(x), float(y), float(z)))


@dataclass(frozen=True, eq=False)
class Volume(Generic[T]):
    """A 3-D array ``(z, y, x)`` and its geometry.

    Raises
    ------
    ValueError
        If the array is not 3-D or has an empty axis.

    Examples
    --------
    >>> ct = Volume(np.zeros((4, 4, 4), HU), Geometry((2.0, 1.0, 1.0)))
    >>> ct.shape, ct.spacing_mm, ct.voxel_ml
    ((4, 4, 4), (2.0, 1.0, 1.0), 0.002)
    >>> ct.like(ct.array < 0).geometry == ct.geometry
    True
    >>> part = ct.crop((slice(1, 3), slice(0, 2), slice(0, 4)))
    >>> part.shape, part.geometry.origin_xyz_mm
    ((2, 2, 4), (0.0, 0.0, 2.0))
    """

    array: npt.NDArray[T]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.ndim != 3 or 0 in self.array.shape:
            raise ValueError(
                f"a volume has three axes (z, y, x), none empty; shape is {self.array.shape}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (z, y, x)."""
        z, y, x = self.array.shape
        return z, y, x

    @property
    def spacing_mm(self) -> Triple:
        """Voxel distance along (z, y, x), mm."""
        return self.geometry.spacing_mm

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, ml."""
        return self.geometry.voxel_mm3 / 1000.0

    def like(self, array: npt.NDArray[U]) -> "Volume[U]":
        """`array`, of the same shape, on this grid.

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if array.shape != self.array.shape:
            raise ValueError(f"shape {array.shape} is not this volume's {self.array.shape}")
        return Volume(array, self.geometry)

    def crop(self, box: Box) -> "Volume[T]":
        """The part inside `box` (plain slices with start and stop), where it lies in the world."""
        first = [s.start or 0 for s in box]
        return Volume(self.array[box], self.geometry.moved(first))


AnyVolume = Volume[Any]
