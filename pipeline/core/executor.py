"""The engine: the same tasks inline, on this machine's processes, or on a running cluster.

Parallel work goes through Dask's `distributed`. A worker that is killed costs its own task only:
the scheduler keeps one task on a worker at a time, tries the task once more, then gives it up
alone.
"""

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lungseg.core.engine.bounds import Bounds, WorkerKilledError, end_process, run_bounded
from lungseg.core.engine.running_cluster import Cluster, running_client
from lungseg.core.errors import ConfigError

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
_GONE = (
    "the Dask scheduler at {address} went away while scans were done; what is done is kept: start "
    "it again, and the same command goes on"
)
_LOST_SECONDS = 10
_LEAST_BYTES = 200_000_000
_DASK = {
    "distributed.scheduler.allowed-failures": 1,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.nanny.pre-spawn-environ": _ONE_THREAD,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # A worker that waits for memory to be given back may wait for ever.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "logging": {"distributed": "critical"},
}


@dataclass(frozen=True)
class EngineOptions:
    """How to run.

    Attributes
    ----------
    jobs
        Processes of this machine; 1: inline.
    memory_limit
        Of one process: a size such as ``4GB``, or ``auto``.
    time_limit
        Seconds that a scan's stages may take together; 0: any.
    cluster
        A running cluster to use instead; None: this machine.
    """

    jobs: int = 1
    memory_limit: str = "auto"
    time_limit: float = 0.0
    cluster: Cluster | None = field(default=None)

    def check(self) -> None:
        """See that what was told can be meant, before anything runs.

        Raises
        ------
        ConfigError
            If the limit is no size.
        """
        _ = self.memory

    @property
    def memory(self) -> int | None:
        """Bytes of one process that were asked for; None if it is left to us.

        Raises
        ------
        ConfigError
            If the limit is no size.
        """
        limit = self.memory_limit
        if limit == "auto":
            return None
        from dask.utils import parse_bytes

        try:
            size = int(parse_bytes(limit))
        except (ValueError, OverflowError) as error:
            raise ConfigError(
                f"--memory-limit {limit}: expected a size such as 4GB or 800MiB, or auto"
            ) from error
        if size < _LEAST_BYTES:
            raise ConfigError(
                f"--memory-limit {limit}: no scan fits into less than 200MB; expected a size such "
                "as 4GB, or auto"
            )
        return size


def run_tasks(
    function: Callable[[Task], Done], tasks: Sequence[Task], options: EngineOptions
) -> Iterator[tuple[Task, Done | WorkerKilledError]]:
    """Each task with its result, in the order they finish.

    Raises
    ------
    ConfigError
        If the cluster of `options` does not answer or is not fit, or a limit is none.
    """
    memory = options.memory
    bounds = Bounds(options.time_limit or None, memory)
    if not tasks:
        return
    if options.cluster is None and (options.jobs == 1 or len(tasks) == 1):
        try:
            for task in tasks:
                try:
                    done = run_bounded(function, bounds, task)
                except Exception as error:  # it costs its own task only, as in a worker
                    done = WorkerKilledError(f"{type(error).__name__}: {error}")
                yield task, done
        finally:
            end_process()
        return
    # In a worker Dask sees to the memory of the worker itself, and we to that of its process.
    bounded = functools.partial(run_bounded, function, bounds) if options.time_limit else function
    yield from _run_distributed(bounded, tasks, options)


def _run_distributed(
    function: Callable[[Task], Any], tasks: Sequence[Task], options: EngineOptions
) -> Iterator[tuple[Task, Any]]:
    import dask
    import distributed  # noqa: F401 - it adds its defaults to Dask's settings, and is to stay there

    # Its life story is of no use to who waits for scans; what it does is in our own results.
    for name in ("distributed", "tornado", "tornado.application", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(_DASK):
        if options.cluster is None:
            from lungseg.core.engine.local_cluster import local_client

            workers = min(options.jobs, len(tasks))
            with local_client(workers, options.memory or "auto") as client:
                yield from _gather(client, function, dict(enumerate(tasks)))
            return
        left = dict(enumerate(tasks))
        with running_client(options.cluster) as client:
            yield from _gather(client, function, left)
        yield from _after_a_restart(options.cluster, function, left)


def _after_a_restart(
    cluster: Cluster, function: Callable[[Task], Any], left: dict[int, Task]
) -> Iterator[tuple[Task, Any]]:
    """What is left when the scheduler went away: on a new one at its place, or given up."""
    end = time.monotonic() + _LOST_SECONDS
    while left and time.monotonic() < end:
        with contextlib.suppress(ConfigError):
            with running_client(cluster) as client:
                yield from _gather(client, function, left)
            end = time.monotonic() + _LOST_SECONDS
    for task in left.values():
        yield task, WorkerKilledError(_GONE.format(address=cluster.address))


def _gather(
    client: Any, function: Callable[[Task], Any], left: dict[int, Task]
) -> Iterator[tuple[Task, Any]]:
    """Each task of `left` with its result; each is taken from `left` once it is done.

    What is left in the end was lost together with the scheduler.
    """
    from distributed import as_completed

    waiting = {client.submit(function, task, pure=False): key for key, task in left.items()}
    while waiting:
        lost = []
        for future in as_completed(list(waiting), loop=client.loop):
            key = waiting.pop(future)
            if future.status in {"finished", "error"}:
                task = left.pop(key)
                yield task, _outcome(future)
            else:
                lost.append(key)
        if client.status != "running":
            return
        # Their results were lost with another worker; the cache makes asking again free.
        waiting = {client.submit(function, left[key], pure=False): key for key in lost}


def _outcome(future: Any) -> Any:
    from distributed import KilledWorker

    if future.status == "finished":
        return future.result()
    error = future.exception()
    if isinstance(error, KilledWorker):
        return WorkerKilledError(_KILLED)
    return WorkerKilledError(f"{type(error).__name__}: {error}")
