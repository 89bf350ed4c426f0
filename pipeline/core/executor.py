"""The engine: the same tasks inline, on this machine's processes, or on a running cluster.

Parallel work goes through Dask's `distributed`. A worker that is killed costs its own task only:
the scheduler keeps one task on a worker at a time, tries the task once more, then gives it up
alone.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lungseg.core.errors import ConfigError
from lungseg.core.interrupt import held_back

Task = TypeVar("Task")
Done = TypeVar("Done")

# One thread in every numerical library: N workers of N threads each would fight for N cores.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "BLOSC_NTHREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
}

_KILLED = (
    "the worker was killed while it did this scan, twice: out of memory, or a crash inside a "
    "library. The other scans went on. Try fewer --jobs, or this scan alone with --scan"
)


@dataclass(frozen=True)
class EngineOptions:
    """How to run: `jobs` processes here (1: inline), or the cluster at `scheduler`."""

    jobs: int = 1
    scheduler: str = ""
    memory_limit: str = "auto"


class WorkerKilledError(Exception):
    """The process that ran a task was killed, and so was the one that tried it again."""


def run_tasks(
    function: Callable[[Task], Done], tasks: Sequence[Task], options: EngineOptions
) -> Iterator[tuple[Task, Done | WorkerKilledError]]:
    """Each task with its result, in the order they finish.

    Raises
    ------
    ConfigError
        If no cluster answers at `options.scheduler`.
    """
    if not options.scheduler and (options.jobs == 1 or len(tasks) == 1):
        for task in tasks:
            yield task, function(task)
    elif tasks:
        yield from _run_distributed(function, tasks, options)


def _run_distributed(
    function: Callable[[Task], Done], tasks: Sequence[Task], options: EngineOptions
) -> Iterator[tuple[Task, Done | WorkerKilledError]]:
    import dask
    from distributed import Client, LocalCluster

    memory = _bytes(options.memory_limit)
    settings = {
        "distributed.scheduler.allowed-failures": 1,
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
        "logging": {"distributed": "critical"},
    }
    # Its life story is of no use to who waits for scans; what it does is in our own results.
    for name in ("distributed", "tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(settings):
        if options.scheduler:
            try:
                client = Client(options.scheduler, timeout="15s", set_as_default=False)
            except (OSError, TimeoutError, ValueError) as error:
                raise ConfigError(
                    f"no Dask scheduler answers at {options.scheduler} ({error}); start one with "
                    "`dask scheduler`, or leave --scheduler out to use this machine"
                ) from error
            with client:
                yield from _gather(client, function, tasks)
            return
        with held_back():
            cluster = LocalCluster(
                n_workers=min(options.jobs, len(tasks)),
                threads_per_worker=1,
                processes=True,
                # Any free port: None would mean 8787, and a warning where that is taken.
                dashboard_address="127.0.0.1:0",
                memory_limit=memory,
                silence_logs=logging.CRITICAL,
            )
        with cluster, Client(cluster, set_as_default=False) as client:
            yield from _gather(client, function, tasks)


def _bytes(limit: str) -> str | int:
    from dask.utils import parse_bytes

    try:
        return limit if limit == "auto" else int(parse_bytes(limit))
    except ValueError as error:
        raise ConfigError(
            f"--memory-limit {limit}: expected a size such as 4GB or 800MiB, or auto"
        ) from error


def _gather(
    client: Any, function: Callable[[Task], Done], tasks: Sequence[Task]
) -> Iterator[tuple[Task, Done | WorkerKilledError]]:
    from distributed import KilledWorker, as_completed

    waiting = {client.submit(function, task, pure=False): task for task in tasks}
    while waiting:
        lost = {}
        for future in as_completed(list(waiting), loop=client.loop):
            task = waiting.pop(future)
            if future.status == "finished":
                yield task, future.result()
            elif future.status == "error":
                error = future.exception()
                if not isinstance(error, KilledWorker):
                    raise error
                yield task, WorkerKilledError(_KILLED)
            else:
                # Its result was lost with another worker; the cache makes asking again free.
                lost[client.submit(function, task, pure=False)] = task
        waiting = lost
