"""A scan and its lung mask in blocks of 4 mm: all that a verdict needs to see."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.ops.grid.blocks import Zoom, block_factors, block_mean, block_spacing
from lungseg.ops.lungs.left_right import Sides
from lungseg.volume import HU, AnyVolume, HuArray, MaskArray, T, Triple, Volume

# What is asked of a mask is where tens of ml are; the trachea is four blocks wide.
BLOCK_MM = 4.0


@dataclass(frozen=True, eq=False)
class Blocks:
    """A scan and its mask in blocks.

    Attributes
    ----------
    hu : (z, y, x) int16
        Means.
    labels : (z, y, x) uint8
        Of each block's middle: 1 right lung, 2 left.
    spacing_mm
        Of the blocks.
    """

    hu: HuArray
    labels: Sides
    spacing_mm: Triple

    def ml(self, mask: MaskArray) -> float:
        """Volume of `mask`, ml.

        Examples
        --------
        >>> none = np.zeros((1, 1, 1))
        >>> blocks = Blocks(none.astype(np.int16), none.astype(np.uint8), (4.0, 5.0, 5.0))
        >>> blocks.ml(np.array([[[True]]]))
        0.1
        """
        return float(np.count_nonzero(mask)) * self.block_ml

    @property
    def block_ml(self) -> float:
        """Volume of a block, ml."""
        return float(np.prod(self.spacing_mm)) / 1000


def zoom_of(ct: AnyVolume, edge_mm: float = BLOCK_MM) -> Zoom:
    """How the blocks of `in_blocks` lie on the scan's grid.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> zoom_of(Volume(np.zeros((3, 5, 5), HU), Geometry((4.0, 2.0, 2.0)))).factors
    (1, 2, 2)
    """
    return Zoom(ct.shape, block_factors(ct.spacing_mm, edge_mm))


def in_blocks(ct: Volume[HU], labels: Volume[np.uint8], edge_mm: float = BLOCK_MM) -> Blocks:
    """`ct` and the mask `labels` in blocks of about `edge_mm`.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> grid = Geometry((4.0, 2.0, 2.0))
    >>> ct = Volume(np.array([[[-900, -800, 40], [-700, -800, 60]]], HU), grid)
    >>> seen = in_blocks(ct, ct.like((ct.array < 0).astype(np.uint8)))
    >>> seen.hu.tolist(), seen.labels.tolist(), seen.spacing_mm
    ([[[-800, 50]]], [[[1, 0]]], (4.0, 4.0, 4.0))
    """
    hu = block_mean(ct.array, zoom_of(ct, edge_mm).factors)
    return Blocks(hu, at_middles(labels, edge_mm), edges_mm(ct, edge_mm))


def at_middles(volume: Volume[T], edge_mm: float = BLOCK_MM) -> npt.NDArray[T]:
    """The voxel in the middle of each block of `in_blocks`.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> mask = Volume(np.array([[[True, False, False, True]]]), Geometry((4.0, 4.0, 2.0)))
    >>> at_middles(mask).tolist()
    [[[False, True]]]
    """
    middles = (
        np.minimum(np.arange(-(-n // f)) * f + f // 2, n - 1)
        for n, f in zip(volume.shape, zoom_of(volume, edge_mm).factors, strict=True)
    )
    return np.ascontiguousarray(volume.array[np.ix_(*middles)])


def edges_mm(volume: AnyVolume, edge_mm: float = BLOCK_MM) -> Triple:
    """Edges of the blocks of `in_blocks` along (z, y, x), mm.

    Examples
    --------
    >>> from lungseg.volume import Geometry
    >>> edges_mm(Volume(np.zeros((3, 5, 5), HU), Geometry((5.0, 2.0, 1.5))))
    (5.0, 4.0, 4.5)
    """
    return block_spacing(volume.spacing_mm, zoom_of(volume, edge_mm).factors)
