"""A Dask cluster that runs already: reached, and seen to be fit, before any scan is given to it."""

import asyncio
import contextlib
import functools
import hashlib
import os
import platform
import queue
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lungseg.core.errors import ConfigError

Done = TypeVar("Done")

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\s/:\[\]]+):([0-9]{1,5})")
_REACH_SECONDS = 10
_WORKER_SECONDS = 5
_SHOWN = 3


@dataclass(frozen=True)
class Cluster:
    """Where a cluster is, and by which certificates it knows us and we know it.

    Attributes
    ----------
    address
        ``tcp://host:port`` or ``tls://host:port`` of its scheduler.
    ca_file, cert, key
        PEM files; where they are not given, those of Dask's own configuration count.
    work
        The work folder, which every worker must share; None: it is not looked at.
    must_see
        Files and folders that every worker must be able to read.
    """

    address: str
    ca_file: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    work: Path | None = None
    must_see: Sequence[Path] = ()


@dataclass(frozen=True)
class _Seen:
    """What a worker tells of itself: its code, its Python, and what it cannot see."""

    code: str
    python: str
    unseen: tuple[str, ...]
    echo: str


@contextlib.contextmanager
def running_client(cluster: Cluster) -> Iterator[Any]:
    """A client of the cluster, with workers that are fit for the work.

    Raises
    ------
    ConfigError
        If the address is none, nobody answers there, there are no workers, or one of them has other
        code, another Python, or does not see the work folder or the scans.
    """
    with connected(cluster) as client:
        _check_workers(client, cluster)
        yield client


@contextlib.contextmanager
def connected(cluster: Cluster) -> Iterator[Any]:
    """A client of the cluster, whatever its workers are.

    Raises
    ------
    ConfigError
        If the address is none, or no scheduler answers there.
    """
    from distributed import Client

    address = _checked_address(cluster.address)
    security = _security(cluster)
    try:
        # Dask's client alone waits for ever where something listens and does not answer.
        _within(_REACH_SECONDS, lambda: asyncio.run(_asked_who_it_is(address, security)))
        client = Client(address, timeout=_REACH_SECONDS, set_as_default=False, security=security)
    except Exception as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"--scheduler {address}: no Dask scheduler answers there within {_REACH_SECONDS} s "
            f"({why}); start one with `dask scheduler`, or leave --scheduler out to use this "
            "machine"
        ) from error
    with client:
        yield client


async def _asked_who_it_is(address: str, security: Any) -> None:
    from distributed.comm import connect

    arguments = security.get_connection_args("client")
    comm = await connect(address, timeout=_REACH_SECONDS, **arguments)
    await comm.write({"op": "identity", "reply": True})
    await comm.read()
    comm.abort()


def _within(seconds: float, call: Callable[[], Done]) -> Done:
    """What `call` returns or raises, if it does so in time.

    Raises
    ------
    TimeoutError
        If it does not; it is left to itself.
    """
    outcome: queue.Queue[tuple[bool, Any]] = queue.Queue()

    def run() -> None:
        try:
            outcome.put((True, call()))
        except BaseException as error:
            outcome.put((False, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        done, value = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer in {seconds:g} s") from None
    if not done:
        raise value
    result: Done = value
    return result


def _checked_address(told: str) -> str:
    address = told if "://" in told else f"tcp://{told}"
    match = _ADDRESS.fullmatch(address)
    if match and 0 < int(match[3]) < 65536:
        return address
    raise ConfigError(
        f"--scheduler {told}: expected the address of a Dask scheduler, as tcp://host:8786 or "
        "tls://host:8786"
    )


def _security(cluster: Cluster) -> Any:
    from distributed import Security

    files = {"--tls-ca-file": cluster.ca_file, "--tls-cert": cluster.cert}
    if not any((cluster.ca_file, cluster.cert, cluster.key)):
        security = Security()
        missing = not (security.tls_ca_file and security.tls_client_cert)
        if cluster.address.startswith("tls://") and missing:
            raise ConfigError(
                f"--scheduler {cluster.address}: tls:// takes certificates; give --tls-ca-file, "
                "--tls-cert and --tls-key"
            )
        return security
    missing_files = [name for name, file in files.items() if file is None]
    if missing_files:
        raise ConfigError(f"{' and '.join(missing_files)} must be given, too, for TLS")
    if not cluster.address.startswith("tls://"):
        raise ConfigError(
            f"--scheduler {cluster.address}: certificates are for tls://host:port; give that "
            "address, or leave the certificates out"
        )
    security = Security(
        tls_ca_file=str(cluster.ca_file),
        tls_client_cert=str(cluster.cert),
        tls_client_key=str(cluster.key or cluster.cert),
        require_encryption=True,
    )
    try:
        security.get_connection_args("client")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"--tls-ca-file {cluster.ca_file}, --tls-cert {cluster.cert}: these are no PEM files "
            f"of a certificate and its key ({error})"
        ) from error
    return security


def _check_workers(client: Any, cluster: Cluster) -> None:
    address = cluster.address
    try:
        client.wait_for_workers(1, timeout=_WORKER_SECONDS)
    except TimeoutError as error:
        raise ConfigError(
            f"--scheduler {address}: the scheduler has no workers; start some with `dask worker "
            f"{address}`"
        ) from error
    mark = uuid.uuid4().hex
    with _marked(cluster.work, mark) as file:
        look = functools.partial(look_around, file, [str(path) for path in cluster.must_see])
        try:
            seen = _within(_REACH_SECONDS, lambda: client.run(look, on_error="return"))
        except Exception as error:
            raise ConfigError(
                f"--scheduler {address}: its workers do not answer ({error}); look at them, or "
                "start them again"
            ) from error
    faults = [f"{who} {why}" for who, found in seen.items() if (why := _why_unfit(found, mark))]
    if faults:
        shown = "; ".join(faults[:_SHOWN])
        more = f"; and {len(faults) - _SHOWN} more workers" if len(faults) > _SHOWN else ""
        raise ConfigError(f"--scheduler {address}: {shown}{more}")


@contextlib.contextmanager
def _marked(work: Path | None, mark: str) -> Iterator[str]:
    """A file in the work folder that says `mark`: who reads it there sees this very folder."""
    if work is None:
        yield ""
        return
    work.mkdir(parents=True, exist_ok=True)
    file = work.resolve() / f".seen-{mark[:8]}.tmp"
    file.write_text(mark, encoding="utf-8")
    try:
        yield str(file)
    finally:
        file.unlink(missing_ok=True)


def look_around(mark_file: str, must_see: Sequence[str]) -> _Seen:
    """What this worker is, and what of the paths it does not see or may not use."""
    unseen = [path for path in must_see if not os.access(path, os.R_OK)]
    echo = ""
    if mark_file:
        file = Path(mark_file)
        try:
            echo = file.read_text(encoding="utf-8")
            trial = file.with_name(f"{file.name}-{uuid.uuid4().hex[:8]}")
            trial.write_text("", encoding="utf-8")
            trial.unlink()
        except OSError:
            unseen.append(str(file.parent))
    return _Seen(code_version(), platform.python_version(), tuple(unseen), echo)


def _why_unfit(found: Any, mark: str) -> str:
    """What is wrong with a worker; empty if nothing is."""
    python = platform.python_version()
    if isinstance(found, BaseException):
        return (
            f"cannot run this code ({type(found).__name__}: {found}); install this package there, "
            "of the same version and for the same Python"
        )
    if found.python != python:
        return f"runs Python {found.python}, and this is {python}; use the same on both"
    if found.code != code_version():
        return (
            f"has version {found.code} of this package, and here is {code_version()}; install the "
            "same on both"
        )
    if found.unseen:
        more = f" and {len(found.unseen) - 1} more" if len(found.unseen) > 1 else ""
        return (
            f"does not see {found.unseen[0]}{more}, or may not use it; scans and work folder must "
            "lie on a disk that all workers share, under the same path"
        )
    if found.echo and found.echo != mark:
        return "has another folder under the work folder's path; share the disk that holds it"
    return ""


@functools.cache
def code_version() -> str:
    """Version of this package, and a digest of its code: two of one number may differ."""
    import importlib.metadata

    try:
        version = importlib.metadata.version("lungseg-cli")
    except importlib.metadata.PackageNotFoundError:
        version = "without a version"
    digest = hashlib.sha256()
    top = Path(__file__).parents[2]
    for file in sorted(top.rglob("*.py")):
        digest.update(f"{file.relative_to(top)}\0".encode() + file.read_bytes())
    return f"{version} (code {digest.hexdigest()[:8]})"
