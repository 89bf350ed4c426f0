"""Voxels of MetaImage, NIfTI and NRRD, read a part at a time and checked to their last byte.

ITK takes what a damaged ``.nii.gz`` or ``.zraw`` lacks for zeros, without a word, and holds wide
numbers two to four volumes large. Here the stream is unpacked in parts into the array that is
wanted, and its checksum must be right.
"""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ScanError
from lungseg.io.volumes.headers import METAIMAGE_TYPES, Checked, check_header

Array = npt.NDArray[Any]
Take = Callable[[Array, Array], None]

_PART_BYTES = 1 << 22
_PACKED_BYTES = 1 << 18
_MOST_AFTER = 1 << 26

_NIFTI_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_NRRD_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "i1"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "u1"),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t"), "i2"),
    **dict.fromkeys(("ushort", "unsigned short", "uint16", "uint16_t"), "u2"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "i4"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "u4"),
    "float": "f4",
    "double": "f8",
}


@dataclass(frozen=True)
class Voxels:
    """Where a file's voxels are and what they look like.

    Attributes
    ----------
    path
        File that holds them.
    offset
        Bytes before the first, unpacked where the whole file is packed.
    dtype
        Type of one, with its byte order.
    packing
        ``none``, ``file`` (all of it is packed) or ``data`` (from the offset on).
    slope, intercept
        Value = slope * number + intercept.
    """

    path: Path
    offset: int
    dtype: np.dtype[Any]
    packing: str
    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_scaled(self) -> bool:
        """True if numbers are not the values themselves."""
        return (self.slope, self.intercept) != (1.0, 0.0)


def voxels_of(path: Path, checked: Checked) -> Voxels | None:
    """Where the voxels are; None for rare forms, which are left to ITK (text, skipped lines).

    Raises
    ------
    ScanError
        If a NIfTI ends within its header.
    """
    if checked.kind == "metaimage":
        return _of_metaimage(checked)
    if checked.kind == "nrrd":
        return _of_nrrd(checked)
    return _of_nifti(path)


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
        If the file ends before the last voxel, or its checksum is wrong.
    """
    flat = out.reshape(-1)
    count = int(np.prod(shape))
    most = max(_PART_BYTES // voxels.dtype.itemsize, 1)
    done = 0
    try:
        with voxels.path.open("rb") as file:
            stream = _stream(voxels, file)
            while done < count:
                part = min(most, count - done)
                data = _exactly(stream, part * voxels.dtype.itemsize)
                numbers: Array = np.frombuffer(data, voxels.dtype)
                if voxels.is_scaled:
                    numbers = numbers * voxels.slope + voxels.intercept
                take(numbers, flat[done : done + part])
                done += part
            _finish(stream, voxels.packing)
    except (EOFError, zlib.error) as error:
        raise ScanError(
            f"truncated: the voxels of {voxels.path} end or break after {done} of {count} "
            f"({str(error) or 'nothing more'}); copy it again from where it came"
        ) from error


class _Inflated:
    """A zlib or gzip stream, of one part or several, read like a file; zlib checks its sums."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = _inflater()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end."""
        while True:
            if self._inflate.eof:
                self._packed = self._inflate.unused_data or self._file.read(_PACKED_BYTES)
                if not self._packed.startswith(b"\x1f\x8b"):  # no further part of a gzip file
                    return b""
                self._inflate = _inflater()
            elif not self._packed:
                self._packed = self._file.read(_PACKED_BYTES)
                if not self._packed:
                    raise EOFError
            data: bytes = self._inflate.decompress(self._packed, size)
            self._packed = self._inflate.unconsumed_tail
            if data:
                return data


def _inflater() -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # tells zlib from gzip by itself


def _stream(voxels: Voxels, file: BinaryIO) -> Any:
    if voxels.packing == "file":
        stream = _Inflated(file)
        _exactly(stream, voxels.offset)
        return stream
    file.seek(voxels.offset)
    return file if voxels.packing == "none" else _Inflated(file)


def _exactly(stream: Any, size: int) -> bytes:
    parts = []
    while size > 0:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _finish(stream: Any, packing: str) -> None:
    # The checksum comes after the last byte; a stream that goes on and on is not followed.
    left = _MOST_AFTER if packing != "none" else 0
    while left > 0 and (part := stream.read(1 << 20)):
        left -= len(part)


def hold_no_hu(path: Path) -> bool:
    """Whether the header says that the voxels are of 8 bits and unscaled: a mask, not a CT.

    Masks lie beside scans, and LUNA16's have the very names of their scans. False for a header that
    cannot be read: reading the scan will say what is wrong with it.
    """
    try:
        voxels = voxels_of(path, check_header(path))
    except (ScanError, OSError):
        return False
    return voxels is not None and voxels.dtype.itemsize == 1 and not voxels.is_scaled


def _of_metaimage(checked: Checked) -> Voxels | None:
    fields = checked.fields
    is_true = {
        name: fields.get(name, "false").lower() in {"true", "1"}
        for name in ("binarydatabyteordermsb", "elementbyteordermsb", "compresseddata")
    }
    if fields.get("binarydata", "true").lower() not in {"true", "1"}:
        return None
    if fields.get("headersize", "0") != "0":
        return None
    big = is_true["binarydatabyteordermsb"] or is_true["elementbyteordermsb"]
    dtype = np.dtype((">" if big else "<") + METAIMAGE_TYPES[fields["elementtype"]])
    packing = "data" if is_true["compresseddata"] else "none"
    return Voxels(checked.data, checked.data_offset, dtype, packing)


def _of_nrrd(checked: Checked) -> Voxels | None:
    fields = checked.fields
    kind = _NRRD_TYPES.get(fields["type"].lower())
    packing = {"raw": "none", "gzip": "data", "gz": "data"}.get(fields["encoding"].lower())
    skips = [fields.get(name, "0") for name in ("line skip", "lineskip", "byte skip", "byteskip")]
    if kind is None or packing is None or any(skip != "0" for skip in skips):
        return None
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    return Voxels(checked.data, checked.data_offset, np.dtype(order + kind), packing)


def _of_nifti(path: Path) -> Voxels | None:
    # ITK's reader rounds slope and intercept to six digits, so they are read here.
    packed = path.name.lower().endswith(".gz")
    try:
        with path.open("rb") as file:
            head = _exactly(_Inflated(file) if packed else file, 348)
    except (EOFError, zlib.error) as error:
        raise ScanError(
            f"truncated: {path} ends within its header; copy it again from where it came"
        ) from error
    # The first number is the header's size, in the file's byte order: 348, or 540 of NIfTI-2.
    order = "<" if head[0] and not head[3] else ">"
    if int.from_bytes(head[:4], "little" if order == "<" else "big") == 540:
        (code,) = struct.unpack_from(f"{order}h", head, 12)
        offset, slope, intercept = struct.unpack_from(f"{order}qdd", head, 168)
    else:
        (code,) = struct.unpack_from(f"{order}h", head, 70)
        offset, slope, intercept = struct.unpack_from(f"{order}fff", head, 108)
    kind = _NIFTI_TYPES.get(code)
    if kind is None or not 0 <= offset < 1 << 31:
        return None
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        slope, intercept = 1.0, 0.0
    packing = "file" if packed else "none"
    return Voxels(path, int(offset), np.dtype(order + kind), packing, slope, intercept)
