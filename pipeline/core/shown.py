"""Text for people, JSON and CSV: what would break a line, or is no UTF-8, is shown escaped."""

import os
import re
import unicodedata

# Control characters, what turns the direction of writing, surrogates, unassigned; line ends.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def shown(text: object, keep: str = "") -> str:
    r"""`text` in one line that any program can take: bytes that are no UTF-8 escaped, and controls.

    Parameters
    ----------
    text
        Anything with a text, as a path.
    keep
        Characters that stay as they are, though they would be escaped.

    Examples
    --------
    >>> shown("caf\udce9/two\nlines") == r"caf\xe9/two\nlines"
    True
    >>> shown("Müller^Jürgen"), shown("a\x1b[31mb") == r"a\x1b[31mb"
    ('Müller^Jürgen', True)
    """
    raw = str(text)
    if raw.isascii() and raw.isprintable():
        return raw
    try:
        whole = raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that stands for no byte
        whole = raw.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter.encode("unicode_escape").decode()
        if letter not in keep and unicodedata.category(letter) in _HIDDEN
        else letter
        for letter in whole
    )


def many(number: int, one: str, several: str = "") -> str:
    """How many of a thing, in words: with an s, or as `several`, but for one of it.

    Examples
    --------
    >>> many(1, "scan"), many(0, "scan"), many(2, "series", "series")
    ('1 scan', '0 scans', '2 series')
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def path_as_text(path: str) -> str:
    r"""A path of any bytes as text that JSON can keep; `path_of_text` gives the path back.

    Examples
    --------
    >>> path_as_text("caf\udce9") == r"caf\xe9"
    True
    >>> path_of_text(path_as_text("caf\udce9 \\xe9")) == "caf\udce9 \\xe9"
    True
    """
    return os.fsencode(path).replace(b"\\", b"\\x5c").decode("utf-8", "backslashreplace")


def path_of_text(text: str) -> str:
    """The path that `path_as_text` wrote."""
    return os.fsdecode(_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text.encode()))
