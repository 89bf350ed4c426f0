"""Slices around nodules, in which each annotator's outline is known: windows, not whole scans.

A folder of them has ``slices.csv``, one line a slice, and beside it, by patient, two strips for
each nodule: ``<patient>/nodule-<n>_image.webp`` (or ``.png``), its slices one below the other from
feet to head, 8 bits, HU by each line's slope and offset; and ``nodule-<n>_readers.png``, in which
bit *k* of ``value // 16`` is set where annotator *k* drew the nodule. Folders without HU are read
by `lungseg.io.annotations.stretched_slices`.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lungseg.core.errors import DataError
from lungseg.io.csv_file import CsvFile
from lungseg.ops.nodules.windows import NoduleSlices, Place
from lungseg.volume import MaskArray

INDEX = "slices.csv"
COLUMNS = (
    "patient", "series", "nodule", "row", "readers", "z_mm", "pixel_mm", "row0", "column0",
    "hu_slope", "hu_offset",
)  # fmt: skip
IMAGES, READERS = ("_image.webp", "_image.png"), "_readers.png"
BITS, LOW_BITS = 4, 16
"""Annotators that a strip can hold, and what their bits are multiplied by."""

Bytes = npt.NDArray[np.uint8]


class SlicesOnDisk(Protocol):
    """The slices of one nodule that were found, to be read when they are wanted."""

    @property
    def patient(self) -> str:
        """PatientID."""

    @property
    def series(self) -> str:
        """SeriesInstanceUID, or the patient."""

    @property
    def nodule(self) -> str:
        """Name of the nodule within the patient."""

    @property
    def pixel_mm(self) -> float:
        """Distance of pixels along y and x."""

    @property
    def place(self) -> Place:
        """Where the window lies in its scan."""

    def digest(self) -> str:
        """Digest of all that it is read from."""

    def read(self) -> NoduleSlices:
        """Read it; DataError if that cannot be done."""


@dataclass(frozen=True)
class FoundSlices:
    """What `find_nodule_slices` found: nodules, and in words what was left out and why."""

    nodules: tuple[SlicesOnDisk, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Cells:
    """One line of slices.csv: its cells, what is wrong with it, and how to read numbers."""

    named: Mapping[str, str]
    fault: str
    number: Callable[[str], float]


@dataclass(frozen=True, kw_only=True)
class _Strip:
    """One nodule's lines of slices.csv, checked, by row."""

    patient: str
    series: str
    nodule: str
    where: str
    files: tuple[Path, Path]
    readers: int
    z_mm: tuple[float, ...]
    pixel_mm: float
    place: Place
    hu_slope: tuple[float, ...]
    hu_offset: tuple[float, ...]

    def digest(self) -> str:
        told = [self.series, self.z_mm, self.pixel_mm, self.place, self.readers]
        told += [self.hu_slope, self.hu_offset]
        digest = hashlib.sha256(repr(told).encode())
        for file in self.files:
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def read(self) -> NoduleSlices:
        image, drawn = (self._slices(path) for path in self.files)
        if image.shape != drawn.shape:
            raise DataError(
                f"{self.where}: the windows of its two strips have {image.shape[1]} and "
                f"{drawn.shape[1]} pixels"
            )
        masks = _masks(drawn, self.readers, f"{self.files[1]} ({self.where})")
        slope, offset = (
            np.asarray(v, np.float32)[:, None, None] for v in (self.hu_slope, self.hu_offset)
        )
        hu = np.rint(slope * image + offset)
        if hu.min() < -32767 or hu.max() > 32767:
            raise DataError(
                f"{self.where}: slope and offset give {hu.min():.0f} to {hu.max():.0f} HU"
            )
        return NoduleSlices(
            patient=self.patient,
            series=self.series,
            nodule=self.nodule,
            hu=hu.astype(np.int16),
            masks=masks,
            z_mm=np.asarray(self.z_mm),
            pixel_mm=self.pixel_mm,
            first_yx=self.place.first_yx,
        )

    def _slices(self, path: Path) -> Bytes:
        strip = read_bytes(path)
        height, width = strip.shape
        if height != width * len(self.z_mm):
            raise DataError(
                f"{path} has {height} x {width} pixels; {self.where} tells of {len(self.z_mm)} "
                f"slices, one below the other, which take {width * len(self.z_mm)} x {width}"
            )
        return strip.reshape(-1, width, width)


def find_nodule_slices(folder: Path) -> FoundSlices:
    """Find the nodules of a folder with ``slices.csv``, and see that each can be read.

    A nodule that cannot be read is left out, with its reason; the others are not touched by it.

    Raises
    ------
    DataError
        If ``slices.csv`` cannot be read, or lacks a column.
    """
    lines = _lines(folder / INDEX)
    by_nodule: dict[tuple[str, ...], list[tuple[int, _Cells]]] = {}
    for number, line in lines:
        key = tuple(line.named[name] for name in ("patient", "series", "nodule"))
        by_nodule.setdefault(key, []).append((number, line))
    found: list[SlicesOnDisk] = []
    left_out: list[str] = []
    for key, of_nodule in by_nodule.items():
        try:
            strip = _strip(folder, key, of_nodule)
            strip.read()
            found.append(strip)
        except DataError as error:
            left_out.append(f"{key[0]} nodule {key[2]}: {error}")
    return FoundSlices(tuple(found), tuple(left_out))


def width_of(path: Path) -> int:
    """Width of a picture, pixels, from its first bytes alone.

    Raises
    ------
    DataError
        If it is no picture.
    """
    with _opened(path) as picture:
        return int(picture.size[0])


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as picture:
            yield picture
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a picture ({error})") from error


def read_bytes(path: Path) -> Bytes:
    """A picture of 8 bits, ``(y, x)``; of a coloured one, whose channels must be equal, the first.

    Raises
    ------
    DataError
        If it cannot be decoded, or has colours or more bits.
    """
    with _opened(path) as picture:
        # The numbers of a palette are no greys: its colours are.
        array = np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    if array.ndim == 3 and (array[..., :3] == array[..., :1]).all():
        array = array[..., 0]
    if array.ndim != 2 or array.dtype != np.uint8:
        raise DataError(f"{path} is not a grey picture of 8 bits")
    return array


def _masks(drawn: Bytes, readers: int, where: str) -> MaskArray:
    bits = [bit for bit in range(BITS) if (drawn & LOW_BITS << bit).any()]
    if len(bits) > readers or (drawn % LOW_BITS).any():
        raise DataError(
            f"{where}: {len(bits)} annotators drew, of {readers}; its values are {LOW_BITS} times "
            "their bits"
        )
    if not bits:
        raise DataError(f"{where}: nobody drew anything")
    # An annotator of whom nothing lies in the window counts as one all the same.
    masks = np.zeros((readers, *drawn.shape), bool)
    for mask, bit in zip(masks, bits, strict=False):
        np.not_equal(drawn & LOW_BITS << bit, 0, out=mask)
    return masks


def _lines(path: Path) -> Iterator[tuple[int, _Cells]]:
    file = CsvFile(path, "CSV of slices")
    missing = [name for name in COLUMNS if name not in file.names()]
    if missing:
        raise DataError(
            f"{path} line 1: there is no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}"
        )
    return ((row.line, _Cells(row.named, row.fault, file.number)) for row in file.rows())


def _strip(folder: Path, key: tuple[str, ...], lines: Sequence[tuple[int, _Cells]]) -> _Strip:
    patient, series, nodule = key
    first = f"{folder / INDEX} line {lines[0][0]}"
    if not all(key):
        raise DataError(f"{first}: patient, series or nodule is empty")
    rows = sorted(
        (_numbers(f"{folder / INDEX} line {number}", line) for number, line in lines),
        key=lambda row: row["row"],
    )
    if [row["row"] for row in rows] != list(range(len(rows))):
        raise DataError(f"{first}: its rows are not 0 to {len(rows) - 1}, each once")
    for name in ("readers", "pixel_mm", "row0", "column0"):
        if len({row[name] for row in rows}) != 1:
            raise DataError(f"{first}: {name} is not the same on all lines of the nodule")
    z_mm = tuple(row["z_mm"] for row in rows)
    if any(above <= below for below, above in pairwise(z_mm)):
        raise DataError(f"{first}: z_mm does not rise from row to row")
    readers = int(rows[0]["readers"])
    if not 1 <= readers <= BITS:
        raise DataError(f"{first}: {readers} annotators; a strip holds 1 to {BITS}")
    images = [folder / patient / f"nodule-{nodule}{ending}" for ending in IMAGES]
    image = next((path for path in images if path.is_file()), images[0])
    edge = width_of(image)
    return _Strip(
        patient=patient,
        series=series,
        nodule=nodule,
        where=first,
        files=(image, folder / patient / f"nodule-{nodule}{READERS}"),
        readers=readers,
        z_mm=z_mm,
        pixel_mm=rows[0]["pixel_mm"],
        place=Place(
            (int(rows[0]["row0"]), int(rows[0]["column0"])), (edge, edge), (z_mm[0], z_mm[-1])
        ),
        hu_slope=tuple(row["hu_slope"] for row in rows),
        hu_offset=tuple(row["hu_offset"] for row in rows),
    )


def _numbers(where: str, line: _Cells) -> dict[str, float]:
    found: dict[str, float] = {}
    if line.fault:
        raise DataError(f"{where}: {line.fault}")
    for name in COLUMNS[3:]:
        text = line.named[name]
        try:
            found[name] = line.number(text)
        except ValueError as error:
            raise DataError(f"{where}: {name} is {error}") from None
        whole = name in {"row", "readers", "row0", "column0"}
        above_0 = name in {"pixel_mm", "hu_slope"}
        if (whole and found[name] % 1) or (above_0 and found[name] <= 0):
            kind = "a whole number" if whole else "above 0"
            raise DataError(f"{where}: {name} is {text!r}, not {kind}")
    return found
