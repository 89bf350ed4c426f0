"""Pairs of a picture and its mask on disk: found by name, read as grey, one at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lungseg.core.errors import DataError
from lungseg.ops.grid.picture_size import Grey, resized

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_SUFFIX = "_mask"


@dataclass(frozen=True)
class Pairs:
    """What `find_pairs` found: pairs by name, and the files that have no partner."""

    pairs: dict[str, tuple[Path, Path]]
    unpaired: tuple[Path, ...]


def find_pairs(images: Path, masks: Path) -> Pairs:
    """Pair the pictures of two folders (or of one) by name: ``a.png`` with ``a`` or ``a_mask``.

    Raises
    ------
    DataError
        If a folder is absent, a name stands for two files, or there is no pair at all.
    """
    together = images.resolve() == masks.resolve()
    pictures = _by_name(images, {False} if together else {False, True}, strip=False)
    outlines = _by_name(masks, {True} if together else {False, True}, strip=True)
    paired = sorted(set(pictures) & set(outlines))
    if not paired:
        raise DataError(
            f"none of {len(pictures)} pictures in {images} has a mask in {masks} "
            f"({len(outlines)} files): the mask of `a.png` is called `a` or `a{MASK_SUFFIX}`; "
            f"files are read that end in {', '.join(ENDINGS)}"
        )
    alone = [pictures[name] for name in sorted(set(pictures) - set(outlines))]
    alone += [outlines[name] for name in sorted(set(outlines) - set(pictures))]
    return Pairs({name: (pictures[name], outlines[name]) for name in paired}, tuple(alone))


def find_masks(folder: Path) -> dict[str, Path]:
    """Masks of a folder by the name of their picture: ``a.png`` and ``a_mask.png`` are a's.

    Raises
    ------
    DataError
        If there is no such folder, or a name stands for two files.
    """
    return _by_name(folder, {False, True}, strip=True)


def as_mask(grey: Grey, shape: tuple[int, int] | None = None) -> npt.NDArray[np.bool_]:
    """The mask that a picture of it shows: half of its brightest value and above.

    Masks come as 0/255, as 0/1, and with soft edges. With a `shape` the picture is resized first,
    so that the outline is kept to a fraction of a pixel.
    """
    values = grey if shape is None else resized(grey, shape)
    return np.asarray(values >= max(float(grey.max()), 1.0) / 2)


def _by_name(folder: Path, wanted: set[bool], *, strip: bool) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; pictures are read from one")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        is_mask = file.stem.endswith(MASK_SUFFIX)
        hidden = file.name.startswith(".")
        if hidden or file.suffix.lower() not in ENDINGS or is_mask not in wanted:
            continue
        name = file.stem.removesuffix(MASK_SUFFIX) if strip else file.stem
        if name in found:
            raise DataError(
                f"{found[name].name} and {file.name} in {folder} are both {name!r}; keep one"
            )
        found[name] = file
    return found


def read_grey(path: Path) -> tuple[Grey, float]:
    """A picture as grey ``(y, x)`` float32, and the largest value its depth can hold.

    RGB becomes its luminance. 8-bit pictures hold 255; of deeper ones the depth is taken from
    their brightest pixel, since 12 bits mostly come in files of 16. Real numbers up to 1
    are shares of 1.

    Raises
    ------
    DataError
        If it cannot be decoded, has several pages, or holds neither whole nor real numbers.
    """
    try:
        with Image.open(path) as picture:
            pages = getattr(picture, "n_frames", 1)
            picture.load()
            grey, mode = _as_grey(picture), picture.mode
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a picture ({error})") from error
    if pages != 1:
        raise DataError(f"{path} holds {pages} pictures; give each its own file")
    if not np.isfinite(grey).all() or grey.min() < 0:
        raise DataError(f"{path} holds negative or undefined grey values; save it as 8 or 16 bits")
    return grey, _full_scale(grey, mode)


def _as_grey(picture: Image.Image) -> Grey:
    if picture.mode in {"I;16", "I;16L", "I;16B", "I", "F"}:
        return np.asarray(picture, np.float32)
    return np.asarray(picture.convert("L"), np.float32)


def _full_scale(grey: Grey, mode: str) -> float:
    if mode == "F" and float(grey.max()) <= 1.0:
        return 1.0
    bits = max(8, int(np.ceil(np.log2(float(grey.max()) + 1.0))))
    return float(2**bits - 1)
