"""A lung net's weights, read from its file without Keras."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from lzma import LZMAError
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import DataError
from lungseg.model.lung_net.network import EPSILON
from lungseg.model.shipping.half_precision import WEIGHTS
from lungseg.ops.lungs.opinion.forward import Convolution, UNet
from lungseg.volume import F32

# What a file raises that is broken, or holds another net.
_UNREADABLE = (
    OSError, EOFError, LookupError, ValueError, zipfile.BadZipFile, zlib.error, LZMAError,
)  # fmt: skip


def read_weights(file: Path) -> UNet:
    """The net that `build` made and Keras saved, its batch normalisation folded in.

    Raises
    ------
    DataError
        If the file holds no such net.
    """
    return _read(str(file), file.stat().st_mtime_ns)


@cache
def _read(file: str, _: int) -> UNet:
    import h5py

    try:
        with zipfile.ZipFile(file) as archive:
            stored = archive.read(WEIGHTS)
        with h5py.File(io.BytesIO(stored)) as weights:
            return _net_of(weights["layers"])
    except _UNREADABLE as cause:
        raise DataError(
            f"{file} holds no lung net that can be read ({cause}); expected what "
            "`models teach-lungs` wrote"
        ) from cause


def _net_of(layers: Mapping[str, Any]) -> UNet:
    """The net of the layers in HDF5: each a group with its weights, by number, in ``vars``."""
    convolutions = [_variables(layers[name]) for name in _in_order(layers, "conv3d")]
    scales = [_variables(layers[name]) for name in _in_order(layers, "batch_normalization")]
    folded = [
        _folded(kernel, *scale) for (kernel,), scale in zip(convolutions[:-1], scales, strict=True)
    ]
    kernel, bias = convolutions[-1]
    depth = (len(convolutions) + 1) // 3
    down, joins = folded[: 2 * depth - 1], folded[2 * depth - 1 :]
    levels = (tuple(down[:1]), *(tuple(down[k : k + 2]) for k in range(1, len(down), 2)))
    return UNet(levels, tuple(joins), Convolution(kernel.reshape(kernel.shape[3:]), bias))


def _in_order(names: Iterable[str], kind: str) -> list[str]:
    """Layers of a kind, ``kind``, ``kind_1``, ``kind_2``, ..."""
    found = [name for name in names if name == kind or name.rpartition("_")[0] == kind]
    return sorted(found, key=lambda name: int(name.removeprefix(kind).lstrip("_") or 0))


def _variables(layer: Mapping[str, Any]) -> list[F32]:
    kept = layer["vars"]
    return [np.asarray(kept[str(k)], np.float32) for k in range(len(kept))]


def _folded(kernel: F32, gamma: F32, beta: F32, mean: F32, variance: F32) -> Convolution:
    scale = gamma / np.sqrt(variance + EPSILON)
    return Convolution(kernel * scale, beta - mean * scale)
