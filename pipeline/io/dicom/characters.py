"""Text of DICOM elements by their SpecificCharacterSet (PS3.3, C.12.1.1.2; PS3.5, 6.1).

A patient is known by PatientID, so its bytes must become one text whatever the character set and
the transfer syntax of the file: else one patient is two, or two are one.
"""

import unicodedata
import warnings

_ESCAPE = 0x1B
# What ends an escape sequence's reach: the line ends and tabs of PS3.5, 6.1.2.5.3.
_DELIMITERS = {0x0A, 0x0C, 0x0D, 0x09}


def decoded(value: bytes, character_set: bytes = b"") -> str:
    r"""Text of an element, composed (NFC), without its padding of spaces and nulls; case stays.

    Bytes that the stated set does not have are read as Latin-1, which keeps different bytes
    different. Where no set is stated, bytes beyond ASCII, which then should not be there, are UTF-8
    if they can be, else Latin-1.

    Parameters
    ----------
    value
        The element's bytes.
    character_set
        Bytes of SpecificCharacterSet, one name or several with backslashes between.

    Examples
    --------
    >>> decoded("Müller ".encode(), b"ISO_IR 192")
    'Müller'
    >>> decoded("Müller".encode(), b"ISO_IR 192") == decoded(b"M\xfcller\0", b"ISO_IR 100")
    True
    """
    if value.isascii() and _ESCAPE not in value:
        text = value.decode("ascii")
    else:
        text = _by_set(value, character_set)
    return unicodedata.normalize("NFC", text.strip(" \0"))


def _by_set(value: bytes, character_set: bytes) -> str:
    names = [name.strip(" \0") for name in character_set.decode("latin-1").split("\\")]
    if not any(names):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return value.decode("latin-1")
    from pydicom.charset import convert_encodings, decode_bytes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            text = decode_bytes(value, convert_encodings(names), _DELIMITERS)
        except (LookupError, UnicodeError):
            text = "\ufffd"
    # pydicom puts this for what it cannot decode: two different ids could become one.
    return value.decode("latin-1") if "\ufffd" in text else text
