"""Segment images: a trained net on new pictures, DICOM X-rays or CT slices of any size.

A net that learnt from whole pictures is shown whole pictures, scaled to its input as the table's
were, and its answer is scaled back. A net that learnt from CT is shown the slice at the spacing
of its training, in overlapping tiles where that is larger than its input.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ConfigError, DataError
from lungseg.io.pictures.pairs import placed, resized
from lungseg.io.pictures.png import write_picture
from lungseg.io.pictures.single_images import SingleImage, read_single_image, write_probability
from lungseg.model import inference
from lungseg.model.model_record import NET, ModelRecord, read_model_record

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FIT = ("auto", "resize", "tiles")
OUTLINE = (255, 64, 64)
CT_SHOWN_HU = (-1000.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """What came of one image.

    Attributes
    ----------
    image
        The file.
    error
        Why it could not be done; empty if it was.
    files
        ``mask``, ``probability`` and ``overlay``: what was written.
    size_px
        Rows and columns.
    share
        Part of the image that is marked.
    ms
        Time in the net, milliseconds.
    """

    image: Path
    error: str = ""
    files: dict[str, Path] = field(default_factory=dict)
    size_px: tuple[int, int] = (0, 0)
    share: float = 0.0
    ms: float = 0.0


def segment_images(
    model: Path,
    images: Sequence[Path],
    out: Path,
    *,
    fit: str = "auto",
    threshold: float = 0.5,
) -> list[Segmented]:
    """Segment `images` with a net and write mask, probability and overlay of each into `out`.

    For ``chest.png`` these are ``chest_mask.png`` (0 or 255), ``chest_probability.png`` (16 bits,
    65535 is 1) and ``chest_overlay.png``, all of the image's own size.

    Parameters
    ----------
    model
        Folder that `train` wrote, or its ``model.keras``; see `net_file`.
    images
        Files: pictures, DICOM X-rays, DICOM CT slices.
    out
        Folder; made if absent.
    fit
        ``resize`` shows the net the whole image at its own size, ``tiles`` shows it overlapping
        tiles; ``auto`` takes the way of its training.
    threshold
        A pixel of at least this probability is marked.

    Returns
    -------
    list of Segmented
        One an image, in their order; one that cannot be done has an error, and the others are
        done.

    Raises
    ------
    ConfigError
        If there is no net, two images would write the same files, or a setting is wrong.
    DataError
        If the net or its record cannot be read.
    """
    if fit not in FIT or not 0 < threshold <= 1:
        raise ConfigError(
            f"fit = {fit!r} must be one of {', '.join(FIT)}, threshold = {threshold:g} above 0 "
            "and at most 1"
        )
    _distinct(images)
    file = net_file(model)
    if not file.is_file():
        raise ConfigError(
            f"there is no trained net in {model}; name a model.keras, or a work folder in which "
            "`lungseg-cli train` has come to its end"
        )
    record = read_model_record(file)
    net = inference.load_net(file)
    out.mkdir(parents=True, exist_ok=True)
    done = []
    for path in images:
        try:
            image = read_single_image(path)
            begin = time.perf_counter()
            probability = probability_of(image, net, record, fit)
            ms = 1000 * (time.perf_counter() - begin)
        except DataError as error:
            log.warning("%s: %s", path, error)
            done.append(Segmented(image=path, error=str(error)))
            continue
        mask = probability >= threshold
        y, x = mask.shape
        done.append(
            Segmented(
                image=path,
                files=_written(path, image, probability, mask, out),
                size_px=(y, x),
                share=round(float(mask.mean()), 4),
                ms=round(ms, 1),
            )
        )
    return done


def net_file(model: Path) -> Path:
    """The file of a net: that which is named, a folder's, or of a work folder the last trained."""
    if model.is_file():
        return model
    trained = (model / "dataset" / "train").glob(f"*/{NET}")
    return max(trained, key=lambda file: file.stat().st_mtime_ns, default=model / NET)


def probability_of(image: SingleImage, net: Any, record: ModelRecord, fit: str = "auto") -> Floats:
    """Probability ``(y, x)`` of what the net finds, on the image's own grid.

    Raises
    ------
    DataError
        If the net needs HU and the image has none.
    """
    if record.kind == "ct" and not image.in_hu:
        raise DataError(
            "the net was trained on CT in HU and this image has grey values; give a DICOM CT "
            "slice, or a net trained on pictures (preset xray)"
        )
    values = image.values
    if record.kind != "ct" and image.in_hu:
        low, high = CT_SHOWN_HU
        values = np.clip((values - low) / (high - low), 0, 1) * np.float32(255)
    if record.kind == "ct" and image.spacing_mm is not None:
        wanted = record.spacing_mm[1:]
        shape = tuple(
            max(1, round(n * has / asked))
            for n, has, asked in zip(values.shape, image.spacing_mm, wanted, strict=True)
        )
        values = resized(values, (shape[0], shape[1]))
    tiles = fit == "tiles" or (fit == "auto" and record.kind == "ct")
    x = np.clip((values - record.low) / (record.high - record.low), 0, 1).astype(np.float32)
    found = _in_tiles(x, net, record) if tiles else _whole(x, net, record)
    y, width = image.values.shape
    return np.clip(resized(found, (y, width)), 0, 1)


def _in_tiles(x: Floats, net: Any, record: ModelRecord) -> Floats:
    tile = record.crop_px
    channels = np.repeat(x[..., None], 2 * record.context + 1, -1)
    return inference.predict_tiled(
        lambda tiles: inference.predict(net, tiles, batch_size=4), channels, tile, tile // 4
    )


def _whole(x: Floats, net: Any, record: ModelRecord) -> Floats:
    size = record.crop_px
    inner, corner = placed(x.shape, size, record.picture_fit)
    box = tuple(slice(first, first + n) for first, n in zip(corner, inner, strict=True))
    square = np.zeros((1, size, size, 1), np.float32)
    square[0, :, :, 0][box] = resized(x, inner)
    square = np.repeat(square, 2 * record.context + 1, -1)
    found = inference.predict(net, square, batch_size=1)[0][box]
    return np.ascontiguousarray(found)


def _written(
    path: Path, image: SingleImage, probability: Floats, mask: Mask, out: Path
) -> dict[str, Path]:
    files = {what: out / f"{path.stem}_{what}.png" for what in ("mask", "probability", "overlay")}
    write_picture(mask.astype(np.uint8) * np.uint8(255), files["mask"])
    write_probability(probability, files["probability"])
    write_picture(overlay(image, mask), files["overlay"])
    return files


def overlay(image: SingleImage, mask: Mask) -> npt.NDArray[np.uint8]:
    """The image as RGB with the mask's outline in red and its inside tinted."""
    low, high = CT_SHOWN_HU if image.in_hu else (0.0, 255.0)
    grey = np.clip((image.values - low) / (high - low), 0, 1) * 255
    picture = np.repeat(grey[..., None], 3, -1)
    colour = np.asarray(OUTLINE, np.float32)
    picture[mask] = 0.8 * picture[mask] + 0.2 * colour
    picture[_edge(mask)] = colour
    return picture.astype(np.uint8)


def _edge(mask: Mask) -> Mask:
    inner = np.pad(mask, 1, mode="edge")
    around = inner[2:, 1:-1] & inner[:-2, 1:-1] & inner[1:-1, 2:] & inner[1:-1, :-2]
    return np.asarray(mask & ~around)


def _distinct(images: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in images:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise ConfigError(
                f"{other} and {path} would both be written as {path.stem}_mask.png; give them "
                "separately, each with a folder of its own for --out"
            )
