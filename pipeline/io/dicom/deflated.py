"""Deflated DICOM (PS3.5, A.5), inflated no further than is asked for.

A few megabytes can inflate to gigabytes, so the header is looked for in the first pieces, and the
pixels are inflated up to the size that the header states, once that was found sound.
"""

import zlib
from pathlib import Path

from lungseg.core.errors import ScanError

LONGEST_HEADER = 64 * 1024 * 1024
_PIECE = 256 * 1024


class Inflating:
    """The data set behind a deflated file's meta group, read from its beginning.

    Parameters
    ----------
    path
        The file.
    start
        Offset of the deflated bytes.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._file = path.open("rb", buffering=0)
        self._file.seek(start)
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self._waiting = b""

    def __enter__(self) -> "Inflating":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Up to `size` more bytes; fewer only at the end.

        Raises
        ------
        ScanError
            If the bytes are no deflated stream.
        """
        parts = bytearray()
        while len(parts) < size and not self._stream.eof:
            given = self._waiting or self._file.read(_PIECE)
            try:
                got = self._stream.decompress(given, size - len(parts))
            except zlib.error as error:
                raise ScanError(
                    f"header: {self._path}: what should be deflated is not ({error}); the file is "
                    "damaged: copy it again from where it came"
                ) from error
            self._waiting = self._stream.unconsumed_tail
            if not given and not got:
                break
            parts += got
        return bytes(parts)

    def skip(self, size: int) -> None:
        """Pass over `size` bytes without keeping them."""
        while size > 0:
            got = len(self.read(min(size, _PIECE)))
            if not got:
                return
            size -= got
