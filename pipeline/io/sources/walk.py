"""Every path below the roots: a file to look at, or a word on why it is none.

Passed over without a word are only ``._*`` and ``.DS_Store``, which file systems of a Mac leave
beside every file, and the files that this program itself wrote.
"""

import os
import re
import stat as modes
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

_SILENT = ".DS_Store"
_SILENT_START = "._"
WORK_FOLDER = "a work folder of this program, not looked into"
"""Why a work folder is left out."""
# What a work folder holds from its first minute on; the headers' file may bear a pseudonym's mark.
_HEADERS = re.compile(r"headers(-\w+)?\.cache")
_SOURCES = {"sources", "guests"}


@dataclass(frozen=True, slots=True)
class Entry:
    """A file to look at.

    Attributes
    ----------
    path
        Absolute, links within it as they are.
    size, mtime_ns
        Bytes, and time of the last change.
    hidden
        The outermost folder on the way to it whose name begins with a dot; empty if there is none.
    """

    path: str
    size: int
    mtime_ns: int
    hidden: str = ""


@dataclass(frozen=True, slots=True)
class Unseen:
    """A path that could not be looked at, or is none of ours.

    Attributes
    ----------
    path
        Where it is.
    reason
        Why, in words.
    fault
        True if there may be a scan.
    """

    path: str
    reason: str
    fault: bool


def walk(roots: Sequence[Path], passed_over: Set[str]) -> Iterator[Entry | Unseen]:
    """Every file below `roots`, each once, and every path that cannot be entered.

    Parameters
    ----------
    roots
        Folders or files; links are followed, a folder that was seen is not entered again.
    passed_over
        Real paths of what this program itself wrote here.
    """
    seen: set[tuple[int, int]] = set()
    files: set[str] = set()
    for root in roots:
        top = root_path(root)
        folders: list[tuple[str, str]] = []
        found = [_file_or_folder(top, "", folders)]
        while True:
            for item in found:
                if item is None or item.path in files:
                    continue
                files.add(item.path)
                yield item
            if not folders:
                break
            folder, hidden = folders.pop()
            found = list(_entries(folder, hidden, folders, seen, passed_over))


def is_work_folder(names: Set[str]) -> bool:
    """Whether a folder that holds files and folders of these names is a work folder.

    Examples
    --------
    >>> is_work_folder({"headers.cache", "sources", "notes.md"}), is_work_folder({"sources"})
    (True, False)
    """
    return bool(names & _SOURCES) and any(map(_HEADERS.fullmatch, names))


def root_path(root: Path) -> str:
    """Absolute path of a root; a file keeps the name it was given by, even if it is a link.

    In an annex, or a data lake, a link's own name says what it is, and its target's is a digest.
    """
    folder, name = os.path.split(os.fspath(root))
    if os.path.isdir(root) or name in {"", ".", ".."}:  # noqa: PTH112 - of any length
        return os.path.realpath(root)
    return os.path.join(os.path.realpath(folder or "."), name)  # noqa: PTH118


def unreadable(error: OSError) -> str:
    """Why a path could not be read, in words."""
    if isinstance(error, FileNotFoundError):
        return "unreadable: it was there, and was gone when it was to be read; look again"
    return f"unreadable: {error.strerror or error}"


def _file_or_folder(
    path: str, hidden: str, folders: list[tuple[str, str]]
) -> Entry | Unseen | None:
    # A folder is put to `folders`; strings all the way, as Path costs more than stat.
    try:
        stat = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if os.path.islink(path):  # noqa: PTH114
            return Unseen(path, "unreadable: a link that leads nowhere, or to itself", fault=True)
        return Unseen(path, unreadable(error), fault=True)
    if modes.S_ISDIR(stat.st_mode):
        folders.append((path, hidden))
        return None
    if modes.S_ISREG(stat.st_mode):
        return Entry(path, stat.st_size, stat.st_mtime_ns, hidden)
    return Unseen(path, "no file but a pipe, a socket or a device", fault=False)


def _entries(
    folder: str,
    hidden: str,
    folders: list[tuple[str, str]],
    seen: set[tuple[int, int]],
    passed_over: Set[str],
) -> Iterator[Entry | Unseen | None]:
    if folder in passed_over:
        return
    try:
        stat = os.stat(folder)  # noqa: PTH116
        if (stat.st_dev, stat.st_ino) in seen:
            return
        seen.add((stat.st_dev, stat.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Unseen(folder, f"{unreadable(error)} (a folder)", fault=True)
        return
    if is_work_folder({entry.name for entry in entries}):
        yield Unseen(folder, WORK_FOLDER, fault=False)
        return
    inner: list[tuple[str, str]] = []
    for entry in entries:
        if entry.path in passed_over or entry.name == _SILENT:
            continue
        within = hidden or (entry.path if entry.name.startswith(".") else "")
        found = _file_or_folder(entry.path, within, inner)
        if found is None or not entry.name.startswith(_SILENT_START):
            yield found
    folders += reversed(inner)
