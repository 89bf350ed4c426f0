"""Being asked to stop: Ctrl-C and SIGTERM end a run in the same orderly way."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
# Longer than what runs in a `__del__`; where it is not, the signal is swallowed and sent once more.
_OVER_SECONDS = 0.05
_ASKS = "lungseg-asks-again"


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
    """While it lasts, SIGTERM raises `Terminated` as Ctrl-C raises KeyboardInterrupt.

    Neither is lost: Python raises them wherever the main thread happens to be, and in an object's
    `__del__` or a callback of C it reports and forgets them. The process then asks itself again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, _frame: FrameType | None) -> None:
        # A second request must not break off the cleaning up after the first.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    def lost(unraisable: "sys.UnraisableHookArgs") -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            report(unraisable)
        elif issubclass(unraisable.exc_type, Terminated):
            signal.signal(signal.SIGTERM, stop)
            _ask_again(signal.SIGTERM)
        else:
            _ask_again(signal.SIGINT)

    before, report = signal.signal(signal.SIGTERM, stop), sys.unraisablehook
    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = report
        signal.signal(signal.SIGTERM, before)


def _ask_again(number: signal.Signals) -> None:
    """Send the process a signal, once, when what swallowed the last one is over."""
    if any(thread.name == _ASKS for thread in threading.enumerate()):
        return
    again = threading.Timer(_OVER_SECONDS, os.kill, (os.getpid(), number))
    again.name, again.daemon = _ASKS, True
    again.start()


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
