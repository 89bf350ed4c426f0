"""What a small U-Net in three dimensions answers, computed with numpy alone.

To load Keras and its backend takes four CPU seconds and half a gigabyte in every worker; the lung
net's answer itself takes half a second. A convolution is one product of matrices for each slice:
a row holds a block's 3 x 3 neighbours, and the kernel's three slices stand side by side. What has
been doubled (nearest neighbour) is convolved as it was before, with one kernel for each of a
block's eight corners, which is an eighth of the rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided
from scipy.special import expit

from lungseg.volume import F32


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
        product = rows.reshape(n_y * n_x, 9 * channels) @ side_by_side
        for k in range(3):
            if 0 <= z + 1 - k < n_z:
                part = product[:, k * filters : (k + 1) * filters]
                found[z + 1 - k] += part.reshape(found.shape[1:])
    return found


def _doubled_and_convolved(x: F32, kernel: F32) -> F32:
    n_z, n_y, n_x, _ = x.shape
    filters = kernel.shape[-1]
    # Which neighbour of a block a neighbour of one of its two halves lies in.
    lies_in = np.zeros((2, 3, 3))
    for half in range(2):
        for k in range(3):
            lies_in[half, (half + k - 1) // 2 + 1, k] = 1
    corners = np.einsum(
        "pat,qbu,rcv,tuvio->abcipqro", lies_in, lies_in, lies_in, kernel, optimize=True
    )
    eight = corners.reshape(3, 3, 3, kernel.shape[3], 8 * filters).astype(np.float32)
    fine = np.zeros((2 * n_z, 2 * n_y, 2 * n_x, filters), np.float32)
    by_corner = fine.reshape(n_z, 2, n_y, 2, n_x, 2, filters).transpose(0, 2, 4, 1, 3, 5, 6)
    _convolved(x, eight, by_corner)
    return fine
