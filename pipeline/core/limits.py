"""Limits: what a step needs of memory is held against what there is, before it is taken.

A header of a few bytes can ask for any amount, and a process that takes more than there is gets
killed without a word, often another one than that which was greedy.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import psutil

from lungseg.core.errors import LimitError

# Bytes that one process may have; set for this process and those that it starts.
MEMORY_VARIABLE = "LUNGSEG_MEMORY_LIMIT"

_CGROUP = Path("/sys/fs/cgroup")
_OF_PROCESS = Path("/proc/self/cgroup")


def check_memory(need: float, what: str, *, setting: str | tuple[str, ...] = ()) -> None:
    """Refuse what does not fit into memory, before any of it is taken.

    Parameters
    ----------
    need
        Bytes that will be taken beside what the process has already; at the worst moment.
    what
        Who needs them, as the subject of a sentence: its name and its size, e.g. ``"ct.nii.gz with
        2048 x 2048 x 1300 voxels"``.
    setting
        As in `LungsegError`: what to set so that it needs less.

    Raises
    ------
    LimitError
        If more is needed than the machine, its control group or ``--memory-limit`` leaves.

    Examples
    --------
    >>> check_memory(1000, "a grid of 10 x 10 x 10 voxels")
    """
    left, advice = memory_left()
    if need <= left:
        return
    raise LimitError(
        f"{what} needs {as_size(need)} of memory, and {as_size(left)} is left; {advice}",
        setting=setting,
    )


def memory_left() -> tuple[int, str]:
    """Bytes that this process may still take, and what to do where they are too few."""
    choices = [
        (psutil.virtual_memory().available, "take a machine with more memory, or fewer --jobs")
    ]
    told = os.environ.get(MEMORY_VARIABLE, "")
    if told:
        own = psutil.Process().memory_info().rss
        choices.append((int(told) - own, "give each process more with --memory-limit"))
    group = _left_in_group()
    if group is not None:
        choices.append((group, "give the container or job more memory, or take fewer --jobs"))
    left, advice = min(choices)
    return max(left, 0), advice


@contextlib.contextmanager
def memory_limit(limit: int | None) -> Iterator[None]:
    """While it lasts, this process and those that it starts may have `limit` bytes each.

    Parameters
    ----------
    limit
        Bytes; None: as many as the machine has.
    """
    before = os.environ.pop(MEMORY_VARIABLE, None)
    if limit is not None:
        os.environ[MEMORY_VARIABLE] = str(limit)
    try:
        yield
    finally:
        os.environ.pop(MEMORY_VARIABLE, None)
        if before is not None:
            os.environ[MEMORY_VARIABLE] = before


def as_size(count: float) -> str:
    """A number of bytes for a person.

    Examples
    --------
    >>> as_size(12_455_405_158), as_size(3_500_000), as_size(12)
    ('11.6 GiB', '3.3 MiB', '12 bytes')
    """
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} bytes"


def _left_in_group() -> int | None:
    """Bytes left in the tightest control group (version 2) of this process; None without one."""
    try:
        line = next(
            text for text in _OF_PROCESS.read_text("utf-8").splitlines() if text[:3] == "0::"
        )
    except (OSError, StopIteration):
        return None
    left = []
    folder = _CGROUP / line[3:].lstrip("/")
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError, ValueError):
            most = int((place / "memory.max").read_text("utf-8"))  # "max": there is no limit
            taken = int((place / "memory.current").read_text("utf-8"))
            left.append(most - taken + _given_back(place / "memory.stat"))
        if place == _CGROUP:
            break
    return min(left, default=None)


def _given_back(stat: Path) -> int:
    # Pages of files that were read count as taken, and are given back when asked for.
    for line in stat.read_text("utf-8").splitlines():
        name, _, count = line.partition(" ")
        if name == "inactive_file":
            return int(count)
    return 0
