"""Headers that were read before, kept in a small database in the work folder."""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import xxhash

from lungseg.io.sources.files import Found

# Raised when `Found` or what makes it changes: an older database is then thrown away.
_VERSION = 4
_NAMES = [spec.name for spec in fields(Found)]
_FLAGS = [spec.name for spec in fields(Found) if isinstance(spec.default, bool)]
_COLUMNS = ", ".join(_NAMES)


class HeaderCache:
    """Database of `Found` by path, size and time of change; used in a ``with`` statement.

    Without a path nothing is known and nothing kept.

    A damaged database, or one of another version, is thrown away: it holds nothing that cannot be
    read again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, tuple[Any, ...]] = {}
        self._new: list[tuple[Any, ...]] = []

    def __enter__(self) -> Self:
        try:
            self._load()
        except sqlite3.DatabaseError:
            if self._path:
                self._path.unlink(missing_ok=True)
            self._known = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Also after an interruption: what was read need not be read again.
        # Another run writes, or the disk is full: nothing is lost.
        with contextlib.suppress(sqlite3.DatabaseError, OSError):
            self._save()

    def get(self, path: str, size: int, mtime_ns: int) -> Found | None:
        """What the file was found to be; None if it is unknown or has changed."""
        row = self._known.get(path)
        if row is None or row[0] != size or row[1] != mtime_ns:
            return None
        *values, digest = row
        if _digest(path, values) != digest:
            return None  # the database has no checksums of its own
        fields_of = dict(zip(_NAMES, values[2:], strict=True))
        return Found(**fields_of | {name: bool(fields_of[name]) for name in _FLAGS})

    def put(self, path: str, size: int, mtime_ns: int, found: Found) -> None:
        """Remember what a file is."""
        if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
            return  # a name that is no UTF-8 has no place in the database
        # As the database gives them back.
        values = [int(v) if isinstance(v, bool) else v for v in (size, mtime_ns, *astuple(found))]
        self._new.append((path, *values, _digest(path, values)))

    def _load(self) -> None:
        if self._path is None or not self._path.is_file():
            return
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as database:
            if database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise sqlite3.DatabaseError
            rows = database.execute(f"SELECT path, size, mtime_ns, {_COLUMNS}, digest FROM files")
            self._known = {row[0]: row[1:] for row in rows}

    def _save(self) -> None:
        if self._path is None or not self._new:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as database, database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS files "
                f"(path TEXT PRIMARY KEY, size, mtime_ns, {_COLUMNS}, digest)"
            )
            database.execute(f"PRAGMA user_version = {_VERSION}")
            holders = ", ".join("?" * len(self._new[0]))
            database.executemany(f"INSERT OR REPLACE INTO files VALUES ({holders})", self._new)


def _digest(path: str, values: Sequence[Any]) -> str:
    return xxhash.xxh3_64_hexdigest(repr((path, *values)).encode(errors="backslashreplace"))
