"""A volume seen coarsely, as means of blocks of voxels, and the way back to its own grid."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungseg.volume import F32, HU, Box, HuArray, IntArray, MaskArray, Triple

Factors = tuple[int, int, int]
# Slices of blocks that are enlarged at once.
SLAB = 16


def block_factors(spacing_mm: Triple, coarse_mm: float) -> Factors:
    """Voxels along (z, y, x) that together come closest to `coarse_mm`; at least 1 each.

    Examples
    --------
    >>> block_factors((3.0, 0.7, 0.7), coarse_mm=2.0)
    (1, 3, 3)
    """
    z, y, x = (max(1, round(coarse_mm / step)) for step in spacing_mm)
    return z, y, x


def block_spacing(spacing_mm: Triple, factors: Factors) -> Triple:
    """Distance of blocks along (z, y, x), mm.

    Examples
    --------
    >>> block_spacing((3.0, 0.5, 0.5), (1, 3, 3))
    (3.0, 1.5, 1.5)
    """
    z, y, x = (step * f for step, f in zip(spacing_mm, factors, strict=True))
    return z, y, x


def block_mean(ct: HuArray, factors: Factors) -> HuArray:
    """Mean HU of every block of voxels, rounded down.

    A last block that the array cuts short is the mean of what there is of it.

    Examples
    --------
    >>> block_mean(np.array([[[0, 10, 20, 30, 40]]], HU), (1, 1, 2)).tolist()
    [[[5, 25, 40]]]
    """
    if factors == (1, 1, 1):
        return ct.copy()
    shape = tuple(-(-n // f) for n, f in zip(ct.shape, factors, strict=True))
    coarse = np.empty(shape, HU)
    small = np.prod(factors) <= 8
    rows, columns = _counts(ct.shape[1], factors[1]), _counts(ct.shape[2], factors[2])
    for k in range(shape[0]):
        slab = ct[k * factors[0] : (k + 1) * factors[0]]
        # Eight values of a clinical CT (below 4,095) fit into int16 added up: half the bytes.
        if small and int(slab.max()) < 4096 and int(slab.min()) >= -4096:
            total = slab[0].copy()
        else:
            total = slab[0].astype(np.int32)
        for axial in slab[1:]:
            total += axial
        total = _block_sum(_block_sum(total, factors[1], 0), factors[2], 1)
        coarse[k] = total // total.dtype.type(len(slab) * factors[1] * factors[2])
        # By one number is faster than by as many as there are blocks, all alike but for the last.
        if ct.shape[1] % factors[1]:
            coarse[k, -1] = total[-1] // (len(slab) * rows[-1] * columns)
        if ct.shape[2] % factors[2]:
            coarse[k, :, -1] = total[:, -1] // (len(slab) * rows * columns[-1])
    return coarse


def _counts(n: int, factor: int) -> IntArray:
    starts = np.arange(0, n, factor)
    return np.minimum(factor, n - starts)


def _block_sum(
    plane: npt.NDArray[np.signedinteger], factor: int, axis: int
) -> npt.NDArray[np.signedinteger]:
    if factor == 1:
        return plane
    lines = np.moveaxis(plane, axis, 0)
    total = lines[::factor].copy()
    for k in range(1, factor):
        part = lines[k::factor]
        total[: len(part)] += part
    return np.moveaxis(total, 0, axis)


def block_any(mask: MaskArray, factors: Factors) -> MaskArray:
    """Blocks with any voxel of `mask`.

    Examples
    --------
    >>> block_any(np.array([[[False, False, True]]]), (1, 1, 2)).tolist()
    [[[False, True]]]
    """
    return _blocks(mask, factors, np.logical_or)


def block_all(mask: MaskArray, factors: Factors) -> MaskArray:
    """Blocks with nothing but voxels of `mask`.

    Examples
    --------
    >>> block_all(np.array([[[True, False, True]]]), (1, 1, 2)).tolist()
    [[[False, True]]]
    """
    return _blocks(mask, factors, np.logical_and)


def _blocks(mask: MaskArray, factors: Factors, join: np.ufunc) -> MaskArray:
    found = mask
    # z first: whole slices are joined, which makes little of what the other axes, slower, get.
    for axis, factor in enumerate(factors):
        lines = np.moveaxis(found, axis, 0)
        # Much faster than reduceat, whose runs are as short as a block.
        joined = lines[::factor].copy()
        for k in range(1, factor):
            part = lines[k::factor]
            join(joined[: len(part)], part, out=joined[: len(part)])
        found = np.moveaxis(joined, 0, axis)
    return np.ascontiguousarray(found)


def block_most(mask: MaskArray, factors: Factors) -> MaskArray:
    """Blocks of which `mask` fills half or more.

    Examples
    --------
    >>> block_most(np.array([[[True, True, False, False, False, True]]]), (1, 1, 4)).tolist()
    [[[True, True]]]
    """
    return block_mean(mask.astype(HU) * HU(2), factors) >= 1


@dataclass(frozen=True)
class Zoom:
    """How boxes of a coarse grid lie on the fine grid of `shape` it was made from.

    Examples
    --------
    >>> zoom, block = Zoom((4, 4, 5), (2, 2, 2)), (slice(0, 1), slice(0, 1), slice(2, 3))
    >>> zoom.fine_box(block)
    (slice(0, 2, None), slice(0, 2, None), slice(4, 5, None))
    >>> zoom.enlarged(np.array([[[7]]], np.uint8), block).tolist()
    [[[7], [7]], [[7], [7]]]
    >>> zoom.whole(np.array([[[True, False, True]] * 2] * 2))[0, 0].tolist()
    [True, True, False, False, True]
    """

    shape: tuple[int, int, int]
    factors: Factors

    def fine_box(self, coarse: Box) -> Box:
        """Box of fine voxels that a box of blocks covers."""
        z, y, x = (
            slice(s.start * f, min(s.stop * f, n))
            for s, f, n in zip(coarse, self.factors, self.shape, strict=True)
        )
        return z, y, x

    def enlarged(self, blocks: npt.NDArray[np.uint8], coarse: Box) -> npt.NDArray[np.uint8]:
        """Fine voxels of `coarse`, each with the value of its block; `blocks` is that box's."""
        fine = blocks
        # x first, while there is little: along the others whole rows and slices are copied.
        for axis in (2, 1, 0):
            if self.factors[axis] > 1:
                fine = fine.repeat(self.factors[axis], axis)
        box = self.fine_box(coarse)
        z, y, x = (s.stop - s.start for s in box)
        return fine[:z, :y, :x]

    def put(self, blocks: MaskArray, onto: MaskArray) -> None:
        """Add a mask of all blocks to one of the fine voxels, in place, a few slices at a time."""
        y, x = (slice(0, n) for n in blocks.shape[1:])
        for first in range(0, len(blocks), SLAB):
            box = (slice(first, min(first + SLAB, len(blocks))), y, x)
            fine = self.enlarged(blocks[box].view(np.uint8), box)
            onto[self.fine_box(box)] |= fine.view(np.bool_)

    def whole(self, blocks: MaskArray, coarse: Box | None = None) -> MaskArray:
        """Fine voxels of a mask of all blocks, or of those in the box `coarse`."""
        z, y, x = coarse or (slice(0, n) for n in blocks.shape)
        return self.enlarged(blocks.view(np.uint8), (z, y, x)).view(np.bool_)

    def smoothly(self, blocks: F32, fine: Box) -> F32:
        """Values of all blocks at the voxels of the box `fine`, linear between their middles.

        Examples
        --------
        >>> zoom = Zoom((1, 1, 4), (1, 1, 2))
        >>> whole = (slice(0, 1), slice(0, 1), slice(0, 4))
        >>> zoom.smoothly(np.array([[[0.0, 1.0]]], np.float32), whole)
        array([[[0.  , 0.25, 0.75, 1.  ]]], dtype=float32)
        """
        values = blocks
        for axis, (factor, voxels) in enumerate(zip(self.factors, fine, strict=True)):
            last = blocks.shape[axis] - 1
            at = np.clip((np.arange(voxels.start, voxels.stop) + 0.5) / factor - 0.5, 0, last)
            low = at.astype(np.intp)
            high = np.minimum(low + 1, last)
            weight = (at - low).astype(np.float32)
            weight = np.expand_dims(weight, tuple(k for k in range(3) if k != axis))
            below, above = np.take(values, low, axis), np.take(values, high, axis)
            values = below * (1 - weight) + above * weight
        return values
