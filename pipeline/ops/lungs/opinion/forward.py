"""What a small U-Net in three dimensions answers, computed with numpy alone.

To load Keras and its backend takes four CPU seconds and half a gigabyte in every worker; the lung
net's answer itself takes half a second. A convolution is one product of matrices for each slice:
a column holds a block's 3 x 3 neighbours, and the kernel's three slices stand below each other.
What has been doubled (nearest neighbour) is convolved as it was before, with one kernel for each
of a block's eight corners, of 2 x 2 x 2 blocks: an eighth of the columns, and 8 of 27 neighbours.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
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
    x = np.ascontiguousarray(np.moveaxis(image, -1, 1))
    for number, level in enumerate(net.levels):
        if number:
            x = _halved(x)
        for one in level:
            x = _above_zero(_convolved(x, one.kernel), one.bias)
        beside.append(x)
    beside.pop()
    for one in net.joins:
        own = beside.pop()
        below = x.shape[1]
        x = _doubled_and_convolved(x, one.kernel[..., :below, :])
        x = _convolved(own, one.kernel[..., below:, :], x)
        x = _above_zero(x, one.bias)
    likely = np.empty((len(x), *x.shape[2:], len(net.last.bias)), np.float32)
    for of_slice, channels in zip(likely, x, strict=True):
        flat = net.last.kernel.T @ channels.reshape(len(channels), -1) + net.last.bias[:, None]
        of_slice[:] = np.moveaxis(expit(flat).reshape(-1, *x.shape[2:]), 0, -1)
    return likely


# From here on `x` is (z, channel, y, x).


def _above_zero(x: F32, bias: F32) -> F32:
    x += bias[:, None, None]
    return np.maximum(x, 0, out=x)


def _halved(x: F32) -> F32:
    """The most of each 2 x 2 x 2 blocks."""
    x = np.maximum(x[::2], x[1::2])
    x = np.maximum(x[:, :, ::2], x[:, :, 1::2])
    return np.maximum(x[..., ::2], x[..., 1::2])


def _convolved(x: F32, kernel: F32, onto: F32 | None = None) -> F32:
    """Around each block, with zeros beyond the image; added to `onto`, if there is such."""
    n_z, channels, n_y, n_x = x.shape
    filters = kernel.shape[-1]
    below_each_other = np.concatenate([_flat(one) for one in kernel])
    found = np.zeros((n_z, filters, n_y, n_x), np.float32) if onto is None else onto
    edged = np.zeros((channels, n_y + 2, n_x + 2), np.float32)
    around = np.empty((3, 3, channels, n_y, n_x), np.float32)
    for z in range(n_z):
        edged[:, 1:-1, 1:-1] = x[z]
        for dy, dx in product(range(3), repeat=2):
            around[dy, dx] = edged[:, dy : dy + n_y, dx : dx + n_x]
        three = below_each_other @ around.reshape(9 * channels, n_y * n_x)
        for k, part in enumerate(three.reshape(3, filters, n_y, n_x)):
            if 0 <= z + 1 - k < n_z:
                found[z + 1 - k] += part
    return found


def _flat(kernel: F32) -> F32:
    """A kernel ``(y, x, in, out)`` as ``(out, y x in)``."""
    return np.ascontiguousarray(kernel.reshape(-1, kernel.shape[-1]).T)


def _doubled_and_convolved(x: F32, kernel: F32) -> F32:
    """What is doubled, convolved: from each half of a block two blocks are seen along an axis."""
    n_z, channels, n_y, n_x = x.shape
    filters = kernel.shape[-1]
    fine = np.empty((2 * n_z, filters, 2 * n_y, 2 * n_x), np.float32)
    edged = np.zeros((channels, n_y + 2, n_x + 2), np.float32)
    around = np.empty((2, 2, channels, n_y, n_x), np.float32)
    for (y_half, x_half), flat in _of_halves(kernel).items():
        found = np.zeros((n_z, 2, filters, n_y, n_x), np.float32)
        for z in range(n_z):
            edged[:, 1:-1, 1:-1] = x[z]
            for dy, dx in product(range(2), repeat=2):
                y, x_ = y_half + dy, x_half + dx
                around[dy, dx] = edged[:, y : y + n_y, x_ : x_ + n_x]
            four = flat @ around.reshape(4 * channels, n_y * n_x)
            parts = four.reshape(4, filters, n_y, n_x)
            for (slice_of, z_half), part in zip(_SEEN_ALONG_Z, parts, strict=True):
                if 0 <= z + 1 - slice_of < n_z:
                    found[z + 1 - slice_of, z_half] += part
        fine[:, :, y_half::2, x_half::2] = found.reshape(2 * n_z, filters, n_y, n_x)
    return fine


def _of_halves(kernel: F32) -> dict[tuple[int, int], F32]:
    """Kernels ``(4 out, 4 in)`` by half along y and x: `_SEEN_ALONG_Z`, of 2 x 2 blocks."""
    # Which neighbour of a block a neighbour of one of its two halves lies in.
    lies_in = np.zeros((2, 3, 3))
    for half in range(2):
        for k in range(3):
            lies_in[half, (half + k - 1) // 2 + 1, k] = 1
    halves = np.einsum(
        "pat,qbu,rcv,tuvio->pqrabcio", lies_in, lies_in, lies_in, kernel, optimize=True
    ).astype(np.float32)
    return {
        (q, r): np.concatenate(
            [_flat(halves[p, q, r, a, q : q + 2, r : r + 2]) for a, p in _SEEN_ALONG_Z]
        )
        for q, r in product(range(2), repeat=2)
    }
