"""Being asked to stop: Ctrl-C and SIGTERM end a run in the same orderly way."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM was received; whatever cleans up on Ctrl-C cleans up on it, too."""


class StoppedError(Exception):
    """A run was broken off by Ctrl-C or SIGTERM; it says what is kept.

    Attributes
    ----------
    status
        The exit status that shells expect.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """While it lasts, SIGTERM raises `Terminated` as Ctrl-C raises KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # A second request must not break off the cleaning up after the first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """While it lasts Ctrl-C waits; threads and processes that are started never hear of it.

    A terminal sends Ctrl-C to a whole group of processes. Workers are told to stop by the process
    that started them; hearing of it themselves, they would die in mid-sentence.
    """
    # Where it is started by the first worker, it would undo what follows.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def exit_status(stop: KeyboardInterrupt) -> int:
    """130 after Ctrl-C, 143 after SIGTERM, as shells have it."""
    return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
