"""Text for people, JSON and CSV: what would break a line, or is no UTF-8, is shown escaped."""

import unicodedata

# Control characters, what turns the direction of writing, surrogates, unassigned; line ends.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


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
