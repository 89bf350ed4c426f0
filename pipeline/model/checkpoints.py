"""Checkpoints: the state of a training run after each epoch, so that it can be killed at any time.

The state is the weights, the random number generators in the net, the optimiser's variables and
the log; learning rates, patience and order follow from these. It is written beside the output, in
a folder named after the settings and the inputs, and the file that names the others comes last.
"""

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungseg.core.disk.checked_json import read_checked, write_checked
from lungseg.core.disk.digests import digest_of_contents, has_digest

Weights = list[npt.NDArray[Any]]
Row = dict[str, float]
History = list[Row]

NAME = "progress.json"
_KNOWN = frozenset({"history", "state", "best", "places"})

log = logging.getLogger(__name__)


class Checkpoints:
    """Checkpoints of one training run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._compared: dict[str, tuple[int, int, int, str]] = {}

    @property
    def history(self) -> History:
        """The log: one row for each epoch that was completed; empty at the start."""
        progress = self._progress()
        history = progress.get("history", [])
        return list(json.loads(history) if isinstance(history, str) else history)

    def keep(
        self,
        history: History,
        state: Weights,
        best: Weights | None,
        places: npt.NDArray[Any] | None = None,
    ) -> None:
        """Save the log, the state after its last epoch, and the best weights.

        Parameters
        ----------
        history
            Rows of all epochs so far.
        state
            As `state_of` returns it.
        best
            Weights of the last epoch if it is the best, else None: the earlier ones are kept.
        places
            Mined places, see `lungseg.model.epochs.mining`; None where there are none.
        """
        old = self._progress()
        epoch = len(history)
        state_file = self._write(f"state-{epoch}.npz", state)
        best_file = old.get("best", "")
        if best is not None:
            best_file = self._write(f"best-{epoch}.npz", best)
        files = {"state": state_file, "best": best_file}
        if places is not None:
            files["places"] = self._write(f"places-{epoch}.npz", [places])
        digests = {file: digest_of_contents(self.folder / file) for file in files.values() if file}
        # As text: a loss may be no number, which the file's own form does not know.
        told = {"history": json.dumps(history), **files, "digests": digests}
        write_checked(told, self.folder / NAME)
        for file in self.folder.glob("*.npz"):
            if file.name not in files.values():
                file.unlink()

    def state(self) -> Weights:
        """State after the last epoch that was saved."""
        return self._read("state")

    def best(self) -> Weights:
        """Weights of the best epoch."""
        return self._read("best")

    def places(self) -> npt.NDArray[Any] | None:
        """Mined places of the last epoch that was saved, or None."""
        return self._read("places")[0] if "places" in self._progress() else None

    def _progress(self) -> dict[str, Any]:
        try:
            found = read_checked(self.folder / NAME, _KNOWN)
            # Older ones have no digests.
            for file, digest in found.get("digests", {}).items():
                self._compare(file, digest)
        except FileNotFoundError as error:
            if error.filename == str(self.folder / NAME):
                return {}
            log.warning("%s is gone; training starts again", error.filename)
            return {}
        except (OSError, ValueError) as error:
            log.warning("%s is damaged (%s); training starts again", self.folder / NAME, error)
            return {}
        return found

    def _compare(self, file: str, digest: str) -> None:
        path = self.folder / file
        now = path.stat()
        seen = (now.st_size, now.st_mtime_ns, now.st_ctime_ns, digest)
        if self._compared.get(file) == seen:
            return
        if not has_digest(path, digest):
            raise ValueError(f"{file} is not what was written")
        self._compared[file] = seen

    def _write(self, name: str, arrays: Weights) -> str:
        partial = self.folder / f".{name}.tmp"
        with partial.open("wb") as file:
            np.savez(file, *arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / name)
        return name

    def _read(self, what: str) -> Weights:
        with np.load(self.folder / self._progress()[what]) as arrays:
            return [arrays[f"arr_{i}"] for i in range(len(arrays.files))]


@contextmanager
def resumable(parent: Path, digest: str) -> Iterator[Checkpoints]:
    """Checkpoints of the run with this `digest`, in a folder in `parent` until it is complete.

    A second run with the same digest at the same time gets a folder of its own.
    """
    folder = parent / f".resume-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another run is training the same net; this one cannot be resumed")
        folder = parent / f".resume-{digest[:16]}-{os.getpid()}"
        folder.mkdir()
    try:
        yield Checkpoints(folder)
        # Not reached after an error or an interruption: then the folder stays.
        shutil.rmtree(folder)
    finally:
        lock.close()


def state_of(model: Any) -> Weights:
    """All variables that training changes: of the model, its random generators, its optimiser."""
    return [np.asarray(variable.numpy()) for variable in _variables(model)]


def restore(model: Any, state: Weights) -> None:
    """Restore what `state_of` returned into a model whose optimiser is built.

    Raises
    ------
    ValueError
        If the state is of a different network.
    """
    variables = _variables(model)
    if len(variables) != len(state):
        raise ValueError(
            f"the checkpoint holds {len(state)} variables, the model {len(variables)}; "
            "they are of different networks"
        )
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def _variables(model: Any) -> list[Any]:
    # The states of the random generators are in `variables`, not in `weights`.
    return [*model.variables, *model.optimizer.variables]
