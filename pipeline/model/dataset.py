"""Dataset: batches of the table's rows as a Keras PyDataset, made in advance by workers.

Each worker, thread or process, opens the table itself, read-only, once. A batch depends on its
rows and its key alone, not on the worker that makes it or on when. An error in a worker, or its
death, ends the run with a message.
"""

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from lungseg.core.errors import DataError
from lungseg.model.samples import Batch, Centres, Rows, Samples

Keys = list[tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Epoch:
    """Rows of the table in their order, cut into batches; the last one may be smaller.

    Attributes
    ----------
    rows
        Rows of the table.
    batch_size
        Rows in a batch.
    key
        ``(seed, epoch)`` for augmented samples; None for slices without any change.
    multiple
        Batches are padded to a multiple of this with slices of weight 0: for data-parallel
        training, in which every device gets equally many, and for batches of one size.
    centres
        ``(n, 2)`` y and x of the crop of each row, see `Samples`; None leaves the choice to it.
    size
        Edge of the squares around `centres` where nothing is changed.
    """

    rows: Rows
    batch_size: int
    key: tuple[int, int] | None = None
    multiple: int = 1
    centres: Centres | None = None
    size: int = 0

    def __len__(self) -> int:
        return math.ceil(len(self.rows) / self.batch_size)

    def task(self, index: int) -> "Task":
        """The task of making batch `index`."""
        first = index * self.batch_size
        rows = self.rows[first : first + self.batch_size]
        keys: Keys | None = None
        if self.key is not None:
            keys = [(*self.key, first + i) for i in range(len(rows))]
        centres = None if self.centres is None else self.centres[first : first + self.batch_size]
        return Task(rows, keys, self.multiple, centres, self.size)


@dataclass(frozen=True, eq=False)
class Task:
    """One batch to be made: all that is sent to a worker."""

    rows: Rows
    keys: Keys | None
    multiple: int = 1
    centres: Centres | None = None
    size: int = 0

    def make(self, samples: Samples) -> Batch:
        """The batch."""
        if self.keys is None:
            x, y = samples.plain(self.rows, self.centres, self.size)
        else:
            x, y = samples.augmented(self.rows, self.keys, self.centres)
        missing = -len(self.rows) % self.multiple
        if missing:
            x = np.concatenate([x, np.repeat(x[:1], missing, 0)])
            y = np.concatenate([y, np.zeros((missing, *y.shape[1:]), y.dtype)])
        return x, y


class Workers:
    """Threads or processes that make batches.

    Parameters
    ----------
    samples
        Makes the samples.
    count
        Number of workers; with 0 each batch is made in the caller, when it is needed.
    processes
        Processes instead of threads. They are spawned, not forked: a fork of a process in which
        TensorFlow or HDF5 runs may hang.
    """

    def __init__(self, samples: Samples, count: int, *, processes: bool = False) -> None:
        self.samples = samples
        self.count = count
        self._executor: Executor | None = None
        self._processes = processes and count > 0
        if self._processes:
            self._executor = ProcessPoolExecutor(
                count, multiprocessing.get_context("spawn"), _start_process, (samples,)
            )
        elif count:
            self._executor = ThreadPoolExecutor(count, "batches")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the workers."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, task: Task) -> "Future[Batch]":
        """Have one batch made."""
        if self._executor is None:
            made: Future[Batch] = Future()
            made.set_result(task.make(self.samples))
            return made
        if self._processes:
            return self._executor.submit(_make_in_process, task)
        return self._executor.submit(task.make, self.samples)


_samples: Samples | None = None


def _start_process(samples: Samples) -> None:
    global _samples  # noqa: PLW0603 - a worker process serves one table
    _samples = samples
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"


def _make_in_process(task: Task) -> Batch:
    if _samples is None:
        raise RuntimeError("this process was not started as a worker")
    return task.make(_samples)


class Feed:
    """Delivers the batches of one epoch in order, made in advance, and records when.

    Attributes
    ----------
    ready
        `time.perf_counter` when each batch was delivered.
    failure
        The error that ended the feed, or None; the error that Keras raises then hides it.
    """

    def __init__(self, workers: Workers, epoch: Epoch) -> None:
        self.workers = workers
        self.epoch = epoch
        self.ready: dict[int, float] = {}
        self.failure: Exception | None = None
        self._submitted: dict[int, Future[Batch]] = {}
        # TensorFlow's adapter takes the first two batches to learn their shapes and then takes
        # them again; making them twice would cost a short epoch a fifth of its time.
        self._kept: dict[int, Batch] = {}

    def __len__(self) -> int:
        return len(self.epoch)

    def __iter__(self) -> Iterator[Batch]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Batch:
        try:
            batch = self._kept.pop(index, None) or self._take(index)
        except BrokenProcessPool as error:
            self.failure = DataError(
                f"a data worker was killed while batch {index} was made (out of memory?)",
                setting=(
                    f"workers={max(self.workers.count - 1, 0)}",
                    f"batch_size={max(self.epoch.batch_size // 2, 1)}",
                    "worker_processes=false",
                ),
            )
            raise self.failure from error
        except Exception as error:
            self.failure = error
            raise
        if index < 2 and index not in self.ready:
            self._kept[index] = batch
        # A batch that is taken twice was ready the first time.
        self.ready.setdefault(index, time.perf_counter())
        return batch

    def _take(self, index: int) -> Batch:
        ahead = 2 * self.workers.count
        for coming in range(index, min(index + ahead + 1, len(self))):
            if coming not in self._submitted and (coming == index or coming not in self.ready):
                self._submitted[coming] = self.workers.submit(self.epoch.task(coming))
        return self._submitted.pop(index).result()


def as_py_dataset(feed: Feed, targets: Callable[[Any], Any]) -> Any:
    """`feed` as a `keras.utils.PyDataset`, for Keras's `fit`.

    Parameters
    ----------
    feed
        The batches.
    targets
        Makes the targets of a model with several outputs from a batch's ``y``.
    """
    import keras

    class Slices(keras.utils.PyDataset):  # type: ignore[misc]
        """Batches of slices; the feed has workers of its own, which outlive an epoch."""

        def __len__(self) -> int:
            return len(feed)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            x, y = feed[index]
            return x, targets(y)

    return Slices()
