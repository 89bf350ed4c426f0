"""Bounds: a task in a process of its own, which is ended when it takes too long or too much.

A thread cannot end a decoder that hangs, nor can the process that it hangs in; only another
process can. The process is kept for the next task, so that its libraries are imported once.
"""

import contextlib
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import psutil

from lungseg.core.errors import LimitError
from lungseg.core.limits import MEMORY_VARIABLE, as_size

Task = TypeVar("Task")
Done = TypeVar("Done")

_SERVE = "from lungseg.core.engine.bounds import serve; serve()"
_LENGTH = struct.Struct(">Q")
_LOOK_SECONDS = 0.1
_own = threading.local()


class WorkerKilledError(Exception):
    """No result came of a task: its process was killed, or ended by a limit or a fault."""


@dataclass(frozen=True)
class Bounds:
    """What one task may take.

    Attributes
    ----------
    seconds
        Time on the clock; None: any.
    memory
        Bytes of its process; None: any.
    """

    seconds: float | None = None
    memory: int | None = None

    def __bool__(self) -> bool:
        return self.seconds is not None or self.memory is not None


def run_bounded(
    function: Callable[[Task], Done], bounds: Bounds, task: Task
) -> Done | WorkerKilledError:
    """`function` of `task`, or why its process had to be ended; each thread has one process."""
    if not bounds:
        return function(task)
    if not hasattr(_own, "process"):
        _own.process = _Process()
    if bounds.memory is None and os.environ.get(MEMORY_VARIABLE):
        bounds = Bounds(bounds.seconds, int(os.environ[MEMORY_VARIABLE]))
    result: Done | WorkerKilledError = _own.process.call(function, task, bounds)
    return result


def end_process() -> None:
    """End this thread's process, if it has one."""
    if hasattr(_own, "process"):
        _own.process.end()


class _Process:
    """A process that does one task at a time."""

    def __init__(self) -> None:
        self._started: subprocess.Popen[bytes] | None = None

    def call(self, function: Callable[[Any], Any], task: Any, bounds: Bounds) -> Any:
        process = self._start()
        try:
            _write(process.stdin, (function, task))
            _wait_for(process, bounds)
            done, value = _read(process.stdout)
        except (EOFError, OSError, LimitError) as error:
            self.end()
            status = process.returncode
            how = signal.Signals(-status).name if status and status < 0 else f"status {status}"
            own = isinstance(error, LimitError)
            return WorkerKilledError(str(error) if own else _ended(how))
        except BaseException:
            self.end()
            raise
        if not done:
            raise value
        return value

    def end(self) -> None:
        """Kill it, and the processes that it started."""
        process, self._started = self._started, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        if self._started is None or self._started.poll() is not None:
            self._started = subprocess.Popen(
                [sys.executable, "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # A group of its own: it is ended together with what it starts, and Ctrl-C in a
                # terminal is for its owner.
                start_new_session=True,
            )
        return self._started


def _wait_for(process: "subprocess.Popen[bytes]", bounds: Bounds) -> None:
    """Wait until it answers, or ends.

    Raises
    ------
    LimitError
        If it passes a bound first.
    """
    start = time.monotonic()
    answers: Any = process.stdout
    while not select.select([answers], [], [], _LOOK_SECONDS)[0]:
        if bounds.seconds is not None and time.monotonic() - start > bounds.seconds:
            raise LimitError(
                f"it was not done after {bounds.seconds:g} s, and was ended; give it more with "
                "--time-limit, or look at this scan alone with --scan"
            )
        if bounds.memory is not None and _memory_of(process.pid) > bounds.memory:
            raise LimitError(
                f"it took more than {as_size(bounds.memory)} of memory, and was ended; give it "
                "more with --memory-limit"
            )


def _ended(how: str) -> str:
    return (
        f"its process ended in mid-work ({how}): out of memory, or a crash inside a library. The "
        "other scans went on. Try fewer --jobs, or this scan alone with --scan"
    )


def _memory_of(process_id: int) -> int:
    taken = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(process_id)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                taken += one.memory_info().rss
    return taken


def serve() -> None:
    """Do what comes on stdin, one task after another, until its owner is gone."""
    # What libraries print must not stand among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tasks = sys.stdin.buffer
    _end_with(os.getppid())
    while True:
        try:
            function, task = _read(tasks)
        except EOFError:
            return
        try:
            answer = (True, function(task))
        except Exception as error:  # it is raised where the task came from
            answer = (False, error)
        try:
            _write(answers, answer)
        except BrokenPipeError:
            return


def _end_with(owner: int) -> None:
    """End this process, whatever it does, soon after its owner has ended."""

    def look() -> None:
        while os.getppid() == owner:
            time.sleep(1)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=look, daemon=True).start()


def _write(pipe: Any, value: object) -> None:
    data = pickle.dumps(value)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def _read(pipe: Any) -> Any:
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)
