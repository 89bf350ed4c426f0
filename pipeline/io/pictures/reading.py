"""A picture file as grey or as a mask: one page, upright, of any depth and mode."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps

from lungseg.core.errors import DataError
from lungseg.ops.grid.picture_size import Grey

DEEP = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
_ALPHA = {"LA", "PA", "RGBA", "La", "RGBa"}
# TIFF 6.0: in such a picture 0 is white. Pillow sees to it in 8 bits alone.
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, "white is zero"

log = logging.getLogger(__name__)


def read_grey(path: Path) -> tuple[Grey, float]:
    """A picture as grey ``(y, x)`` float32, and the largest value its depth can hold.

    It is turned as its EXIF says. Colours become their luminance, transparency is ignored. 8-bit
    pictures hold 255; of deeper ones the depth is taken from their brightest pixel, since 12 bits
    mostly come in files of 16. Real numbers up to 1 are shares of 1. A TIFF in which 0 is white is
    inverted.

    Raises
    ------
    DataError
        If it cannot be decoded, has several pages, holds neither whole nor real numbers from 0
        up, or shows something by its transparency alone.
    """
    with opened_picture(path) as picture:
        if _alpha_alone(picture):
            raise DataError(
                f"{path}: every pixel has the same colour and only their transparency differs; "
                "save it as a grey picture"
            )
        grey = _as_grey(picture, path)
        most = _full_scale(grey, picture.mode)
        if picture.info.get(_WHITE_IS_ZERO):
            grey = np.float32(most) - grey
    return grey, most


def mask_values(path: Path) -> tuple[npt.NDArray[Any], bool]:
    """Values of a mask ``(y, x)``, upright, and whether they are colours (see `lung_share`).

    A mask may be grey, coloured, or drawn in a picture's transparency.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    with opened_picture(path) as picture:
        return _mask_values(picture, path)


def shape_before_turning(path: Path) -> tuple[int, int] | None:
    """Shape ``(y, x)`` that a picture has without its EXIF orientation; None if it has none."""
    try:
        with Image.open(path) as picture:
            if picture.getexif().get(ExifTags.Base.Orientation, 1) not in {5, 6, 7, 8}:
                return None
            # Of a TIFF, Pillow tells the size that it has upright.
            upright = picture.format == "TIFF"
            return picture.size if upright else (picture.height, picture.width)
    except (OSError, ValueError, SyntaxError):
        return None


@contextmanager
def opened_picture(path: Path) -> Iterator[Image.Image]:
    """The one page of a picture file, decoded and upright.

    Raises
    ------
    DataError
        If it cannot be decoded, or has several pages.
    """
    try:
        # As an open file, not by its name: Pillow 13 maps a TIFF that it knows by name into memory
        # at the size it has upright, and so mixes up the rows of one that lies on a side.
        with (
            warnings.catch_warnings(record=True) as said,
            path.open("rb") as file,
            Image.open(file) as picture,
        ):
            warnings.simplefilter("always")
            pages = getattr(picture, "n_frames", 1)
            if pages == 1:
                picture.load()
            kind = str(picture.format)
            if pages == 1 and picture.mode in DEEP:
                tags: Any = getattr(picture, "tag_v2", {})
                picture.info[_WHITE_IS_ZERO] = tags.get(_PHOTOMETRIC) == 0
            upright = ImageOps.exif_transpose(picture) if pages == 1 else picture
            if upright.mode == "LAB":
                upright = upright.convert("RGB")
    # What a damaged file makes its decoder raise is not to be foreseen.
    except Exception as error:
        raise DataError(f"{path} cannot be read as a picture ({_first_line(error)})") from error
    if pages != 1:
        raise DataError(f"{path} holds {pages} pictures; give each its own file")
    for warning in said:
        # Of a TIFF all that is known of the pixels stands in such fields.
        if kind == "TIFF":
            raise DataError(f"{path} cannot be read as a picture ({warning.message})")
        log.warning("%s: %s", path, warning.message)
    yield upright


def _mask_values(picture: Image.Image, path: Path) -> tuple[npt.NDArray[Any], bool]:
    """Values of a mask ``(y, x)``, and whether they are colours."""
    if picture.mode in DEEP:
        grey = _as_grey(picture, path)
        return grey if picture.mode == "F" else grey.astype(np.int64), False
    if picture.mode in {"1", "L"} and "transparency" not in picture.info:
        return np.asarray(picture.convert("L")), False
    rgba = np.asarray(picture.convert("RGBA"))
    colour, alpha = rgba[..., :3], rgba[..., 3]
    if alpha.min() < 255:
        seen = np.rint(colour * (alpha[..., None] / 255)).astype(np.uint8)
        # Black lungs on nothing, or white ones: the transparency is the mask.
        if (colour == colour[:1, :1]).all() or (seen == seen[:1, :1]).all():
            return alpha, False
        colour = seen
    if (colour == colour[..., :1]).all():
        return colour[..., 0], False
    red, green, blue = (colour[..., k].astype(np.int32) for k in range(3))
    return red << 16 | green << 8 | blue, True


def _alpha_alone(picture: Image.Image) -> bool:
    if picture.mode not in _ALPHA and "transparency" not in picture.info:
        return False
    rgba = np.asarray(picture.convert("RGBA"))
    colour, alpha = rgba[..., :3], rgba[..., 3]
    return bool((colour == colour[:1, :1]).all() and (alpha != alpha[0, 0]).any())


def _as_grey(picture: Image.Image, path: Path) -> Grey:
    if picture.mode in DEEP:
        grey = np.asarray(picture, np.float32)
    else:
        grey = np.asarray(picture.convert("L"), np.float32)
    if not grey.size or not np.isfinite(grey).all() or grey.min() < 0:
        raise DataError(f"{path} holds negative or undefined grey values; save it as 8 or 16 bits")
    return grey


def _full_scale(grey: Grey, mode: str) -> float:
    if mode == "F" and float(grey.max()) <= 1.0:
        return 1.0
    bits = max(8, int(np.ceil(np.log2(float(grey.max()) + 1.0))))
    return float(2**bits - 1)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
