"""Pictures: at another size, and placed within a net's square."""

import numpy as np
from PIL import Image

from lungseg.volume import F32, MaskArray

Grey = F32


def resized(grey: Grey, shape: tuple[int, int]) -> Grey:
    """`grey` at another ``(y, x)`` size; shrinking averages, so that thin lines do not break.

    Examples
    --------
    >>> resized(np.array([[0, 0, 4, 4]], np.float32), (1, 1)).tolist()
    [[2.0]]
    """
    if grey.shape == shape:
        return grey
    picture = Image.fromarray(np.ascontiguousarray(grey, np.float32))
    # Pillow widens the triangle of BILINEAR by the scale: that is its anti-aliasing.
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BILINEAR), np.float32)


def resized_mask(mask: MaskArray, shape: tuple[int, int]) -> MaskArray:
    """A mask at another ``(y, x)`` size: each pixel as the nearest one was.

    Examples
    --------
    >>> resized_mask(np.array([[True, False]]), (1, 4)).tolist()
    [[True, True, False, False]]
    """
    picture = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.NEAREST)) > 0


def placed(shape: tuple[int, ...], size: int, fit: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Size ``(y, x)`` of a picture within a square of `size`, and its corner there.

    ``stretch`` fills the square; ``pad`` keeps the picture's shape and centres it.

    Examples
    --------
    >>> placed((100, 200), 64, "pad")
    ((32, 64), (16, 0))
    >>> placed((100, 200), 64, "stretch")
    ((64, 64), (0, 0))
    """
    if fit == "stretch":
        return (size, size), (0, 0)
    scale = size / max(shape)
    height, width = (max(1, round(edge * scale)) for edge in shape)
    return (height, width), ((size - height) // 2, (size - width) // 2)
