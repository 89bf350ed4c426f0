"""A Dask cluster of this machine's processes that nobody else can talk to.

Dask's own `LocalCluster` opens ports on which any process of the machine can have any code run, and
an HTTP server in every process. Here all talk is encrypted, and both sides show a certificate that
is made for this one run and never leaves its processes; there is no HTTP server.
"""

import atexit
import contextlib
import logging
import multiprocessing
from collections.abc import Iterator
from typing import Any

from distributed import Client, Nanny, Scheduler, Security, SpecCluster, Worker
from distributed.worker_memory import parse_memory_limit

from lungseg.core.errors import ConfigError
from lungseg.core.interrupt import held_back
from lungseg.core.limits import MEMORY_VARIABLE

# Below the share of its limit at which a process is ended by its nanny.
_USABLE = 0.9
_START_SECONDS = 120
_CLOSE_SECONDS = 5


class _WithoutHttp:
    def start_http_server(self, *_arguments: object, **_more: object) -> None:
        """No port for a dashboard that nobody asked for."""


class ClosedScheduler(_WithoutHttp, Scheduler):  # type: ignore[misc]
    """Dask's scheduler without its HTTP server."""


class ClosedWorker(_WithoutHttp, Worker):  # type: ignore[misc]
    """Dask's worker without its HTTP server."""


@contextlib.contextmanager
def local_client(workers: int, memory_limit: str | int) -> Iterator[Client]:
    """A client of `workers` new processes, of one task at a time each; they end with it."""
    security = Security.temporary()
    memory = parse_memory_limit(memory_limit, 1, workers, logger=logging.getLogger(__name__))
    common = {"host": "127.0.0.1", "protocol": "tls://", "security": security}
    worker = {
        "cls": Nanny,
        "options": {
            **common,
            "nthreads": 1,
            "worker_class": ClosedWorker,
            "dashboard": False,
            "memory_limit": memory,
            "silence_logs": logging.CRITICAL,
            "env": {MEMORY_VARIABLE: str(int(memory * _USABLE))} if memory else {},
        },
    }
    with held_back():
        # Without workers it is there at once; while they start, Ctrl-C is heard.
        cluster = SpecCluster(
            workers={},
            worker=worker,
            scheduler={"cls": ClosedScheduler, "options": {**common, "dashboard": False}},
            security=security,
            silence_logs=logging.CRITICAL,
        )
    try:
        cluster.scale(workers)
        with _connected(cluster, security) as client:
            yield client
        cluster.close()
    except KeyboardInterrupt:
        # Who asks to stop does not wait: what workers do is complete or absent, whenever they end.
        cluster.shutdown_on_close = False
        _kill(cluster)
        # One that was being started now is not to be waited for at the end, either.
        atexit.register(_kill, cluster)
        raise
    except BaseException:
        _kill(cluster)
        cluster.close(timeout=_CLOSE_SECONDS)
        raise


@contextlib.contextmanager
def _connected(cluster: Any, security: Any) -> Iterator[Client]:
    client = Client(cluster, security=security, set_as_default=False)
    try:
        client.wait_for_workers(1, timeout=_START_SECONDS)
    except TimeoutError as error:
        raise ConfigError(
            f"no process for the work could be started within {_START_SECONDS} s; try again, or "
            "take --jobs 1, which needs none"
        ) from error
    yield client
    client.close()


def _kill(cluster: Any) -> None:
    for nanny in cluster.workers.values():
        nanny.auto_restart = False
    for process in multiprocessing.active_children():
        process.kill()
