"""The tally of hard tests: how often the program was right, refused, wrong, or fell over.

A hard test does many tries of a kind of fault, and says after each what came of it. Kinds are
added up over all tests, and shown as a table when the run ends.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from lungseg.core.errors import LungsegError

TRACEBACK = "Traceback (most recent call last)"
# Of a kind, this many faults are told in full.
TOLD = 10


class Hang(BaseException):
    """A try took longer than it may; no `except Exception` of the program may swallow it."""


@dataclass
class Kind:
    """One kind of fault and what came of it.

    Every try ends in exactly one of `right`, `refused`, `wrong`, `traceback` or `hang`; `call`
    and `command` find the last three by themselves.
    """

    name: str
    rights: int = 0
    refusals: int = 0
    wrongs: int = 0
    tracebacks: int = 0
    hangs: int = 0
    peak_mb: float = 0.0
    told: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        return self.rights + self.refusals + self.wrongs + self.tracebacks + self.hangs

    @property
    def faults(self) -> int:
        return self.wrongs + self.tracebacks + self.hangs

    def right(self, times: int = 1) -> None:
        """The program gave what is right."""
        self.rights += times

    def refused(self, times: int = 1) -> None:
        """The program said in a sentence that it will not."""
        self.refusals += times

    def wrong(self, detail: str) -> None:
        """The program gave something else, and did not say so."""
        self.wrongs += 1
        self._tell("wrong", detail)

    def traceback(self, detail: str) -> None:
        """An error that is not the program's own, or a traceback on the screen."""
        self.tracebacks += 1
        self._tell("traceback", detail)

    def hang(self, detail: str) -> None:
        """It took longer than it may."""
        self.hangs += 1
        self._tell("hang", detail)

    def _tell(self, what: str, detail: str) -> None:
        if len(self.told) < TOLD:
            self.told.append(f"{what}: {detail}")

    def call(
        self, detail: str, function: Callable[..., Any], *args: Any, seconds: int = 60, **named: Any
    ) -> Any:
        """What `function` gives; None if it refused, fell over or hung, which is counted here.

        Who calls it judges what comes back with `right` or `wrong`. A function that may give None
        must be wrapped in one that does not.
        """
        try:
            with _alarm(seconds):
                return function(*args, **named)
        except LungsegError:
            self.refused()
        except Hang:
            self.hang(f"{detail}: over {seconds} s")
        except Exception as error:
            self.traceback(f"{detail}: {type(error).__name__}: {str(error)[:200]}")
        return None

    def command(
        self,
        detail: str,
        words: Sequence[str],
        *,
        seconds: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str] | None:
        """Run ``lungseg-cli WORDS``; what it said if it ended with 0 or 1, for you to judge.

        Exit status 2 with a sentence is a refusal; a traceback on the screen or another exit
        status (a signal) counts as a traceback. In these cases None is given back.
        """
        line = [sys.executable, "-c", "import sys; from lungseg.cli import main; sys.exit(main())"]
        try:
            done = subprocess.run(
                [*line, *words], capture_output=True, timeout=seconds, env=env, check=False,
                encoding="utf-8", errors="surrogateescape",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            self.hang(f"{detail}: over {seconds:g} s")
            return None
        if TRACEBACK in done.stdout + done.stderr or done.returncode not in {0, 1, 2}:
            said = done.stderr.strip().splitlines()
            self.traceback(f"{detail}: exit {done.returncode}: {said[-1] if said else ''}")
            return None
        if done.returncode == 2:
            self.refused()
            return None
        return done

    def add(self, other: "Kind") -> None:
        """Add the figures of the same kind from another test or process."""
        for name in ("rights", "refusals", "wrongs", "tracebacks", "hangs"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.peak_mb = max(self.peak_mb, other.peak_mb)
        self.told = [*self.told, *other.told][:TOLD]


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # pytest-timeout has the real timer (ITIMER_REAL) of the whole test: what is left of it is
    # put back.
    before, left, begin = signal.getsignal(signal.SIGALRM), signal.alarm(0), time.monotonic()
    signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        if left:
            signal.alarm(max(1, left - round(time.monotonic() - begin)))


@contextmanager
def memory_of(kinds: Mapping[str, Kind]) -> Iterator[None]:
    """Watch the memory of this process and its children while `kinds` are tried, each 50 ms."""
    over = threading.Event()
    before = _memory_mb()
    peak = [before]

    def watch() -> None:
        while not over.wait(0.05):
            peak[0] = max(peak[0], _memory_mb())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for kind in kinds.values():
            kind.peak_mb = max(kind.peak_mb, peak[0])


def _memory_mb() -> float:
    own = psutil.Process()
    total = own.memory_info().rss
    for child in own.children(recursive=True):
        with suppress(psutil.Error):
            total += child.memory_info().rss
    return total / 1e6


def as_table(kinds: Sequence[Kind]) -> list[str]:
    """The figures as lines of text: one a kind, and their sum."""
    total = Kind("all")
    for kind in kinds:
        total.add(kind)
    width = max(len(kind.name) for kind in [*kinds, total])
    heads = ("tried", "refused", "right", "wrong", "tracebacks", "hangs", "peak MB")
    lines = [f"{'kind':<{width}}" + "".join(f"{head:>11}" for head in heads)]
    for kind in [*sorted(kinds, key=lambda each: each.name), total]:
        figures = (
            kind.tried, kind.refusals, kind.rights, kind.wrongs, kind.tracebacks, kind.hangs,
            round(kind.peak_mb),
        )  # fmt: skip
        lines.append(f"{kind.name:<{width}}" + "".join(f"{figure:>11}" for figure in figures))
    return lines + [f"{kind.name}: {text}" for kind in kinds for text in kind.told]
