"""Checkpoints: where a training run has got to, so that it can be killed at any moment.

The state of a run is its weights (with the state of its random numbers), its optimiser and its
log; rates, patience and order follow from these. All of it is written beside the output, under
a name that the settings and the inputs decide, and the file that names the rest comes last.
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

from lungseg.core.json_file import write_text

Weights = list[npt.NDArray[Any]]
Row = dict[str, float]
History = list[Row]

NAME = "progress.json"

log = logging.getLogger(__name__)


class Checkpoints:
    """Checkpoints of one training run in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def history(self) -> History:
        """One row for each epoch that is done and kept; empty at the start."""
        progress = self._progress()
        return list(progress.get("history", []))

    def keep(self, history: History, state: Weights, best: Weights | None) -> None:
        """Keep an epoch: its log, the state after it, and its weights if they are the best."""
        old = self._progress()
        epoch = len(history)
        state_file = self._write(f"state-{epoch}.npz", state)
        best_file = old.get("best", "")
        if best is not None:
            best_file = self._write(f"best-{epoch}.npz", best)
        text = json.dumps({"history": history, "state": state_file, "best": best_file})
        write_text(text, self.folder / NAME)
        for file in self.folder.glob("*.npz"):
            if file.name not in {state_file, best_file}:
                file.unlink()

    def state(self) -> Weights:
        """State after the last epoch kept."""
        return self._read("state")

    def best(self) -> Weights:
        """Weights of the best epoch."""
        return self._read("best")

    def _progress(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / NAME).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            log.warning("%s is damaged; training starts anew", self.folder / NAME)
            return {}
        return found

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
def resumable(shelf: Path, digest: str) -> Iterator[Checkpoints]:
    """Checkpoints of the run that `digest` names, kept on `shelf` until that run is complete.

    A second run of the same kind at the same time gets checkpoints of its own.
    """
    folder = shelf / f".resume-{digest[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another run trains this very net; this one cannot be resumed")
        folder = shelf / f".resume-{digest[:16]}-{os.getpid()}"
        folder.mkdir()
    try:
        yield Checkpoints(folder)
        # Reached when all went well: after a fault or an interruption the folder stays.
        shutil.rmtree(folder)
    finally:
        lock.close()


def state_of(model: Any) -> Weights:
    """All that training changes: weights, running means, random states, the optimiser's."""
    return [np.asarray(variable.numpy()) for variable in _variables(model)]


def restore(model: Any, state: Weights) -> None:
    """Put a state of `state_of` back into a model whose optimiser is built."""
    variables = _variables(model)
    if len(variables) != len(state):
        raise ValueError(
            f"the checkpoint holds {len(state)} variables, the model {len(variables)}; "
            "they are of different networks"
        )
    for variable, value in zip(variables, state, strict=True):
        variable.assign(value)


def _variables(model: Any) -> list[Any]:
    # Of the random states only the seed generators' are there; `variables` has them, `weights`
    # has not.
    return [*model.variables, *model.optimizer.variables]
