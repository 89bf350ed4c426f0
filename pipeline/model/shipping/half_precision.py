"""Half precision: a net's file with half the bytes, which is loaded as any other.

Large kernels are kept as float16: what is rounded is a two-thousandth of each value. Small ones,
biases and the running statistics of batch normalisation stay as they are. They are few, and a
U-Net's small kernels are those of its highest levels, which no later layer averages: with these
rounded, too, a trained net's probabilities changed by up to 0.010 on films, without by 0.0005.
Where a net bears it, larger ones keep fewer bits of each value (nets that are trained in bfloat16
have no more than eight): the other bits are zero, and compression of the file takes them away.
Keras casts what it reads to the type of the net's variables, so that the net computes in single
precision, as before.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
OPTIMIZER = "optimizer"
# Values of a kernel that is small: 3 x 3 from 60 to 60 channels.
SMALL = 1 << 15
# The same of three dimensions, whose nets are narrow: 3 x 3 x 3 from 17 to 17 channels.
SMALL_OF_3D, RANK_OF_3D = 1 << 13, 5
# Edge of what a net of any size is shown, and rank of slices with their channels.
ANY_EDGE, SLICE_RANK = 64, 3
# Of float16's 11 significant bits, how many kernels of more than so many values do without: 3 x 3
# from 85, 170 and 241 channels to as many, the latter on a U-Net's deepest levels.
Sparing = tuple[tuple[int, int], ...]
NONE_SPARED: Sparing = ()
SOME_SPARED: Sparing = ((1 << 16, 3), (1 << 18, 4), (1 << 19, 5))
FEW_SPARED: Sparing = ((1 << 19, 3),)
MOST_SPARED: Sparing = ((1 << 13, 2), (1 << 16, 4), (1 << 18, 5))


def write_half(net: Path, out: Path, sparing: Sparing = NONE_SPARED, small: int = SMALL) -> None:
    """Write the net's file `net` anew as `out`, with large kernels in half precision.

    The state of an optimiser is left out, all else is kept: the architecture, and the record of
    how the net was made. The same net gives the same bytes. `sparing` tells how many bits large
    kernels do without, by their size; those of at most `small` values stay as they are.
    """
    with (
        zipfile.ZipFile(net) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as target,
    ):
        for name in source.namelist():
            content = source.read(name)
            # Without a date, so that the same net is the same file.
            entry = zipfile.ZipInfo(name)
            # A seventh smaller than by DEFLATE, in which HDF5 compresses, too.
            of_weights = name == WEIGHTS
            entry.compress_type = zipfile.ZIP_LZMA if of_weights else zipfile.ZIP_DEFLATED
            target.writestr(entry, _changed(name, content, sparing, small))


def largest_difference(net: Path, other: Path, samples: int = 4, seed: int = 0) -> float:
    """Largest difference between the probabilities of two nets of one form, on noise.

    Parameters
    ----------
    net, other
        Their files.
    samples, seed
        How many inputs they are shown, and what these depend on. They are smooth noise of three
        sizes, so that edges and flat regions occur.
    """
    from lungseg.model.inference import load_net, predict

    first = load_net(net)
    shape = tuple(ANY_EDGE if n is None else n for n in first.input_shape[1:])
    x = _noise(shape, samples, np.random.default_rng(seed))
    # Slices have one probability, blocks of a chest two.
    answers = [
        predict(one, x, 1) if len(shape) == SLICE_RANK else np.asarray(one.predict(x, 1, verbose=0))
        for one in (first, load_net(other))
    ]
    return float(np.abs(answers[0] - answers[1]).max())


def _noise(shape: tuple[int, ...], samples: int, rng: np.random.Generator) -> Any:
    from scipy.ndimage import gaussian_filter

    total = np.zeros((samples, *shape), np.float32)
    for sigma in (1, 4, 16):
        noise = rng.standard_normal(total.shape)
        sigmas = (0, *(sigma for _ in shape[:-1]), 0)
        smooth = gaussian_filter(noise, sigmas, mode="wrap")
        total += (smooth / smooth.std() / 6).astype(np.float32)
    return np.clip(total + 0.5, 0, 1)


def _changed(name: str, content: bytes, sparing: Sparing, small: int) -> bytes:
    if name == CONFIG:
        # How it was compiled for training names an optimiser, and nothing that a user needs.
        return json.dumps(json.loads(content) | {"compile_config": None}).encode()
    return _half_weights(content, sparing, small) if name == WEIGHTS else content


def _half_weights(content: bytes, sparing: Sparing, small: int) -> bytes:
    import h5py

    packed = io.BytesIO()
    with h5py.File(io.BytesIO(content), "r") as source, h5py.File(packed, "w") as target:
        _copy(source, target, sparing, small)
    return packed.getvalue()


def _copy(source: Any, target: Any, sparing: Sparing, small: int) -> None:
    for name, value in source.attrs.items():
        target.attrs[name] = value
    for name, item in source.items():
        if name == OPTIMIZER:
            continue
        if hasattr(item, "items"):
            _copy(item, target.create_group(name), sparing, small)
            continue
        values = item[()]
        least = min(small, SMALL_OF_3D) if values.ndim == RANK_OF_3D else small
        if values.size > least and values.dtype.kind == "f":
            # High and low bytes by themselves: the former hardly differ, which compression sees.
            kept = target.create_dataset(
                name, data=_short(values, sparing), chunks=values.shape, shuffle=True
            )
        else:
            kept = target.create_dataset(name, data=values)
        for key, value in item.attrs.items():
            kept.attrs[key] = value


def _short(values: Any, sparing: Sparing) -> Any:
    spared = max((bits for size, bits in sparing if values.size > size), default=0)
    if not spared:
        return values.astype(np.float16)
    # To the nearest, in single precision, which has 13 bits more than half precision: rounded
    # twice, more values would grow than shrink.
    unit = 1 << (13 + spared)
    bits = values.astype(np.float32).view(np.uint32) + np.uint32(unit // 2)
    return (bits & np.uint32(0xFFFFFFFF ^ (unit - 1))).view(np.float32).astype(np.float16)
