"""What nobody expected: noise of libraries kept off the screen, faults of ours kept in a file."""

import contextlib
import datetime
import errno
import os
import re
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

DEBUG_VARIABLE = "LUNGSEG_DEBUG"

# A folder, file or disk that the user named does not take what is to be written, or is none.
_OF_THE_USER = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG,
    errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EIO, errno.ESTALE, errno.EBUSY, errno.EMFILE,
}  # fmt: skip
_LONGEST = 200


def debugging() -> bool:
    """True if the user wants to see what is otherwise kept off the screen."""
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """While it lasts, what compiled libraries write to stderr is not shown; what we say is.

    HDF5, ITK and GDCM write back traces and warnings past Python, from any process. What went
    wrong is in our own messages.
    """
    if debugging() or sys.stderr is None:
        yield
        return
    try:
        screen = os.dup(2)
    except OSError:  # there is none
        yield
        return
    before = sys.stderr
    before.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    warnings.simplefilter("ignore")
    with os.fdopen(
        os.dup(screen), "w", encoding=before.encoding, errors="backslashreplace", buffering=1
    ) as ours:
        sys.stderr = ours
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                ours.flush()
            sys.stderr = before
            os.dup2(screen, 2)
            os.close(screen)


def sentence_of(error: OSError) -> str:
    """What an error of the file system means to the user; empty if it is none of theirs."""
    if error.errno not in _OF_THE_USER:
        return ""
    name = str(error.filename) if error.filename is not None else "a file"
    advice = (
        "look at its disk"
        if error.errno == errno.EIO
        else "name another folder, or make room there"
    )
    return f"{shortened(name)}: {error.strerror}; {advice}"


def shortened(text: str) -> str:
    """A text that fits into a message, with its beginning, its end and its length.

    Examples
    --------
    >>> shortened("scan.nii")
    'scan.nii'
    >>> len(shortened("x" * 5000)) < 240
    True
    """
    if len(text) <= _LONGEST:
        return text
    return f"{text[:120]}...{text[-40:]} ({len(text)} characters)"


def with_short_words(message: str) -> str:
    """A message in which no word, a path perhaps, fills the screen."""
    return re.sub(r"\S{500,}", lambda word: shortened(word.group()), message)


def told(error: Exception, params: Mapping[str, Any]) -> str:
    """A fault of ours in a sentence; its traceback goes into a file in the command's folder.

    Parameters
    ----------
    error
        What nobody expected.
    params
        The command's options: ``work`` or ``out`` is the folder.
    """
    if debugging():
        traceback.print_exception(error)
    named = shortened(f"{type(error).__name__}: {error}".rstrip(": ").replace("\n", " "))
    if isinstance(error, MemoryError):
        named = f"memory ran out ({named})"
    return (
        f"an unexpected fault, of the program and not of yours: {named}; what is done is kept. Its "
        f"traceback is in {_keep(error, params)}, for who mends it; {DEBUG_VARIABLE}=1 shows it"
    )


def _keep(error: Exception, params: Mapping[str, Any]) -> str:
    text = "".join([f"{' '.join(sys.argv)}\n\n", *traceback.format_exception(error)])
    now = datetime.datetime.now(datetime.UTC)
    name = f"fault-{now:%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    places = [params.get("work"), params.get("out"), tempfile.gettempdir()]
    for place in (Path(place) for place in places if place):
        try:
            if place.is_dir():
                (place / name).write_text(text, encoding="utf-8", errors="backslashreplace")
                return str(place / name)
        except OSError:
            continue
    return "no file, since none could be written"
