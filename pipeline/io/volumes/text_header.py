"""Lines of a text header, MetaImage or NRRD: read, told apart, held against the names there are."""

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Set
from pathlib import Path, PurePosixPath, PureWindowsPath

from lungseg.core.errors import ScanError
from lungseg.core.shown import shown

LONGEST_HEADER = 1 << 20
_LIKE = 0.83
_MOST_LONGER = 2


def lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Each line without its end, and how many bytes of the file end with it.

    It ends after a megabyte: no header is longer, and the voxels may follow.
    """
    at = 0
    with path.open("rb") as file:
        while at < LONGEST_HEADER:
            line = file.readline(LONGEST_HEADER)
            if not line:
                return
            at += len(line)
            yield line.rstrip(b"\r\n"), at


def add(path: Path, fields: dict[str, str], key: str, value: str, *, once: bool = False) -> None:
    """Put a line's key and value to `fields`.

    Raises
    ------
    ScanError
        If another line says otherwise, or, where a field may stand there `once`, says the same.
    """
    if fields.get(key, value) != value or (once and key in fields):
        raise ScanError(
            f"header: {shown(path)} states {shown(key)} twice, {shown(fields[key][:80])!r} and "
            f"{shown(value[:80])!r}; leave one"
        )
    fields[key] = value


def no_field(path: Path, line: bytes, mark: str) -> ScanError:
    """What to raise at a line that has no `mark` after its name."""
    return ScanError(
        f"header: {shown(path)} has the line {shown(text(line[:80]))!r} without `{mark}`; it is "
        "damaged, or write the line right"
    )


def is_meant_as_field(line: bytes, known: Set[str]) -> bool:
    """Whether a line without its sign is a field that was spoilt, and no stray remark."""
    word = re.match(rb"\w*", line.lower())
    name = word[0].decode() if word else ""
    return (
        not line.isascii()
        or len(re.findall(rb"\d+", line)) > 1
        or bool(difflib.get_close_matches(name, known, n=1, cutoff=_LIKE))
    )


def check_names(path: Path, fields: Mapping[str, str], known: Set[str]) -> None:
    """See that no name is a slip of the pen: a reader that passes it over makes a volume up.

    Raises
    ------
    ScanError
        If a name is not `known` and nearly one that is.
    """
    for name in fields.keys() - known:
        for meant in difflib.get_close_matches(name, known, n=1, cutoff=_LIKE):
            if abs(len(meant) - len(name)) <= _MOST_LONGER:
                raise ScanError(
                    f"header: {shown(path)} has a line {shown(name)!r}, which is no field of the "
                    f"format; write {meant!r} if that is meant, else take the line out"
                )


def require(path: Path, fields: Mapping[str, str], names: tuple[str, ...]) -> None:
    """See that fields are there.

    Raises
    ------
    ScanError
        If one is not.
    """
    missing = [name for name in names if not fields.get(name)]
    if missing:
        raise ScanError(f"header: {shown(path)} does not say {', '.join(missing)}; it is damaged")


def beside(path: Path, named: str) -> Path:
    """The file that a header names for its voxels; the header's own for ``LOCAL``.

    Raises
    ------
    ScanError
        If there are several, or it lies in another folder: a header from elsewhere must not make
        this program read ``/etc/passwd``.
    """
    if named.upper() in {"LOCAL", ""}:
        return path
    if named.upper().startswith("LIST") or "%" in named:
        raise ScanError(
            f"data-file: {shown(path)} keeps its voxels in several files ({shown(named)!r}); "
            "convert it to one .mha or .nrrd"
        )
    parts = PurePosixPath(named).parts, PureWindowsPath(named).parts
    if "\0" in named or any(len(p) != 1 or p[0] in {"..", "."} for p in parts):
        raise ScanError(
            f"data-file: {shown(path)} names {shown(named)!r}, which lies outside its folder, and "
            "is not read; the voxels must be in a file beside the header"
        )
    return path.parent / named


def text(line: bytes) -> str:
    """A line's text; names of files in it stay what they are on the disk, UTF-8 or not."""
    return os.fsdecode(line)
