"""Files written whole: a reader sees the old file or the new one, and no error of writing is lost.

A file is written beside its place, forced to the disk, read back and compared, then renamed. Who
writes holds a lock on it, so that what a killed program left can be told from what is in work.
"""

import contextlib
import errno
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lungseg.core.disk.digests import digest_of_bytes, has_digest

TEMPORARY = ".tmp"
_LINKS_LIVE_S = 60.0

Meant = dict[str, tuple[int, str]]

_meant: dict[str, Meant] = {}


@contextlib.contextmanager
def noting(folder: Path) -> Iterator[None]:
    """While it lasts, what this process means to write in `folder` is noted."""
    _meant[str(folder)] = {}
    try:
        yield
    finally:
        del _meant[str(folder)]


def meant_in(folder: Path) -> Meant:
    """Size and digest of what was to be written in `folder`, by path, since `noting` began."""
    return _meant.get(str(folder), {})


def meant_to_be(path: Path, size: int, digest: str) -> None:
    """Note what the file `path` is meant to hold."""
    for folder in path.parents:
        if str(folder) in _meant:
            _meant[str(folder)][str(path)] = (size, digest)


def write_bytes(data: bytes | memoryview, path: Path) -> None:
    """Write `data` to the file `path`, whole or not at all.

    Raises
    ------
    OSError
        If the disk is full or fails, or if what can be read back is not what was written; the old
        file stays.
    """
    partial = path.with_name(f".{path.name[:40]}-{uuid.uuid4().hex[:8]}{TEMPORARY}")
    try:
        with held_open(partial) as file:
            file.write(data)
            file.flush()
            # The rename must not reach the disk before the bytes do.
            os.fsync(file.fileno())
            digest = digest_of_bytes(data)
            if not has_digest(partial, digest):
                raise differs(path)
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    meant_to_be(path, len(data), digest)


def differs(path: Path) -> OSError:
    """The error that a file on the disk is not what was written to it."""
    told = "what is on the disk is not what was written to it; is the disk sound?"
    return OSError(errno.EIO, told, str(path))


def force_to_disk(path: Path) -> None:
    """Have the system write a file's bytes now, and tell what went wrong.

    Raises
    ------
    OSError
        If they could not all be written.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def held_open(path: Path) -> Iterator[IO[bytes]]:
    """A new file to write, locked as long as it is open."""
    while True:
        with path.open("wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Before the lock was held, somebody may have swept the file away.
            if _is_there(path, file):
                yield file
                return


def _is_there(path: Path, file: IO[bytes]) -> bool:
    try:
        return path.stat().st_ino == os.fstat(file.fileno()).st_ino
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def if_abandoned(lock: Path) -> Iterator[bool]:
    """True if nobody holds the file `lock`; then who asks does, as long as the context lasts."""
    try:
        file = lock.open("rb")
    except FileNotFoundError:
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def sweep_temporary(folder: Path) -> int:
    """Remove what killed programs left half-written in `folder`; return how many files."""
    swept = 0
    with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if not (entry.name.startswith(".") and entry.name.endswith(TEMPORARY)):
                continue
            swept += _swept(Path(entry.path), link=entry.is_symlink())
    return swept


def _swept(path: Path, *, link: bool) -> bool:
    with contextlib.suppress(FileNotFoundError, PermissionError, IsADirectoryError):
        if link:  # no lock can be held on it; who makes one renames it at once
            abandoned = time.time() - path.lstat().st_mtime > _LINKS_LIVE_S
            if abandoned:
                path.unlink()
            return abandoned
        with if_abandoned(path) as abandoned:
            if abandoned:
                path.unlink()
            return abandoned
    return False
