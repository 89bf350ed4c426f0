"""Inference: a trained net over slices in batches, and over pictures of any size in tiles."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import DataError
from lungseg.model.devices import is_out_of_memory, quiet_keras
from lungseg.model.networks import foreground
from lungseg.model.training_heads import SLICE

Floats = npt.NDArray[np.float32]
Predict = Callable[[Floats], Floats]


def load_net(path: Path) -> Any:
    """A saved net, loaded once per process as long as the file stays the same.

    Raises
    ------
    DataError
        If the file is no net of Keras's, or asks for code that is not Keras's.
    """
    if not path.is_file():
        raise DataError(f"there is no net {path}; `lungseg-cli train` makes one")
    return _load_net(str(path), path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _load_net(path: str, _: int) -> Any:
    quiet_keras()
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise DataError(
            f"{path} cannot be loaded as a net ({type(error).__name__}: {_first_line(error)}); "
            "train again"
        ) from error


def predict(net: Any, x: Floats, batch_size: int = 8, slice_power: float = 0.0) -> Floats:
    """Foreground probability ``(n, y, x)`` of slices ``(n, y, x, channels)``.

    Parameters
    ----------
    net
        The network.
    x
        Slices, scaled as it expects.
    batch_size
        Slices at a time.
    slice_power
        A slice's probabilities are multiplied with this power of what the slice head, if there
        is one, says of the slice.

    Raises
    ------
    DataError
        If the device has too little memory for the batch.
    """
    found = np.empty(x.shape[:3], np.float32)
    for first in range(0, len(x), batch_size):
        batch = x[first : first + batch_size]
        # Every batch has one size: another one would have the net compiled anew.
        filled = np.concatenate([batch, np.zeros((batch_size - len(batch), *x.shape[1:]), x.dtype)])
        try:
            answer = _answer(net.predict_on_batch(filled), slice_power)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise DataError(
                f"the device ran out of memory with predict.batch_size={batch_size}; try "
                f"predict.batch_size={max(batch_size // 2, 1)}"
            ) from error
        found[first : first + batch_size] = answer[: len(batch)]
    return found


def _answer(said: Any, slice_power: float) -> Floats:
    found = foreground(said)
    if slice_power and isinstance(said, dict):
        verdict = np.asarray(said[SLICE], np.float32) ** np.float32(slice_power)
        found = found * verdict[:, :, np.newaxis]
    return found


def predict_tiled(
    predict_tiles: Predict, image: Floats, tile: int, overlap: int, batch_size: int = 8
) -> Floats:
    """Foreground probability ``(y, x)`` of a picture ``(y, x, channels)`` of any size.

    Overlap-tile (Ronneberger 2015): the picture is mirrored at its borders, cut into tiles that
    overlap, and each tile counts the less the nearer a pixel lies to its border, where the net
    sees the least around it.

    Parameters
    ----------
    predict_tiles
        ``(n, tile, tile, channels)`` to ``(n, tile, tile)``.
    image
        The picture, scaled as the net expects.
    tile, overlap
        Edge of the tiles, and pixels that neighbours share; `overlap` is below `tile` / 2.
    batch_size
        Tiles at a time.

    Raises
    ------
    ValueError
        If the overlap leaves nothing of a tile.
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
    # The margin of half an overlap is mirrored on either side, so that every pixel of the
    # picture has a tile in which it is not at the border.
    wanted = length + 2 * (overlap // 2)
    step = tile - overlap
    count = max(1, -(-(wanted - overlap) // step))
    return [place * step for place in range(count)]


def _mirrored(image: Floats, padding: tuple[tuple[int, int], ...]) -> Floats:
    # A picture of one line has nothing to be mirrored at.
    mode = "reflect" if min(image.shape[:2]) > 1 else "edge"
    return np.pad(image, padding, mode=mode)  # type: ignore[call-overload,no-any-return]


def _ramp(tile: int, overlap: int) -> Floats:
    """Weights of a tile's pixels: 1 within, falling to the border over the overlap."""
    from_border = np.minimum(np.arange(tile), np.arange(tile)[::-1]) + 1.0
    share = np.minimum(from_border / (overlap + 1), 1.0)
    # Squares of sines of two tiles that meet add up to 1, and next to the border weigh little.
    line = (np.sin(np.pi / 2 * share) ** 2).astype(np.float32)
    return np.outer(line, line)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"
