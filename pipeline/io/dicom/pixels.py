"""Stored pixels to HU: read or decoded, checked, and written in place as int16.

HU = slope * stored value + intercept (PS3.3, C.11.1.1.2). Plain pixels are read straight into the
slice that will hold the HU, so a scan costs its own memory and no more. Numbers that int16 cannot
hold, or that contradict the header, are mended only where they can mean one thing: a constant above
or below everything else, which is padding, or signed values whose sign bit is that of the bits
stored and not of the bits allocated (PS3.5, 8.1.1).

Padding that would be tissue or metal (4095, 32767, or any value that PixelPaddingValue states)
becomes one low value where it hangs together with the slice's edge.
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import ScanError
from lungseg.io.dicom import header as dh
from lungseg.io.dicom.decoder import DECODER
from lungseg.io.dicom.deflated import Inflating
from lungseg.io.dicom.planes import Plane, planes_of
from lungseg.ops.hu.padding import PADDING_HU, joined_to_edge
from lungseg.volume import HuArray, MaskArray

_MIN, _MAX = int(np.iinfo(np.int16).min), int(np.iinfo(np.int16).max)
# Padding of no more HU than this does no harm: it is air, or known by its value.
_HIGHEST_AIR_HU = -900
# Padding that no header states is above what bone and metal have in a slice's four corners.
_TOP_HU = 2000
_MOST_CONSTANTS = 2
# The end of a sequence of fragments: (FFFE,E0DD), of no length.
_PIXELS_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"


@dataclass(frozen=True, slots=True)
class PixelNotes:
    """What was noticed when one slice's pixels became HU.

    Attributes
    ----------
    rounded
        True if slope and intercept gave fractions, rounded to the nearest HU.
    mended
        True if padding lay outside what the header allows and was put back.
    """

    rounded: bool = False
    mended: bool = False


def slice_hu(path: Path, frame: int = 0) -> HuArray:
    """HU of one slice, ``(y, x) int16``, wherever in the patient it lies.

    Raises
    ------
    ScanError
        If it is damaged, not DICOM, or its HU are unknown.
    OSError
        If it cannot be opened.
    """
    try:
        header = dh.read_header(path)
    except dh.NotDicomError as error:
        raise ScanError(f"{path} is not a DICOM file") from error
    plane = planes_of(header)[frame]
    out = np.empty((plane.rows, plane.columns), np.int16)
    read_plane(plane, out)
    return out


def read_plane(plane: Plane, out: HuArray) -> PixelNotes:
    """Write the HU of `plane` into `out`, ``(y, x) int16``, and say what was noticed.

    Raises
    ------
    ScanError
        If the file is cut short, no decoder reads it, or its values fit no HU.
    """
    if plane.at >= 0 and plane.bits_allocated == 16:
        _read_into(plane, out)
        # The raw bytes already lie where the HU go.
        raw: npt.NDArray[Any] = out.view(np.dtype("<i2" if plane.signed else "<u2"))
    elif plane.at >= 0:
        octets = np.empty(out.shape, np.uint8)
        _read_into(plane, octets)
        raw = octets.view(np.int8 if plane.signed else np.uint8)
    else:
        _check_whole(plane.path)
        raw = DECODER.decode(plane.path, plane.frame, plane.syntax)
        if raw.shape != out.shape:
            raise ScanError(
                f"matrix: {plane.path} decodes to {raw.shape} pixels, its header says {out.shape}; "
                "the file is damaged"
            )
    return _to_hu(plane, raw, out)


def _check_whole(path: Path) -> None:
    """See that compressed pixels have their end: decoders make pixels of what is left of them.

    Raises
    ------
    ScanError
        If they have none.
    """
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_PIXELS_END)))
        if file.read() == _PIXELS_END:
            return
    if not _pixels_end(path, path.stat().st_mtime_ns):
        raise ScanError(
            f"truncated: {path} ends before the end of its compressed pixels; copy it again from "
            "where it came, or take it out of the series"
        )


@lru_cache(maxsize=1)
def _pixels_end(path: Path, _: int) -> bool:
    """Whether pixels that something follows have an end; pydicom finds none where they do not."""
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return "PixelData" in pydicom.dcmread(path, force=True, specific_tags=["PixelData"])
        except Exception:
            return True


def _read_into(plane: Plane, buffer: npt.NDArray[Any]) -> None:
    view: Any = buffer.reshape(-1).view(np.uint8)
    got = 0
    if plane.syntax == dh.DEFLATED:
        with Inflating(plane.path, dh.deflated_at(plane.path)) as stream:
            stream.skip(plane.at)
            pixels = stream.read(len(view))
        got = len(pixels)
        view[:got] = np.frombuffer(pixels, np.uint8)
    else:
        with plane.path.open("rb", buffering=0) as file:
            file.seek(plane.at)
            while got < len(view) and (count := file.readinto(view[got:])):
                got += count
    if got < len(view):
        raise ScanError(
            f"truncated: {plane.path} holds {got} of the {len(view)} bytes of "
            f"{'frame ' + str(plane.frame + 1) if plane.frame else 'its pixels'}; copy it again "
            "from where it came, or take it out of the series"
        )


def _to_hu(plane: Plane, raw: npt.NDArray[Any], out: HuArray) -> PixelNotes:
    low, high = int(raw.min()), int(raw.max())
    raw, mended = _within_stored_bits(plane, raw, low, high)
    outside = _high_padding(plane, raw)
    if outside is not None:
        if outside.all():
            raise ScanError(f"padding: {plane.path} has nothing but padding; leave it out")
        raw = np.where(outside, raw[~outside].min(), raw)
    notes = _rescaled(plane, raw, out, mended or outside is not None)
    if outside is not None:
        out[outside] = PADDING_HU
    return notes


def _rescaled(plane: Plane, raw: npt.NDArray[Any], out: HuArray, mended: bool) -> PixelNotes:
    low, high = int(raw.min()), int(raw.max())
    if plane.slope == 1 and plane.intercept.is_integer():
        shift = int(plane.intercept)
        if low + shift >= _MIN and high + shift <= _MAX:
            # Modulo 2**16, so uint16 above 32767 is right too once the intercept is off.
            wrapped = np.int16((shift - _MIN) % 65536 + _MIN)
            bits = raw.view(np.int16) if raw.dtype.itemsize == 2 else raw.astype(np.int16)
            np.add(bits, wrapped, out=out)
            return PixelNotes(mended=mended)
    return _by_table(plane, raw, low, high, out, mended)


def _by_table(  # noqa: PLR0913, PLR0917 - one slice, its range, and where it goes
    plane: Plane, raw: npt.NDArray[Any], low: int, high: int, out: HuArray, mended: bool
) -> PixelNotes:
    # Stored values have 16 bits at most, so the rescaling of each is worked out once.
    exact = np.arange(low, high + 1) * plane.slope + plane.intercept
    hu = np.rint(exact)
    used = np.zeros(hu.size, bool)
    used[raw.ravel().astype(np.int32) - low] = True
    rounded = bool((np.abs(exact - hu)[used] > 1e-6).any())
    over, under = used & (hu > _MAX), used & (hu < _MIN)
    if over.any() or under.any():
        top = low + int(np.argmax(over))
        one_each = over.sum() <= 1 and under.sum() <= 1
        if not one_each or (over.any() and (top <= _MAX or not _in_a_corner(raw, top))):
            raise ScanError(
                f"hu-range: {plane.path} states HU from {hu[used].min():.0f} to "
                f"{hu[used].max():.0f} (slope {plane.slope:g}, intercept {plane.intercept:g}, "
                f"{'signed' if plane.signed else 'unsigned'}), which no CT has; "
                "its rescaling or its PixelRepresentation is wrong"
            )
        mended = True
        if over.any():
            hu[over] = np.rint((top - 65536) * plane.slope + plane.intercept)
        hu = np.clip(hu, _MIN, _MAX)
    out[...] = hu.astype(np.int16)[raw.astype(np.int32) - low]
    return PixelNotes(rounded, mended)


def _in_a_corner(raw: npt.NDArray[Any], value: int) -> bool:
    # Padding lies outside the circle that the scanner sees, so in the corners first of all; a
    # bright voxel of metal does not.
    return value in {int(corner) for corner in _corners(raw)}


def _corners(raw: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([raw[0, [0, -1]], raw[-1, [0, -1]]])


def _within_stored_bits(
    plane: Plane, raw: npt.NDArray[Any], low: int, high: int
) -> tuple[npt.NDArray[Any], bool]:
    bits = plane.bits_stored
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if plane.signed else (0, (1 << bits) - 1)
    if low >= least and high <= most:
        return raw, False
    free = raw.dtype.itemsize * 8 - bits
    if plane.overlay_bits or (plane.signed and low >= 0 and high < 1 << bits):
        # Arithmetic for signed values: their sign is extended.
        return (raw << free) >> free, False
    beyond = (raw < least) | (raw > most)
    constants = np.unique(raw[beyond]).tolist()
    is_padding = [
        _in_a_corner(raw, value) or any(first <= value <= last for first, last in plane.padding)
        for value in constants
    ]
    if len(constants) <= _MOST_CONSTANTS and all(is_padding):
        signed = raw.astype(np.int32)
        signed[signed > _MAX] -= 65536
        return signed, True
    raise ScanError(
        f"stored-bits: {plane.path} says {bits} {'signed' if plane.signed else 'unsigned'} bits "
        f"({least} to {most}) and holds {low} to {high}; which of the two is right cannot be told"
    )


def _high_padding(plane: Plane, raw: npt.NDArray[Any]) -> MaskArray | None:
    """Where the slice is padding whose HU would be tissue; None where it is not."""
    ranges = [
        (first, last)
        for first, last in plane.padding
        # A value above the signed ones is a low one that was written as unsigned.
        if last <= _MAX
        and max(plane.slope * v + plane.intercept for v in (first, last)) > _HIGHEST_AIR_HU
    ]
    corners = {int(value) for value in _corners(raw)}
    top = int(raw.max())
    limits = {4095, _MAX, (1 << plane.bits_stored) - 1, (1 << plane.bits_stored - 1) - 1}
    if corners == {top} and top in limits and plane.slope * top + plane.intercept > _TOP_HU:
        ranges.append((top, top))
    if not ranges:
        return None
    marked = np.zeros(raw.shape, bool)
    for first, last in ranges:
        marked |= (raw >= first) & (raw <= last)
    # It lies outside the circle that the scanner sees, so in a corner at least.
    return joined_to_edge(marked) if _corners(marked).any() else None
