"""Pairs of a picture and its mask on disk, found by name."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lungseg.core.errors import DataError

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
MASK_SUFFIX = "_mask"


@dataclass(frozen=True)
class Pairs:
    """What `find_pairs` found.

    Attributes
    ----------
    pairs
        Picture and mask, by name.
    left_out
        Other files and folders, each with the reason.
    """

    pairs: dict[str, tuple[Path, Path]]
    left_out: tuple[str, ...]


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
    left_out = [f"{path.name}: no partner" for path in alone]
    for folder in [images] if together else [images, masks]:
        left_out += unread(folder)
    return Pairs({name: (pictures[name], outlines[name]) for name in paired}, tuple(left_out))


def unread(folder: Path) -> list[str]:
    """What is no picture in a folder: folders by name, files by their ending."""
    told, endings = [], Counter[str]()
    for path in sorted(folder.iterdir()):
        if is_trace(path):
            continue
        if path.is_dir():
            told.append(f"{path.name}: a folder; pictures are read from {folder} alone")
        elif path.suffix.lower() not in ENDINGS:
            endings[path.suffix.lower() or "no ending"] += 1
    if endings:
        counts = ", ".join(f"{count} of {ending}" for ending, count in sorted(endings.items()))
        told.append(f"{counts} in {folder.name}: files are read that end in {', '.join(ENDINGS)}")
    return told


def is_trace(path: Path) -> bool:
    """Whether it is what macOS leaves beside any file."""
    return path.name.startswith("._") or path.name == ".DS_Store"


def find_masks(folder: Path) -> dict[str, Path]:
    """Masks of a folder by the name of their picture: ``a.png`` and ``a_mask.png`` are a's.

    Raises
    ------
    DataError
        If there is no such folder, or a name stands for two files.
    """
    return _by_name(folder, {False, True}, strip=True)


def _by_name(folder: Path, wanted: set[bool], *, strip: bool) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; pictures are read from one")
    found: dict[str, Path] = {}
    try:
        files = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror})") from error
    for file in files:
        is_mask = file.stem.endswith(MASK_SUFFIX)
        if is_trace(file) or file.suffix.lower() not in ENDINGS or file.is_dir():
            continue
        if is_mask not in wanted:
            continue
        name = file.stem.removesuffix(MASK_SUFFIX) if strip else file.stem
        if name in found:
            raise DataError(
                f"{found[name].name} and {file.name} in {folder} are both {name!r}; keep one"
            )
        found[name] = file
    return found
