"""Compressed DICOM pixels, decoded where a damaged stream can do no harm: in another process.

GDCM and OpenJPEG abort the process, or never return, on streams that a bad disk or an attacker made
(seen on one in ten of randomly damaged JPEG files). One such process is started when the first
compressed slice is read and serves until its owner ends.
"""

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from lungseg.core.errors import NotProvenError, ScanError

SLOWEST_S = 60.0


class _Died(Exception):  # noqa: N818 - a state of the other process
    """The decoder's process ended, or took too long.

    `proven` is False where the stream need not be to blame: another time it may be decoded.
    """

    def __init__(self, message: str, *, proven: bool = True) -> None:
        super().__init__(message)
        self.proven = proven


class Decoder:
    """A process that decodes, started when it is needed and again after it died."""

    def __init__(self, slowest_s: float = SLOWEST_S) -> None:
        self._slowest_s = slowest_s
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._one_at_a_time = threading.Lock()

    def decode(self, path: Path, frame: int, syntax: str) -> npt.NDArray[Any]:
        """Stored values of one frame, ``(y, x)``, signed or not as the file has them.

        Raises
        ------
        ScanError
            If no decoder reads it, or the decoder crashed.
        NotProvenError
            If it took longer than `slowest_s`, or was killed from outside.
        MemoryError
            If there was too little of it.
        """
        try:
            with self._one_at_a_time:
                head, pixels = self._ask(path, frame, syntax)
        except _Died as died:
            self.close()
            kind = ScanError if died.proven else NotProvenError
            raise kind(_message(path, syntax, str(died))) from None
        if head.get("memory"):
            raise MemoryError(f"memory ran out while {path} was decoded")
        if "error" in head:
            raise ScanError(_message(path, syntax, head["error"]))
        return np.frombuffer(pixels, np.dtype(head["dtype"])).reshape(head["shape"])

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, path: Path, frame: int, syntax: str) -> tuple[dict[str, Any], bytes]:
        process = self._running()
        ask, answer = process.stdin, process.stdout
        if ask is None or answer is None:  # never, with the pipes that _running asks for
            raise _Died("its pipes are closed")
        until = time.monotonic() + self._slowest_s
        try:
            wanted = {"path": str(path), "frame": frame, "syntax": syntax}
            ask.write(json.dumps(wanted).encode() + b"\n")
            ask.flush()
        except BrokenPipeError:
            raise _Died("it ended by itself", proven=False) from None
        head = bytearray()
        while not head.endswith(b"\n"):
            head += _read(process, answer, 1, until)
        fields: dict[str, Any] = json.loads(head)
        if "error" in fields:
            return fields, b""
        size = int(np.prod(fields["shape"], dtype=np.int64)) * np.dtype(fields["dtype"]).itemsize
        return fields, _read(process, answer, size, until)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # a fork has its parent's pipes, and must not use them
            self._process, self._owner = None, os.getpid()
        if self._process is None:
            script = Path(__file__).with_name("decoder_process.py")
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(script)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        return self._process


def _read(process: subprocess.Popen[bytes], answer: IO[bytes], size: int, until: float) -> bytes:
    parts = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(answer, selectors.EVENT_READ)
        while len(parts) < size:
            left = until - time.monotonic()
            if left <= 0 or not selector.select(left):
                raise _Died("the decoder did not end in time", proven=False)
            part = answer.read(size - len(parts))
            if not part:
                code = process.wait()
                # Who is killed from outside did not fall over the stream.
                killed = code == -signal.SIGKILL
                raise _Died(f"the decoder crashed (exit status {code})", proven=not killed)
            parts += part
    return bytes(parts)


def _message(path: Path, syntax: str, why: str) -> str:
    return (
        f"undecodable: no decoder reads {path} (transfer syntax {syntax}): {why}; the file is "
        "damaged, or of a rare kind: copy it again, or decompress it with the tool that made it"
    )


DECODER = Decoder()
atexit.register(DECODER.close)
