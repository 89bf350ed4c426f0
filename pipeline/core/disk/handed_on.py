"""What a stage has written, handed on in memory to the stage after it, once.

A scan's stages run one after the other in one process, and to read back what was written a moment
ago costs as much as all that the next stage does with it. What is held is known by its file: where
that lies on the disk, its size and its times. Another file at the same path is read.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

_Key = tuple[int, int, int, int, int]

_held: ContextVar[dict[_Key, object] | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def handing_on() -> Iterator[None]:
    """While it lasts, what was handed on last is held until it is taken."""
    token = _held.set({})
    try:
        yield
    finally:
        _held.reset(token)


def hand_on(path: Path, content: object) -> None:
    """Hold what the file `path` has, in place of what was held; its giver changes it no more."""
    held = _held.get()
    if held is not None:
        held.clear()
        held[_key_of(path)] = content


def taken(path: Path) -> object | None:
    """What the file `path` has, if it is held; it is the taker's from now on. Else None."""
    held = _held.get()
    if not held:
        return None
    with contextlib.suppress(OSError):
        return held.pop(_key_of(path), None)
    return None


def _key_of(path: Path) -> _Key:
    now = path.stat()
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns
