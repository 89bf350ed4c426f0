"""A small Dask cluster in another process, for tests: `python -m tests.core.engine.cluster`."""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


@contextlib.contextmanager
def running(workers=1, port=0, tls=None, without_package=False):
    """Address of a scheduler with `workers`, all in one process of its own; and that process."""
    words = ["--workers", workers, "--port", port]
    words += ["--tls", tls] if tls else []
    words += ["--without-package"] if without_package else []
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.core.engine.cluster", *map(str, words)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def serve(options):
    from distributed import Scheduler, Security, Worker

    more = {}
    if options.tls:
        pem = str(options.tls / "both.pem")
        more["security"] = Security(
            tls_ca_file=pem, tls_scheduler_cert=pem, tls_scheduler_key=pem, tls_worker_cert=pem,
            tls_worker_key=pem, require_encryption=True,
        )  # fmt: skip
    protocol = "tls" if options.tls else "tcp"
    address = {"host": "127.0.0.1", "protocol": protocol, "dashboard_address": "127.0.0.1:0"}
    async with contextlib.AsyncExitStack() as stack:
        scheduler = Scheduler(**address, **more, port=options.port)
        await stack.enter_async_context(scheduler)
        for _ in range(options.workers):
            worker = Worker(scheduler.address, nthreads=1, **address, **more)
            await stack.enter_async_context(worker)
        if options.without_package:
            for name in [name for name in sys.modules if name.partition(".")[0] == "lungseg"]:
                del sys.modules[name]
            sys.modules["lungseg"] = None
        print(scheduler.address, flush=True)  # noqa: T201
        await scheduler.finished()


def certificate(folder, name="both.pem"):
    """A certificate that signs itself, and its key, in one PEM file."""
    from distributed import Security

    made = Security.temporary()
    file = folder / name
    file.write_text(made.tls_client_cert + made.tls_client_key)
    return file


def slowly(seconds):
    time.sleep(seconds)
    return seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int)
    parser.add_argument("--port", type=int)
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--without-package", action="store_true")
    asyncio.run(serve(parser.parse_args()))
