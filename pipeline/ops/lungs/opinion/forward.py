"""What a small U-Net in three dimensions answers, computed with numpy alone.

To load Keras and its backend takes four CPU seconds and half a gigabyte in every worker; the lung
net's answer itself takes half a second. A convolution is one product of matrices for each slice:
a row holds a block's 3 x 3 neighbours, and the kernel's three slices stand side by side. What has
been doubled (nearest neighbour) is convolved as it was before, with one kernel for each of a
block's eight corners, of 2 x 2 x 2 blocks: an eighth of the rows, and 8 of 27 neighbours.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.special import expit

from lungseg.volume import F32

# A slice below (0), of the same block (1) or above (2), and a half of the block that sees it.
_SEEN_ALONG_Z = ((0, 0), (1, 0), (1, 1), (2, 1))


@dataclass(frozen=True, eq=False)
class Convolution:
    """A kernel ``(3, 3, 3, in, out)``, or ``(in, out)`` for a block alone, and a bias ``(out,)``.

    Batch normalisation is part of both.
    """

    kernel: F32
    bias: F32


@dataclass(frozen=True, eq=False)
class UNet:
    """Convolutions in the order in which they are applied.

    Attributes
    ----------
    levels
        Those of each level on the way down; halved between.
    joins
        On the way up, of what comes from below, doubled, beside the level's own.
    last
        To the answer, block by block.

    Examples
    --------
    >>> one = Convolution(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    >>> UNet(((), (), ()), (one, one), one).multiple
    4
    """

    levels: tuple[tuple[Convolution, ...], ...]
    joins: tuple[Convolution, ...]
    last: Convolution

    @property
    def multiple(self) -> int:
        """Edges of an image are multiples of this."""
        return int(2 ** len(self.joins))


def answer(net: UNet, image: F32) -> F32:
    """Probabilities ``(z, y, x, classes)`` for an image ``(z, y, x, channels)``.

    Examples
    --------
    A net of one level that doubles what is above zero, and its answer to 0 and 3:

    >>> middle = np.zeros((3, 3, 3, 1, 1), np.float32)
    >>> middle[1, 1, 1] = 2
    >>> none, one = np.zeros(1, np.float32), np.ones((1, 1), np.float32)
    >>> net = UNet(((Convolution(middle, none),),), (), Convolution(one, none))
    >>> answer(net, np.array([[[[0.0], [3.0]]]], np.float32)).round(4)[0, 0, :, 0].tolist()
    [0.5, 0.9975000023841858]
    """
    beside: list[F32] = []
    x = image
    for number, level in enumerate(net.levels):
        if number:
            x = _halved(x)
        for one in level:
            x = _above_zero(_convolved(x, one.kernel), one.bias)
        beside.append(x)
    beside.pop()
    for one in net.joins:
        own = beside.pop()
        below = x.shape[-1]
        x = _doubled_and_convolved(x, one.kernel[..., :below, :])
        x = _convolved(own, one.kernel[..., below:, :], x)
        x = _above_zero(x, one.bias)
    return np.asarray(expit(x @ net.last.kernel + net.last.bias), np.float32)


def _above_zero(x: F32, bias: F32) -> F32:
    x += bias
    return np.maximum(x, 0, out=x)


def _halved(x: F32) -> F32:
    """The most of each 2 x 2 x 2 blocks."""
    z, y, x_, channels = x.shape
    eight = x.reshape(z // 2, 2, y // 2, 2, x_ // 2, 2, channels)
    return np.asarray(eight.max(axis=(1, 3, 5)))


def _convolved(x: F32, kernel: F32, onto: F32 | None = None) -> F32:
    """Around each block, with zeros beyond the image; added to `onto`, if there is such."""
    n_z, n_y, n_x, channels = x.shape
    filters = kernel.shape[-1]
    side_by_side = np.concatenate(list(kernel.reshape(3, 9 * channels, filters)), axis=1)
    side_by_side = np.ascontiguousarray(side_by_side)
    found = np.zeros((n_z, n_y, n_x, filters), np.float32) if onto is None else onto
    edged = np.zeros((n_y + 2, n_x + 2, channels), np.float32)
    row, column, channel = edged.strides
    neighbours = as_strided(
        edged, (n_y, n_x, 3, 3 * channels), (row, column, row, channel), writeable=False
    )
    rows = np.empty(neighbours.shape, np.float32)
    for z in range(n_z):
        edged[1:-1, 1:-1] = x[z]
        rows[:] = neighbours
        three = rows.reshape(n_y * n_x, 9 * channels) @ side_by_side
        for k in range(3):
            if 0 <= z + 1 - k < n_z:
                part = three[:, k * filters : (k + 1) * filters]
                found[z + 1 - k] += part.reshape(found.shape[1:])
    return found


def _doubled_and_convolved(x: F32, kernel: F32) -> F32:
    """What is doubled, convolved: from each half of a block two blocks are seen along an axis."""
    n_z, n_y, n_x, channels = x.shape
    filters = kernel.shape[-1]
    fine = np.zeros((2 * n_z, 2 * n_y, 2 * n_x, filters), np.float32)
    by_half = fine.reshape(n_z, 2, n_y, 2, n_x, 2, filters)
    edged = np.zeros((n_y + 2, n_x + 2, channels), np.float32)
    row, column, channel = edged.strides
    rows = np.empty((n_y, n_x, 2, 2 * channels), np.float32)
    kernels = _of_halves(kernel)
    for z in range(n_z):
        edged[1:-1, 1:-1] = x[z]
        for (y_half, x_half), flat in kernels.items():
            rows[:] = as_strided(
                edged[y_half:, x_half:], rows.shape, (row, column, row, channel), writeable=False
            )
            found = rows.reshape(n_y * n_x, 4 * channels) @ flat
            for k, (slice_of, z_half) in enumerate(_SEEN_ALONG_Z):
                if 0 <= z + 1 - slice_of < n_z:
                    part = found[:, k * filters : (k + 1) * filters].reshape(n_y, n_x, filters)
                    by_half[z + 1 - slice_of, z_half, :, y_half, :, x_half] += part
    return fine


def _of_halves(kernel: F32) -> dict[tuple[int, int], F32]:
    """Kernels ``(4 in, 4 out)`` by half along y and x: of 2 x 2 blocks, to `_SEEN_ALONG_Z`."""
    # Which neighbour of a block a neighbour of one of its two halves lies in.
    lies_in = np.zeros((2, 3, 3))
    for half in range(2):
        for k in range(3):
            lies_in[half, (half + k - 1) // 2 + 1, k] = 1
    halves = np.einsum(
        "pat,qbu,rcv,tuvio->pqrabcio", lies_in, lies_in, lies_in, kernel, optimize=True
    ).astype(np.float32)
    flat = {}
    for q, r in product((0, 1), repeat=2):
        seen = (halves[p, q, r, a, q : q + 2, r : r + 2] for a, p in _SEEN_ALONG_Z)
        flat[q, r] = np.concatenate([one.reshape(-1, one.shape[-1]) for one in seen], axis=1)
    return flat
