"""The other end of `lungseg.io.dicom.decoder`: decodes DICOM pixels in a process of its own.

Decoders written in C abort, run wild or never return when a stream is damaged. Here that costs this
process alone. It reads a line of JSON for each plane wanted and answers with a line of JSON and,
if all went well, the pixels. It imports nothing of this package, so that it starts fast.
"""

import json
import os
import sys
import warnings
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
# The transfer syntaxes of JPEG, of ITU-T T.81: 1.2.840.10008.1.2.4.50 to .70.
JPEG = ("1.2.840.10008.1.2.4.5", "1.2.840.10008.1.2.4.6", "1.2.840.10008.1.2.4.70")
# A slice of 8192 x 8192, or an enhanced file of a whole scan, and the libraries themselves.
MOST_BYTES = 8 << 30


def main() -> None:
    """Answer until there is nothing more to read."""
    # What decoders print to stdout and stderr would break the answers.
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    warnings.simplefilter("ignore")
    _limit_memory()
    for line in sys.stdin.buffer:
        wanted = json.loads(line)
        _answer(answers, wanted["path"], wanted["frame"], wanted["syntax"])


def _limit_memory() -> None:
    # A stream may claim any size: its decoder runs out of this, and not the machine of memory.
    try:
        import resource
    except ImportError:  # not on every system
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = MOST_BYTES if hard == resource.RLIM_INFINITY else min(MOST_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _answer(answers: BinaryIO, path: str, frame: int, syntax: str) -> None:
    errors = []
    memory = False
    array: Array | None = None
    # Of JPEG alone: GDCM fills up with zeros what a cut RLE stream lacks, and says nothing.
    decoders = (_by_pydicom, _by_gdcm) if syntax.startswith(JPEG) else (_by_pydicom,)
    for decode in decoders:
        try:
            array = decode(path, frame)
            break
        except Exception as error:  # decoders raise nearly anything
            memory = memory or isinstance(error, MemoryError)
            errors.append(" ".join(str(error).split())[:300])
    if array is None:
        answers.write(json.dumps({"error": "; ".join(errors), "memory": memory}).encode() + b"\n")
    else:
        array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        head = {"dtype": array.dtype.str, "shape": array.shape}
        answers.write(json.dumps(head).encode() + b"\n")
        answers.write(array.tobytes())
    answers.flush()


def _by_pydicom(path: str, frame: int) -> Array:
    from pydicom.pixels import pixel_array

    return np.asarray(pixel_array(path, index=frame, raw=True))


_decoded: tuple[str, Array] | None = None


def _by_gdcm(path: str, frame: int) -> Array:
    # GDCM alone reads the 12-bit and the retired forms of JPEG; it decodes all frames at once.
    global _decoded  # noqa: PLW0603 - the frames of one file are asked for one after the other
    if _decoded is None or _decoded[0] != path:
        _decoded = path, _all_frames(path)
    return np.asarray(_decoded[1][frame])


def _all_frames(path: str) -> Array:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(path)
    if not reader.Read():
        raise ValueError("GDCM cannot read it")
    image = reader.GetImage()
    buffer = image.GetBuffer()
    if buffer is None:
        raise ValueError("GDCM cannot decode it")
    octets = buffer.encode("utf-8", "surrogateescape") if isinstance(buffer, str) else buffer
    form = image.GetPixelFormat()
    kind = "i" if form.GetPixelRepresentation() else "u"
    values = np.frombuffer(octets, np.dtype(f"<{kind}{form.GetBitsAllocated() // 8}"))
    return values.reshape(-1, image.GetDimension(1), image.GetDimension(0))


if __name__ == "__main__":
    main()
