"""Place: the folder that a command writes to and its work folder, made, opened and cleared."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lungseg.commands.own_scans import ledger
from lungseg.commands.run_stages import REPORT
from lungseg.core.errors import ConfigError
from lungseg.io.sources.walk import is_work_folder
from lungseg.session.settings import CommandOptions
from lungseg.session.work_folder import Session, open_for

WORK = "lungseg-work"


@dataclass(frozen=True)
class Before:
    """What was there when a command began: folders, what was noted in `out`, scans of `work`."""

    out: bool = True
    work: bool = True
    notes: Mapping[str, Any] = field(default_factory=dict)
    scans: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a command writes.

    Attributes
    ----------
    out
        The folder for what is handed out.
    work
        The work folder; None: one within `out`.
    no_cache
        Remove that one in the end.
    before
        What was there when the command began.
    """

    out: Path
    work: Path | None = None
    no_cache: bool = False
    before: Before = field(default_factory=Before)

    def __post_init__(self) -> None:
        if self.no_cache and self.work:
            raise ConfigError(
                f"--no-cache removes the work folder within --out; {self.work}, which --work "
                "names, is yours: leave one of the two out"
            )

    @property
    def work_folder(self) -> Path:
        """The work folder, whichever it is."""
        return self.work or self.out / WORK


def opened(
    place: Place, roots: Sequence[Path], options: CommandOptions, *, dry: bool = False
) -> Session:
    """The work folder for the scans under `roots`, without what was handed out before.

    Where it is `dry`, nothing will be run, and no folder is made.

    Raises
    ------
    ConfigError
        If a root does not exist, or there is no scan in them, or `out` cannot be made or is a work
        folder.
    """
    for root in roots:
        if not os.path.exists(root):  # noqa: PTH110 - of any length
            raise ConfigError(f"{root}: there is no such file or folder")
    out = place.out
    _check_no_work_folder(place)
    with nothing_if_refused(place):
        if not dry:
            _make(out)
        ours = {out.resolve() / name for name in ledger.written(out)}
        own = (WORK, REPORT, ledger.OURS, ledger.JOURNAL)
        return open_for(
            place.work_folder,
            options,
            roots,
            {*(out.resolve() / name for name in own), *ours},
            guest=place.work is not None,
            dry=dry,
        )


def _check_no_work_folder(place: Place) -> None:
    out = place.out
    if not out.is_dir() or (place.work and place.work.resolve() == out.resolve()):
        return
    if is_work_folder({path.name for path in out.iterdir()}):
        raise ConfigError(
            f"--out {out} is a work folder, whose files are none to be handed out beside; name "
            f"another folder, and --work {out} to use its cache"
        )


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {out} cannot be made ({error.strerror or error}); name a folder that you may "
            "write to"
        ) from error


@contextlib.contextmanager
def nothing_if_refused(
    place: Place, is_begun: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """A command that is refused before it ran anything leaves its folders as they were."""
    try:
        yield
    except ConfigError:
        if is_begun():
            raise
        out, work = place.out, place.work_folder
        # Another command may have begun to work there meanwhile.
        if not place.before.work and not (work / "scans").exists():
            shutil.rmtree(work, ignore_errors=True)
        # Where nothing may be written nothing was: why it is refused is what the user is told.
        with contextlib.suppress(OSError):
            if out.is_dir():
                ledger.note_again(out, place.before.notes)
            if not place.before.out:
                out.rmdir()
        raise


def remove_cache(place: Place) -> str:
    """Remove the work folder within `out`, if these commands made it; say so if not."""
    work = place.work_folder
    if not ledger.notes(place.out).get("work"):
        return f"{work} stays: it was there before"
    if (work / "dataset").is_dir():
        return f"{work} stays: more was made in it than scans (tables, nets)"
    shutil.rmtree(work, ignore_errors=True)
    return f"{work} is removed (--no-cache)"
