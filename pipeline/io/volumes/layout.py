"""What a volume's header says: its size, where it lies, where its voxels are; and its checks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lungseg.core.errors import ScanError
from lungseg.core.shown import shown
from lungseg.volume import FloatArray, Shape

NONE, FILE, DATA, BZIP2, TEXT = "none", "file", "data", "bzip2", "text"
"""How voxels are packed: not at all, with the whole file, from the offset on, by bzip2, as text."""
# No deflate stream grows by more than this; bzip2 packs 45 MB of one value into 39 bytes.
_MOST_GROWTH = {FILE: 1040, DATA: 1040, BZIP2: 1 << 21}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MOST_ALONG_AN_AXIS = 1 << 20


@dataclass(frozen=True)
class Voxels:
    """Where a file's voxels are and what they look like.

    Attributes
    ----------
    path
        File that holds them.
    offset
        Bytes before the first, unpacked where the whole file is packed; -1: they end with the file.
    dtype
        Type of one, with its byte order.
    packing
        ``none``, ``file`` (all of it is packed), ``data`` (from the offset on), ``bzip2`` (also
        from the offset on) or ``text``.
    slope, intercept
        Value = slope * number + intercept.
    skipped_lines
        Lines after the offset that are no voxels.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    packing: str = NONE
    slope: float = 1.0
    intercept: float = 0.0
    skipped_lines: int = 0

    @property
    def is_scaled(self) -> bool:
        """True if numbers are not the values themselves."""
        return (self.slope, self.intercept) != (1.0, 0.0)


@dataclass(frozen=True)
class VolumeHeader:
    """What a header says; where the volume lies is not yet checked.

    Attributes
    ----------
    path
        The header's file.
    shape
        Voxels along ``(z, y, x)``.
    voxels
        Where they are.
    affines
        Matrices ``(3, 4)`` from ``(x, y, z)`` indices to LPS mm, by name, the one that counts
        first: ``sform`` and ``qform`` of a NIfTI, where it states them, else one of no name.
    pixel_mm
        Distances ``(x, y, z)`` that a NIfTI states beside its matrices; empty of other formats.
    unsaid
        Fields of the place that are missing, and taken for those of a grid along the patient's
        axes.
    is_open
        True if the format does not tell what holds where they are missing.
    fields
        The lines of a text header, by name in lower case.
    """

    path: Path
    shape: Shape
    voxels: Voxels
    affines: Mapping[str, FloatArray]
    pixel_mm: tuple[float, ...] = ()
    unsaid: tuple[str, ...] = ()
    is_open: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)


def numbers(path: Path, name: str, text: str, count: int) -> list[float]:
    """`count` finite numbers that stand in `text`.

    Raises
    ------
    ScanError
        If they are not there.
    """
    words = text.split()
    found = [float(word) for word in words if _NUMBER.fullmatch(word)]
    if len(words) != count or len(found) != count or not np.isfinite(found).all():
        raise ScanError(
            f"header: {shown(path)} has {name} = {shown(text[:80])!r}, not {count} "
            f"number{'s' * (count != 1)}; it is damaged"
        )
    return found


def sizes(path: Path, name: str, text: str, count: int) -> list[int]:
    """`count` whole numbers above 0 that stand in `text`.

    Raises
    ------
    ScanError
        If they are not there, or above a million.
    """
    words = text.split()
    found = [float(word) for word in words if _NUMBER.fullmatch(word)]
    if len(words) != count or not all(
        1 <= number <= _MOST_ALONG_AN_AXIS and number == int(number) for number in found
    ):
        found = []
    if len(found) != count:
        raise ScanError(
            f"header: {shown(path)} has {name} = {shown(text[:80])!r}, not {count} whole number"
            f"{'s' * (count != 1)} above 0 and up to {_MOST_ALONG_AN_AXIS}; it is damaged"
        )
    return [int(number) for number in found]


def check_length(path: Path, voxels: Voxels, shape: Shape) -> None:
    """See that a file can hold as many voxels as its header says.

    Raises
    ------
    ScanError
        If it cannot.
    """
    count = int(np.prod(shape, dtype=object))
    needed = count * (2 if voxels.packing == TEXT else voxels.dtype.itemsize)
    needed -= voxels.packing == TEXT  # nothing follows the last number
    there = voxels.path.stat().st_size
    growth = _MOST_GROWTH.get(voxels.packing)
    if growth is None and there - max(voxels.offset, 0) < needed:
        before = f" after the first {voxels.offset}" if voxels.offset > 0 else ""
        raise ScanError(
            f"truncated: {shown(voxels.path)} has {max(there - max(voxels.offset, 0), 0)} bytes"
            f"{before}, and {shown(path.name)} describes {needed}; copy it again from where it came"
        )
    if growth is not None and there * growth < needed:
        raise ScanError(
            f"truncated: {shown(voxels.path)} has {there} compressed bytes, which cannot hold the "
            f"{needed} that {shown(path.name)} describes"
        )
