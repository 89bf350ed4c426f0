"""Nodule slices without HU: pictures, each stretched by its own darkest and brightest pixel.

The layout of a set that is widely shared: ``<patient>/nodule-<n>/images/slice-<k>.png`` with
``mask-<j>/slice-<k>.png`` of every annotator *j*. Neither HU nor z nor spacing can be had from
it; who takes them all the same says what they are to be.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungseg.core.errors import DataError
from lungseg.io.annotations.nodule_slices import Bytes, FoundSlices, SlicesOnDisk, read_bytes
from lungseg.ops.grid.mask_levels import border_share
from lungseg.ops.nodules.windows import NoduleSlices, Place

MOST_BORDER = 0.5
IMAGES, MASKS = "images", "mask-*"
SLICE = re.compile(r"slice-(\d+)\.png", re.IGNORECASE)


@dataclass(frozen=True)
class TakenAs:
    """What stretched slices are taken for.

    Attributes
    ----------
    low_hu, high_hu
        HU of black and white.
    pixel_mm, gap_mm
        Distance of pixels, and of slices whose numbers follow each other.
    """

    low_hu: float
    high_hu: float
    pixel_mm: float
    gap_mm: float


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """The pictures of one nodule: by annotator, then by number of the slice."""

    patient: str
    nodule: str
    images: Mapping[int, Path]
    masks: tuple[Mapping[int, Path], ...]
    taken_as: TakenAs
    place: Place

    @property
    def series(self) -> str:
        return self.patient

    @property
    def pixel_mm(self) -> float:
        return self.taken_as.pixel_mm

    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.taken_as, sorted(self.images))).encode())
        for of_slices in (self.images, *self.masks):
            for number in sorted(of_slices):
                digest.update(of_slices[number].read_bytes())
        return digest.hexdigest()

    def read(self) -> NoduleSlices:
        numbers = sorted(self.images)
        grey = _stack([self.images[k] for k in numbers], self.place.shape_yx)
        masks = [_stack([mask[k] for k in numbers], self.place.shape_yx) > 0 for mask in self.masks]
        if not any(mask.any() for mask in masks):
            raise DataError("nobody drew anything")
        for mask, of_slices in zip(masks, self.masks, strict=True):
            along = np.mean([border_share(plane) for plane in mask])
            if along > MOST_BORDER:
                folder = next(iter(of_slices.values())).parent.name
                raise DataError(
                    f"{folder} is set along {along:.0%} of the border of its slices, as no nodule "
                    "is: is it inverted? Whatever is not 0 in a mask is nodule"
                )
        as_hu = self.taken_as
        hu = as_hu.low_hu + grey * ((as_hu.high_hu - as_hu.low_hu) / 255.0)
        return NoduleSlices(
            patient=self.patient,
            series=self.series,
            nodule=self.nodule,
            hu=np.rint(hu).astype(np.int16),
            masks=np.stack(masks),
            z_mm=np.asarray(numbers) * as_hu.gap_mm,
            pixel_mm=as_hu.pixel_mm,
            first_yx=None,
        )


def has_stretched_slices(folder: Path) -> bool:
    """Whether a folder, or one folder in it, has this layout."""
    return bool(_nodule_folders(folder))


def find_stretched_slices(folder: Path, taken_as: TakenAs) -> FoundSlices:
    """Find the nodules of such a folder, and see that each can be read.

    A nodule that cannot be read is left out, with its reason; the others are not touched by it.
    """
    found: list[SlicesOnDisk] = []
    left_out: list[str] = []
    for each in _nodule_folders(folder):
        try:
            pictures = _pictures(each, taken_as)
            pictures.read()
            found.append(pictures)
        except DataError as error:
            left_out.append(f"{each.parent.name} {each.name}: {error}")
    return FoundSlices(tuple(found), tuple(left_out))


def _nodule_folders(folder: Path) -> list[Path]:
    pattern = f"nodule-*/{IMAGES}"
    found = list(folder.glob(f"*/{pattern}")) or list(folder.glob(f"*/*/{pattern}"))
    return sorted(images.parent for images in found)


def _pictures(folder: Path, taken_as: TakenAs) -> _Pictures:
    images = _by_number(folder / IMAGES)
    masks = tuple(_by_number(each) for each in sorted(folder.glob(MASKS)) if each.is_dir())
    if not images or not masks:
        what = f"folder {MASKS}" if images else f"slice-0.png in {IMAGES}"
        raise DataError(f"{folder} has no {what}")
    for mask in masks:
        if mask.keys() != images.keys():
            one = min(mask.keys() ^ images.keys())
            there = (mask.get(one) or images[one]).parent
            raise DataError(
                f"{folder}: slice-{one}.png is in {there.name}, but not in every folder"
            )
    first, last = min(images), max(images)
    height, width = read_bytes(images[first]).shape
    return _Pictures(
        patient=folder.parent.name,
        nodule=folder.name.removeprefix("nodule-"),
        images=images,
        masks=masks,
        taken_as=taken_as,
        place=Place(None, (height, width), (first * taken_as.gap_mm, last * taken_as.gap_mm)),
    )


def _by_number(folder: Path) -> dict[int, Path]:
    named = ((SLICE.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    return {int(match.group(1)): path for match, path in named if match}


def _stack(paths: list[Path], shape_yx: tuple[int, int]) -> Bytes:
    planes = [read_bytes(path) for path in paths]
    for path, plane in zip(paths, planes, strict=True):
        if plane.shape != shape_yx:
            raise DataError(
                f"{path} has {plane.shape[0]} x {plane.shape[1]} pixels, the nodule's first slice "
                f"{shape_yx[0]} x {shape_yx[1]}"
            )
    return np.stack(planes)
