"""Elements of a data set that pydicom has read, as the bytes that its file has."""

from typing import Any

# PS3.5, 7.1.2: kinds of elements with a length of four bytes, of two, and those of binary numbers.
LONG_VR = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
SHORT_VR = frozenset(
    {
        *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT"),
        *(b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"),
    }
)
NUMBER_VR = frozenset({b"AT", b"FD", b"FL", b"OB", b"OW", b"SL", b"SS", b"UL", b"US"})
_UNDEFINED = 0xFFFFFFFF


def bytes_of(dataset: Any, tag: int, *, number: bool) -> bytes:
    """The bytes of an element, so that a text is the same in every transfer syntax.

    Parameters
    ----------
    dataset
        As pydicom reads it.
    tag
        The element, which is there.
    number
        True if it must hold numbers of two bytes, which become little-endian; else text.

    Raises
    ------
    ValueError
        If its kind is none, or another one.
    """
    element = dataset.get_item(tag)
    kind = str(element.VR or "UN").encode("latin-1", "replace")
    is_known = kind in SHORT_VR | LONG_VR
    if not is_known or (kind != b"UN" and (kind in NUMBER_VR) != number):
        raise ValueError(
            f"element ({tag >> 16:04X},{tag & 0xFFFF:04X}) is of the kind {element.VR!r}"
        )
    value = element.value or b""
    if not isinstance(value, bytes):  # pydicom has parsed SpecificCharacterSet and the like
        parts = [value] if isinstance(value, str) else value
        return "\\".join(str(part) for part in parts).encode("latin-1", "replace")
    if number and not element.is_little_endian:
        return b"".join(value[k : k + 2][::-1] for k in range(0, len(value) - 1, 2))
    return value


def length_of(dataset: Any, tag: int) -> int:
    """Length of an element as the file states it; -1 if it is absent or has none."""
    if tag not in dataset:
        return -1
    length = getattr(dataset.get_item(tag, keep_deferred=True), "length", _UNDEFINED)
    return -1 if length == _UNDEFINED else int(length)
