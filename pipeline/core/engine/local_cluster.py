"""A Dask cluster of this machine's processes that nobody else can talk to.

Dask's own `LocalCluster` opens ports on which any process of the machine can have any code run, and
an HTTP server in every process. Here all talk is encrypted, and both sides show a certificate that
is made for this one run and never leaves its processes; there is no HTTP server.
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import psutil
from distributed import Client, Nanny, Scheduler, Security, SpecCluster, Worker
from distributed.worker_memory import parse_memory_limit

from lungseg.core.interrupt import held_back
from lungseg.core.limits import MEMORY_VARIABLE

# Below the share of its limit at which a process is ended by its nanny.
_USABLE = 0.9


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
        cluster = SpecCluster(
            workers=dict.fromkeys(range(workers), worker),
            worker=worker,
            scheduler={"cls": ClosedScheduler, "options": {**common, "dashboard": False}},
            security=security,
            silence_logs=logging.CRITICAL,
        )
    with cluster, Client(cluster, security=security, set_as_default=False) as client:
        try:
            yield client
        except BaseException:
            _kill(cluster)
            raise


def _kill(cluster: Any) -> None:
    # What they do is complete or absent whenever they end, and who asks to stop does not wait.
    for nanny in cluster.workers.values():
        with contextlib.suppress(AttributeError, psutil.Error):
            psutil.Process(nanny.process.pid).kill()
