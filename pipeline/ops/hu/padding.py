"""Padding: the voxels of a CT that the scanner never saw.

Scanners see a circle and files are square, so the corners hold some constant: -2000, -3024, -1500,
whatever the maker chose. It is known by its value, one constant far below air (noise is never
one), and by its place, connected to the edge of its slice, and never by one magic number.
"""

import numpy as np

from lungseg.volume import HuArray, IndexArray, MaskArray

# Noise in air reaches some 100 HU below -1000; padding of a scanner that clips at -1024 is air.
LOWEST_AIR_HU = -1100
AIR_HU = -1024
"""What stands for air where nothing was measured: the lowest HU that most scanners store."""
PADDING_HU = -2000
"""What padding becomes that the files hold as HU of air, tissue or metal."""
_LOOKED_AT = 24


def find_padding(stack: HuArray, least_share: float = 0.002) -> int | None:
    """HU of the padding: voxels of it or less were not seen; None if the scanner saw all.

    Parameters
    ----------
    stack
        ``(z, y, x) int16`` HU.
    least_share
        Less than this of an edge's pixels is no padding but a fault of single pixels.

    Examples
    --------
    >>> ct = np.full((3, 40, 40), -1000, np.int16)
    >>> ct[:, :2] = -2000
    >>> find_padding(ct)
    -2000
    >>> print(find_padding(np.maximum(ct, -1024)))
    None
    """
    edge = _edges(stack)
    low = edge[edge < LOWEST_AIR_HU]
    if low.size < max(least_share * edge.size, 4):
        return None
    values, counts = np.unique(low, return_counts=True)
    # One constant makes up what lies on the edge below air; there may be a second, far below.
    constant = counts >= 0.05 * low.size
    if counts[constant].sum() < 0.9 * low.size:
        return None
    hu = int(values[constant].max())
    if _share_at_the_edge(stack, hu) < 0.9:
        return None
    return hu


def with_air(stack: HuArray, padding_hu: float, air_hu: int = AIR_HU) -> HuArray:
    """The stack with air where the scanner saw nothing: voxels of `padding_hu` or less.

    Examples
    --------
    >>> with_air(np.array([[[-3024, -1000, 40]]], np.int16), padding_hu=-2000).tolist()
    [[[-1024, -1000, 40]]]
    """
    return np.where(stack <= padding_hu, stack.dtype.type(air_hu), stack)


def joined_to_edge(marked: MaskArray) -> MaskArray:
    """The part of a slice's marked pixels that hangs together with its edge.

    Parameters
    ----------
    marked
        ``(y, x) bool``.

    Examples
    --------
    >>> joined_to_edge(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], bool)).astype(int).tolist()
    [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    """
    import cc3d

    labels = cc3d.connected_components(np.ascontiguousarray(marked), connectivity=4)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return np.asarray(np.isin(labels, border[border > 0]))


def _edges(stack: HuArray) -> HuArray:
    return np.concatenate(
        [
            stack[:, [0, -1], :].reshape(-1),
            stack[:, 1:-1, [0, -1]].reshape(-1),
        ]
    )


def _looked_at(stack: HuArray) -> IndexArray:
    return np.unique(np.linspace(0, len(stack) - 1, min(len(stack), _LOOKED_AT)).astype(np.intp))


def _share_at_the_edge(stack: HuArray, hu: int) -> float:
    # How much of what is `hu` or less hangs together with the edge of its slice.
    total = at_edge = 0
    for k in _looked_at(stack):
        low = stack[k] <= hu
        total += int(low.sum())
        at_edge += int(joined_to_edge(low).sum())
    return at_edge / total if total else 0.0
