"""Trust: an output counts as what its record says only after a look at its files.

Two looks, at two prices. `look` costs a stat a file: all are there, of the right size, and none was
changed after the record was written; it decides whether a stage runs. `fault_in` reads the files
and compares their digests; nothing is read as an input before it.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from lungseg.core import record as records
from lungseg.core.disk.digests import has_digest
from lungseg.core.errors import DataError
from lungseg.core.record import Record, read_record

# What a file was when it was last compared: in one process no file is read twice for it.
_Stat = tuple[int, int, int, int]
_compared: dict[str, tuple[_Stat, str]] = {}


@dataclass(frozen=True)
class Found:
    """A record that can be trusted, or None; and why what lies there cannot be, in words."""

    record: Record | None
    fault: str = ""


def look(folder: Path, stage: str, fingerprint: str, scan: str = "") -> Found:
    """The record of an output if its files are there, with their sizes and no later changes.

    A file that was changed after the record was written is compared with its digest: it may be a
    copy, or damaged.
    """
    file = folder / records.NAME
    try:
        record = read_record(file)
    except DataError as error:
        gone = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
        if not gone:
            return Found(None, str(error))
        return Found(None, f"{file} is gone" if folder.is_dir() else "")
    if (record.stage, record.fingerprint, record.scan) != (stage, fingerprint, scan):
        return Found(None, f"{folder} holds the output of another scan, stage or setting")
    fault, later = _look_at_files(folder, record)
    if not fault and later:
        fault = _difference(folder, record)
        if not fault:
            _vouch(folder, record)
    return Found(None, fault) if fault else Found(record)


def _look_at_files(folder: Path, record: Record) -> tuple[str, bool]:
    """What is wrong with the files at first sight, and whether one is newer than its record."""
    later = False
    try:
        kept_ns = (folder / records.NAME).stat().st_mtime_ns
        for name, (size, _) in record.files.items():
            now = (folder / name).stat()
            if now.st_size != size:
                return f"{folder / name} has {now.st_size} bytes, expected {size}", later
            later = later or now.st_mtime_ns > kept_ns
    except FileNotFoundError as error:
        return f"{error.filename} is gone", later
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})", later
    return "", later


def fault_in(folder: Path, stage: str, fingerprint: str, scan: str = "", *, only: str = "") -> str:
    """Why an output (or the file `only` of it) is not what was kept; empty if every byte is.

    An output with a fault is not trusted by `look` either, from now on.
    """
    found = look(folder, stage, fingerprint, scan)
    if found.record is None:
        return found.fault or f"{folder} is gone"
    fault = _difference(folder, found.record, only)
    if fault:
        distrust(folder)
    return fault


def distrust(folder: Path) -> None:
    """Have the next look at an output compare every byte."""
    # Older than its files, the record vouches for none of them.
    with contextlib.suppress(OSError):
        os.utime(folder / records.NAME, (0, 0))


def remember(folder: Path, record: Record) -> None:
    """The files of `record` were just compared with what was meant: spare the next look."""
    for name, (_, digest) in record.files.items():
        with contextlib.suppress(OSError):
            _compared[str(folder / name)] = (_stat_of(folder / name), digest)


def _difference(folder: Path, record: Record, only: str = "") -> str:
    for name, (_, digest) in record.files.items():
        if only and name != only:
            continue
        path = folder / name
        try:
            now = _stat_of(path)
            if _compared.get(str(path)) == (now, digest):
                continue
            if not has_digest(path, digest):
                return f"{path} is not what was kept: its digest differs"
        except OSError as error:
            return f"{path} cannot be read ({error.strerror})"
        _compared[str(path)] = (now, digest)
    return ""


def _vouch(folder: Path, record: Record) -> None:
    # A copy of a work folder has new times; what was compared once need not be again.
    with contextlib.suppress(OSError):
        latest = max((folder / name).stat().st_mtime_ns for name in record.files)
        file = folder / records.NAME
        os.utime(file, ns=(latest, max(latest, file.stat().st_mtime_ns)))


def _stat_of(path: Path) -> _Stat:
    # Who sets the time back after a change cannot set back the time of that.
    now = path.stat()
    return now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino
