"""Training progress: what a person is told on stderr while a net is trained."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from lungseg.core.shown import many
from lungseg.model.tensorboard import EventFile

# From one line to the next where there is no bar, seconds.
EVERY_S = 30.0
# Batches of which the first lines tell the pace; the first of all is slow, and is not counted.
FIRST = 3


class TrainingProgress:
    """Tells of a run on stderr: a bar for each epoch on a terminal, lines elsewhere.

    Elsewhere there is a line before the first batch, which may take minutes, one after the first
    few, and then one every half minute.

    Parameters
    ----------
    epochs
        Of the whole run.
    board
        The log for TensorBoard, if there is to be one.
    clock
        Gives seconds.
    """

    def __init__(
        self,
        epochs: int,
        board: EventFile | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.epochs, self.board, self.clock = epochs, board, clock
        self.begun = self.told = clock()
        self.reached = self.done_here = 0
        self.paced: float | None = None
        self.batches_paced = 0
        self.bar: Any = None

    def begin(self, where: str, resumed_at: int) -> None:
        """A run starts, or goes on after the epoch `resumed_at`, on the device `where`."""
        self.reached = resumed_at
        self._say(f"  training on {where}")
        if resumed_at:
            self._say(f"  going on after epoch {resumed_at}, which an earlier run had reached")

    def batch(self, done: int, batches: int, loss: float) -> None:
        """So many batches of an epoch are done; 0 before the first."""
        if done == 0:
            self._epoch_begins(batches)
            return
        if self.paced is None:
            self.paced = self.clock()
        else:
            self.batches_paced += 1
        self._advance(done, loss)
        waited = self.clock() - self.told
        first = self.done_here == 0 and done == min(FIRST, batches)
        if self._has_bar or not (first or waited >= EVERY_S):
            return
        left = self._left(done, batches)
        self._say(
            f"  epoch {self.reached + 1} of {self.epochs}: step {done} of {batches}, "
            f"loss {loss:.4f}" + (f", about {left} left" if left else "")
        )

    def epoch(self, row: Mapping[str, float]) -> None:
        """An epoch is over; `row` is its row of the log."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        told = [f"loss {row['loss']:.4f}"]
        if "val_dice" in row:
            told.append(f"validation Dice {row['val_dice']:.4f}")
        if "val_nodule_dice" in row:
            told.append(f"of nodules {row['val_nodule_dice']:.4f}")
        if "mined" in row:
            told.append(f"{row['mined']:.0f} false alarms mined")
        told.append(f"{row['images_per_second']:.1f} images/s")
        told.append(f"waited {row['waiting']:.1%} of {row['seconds']:.0f} s for data")
        self.done_here += 1
        self.reached = int(row["epoch"])
        left = self.epochs - self.reached
        if left:
            each = (self.clock() - self.begun) / self.done_here
            told.append(f"{duration(left * each)} left")
        self._say(f"  epoch {self.reached} of {self.epochs}: {', '.join(told)}")
        if self.board is not None:
            numbers = {name: row[name] for name in row if name not in {"epoch", "score"}}
            self.board.add(self.reached, numbers)

    @property
    def _has_bar(self) -> bool:
        return self.bar is not None and not self.bar.disable

    def _epoch_begins(self, batches: int) -> None:
        from tqdm import tqdm

        if self.done_here == 0:
            epochs = f"{many(self.epochs, 'epoch')} of {many(batches, 'step')}"
            self._say(f"  {epochs}; the first step takes longest, while the net is compiled")
        # None: no bar where stderr is no terminal.
        self.bar = tqdm(
            total=batches,
            desc=f"  epoch {self.reached + 1} of {self.epochs}",
            unit="step",
            file=sys.stderr,
            leave=False,
            disable=None,
        )

    def _advance(self, done: int, loss: float) -> None:
        if self.bar is not None:
            self.bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
            self.bar.update(done - self.bar.n)

    def _left(self, done: int, batches: int) -> str:
        """Time to the end of the run by the pace of its steps; empty while that is unknown."""
        if self.paced is None or not self.batches_paced:
            return ""
        each = (self.clock() - self.paced) / self.batches_paced
        steps = (self.epochs - self.reached) * batches - done
        return duration(steps * each)

    def _say(self, line: str) -> None:
        from tqdm import tqdm

        self.told = self.clock()
        tqdm.write(line, file=sys.stderr)


def duration(seconds: float) -> str:
    """A duration for a person: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
