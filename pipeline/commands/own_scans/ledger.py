"""The ledger: which files in a folder these commands wrote, so that no other is written over.

It is one JSON file, and a journal beside it that gets a line for every file: the ledger of
thousands of files is not written again for each of them. The next run joins the two.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lungseg.core.json_file import write_json

OURS = ".lungseg-cli.json"
JOURNAL = ".lungseg-cli.journal"


def place_files(out: Path, contents: Mapping[str, Callable[[Path], object]]) -> None:
    """Write files into `out`, each whole or not at all, and keep in mind that they are ours.

    Parameters
    ----------
    out
        The folder.
    contents
        For each file's name, what writes the file whose path it is given.
    """
    partial = {name: out / f".{uuid.uuid4().hex[:12]}.tmp" for name in contents}
    try:
        for name, write in contents.items():
            write(partial[name])
        # Noted before they are there: a run that is killed in between knows old and new.
        _add({name: mark_of(path) for name, path in partial.items()}, out)
        for name, path in partial.items():
            path.replace(out / name)
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)


def move(out: Path, name: str, to: str) -> None:
    """Move a file of ours within `out`; it stays known as ours."""
    path, place = out / name, out / to
    place.parent.mkdir(exist_ok=True)
    _add({to: mark_of(path)}, out)
    path.replace(place)


def written(out: Path) -> dict[str, list[list[int]]]:
    """What these commands wrote into `out`: the last two marks of each file, by its name."""
    files = notes(out).get("files", {})
    found: dict[str, list[list[int]]] = dict(files) if isinstance(files, dict) else {}
    for name, mark in _journal(out):
        found[name] = [*found.get(name, [])[-1:], mark]
    return found


def mark_of(path: Path) -> list[int]:
    """By which a file that we wrote is known again: its size and its time of change."""
    state = path.stat()
    return [state.st_size, state.st_mtime_ns]


def notes(out: Path) -> dict[str, Any]:
    """What was noted about the folder, without the journal; nothing, where that is damaged."""
    try:
        noted: dict[str, Any] = json.loads((out / OURS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return noted if isinstance(noted, dict) else {}


def note(out: Path, **more: Any) -> None:
    """Note more about the folder, and join the journal to the ledger."""
    out.mkdir(parents=True, exist_ok=True)
    write_json({**notes(out), "files": written(out), **more}, out / OURS)
    (out / JOURNAL).unlink(missing_ok=True)


def note_again(out: Path, before: Mapping[str, Any]) -> None:
    """Note what was noted `before`, and the files of now; without either there is no ledger."""
    files = written(out)
    if before or files:
        write_json({**before, "files": files}, out / OURS)
    else:
        (out / OURS).unlink(missing_ok=True)
    (out / JOURNAL).unlink(missing_ok=True)


def _add(marks: Mapping[str, list[int]], out: Path) -> None:
    # The line break is first: what a killed run left of a line ends there.
    lines = "".join(f"\n{json.dumps([name, mark])}" for name, mark in marks.items())
    with (out / JOURNAL).open("ab") as journal:
        journal.write(lines.encode())
        journal.flush()
        os.fsync(journal.fileno())


def _journal(out: Path) -> list[tuple[str, list[int]]]:
    found = []
    with contextlib.suppress(OSError):
        for line in (out / JOURNAL).read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError):
                name, (size, time_ns) = json.loads(line)
                found.append((str(name), [int(size), int(time_ns)]))
    return found
