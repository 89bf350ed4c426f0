"""Inference: a trained net applied to slices in batches, and to images of any size in tiles."""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError
from lungseg.model.devices import (
    DeviceMemoryError,
    is_out_of_memory,
    policy_to_predict,
    quiet_keras,
)
from lungseg.model.model_record import check_archive
from lungseg.model.networks import foreground
from lungseg.model.networks.folding import bare_config, folded
from lungseg.model.training_heads import SLICE

Floats = npt.NDArray[np.float32]
Predict = Callable[[Floats], Floats]


def load_net(path: Path) -> Any:
    """A saved net, loaded once per process as long as the file stays the same.

    Raises
    ------
    DataError
        If the file does not exist, is not a net saved by Keras, or needs code other than Keras's.
    """
    if not path.is_file():
        raise DataError(f"there is no net {path}; train one first")
    return _load_net(str(path), path.stat().st_mtime_ns)


def load_to_predict(path: Path, precision: str = "none") -> Any:
    """A saved net made ready to predict: batch normalisation folded, in the precision asked for.

    It is made once per process as long as the file stays the same.

    Parameters
    ----------
    path
        The net's file.
    precision
        One of `lungseg.model.devices.PRECISIONS`.

    Raises
    ------
    DataError
        If the file does not exist or is no net.
    """
    return at_precision(folded(load_net(path)), precision)


def hand_over(path: str, net: Any) -> None:
    """Give `net` the weights of the net in the file `path`; their sizes in pixels may differ.

    Raises
    ------
    DataError
        If the file is not a net, or one of another architecture.
    """
    weights = load_net(Path(path)).get_weights()
    shapes = [tuple(each.shape) for each in weights]
    wanted = [tuple(each.shape) for each in net.get_weights()]
    if shapes != wanted:
        raise DataError(
            f"{path} is a net of another architecture: {len(shapes)} arrays of weights, "
            f"{sum(map(math.prod, shapes))} numbers, against {len(wanted)} and "
            f"{sum(map(math.prod, wanted))}; give the settings it was trained with"
        )
    net.set_weights(weights)


# A nodule net and the lung net, scan by scan.
@lru_cache(maxsize=2)
def _load_net(path: str, _: int) -> Any:
    quiet_keras()
    import keras

    check_archive(Path(path))
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise DataError(
            f"{path} cannot be loaded as a net ({type(error).__name__}: {_first_line(error)}); "
            "train again"
        ) from error


@lru_cache(maxsize=1)
def of_any_size(net: Any) -> Any:
    """The same net for slices of any height and width; None if it takes one size alone.

    Networks are built for one size, as training needs it, though hardly any of their weights
    depends on it. A bilinear upsampling wants the size beforehand on TensorFlow.
    """
    import keras

    if not isinstance(net, keras.Model) or len(net.inputs) != 1:
        return None
    if any(getattr(layer, "interpolation", "nearest") != "nearest" for layer in net.layers):
        return None
    image = keras.Input((None, None, net.inputs[0].shape[-1]), name=net.inputs[0].name)

    def copied(layer: Any) -> Any:
        return layer.__class__.from_config(bare_config(layer))

    free = keras.models.clone_model(net, input_tensors=image, clone_function=copied)
    free.set_weights(net.get_weights())
    return free


def at_precision(net: Any, precision: str) -> Any:
    """The same net with the layers' arithmetic in another float type; it stays in its own for none.

    Its weights and its last step, from which probabilities come, are float32 all the same.

    Parameters
    ----------
    net
        A net in single precision.
    precision
        One of `lungseg.model.devices.PRECISIONS`.
    """
    import keras

    policy = policy_to_predict(precision)
    return net if policy == "float32" or not isinstance(net, keras.Model) else _cast(net, policy)


@lru_cache(maxsize=1)
def _cast(net: Any, policy: str) -> Any:
    import keras

    def cast(layer: Any) -> Any:
        kind = {} if isinstance(layer, keras.layers.Activation) else {"dtype": policy}
        return layer.__class__.from_config(bare_config(layer) | kind)

    lower = keras.models.clone_model(net, clone_function=cast)
    lower.set_weights(net.get_weights())
    return lower


def precision_of(net: Any) -> str:
    """Float type in which the layers that have weights compute: float32, bfloat16 or float16."""
    kinds = {str(layer.compute_dtype) for layer in getattr(net, "layers", ()) if layer.weights}
    return " and ".join(sorted(kinds)) or "float32"


def predict_mirrored(net: Any, x: Floats, batch_size: int, slice_power: float = 0.0) -> Floats:
    """Mean of `predict` over the slices as they are and mirrored along y, x and both."""
    total = np.zeros(x.shape[:3], np.float32)
    for flips in ((), (1,), (2,), (1, 2)):
        mirrored = np.ascontiguousarray(np.flip(x, flips))
        total += np.flip(predict(net, mirrored, batch_size, slice_power), flips)
    return total / np.float32(4)


def batches(x: Floats, batch_size: int) -> Iterator[tuple[slice, Floats]]:
    """Batches of `x` and which of its rows they show; the last is filled up with zeros.

    All have one size: for another one Keras would compile the net again.
    """
    for first in range(0, len(x), batch_size):
        rows = slice(first, min(first + batch_size, len(x)))
        padding = np.zeros((first + batch_size - rows.stop, *x.shape[1:]), x.dtype)
        yield rows, np.concatenate([x[rows], padding])


def predict(net: Any, x: Floats, batch_size: int, slice_power: float = 0.0) -> Floats:
    """Foreground probability ``(n, y, x)`` of slices ``(n, y, x, channels)``.

    Parameters
    ----------
    net
        The network.
    x
        Slices, scaled as `lungseg.model.samples.scaled` does.
    batch_size
        Number of slices at a time.
    slice_power
        A slice's probabilities are multiplied by the slice head's probability to this power, if
        the net has a slice head; 0 ignores it.

    Raises
    ------
    DeviceMemoryError
        If the device has too little memory for the batch.
    """
    probability = np.empty(x.shape[:3], np.float32)
    for rows, batch in batches(x, batch_size):
        try:
            predicted = net.predict_on_batch(batch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise DeviceMemoryError(
                f"the device ran out of memory with a batch of {batch_size} x {x.shape[1]} x "
                f"{x.shape[2]} pixels (slices, y, x)",
                setting=f"batch_size={batch_size // 2}" if batch_size > 1 else (),
            ) from error
        weighted = _weighted(predicted, slice_power)
        probability[rows] = weighted[: rows.stop - rows.start]
    return probability


def _weighted(predicted: Any, slice_power: float) -> Floats:
    probability = foreground(predicted)
    if slice_power and isinstance(predicted, dict):
        weight = np.asarray(predicted[SLICE], np.float32) ** np.float32(slice_power)
        probability = probability * weight[:, :, np.newaxis]
    return probability


def predict_tiled(
    predict_tiles: Predict, image: Floats, tile: int, overlap: int, batch_size: int
) -> Floats:
    """Foreground probability ``(y, x)`` of an image ``(y, x, channels)`` of any size.

    Overlap-tile (Ronneberger et al. 2015): the image is mirrored at its borders and cut into tiles
    that overlap. Where they do, the mean is weighted: the nearer a pixel lies to a tile's border,
    where the net has the least context, the less the tile counts.

    Parameters
    ----------
    predict_tiles
        Predicts ``(n, tile, tile)`` from ``(n, tile, tile, channels)``.
    image
        The image, scaled as the net expects.
    tile, overlap
        Edge of the tiles, and the width that neighbours share, pixels.
    batch_size
        Number of tiles at a time.

    Raises
    ------
    ValueError
        If `overlap` is negative or not below half of `tile`.
    """
    if not 0 <= overlap < tile / 2:
        raise ValueError(f"overlap {overlap} must be 0 or more and below half of tile {tile}")
    ny, nx = image.shape[:2]
    rows, columns = _starts(ny, tile, overlap), _starts(nx, tile, overlap)
    margin = overlap // 2
    size = (rows[-1] + tile, columns[-1] + tile)
    padding = ((margin, size[0] - ny - margin), (margin, size[1] - nx - margin), (0, 0))
    padded = _mirrored(image, padding)
    total = np.zeros(size, np.float32)
    weight = np.zeros(size, np.float32)
    ramp = _ramp(tile, overlap)
    places = [(y, x) for y in rows for x in columns]
    for first in range(0, len(places), batch_size):
        some = places[first : first + batch_size]
        tiles = np.stack([padded[y : y + tile, x : x + tile] for y, x in some])
        for (y, x), found in zip(some, predict_tiles(tiles), strict=True):
            total[y : y + tile, x : x + tile] += found * ramp
            weight[y : y + tile, x : x + tile] += ramp
    inner = slice(margin, margin + ny), slice(margin, margin + nx)
    return np.asarray(total[inner] / weight[inner])


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    # A margin of half an overlap is mirrored on either side, so that every pixel of the image
    # has a tile in which it is not at the border.
    padded = length + 2 * (overlap // 2)
    step = tile - overlap
    count = max(1, -(-(padded - overlap) // step))
    return [i * step for i in range(count)]


def _mirrored(image: Floats, padding: tuple[tuple[int, int], ...]) -> Floats:
    # An image of one row or column cannot be mirrored.
    mode = "reflect" if min(image.shape[:2]) > 1 else "edge"
    return np.pad(image, padding, mode=mode)  # type: ignore[call-overload,no-any-return]


def _ramp(tile: int, overlap: int) -> Floats:
    """Weights ``(tile, tile)`` of a tile's pixels: 1 inside, falling towards the border."""
    from_border = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 1.0
    share = np.minimum(from_border / (overlap + 1), 1.0)
    # The squared sines of two tiles that overlap sum to 1 and are small near a border.
    line = (np.sin(np.pi / 2 * share) ** 2).astype(np.float32)
    return np.outer(line, line)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"
