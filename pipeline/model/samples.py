"""Samples: rows of the table as a net's input and its target.

A sample is ``x (y, x, channels) float32``, the HU window as 0..1 with the neighbouring slices
as channels, and ``y (y, x, 2) float32``: channel 0 the target, channel 1 its weight, 0 where
the pixel is ignored: where readers disagree, or where nothing is known, outside the window of a
nodule's slices. The same code makes them for training, for validation and, through `scaled`, for
prediction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lungseg.io.tables.reader import Tables
from lungseg.io.tables.schema import UNKNOWN_HU
from lungseg.ops.nodules.consensus import consensus, vote_shares
from lungseg.ops.samples.augment import Augmentation, draw, shade
from lungseg.ops.samples.border_weights import border_weights
from lungseg.ops.samples.context import shortened
from lungseg.ops.samples.warp import warp
from lungseg.volume import HU

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Centres = npt.NDArray[np.float64]
Batch = tuple[Floats, Floats]
T = TypeVar("T", bound=np.generic)

TARGETS = ("nodules", "lungs")
# Codes between background and target are shares of readers: 240 divides by 2, 3 and 4.
BACKGROUND, TARGET, IGNORE = 0, 240, 255


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """How a row of the table becomes a net's input and target.

    Attributes
    ----------
    target
        ``nodules`` or ``lungs``: what the net is to find.
    context
        Neighbouring slices on each side, as channels.
    low, high
        HU (of pictures: grey values) that become 0 and 1; values beyond are clipped.
    inside_lungs
        Whether everything outside the lung mask is set to `low`.
    min_readers, level
        Consensus of the readers that makes a voxel of a nodule a target, see
        `lungseg.ops.nodules.consensus.consensus`.
    soft_targets
        Whether the target is the share of a nodule's readers who included the voxel, not their
        consensus.
    crop_px
        Edge of the square that is cut out in training, around a target or anywhere in the lungs;
        0 takes the whole slice.
    border_weighted
        Whether the weights are U-Net's map, high between two targets that nearly touch.
    augmentation
        Random changes in training.
    """

    target: str = "nodules"
    context: int = 0
    low: float = -1000.0
    high: float = 400.0
    inside_lungs: bool = False
    min_readers: int = 3
    level: float = 0.5
    soft_targets: bool = False
    crop_px: int = 0
    border_weighted: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def channels(self) -> int:
        """Channels of a sample."""
        return 2 * self.context + 1


class Samples:
    """Makes batches of a table's rows; picklable, and each process opens the file itself.

    Parameters
    ----------
    path
        The table file.
    input_spec
        How its rows become a net's input and target.
    """

    def __init__(self, path: Path, input_spec: InputSpec) -> None:
        self.path = path
        self.input_spec = input_spec
        self.tables = Tables(path)

    def plain(self, rows: npt.ArrayLike, centres: Centres | None = None, size: int = 0) -> Batch:
        """Slices without any change: ``x (n, y, x, channels), y (n, y, x, 2)``.

        Parameters
        ----------
        rows
            Rows of the table.
        centres, size
            ``(n, 2)`` y and x of the squares of `size` pixels that are cut out, as far as the slice
            reaches; without them slices are whole.
        """
        wanted = np.asarray(rows, np.int64)
        images, codes = self._read(wanted)
        if centres is not None:
            images, codes = _squares(images, codes, centres, size)
        x = _unit(_channels_last(images), self.input_spec)
        return x, self._truth(codes, x.shape[:3])

    def augmented(
        self,
        rows: npt.ArrayLike,
        keys: Sequence[tuple[int, ...]],
        centres: Centres | None = None,
    ) -> Batch:
        """Slices, each changed by random numbers that its key alone decides.

        Parameters
        ----------
        rows
            Rows of the table.
        keys
            One for each row, e.g. ``(seed, epoch, position in the epoch)``.
        centres
            ``(n, 2)`` y and x that each crop is to show, NaN for a target of the row or, without
            one, a place in the lungs.
        """
        wanted = np.asarray(rows, np.int64)
        images, codes = self._read(wanted)
        size = self.input_spec.crop_px or images.shape[-1]
        x = np.empty((len(wanted), size, size, self.input_spec.channels), np.float32)
        new_codes: list[Codes | None] = []
        context = self.input_spec.context
        for place, key in enumerate(keys):
            rng = np.random.default_rng(key)
            change = draw(self.input_spec.augmentation, rng)
            labels = codes[place]
            centre = None if centres is None or np.isnan(centres[place, 0]) else centres[place]
            window = self._window(wanted[place], labels, images.shape[-1], rng, centre)
            stack = images[place]
            if min(change.context) < 1.0:
                stack = shortened(stack, *(int(share * context) for share in change.context))
            # What a negative is padded with is as black as around any other picture.
            spec = self.input_spec
            outside = spec.high if change.invert else spec.low
            image, labels = warp(change, stack, labels, outside=outside, window=window)
            x[place] = np.moveaxis(shade(change, _unit(image, self.input_spec)), 0, -1)
            new_codes.append(labels)
        return x, self._truth(new_codes, x.shape[:3])

    def codes(self, rows: npt.ArrayLike) -> list[Codes | None]:
        """Class of each pixel of the rows, ``(y, x)``: `BACKGROUND`, `TARGET` or `IGNORE`.

        With soft targets, values between `BACKGROUND` and `TARGET` are shares of readers. None
        means that the whole slice is background. Which pixels are unknown is not told here.
        """
        wanted = np.asarray(rows, np.int64)
        if self.input_spec.target == "lungs":
            lungs = self.tables.read("lungs", wanted)
            return list(np.where(lungs > 0, np.uint8(TARGET), np.uint8(BACKGROUND)))
        slices = self.tables.slices[wanted]
        voted = np.flatnonzero(slices["nodule_mm2_1"] > 0)
        found: list[Codes | None] = [None] * len(wanted)
        if voted.size:
            votes = self.tables.read("votes", wanted[voted])
            labels = self.tables.read("nodule", wanted[voted])
            for place, vote, label in zip(voted, votes, labels, strict=True):
                readers = self.tables.readers(int(slices["scan_row"][place]))
                found[place] = self._consensus(vote, label, readers)
        return found

    def _truth(self, codes: Sequence[Codes | None], shape: tuple[int, ...]) -> Floats:
        truth = _as_truth(codes, shape)
        if self.input_spec.border_weighted:
            for sample in truth:
                if sample[..., 0].any():
                    sample[..., 1] *= border_weights(sample[..., 0] > 0)
        return truth

    def _consensus(
        self, votes: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint16], readers: dict[int, int]
    ) -> Codes:
        if self.input_spec.soft_targets:
            share, ignore = vote_shares(votes, labels, readers, self.input_spec.min_readers)
            shares = np.rint(share * TARGET).astype(np.uint8)
            return np.where(ignore, np.uint8(IGNORE), shares)
        target, ignore = consensus(
            votes[None], labels[None], readers, self.input_spec.min_readers, self.input_spec.level
        )
        codes = np.where(ignore[0], np.uint8(IGNORE), np.uint8(BACKGROUND))
        codes[target[0]] = TARGET
        return codes

    def _read(self, rows: Rows) -> tuple[npt.NDArray[HU], list[Codes | None]]:
        input_spec = self.input_spec
        images = self.tables.images(rows, input_spec.context)
        codes = self.codes(rows)
        unknown = images[:, input_spec.context] == UNKNOWN_HU
        for place in np.flatnonzero(unknown.any(axis=(1, 2))):
            known = codes[place]
            codes[place] = np.where(unknown[place], np.uint8(IGNORE), 0 if known is None else known)
        lungs = None
        if input_spec.inside_lungs:
            stacks = self.tables.neighbours(rows, input_spec.context)
            lungs = self.tables.read("lungs", stacks.ravel()).reshape(images.shape)
        return _shown(images, lungs, input_spec), codes

    def _window(
        self,
        row: int,
        codes: Codes | None,
        size: int,
        rng: np.random.Generator,
        centre: npt.NDArray[np.float64] | None = None,
    ) -> tuple[float, float, int, int] | None:
        crop = self.input_spec.crop_px
        if not crop or crop == size:
            return None
        if centre is None:
            around = np.empty(0) if codes is None else np.flatnonzero(is_target(codes))
            if not around.size:
                around = np.flatnonzero(self.tables.read("lungs", [row])[0])
            pixel = int(rng.choice(around)) if around.size else size * size // 2 + size // 2
            centre = np.array(divmod(pixel, size), np.float64)
        first, last = _known_box(codes, size)
        ends = first + (crop - 1) / 2, last - (crop - 1) / 2
        # Within what is known; a window smaller than the crop lies within the crop instead.
        jittered = centre + rng.uniform(-crop / 3, crop / 3, 2)
        y, x = np.clip(jittered, np.minimum(*ends), np.maximum(*ends))
        return float(y), float(x), crop, crop


def is_target(codes: Codes) -> npt.NDArray[np.bool_]:
    """Pixels that at least half of the readers hold, or the consensus."""
    return np.asarray((codes >= TARGET / 2) & (codes != IGNORE))


def scaled(
    images: npt.NDArray[np.generic],
    input_spec: InputSpec,
    lungs: npt.NDArray[np.generic] | None,
) -> Floats:
    """Images ``(n, channels, y, x)`` as a net's input ``(n, y, x, channels)``.

    `lungs`, of the same shape, is needed where `InputSpec.inside_lungs` is set.
    """
    return _unit(_channels_last(_shown(images.copy(), lungs, input_spec)), input_spec)


def _shown(
    images: npt.NDArray[T], lungs: npt.NDArray[np.generic] | None, input_spec: InputSpec
) -> npt.NDArray[T]:
    # In whole HU and before any warp: interpolation must not mix in values that are clipped.
    low, high = math.floor(input_spec.low), math.ceil(input_spec.high)
    np.clip(images, low, high, out=images)
    if input_spec.inside_lungs and lungs is not None:
        images[lungs == 0] = low
    return images


def _channels_last(images: npt.NDArray[np.generic]) -> Floats:
    return np.ascontiguousarray(np.moveaxis(images, 1, -1), np.float32)


def _unit(values: Floats, input_spec: InputSpec) -> Floats:
    values -= np.float32(input_spec.low)
    values *= np.float32(1.0 / (input_spec.high - input_spec.low))
    return values


def _as_truth(codes: Sequence[Codes | None], shape: tuple[int, ...]) -> Floats:
    truth = np.zeros((*shape, 2), np.float32)
    truth[..., 1] = 1.0
    for sample, code in zip(truth, codes, strict=True):
        if code is not None:
            counted = code != IGNORE
            sample[..., 0] = np.where(counted, code, 0) / np.float32(TARGET)
            sample[..., 1] = counted
    return truth


def _known_box(codes: Codes | None, size: int) -> tuple[Centres, Centres]:
    """First and last ``(y, x)`` of what is not ignored; the whole slice where codes are None."""
    first, last = np.zeros(2), np.full(2, size - 1.0)
    if codes is None or not (codes[[0, 0, -1, -1], [0, -1, 0, -1]] == IGNORE).any():
        # A window's surroundings reach a corner; what readers dispute does not matter here.
        return first, last
    for axis in range(2):
        known = np.flatnonzero((codes != IGNORE).any(axis=1 - axis))
        if known.size:
            first[axis], last[axis] = known[0], known[-1]
    return first, last


def _squares(
    images: npt.NDArray[T], codes: Sequence[Codes | None], centres: Centres, size: int
) -> tuple[npt.NDArray[T], list[Codes | None]]:
    edge = images.shape[-1]
    size = min(size, edge)
    corners = np.clip(np.rint(centres - (size - 1) / 2), 0, edge - size).astype(int)
    places = [(slice(y, y + size), slice(x, x + size)) for y, x in corners.tolist()]
    cut = np.stack([stack[:, *place] for stack, place in zip(images, places, strict=True)])
    return cut, [
        None if code is None else code[place] for code, place in zip(codes, places, strict=True)
    ]
