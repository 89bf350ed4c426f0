"""Segment images: a trained net on new pictures, DICOM X-rays or CT slices of any size.

A net that was trained on pictures is shown the whole picture at the size of its input, as in
the table, and its answer is resized to the picture. A net that was trained on CT was trained on
crops around the lungs: it is shown the slice at the spacing of its training, in overlapping tiles
of the size of those crops. Of tiles beside the lungs it knows little; what it marks outside the
lungs should be ignored. A slice alone has no lung mask and no neighbours, so nets that were
trained with these are refused: `detect` takes whole scans and prepares them as training did.
Grey values and HU become the net's input by `lungseg.model.samples.scaled`, the code that
training uses.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ConfigError, DataError
from lungseg.io.pictures.png import write_picture
from lungseg.io.pictures.single_images import SingleImage, read_single_image, write_probability
from lungseg.io.volumes.headers import SUFFIXES, suffix_of
from lungseg.model import inference
from lungseg.model.devices import DeviceMemoryError
from lungseg.model.model_record import NET, ModelRecord, read_model_record
from lungseg.model.nets import FILE, SUFFIX, CurrentNet, find_net, named_net, shipped_nets
from lungseg.model.samples import scaled
from lungseg.ops.grid.picture_size import placed, resized
from lungseg.ops.hu.padding import AIR_HU
from lungseg.ops.overlay import Outline, Picture, outlined, windowed
from lungseg.ops.samples.context import neighbours
from lungseg.volume import F32, MaskArray

CPU_ADVICE = "; set the environment variable CUDA_VISIBLE_DEVICES=-1 to run on the CPU"
FIT = ("auto", "resize", "tiles")
OUTLINE = (255, 64, 64)
SHIPPED = "xray-lungs"
# Tiles predicted at a time.
TILES = 4
CT_SHOWN_HU = (-1000.0, 400.0)


@dataclass(frozen=True, kw_only=True)
class Segmented:
    """The result for one image.

    Attributes
    ----------
    image
        The file.
    error
        Why it could not be segmented; empty if it was.
    files
        What was written, by ``mask``, ``probability`` and ``overlay``.
    size_px
        Rows and columns.
    share
        Share of the pixels that are marked, 0 to 1.
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
        Folder that `train` wrote, or a net's file; see `net_and_images` and `find_net`.
    images
        Files: pictures, DICOM X-rays, DICOM CT slices.
    out
        Folder; made if absent.
    fit
        ``resize`` shows the net the whole image at the size of its input, ``tiles`` shows it
        overlapping tiles of that size; ``auto`` does as in its training.
    threshold
        Pixels of this probability or more are marked.

    Returns
    -------
    list of Segmented
        One for each image, in their order. An image that cannot be segmented has an error; the
        others are segmented all the same.

    Raises
    ------
    ConfigError
        If there is no net, it needs more than single images, two images would write the same
        files, or a setting is wrong.
    DataError
        If the net or its record cannot be read.
    """
    if fit not in FIT or not 0 < threshold <= 1:
        raise ConfigError(
            f"fit = {fit!r} must be one of {', '.join(FIT)}, and threshold = {threshold:g} above 0 "
            "and at most 1"
        )
    _distinct(images)
    file = find_net(str(model))
    record = read_model_record(file)
    check_fits(file, record)
    net = inference.load_to_predict(file)
    out.mkdir(parents=True, exist_ok=True)
    done = []
    for path in images:
        try:
            image = _read(path, file, record)
            begin = time.perf_counter()
            probability = probability_of(image, net, record, fit)
            ms = 1000 * (time.perf_counter() - begin)
        except DataError as error:
            message = f"{error}{CPU_ADVICE if isinstance(error, DeviceMemoryError) else ''}"
            done.append(Segmented(image=path, error=message))
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


def _read(path: Path, file: Path, record: ModelRecord) -> SingleImage:
    """An image that the net of `file` may know the like of."""
    image = read_single_image(_no_volume(path))
    # A net of one's own may have learnt from pictures of CT.
    if image.in_hu and record.kind != "ct" and file in shipped_nets().values():
        raise DataError(
            f"it is a CT slice, and {file.stem} knows chest X-rays; name another net with --model"
        )
    return image


def net_and_images(model: str | None, places: Sequence[Path]) -> tuple[CurrentNet, list[Path]]:
    """The net that is meant, and the images.

    Parameters
    ----------
    model
        A name, a file or a work folder; None for the package's own, unless the first of `places`
        is a net.
    places
        Images and folders of them.

    Raises
    ------
    ConfigError
        If there is no such net, or none comes with the package, or there are no images.
    """
    first, *others = places
    if model is None and _is_net(first):
        if not others:
            raise ConfigError(f"{first} is a net; name the images, too, or folders of them")
        return named_net(str(first), f"named as {first}"), others
    if model is not None:
        return named_net(model, f"--model {model}"), list(places)
    if SHIPPED not in shipped_nets():
        raise ConfigError(
            f"no net {SHIPPED} comes with this package: name one with --model, or train one with "
            "`lungseg-cli train --preset xray --images FOLDER --masks FOLDER`"
        )
    return named_net(SHIPPED, "by default"), list(places)


def _is_net(place: Path) -> bool:
    # A work folder without a trained net is no folder of images either: `find_net` says so.
    return place.suffix == SUFFIX or any((place / name).exists() for name in (NET, FILE, "dataset"))


def check_fits(file: Path, record: ModelRecord) -> None:
    """See that single images can be prepared as those were that the net learnt from.

    Raises
    ------
    ConfigError
        If it learnt from CT inside the lungs alone, or from slices with their neighbours.
    """
    if record.kind != "ct":
        return
    lacks = []
    if record.inside_lungs:
        lacks.append("with everything outside the lungs blanked, and a slice has no lung mask")
    if record.context:
        lacks.append(
            f"with {record.context} neighbouring slices on each side, and a slice comes alone"
        )
    if lacks:
        raise ConfigError(
            f"{file} was trained on slices {'; and '.join(lacks)}: give the whole scan to "
            f"`lungseg-cli detect SCAN --model {file} --out FOLDER`, which prepares it as "
            "training did"
        )


def _no_volume(path: Path) -> Path:
    if suffix_of(path) in SUFFIXES:
        raise DataError(
            f"{path} is a volume, and segment is for single pictures and slices; "
            f"`lungseg-cli detect {path} --out FOLDER` finds nodules in it, `lungseg-cli lungs` "
            "its lungs"
        )
    return path


def probability_of(image: SingleImage, net: Any, record: ModelRecord, fit: str = "auto") -> F32:
    """Probability ``(y, x)`` of what the net finds, on the image's own grid.

    Raises
    ------
    DataError
        If the net needs HU and the image has none, or does not say how large its pixels are.
    """
    if record.kind == "ct" and not image.in_hu:
        raise DataError(
            "the net was trained on CT in HU and this image has grey values; give a DICOM CT "
            "slice, or a net trained on pictures (preset xray)"
        )
    if record.kind == "ct" and image.spacing_mm is None:
        y, x = record.spacing_mm[1:]
        raise DataError(
            f"the net was trained on pixels of {y:g} x {x:g} mm and the file does not say how "
            "large its pixels are (PixelSpacing)"
        )
    values = _as_in_training(image, record)
    tiles = fit == "tiles" or (fit == "auto" and record.kind == "ct")
    found = _in_tiles(values, net, record) if tiles else _whole(values, net, record)
    y, x = image.values.shape
    return np.clip(resized(found, (y, x)), 0, 1)


def _as_in_training(image: SingleImage, record: ModelRecord) -> F32:
    """Grey 0..255 for a net of pictures; HU at the distance of pixels of its training for CT."""
    if record.kind != "ct":
        if not image.in_hu:
            return image.values
        low, high = CT_SHOWN_HU
        return np.asarray(np.clip((image.values - low) / (high - low), 0, 1) * np.float32(255))
    has_mm = image.spacing_mm or record.spacing_mm[1:]
    y, x = (
        max(1, round(n * has / asked))
        for n, has, asked in zip(image.values.shape, has_mm, record.spacing_mm[1:], strict=True)
    )
    return resized(image.values, (y, x))


def _net_input(values: F32, record: ModelRecord) -> F32:
    """One slice as the net's input ``(y, x, channels)``, by the code that training uses."""
    # A slice that comes alone has no neighbours, and so is shown in their places.
    stack = values[np.newaxis][neighbours([0], record.context, z_index=[0])]
    return np.asarray(scaled(stack, record.input_spec, None)[0])


def _in_tiles(values: F32, net: Any, record: ModelRecord) -> F32:
    tile = record.crop_px
    return inference.predict_tiled(
        lambda tiles: inference.predict(net, tiles, TILES),
        _net_input(values, record),
        tile,
        tile // 4,
        TILES,
    )


def _whole(values: F32, net: Any, record: ModelRecord) -> F32:
    size = record.crop_px
    inner, corner = placed(values.shape, size, record.picture_fit)
    box = tuple(slice(first, first + n) for first, n in zip(corner, inner, strict=True))
    square = np.full((size, size), AIR_HU if record.kind == "ct" else 0, np.float32)
    square[box] = resized(values, inner)
    found = inference.predict(net, _net_input(square, record)[np.newaxis], batch_size=1)[0]
    return np.ascontiguousarray(found[box])


def _written(
    path: Path, image: SingleImage, probability: F32, mask: MaskArray, out: Path
) -> dict[str, Path]:
    files = {what: out / f"{path.stem}_{what}.png" for what in ("mask", "probability", "overlay")}
    write_picture(mask.astype(np.uint8) * np.uint8(255), files["mask"])
    write_probability(probability, files["probability"])
    write_picture(overlay(image, mask), files["overlay"])
    return files


def overlay(image: SingleImage, mask: MaskArray) -> Picture:
    """The image as RGB with the mask's outline in red and its inside tinted."""
    grey = windowed(image.values, CT_SHOWN_HU if image.in_hu else (0.0, 255.0))
    picture = np.repeat(grey[..., None], 3, -1)
    tint = 0.8 * picture[mask] + 0.2 * np.asarray(OUTLINE)
    picture[mask] = tint.astype(np.uint8)
    return outlined(picture, [Outline(mask, OUTLINE)])


def _distinct(images: Sequence[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in images:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            raise ConfigError(
                f"{other} and {path} would both be written as {path.stem}_mask.png; give them "
                "separately, each with a folder of its own for --out"
            )
