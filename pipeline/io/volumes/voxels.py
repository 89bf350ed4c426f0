"""Voxels of MetaImage, NIfTI and NRRD, read a part at a time and checked to their last byte.

Other readers take what a damaged ``.nii.gz`` or ``.zraw`` lacks for zeros, and leave what a header
does not speak of, without a word. Here the stream is unpacked in parts into the array that is
wanted, its checksum must be right, and nothing may follow the last voxel.
"""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import NotProvenError, ScanError
from lungseg.core.shown import shown
from lungseg.io.volumes import layout
from lungseg.io.volumes.headers import read_header
from lungseg.io.volumes.layout import Voxels
from lungseg.io.volumes.streams import Unpacked, exactly

Array = npt.NDArray[Any]
Take = Callable[[Array, Array], None]

_PART_BYTES = 1 << 22
_MOST_AFTER = 1 << 26
_FILLING = b"\0 \t\r\n"


def read_voxels(voxels: Voxels, shape: tuple[int, ...], out: Array, take: Take) -> None:
    """Read all voxels in parts: ``take(part, place in out)`` puts each where it belongs.

    Parameters
    ----------
    voxels
        Where they are.
    shape
        ``(z, y, x)``.
    out
        Array of `shape`, C-contiguous.
    take
        Gets one part after the other, flat, and the same part of `out`.

    Raises
    ------
    ScanError
        If the file ends before the last voxel or goes on behind it, or its checksum is wrong.
    """
    flat = out.reshape(-1)
    count = int(np.prod(shape))
    most = max(_PART_BYTES // voxels.dtype.itemsize, 1)
    done = 0
    try:
        with voxels.path.open("rb") as file:
            stream = _stream(voxels, file, count)
            while done < count:
                part = min(most, count - done)
                data = exactly(stream, part * voxels.dtype.itemsize)
                numbers: Array = np.frombuffer(data, voxels.dtype)
                if voxels.is_scaled:
                    numbers = numbers * voxels.slope + voxels.intercept
                take(numbers, flat[done : done + part])
                done += part
            _finish(stream, voxels)
    except (EOFError, zlib.error, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault; bz2 raises OSErrors of its own, without a number
        raise ScanError(
            f"truncated: the voxels of {shown(voxels.path)} end or break after {done} of {count} "
            f"({shown(error) or 'nothing more'}); copy it again from where it came"
        ) from error


class _Numbers:
    """Numbers written out as text, read like a file of their bytes."""

    def __init__(self, file: BinaryIO, voxels: Voxels, count: int) -> None:
        words = file.read().split()
        if len(words) != count:
            raise ValueError(f"{len(words)} numbers are written there")
        numbers = np.array(words, "f8")
        if voxels.dtype.kind != "f" and not (
            np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all()
        ):
            raise ValueError("not all of them are whole numbers")
        if voxels.dtype.kind != "f":
            limits = np.iinfo(voxels.dtype)
            if numbers.min() < limits.min or numbers.max() > limits.max:
                raise ValueError(f"they do not fit into {voxels.dtype.name}")
        self._data = numbers.astype(voxels.dtype).tobytes()
        self._at = 0

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end."""
        self._at += size
        return self._data[self._at - size : self._at]


def _stream(voxels: Voxels, file: BinaryIO, count: int) -> Any:
    if voxels.packing == layout.FILE:
        stream = Unpacked(file)
        exactly(stream, voxels.offset)
        return stream
    if voxels.offset < 0:
        file.seek(-count * voxels.dtype.itemsize, 2)
    else:
        file.seek(voxels.offset)
    for _ in range(voxels.skipped_lines):
        if not file.readline(1 << 20):
            raise EOFError
    if voxels.packing == layout.TEXT:
        return _Numbers(file, voxels, count)
    if voxels.packing == layout.NONE:
        return file
    return Unpacked(file, bzip2=voxels.packing == layout.BZIP2)


def _finish(stream: Any, voxels: Voxels) -> None:
    # The checksum comes after the last byte; a stream that goes on and on is not followed.
    after = 0
    while part := stream.read(1 << 20):
        after += len(part)
        if part.strip(_FILLING) or after > _MOST_AFTER:
            raise ScanError(
                f"header: {shown(voxels.path)} goes on after the last voxel that its header "
                "speaks of; the header's size, type or place of the voxels is wrong: write it "
                "again from where it came"
            )


def hold_no_hu(path: Path) -> bool:
    """Whether the header says that the voxels are of 8 bits and unscaled: a mask, not a CT.

    Masks lie beside scans, and LUNA16's have the very names of their scans. False for a header that
    cannot be read: reading the scan will say what is wrong with it.
    """
    try:
        voxels = read_header(path).voxels
    except (NotProvenError, ScanError):
        return False
    return voxels.dtype.itemsize == 1 and not voxels.is_scaled
