"""Packed streams, zlib, gzip or bzip2, read like a file and checked to their last byte."""

import bz2
import zlib
from typing import Any, BinaryIO

_PACKED_BYTES = 1 << 18
_PART_BYTES = 1 << 22


class Unpacked:
    """A zlib, gzip or bzip2 stream, of one part or several, read like a file.

    The libraries check its sums.
    """

    def __init__(self, file: BinaryIO, *, bzip2: bool = False) -> None:
        self._file = file
        self._next = _bunzipper if bzip2 else _inflater
        self._mark = b"BZh" if bzip2 else b"\x1f\x8b"
        self._inflate = self._next()
        self._packed = b""

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes; none at the end."""
        while True:
            if self._inflate.eof:
                self._packed = self._inflate.unused_data or self._file.read(_PACKED_BYTES)
                if len(self._packed) < len(self._mark):
                    self._packed += self._file.read(_PACKED_BYTES)
                if not self._packed.startswith(self._mark):  # no further part of a packed file
                    return b""
                self._inflate = self._next()
            elif not self._packed and getattr(self._inflate, "needs_input", True):
                self._packed = self._file.read(_PACKED_BYTES)
                if not self._packed:
                    raise EOFError
            data: bytes = self._inflate.decompress(self._packed, size)
            self._packed = getattr(self._inflate, "unconsumed_tail", b"")
            if data:
                return data


def exactly(stream: Any, size: int) -> bytes:
    """The next `size` bytes of a stream.

    Raises
    ------
    EOFError
        If it ends before.
    """
    parts = []
    while size > 0:
        part = stream.read(min(size, _PART_BYTES))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _inflater() -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # tells zlib from gzip by itself


def _bunzipper() -> Any:
    return bz2.BZ2Decompressor()
