"""A running cluster: every way in which it is not fit for the work is told before any scan."""

import socket
import time

import pytest

from lungseg.core.engine import running_cluster
from lungseg.core.engine.bounds import WorkerKilledError
from lungseg.core.engine.running_cluster import Cluster, _why_unfit, code_version, running_client
from lungseg.core.errors import ConfigError
from lungseg.core.executor import EngineOptions, run_tasks
from tests.core.engine.cluster import certificate, running


@pytest.fixture(scope="module")
def address():
    with running() as (address, _):
        yield address


def opened(address, **more):
    with running_client(Cluster(address, **more)) as client:
        return client.status


@pytest.mark.parametrize(
    "told",
    ["nonsense", "http://x", "tcp://", "tcp://:8786", "tcp://host", "tcp://host:0", "tcp://h:99999",
     "tcp://a b:1", "://", "tls:/h:1", "ucx://h:1", "-1", "tcp://host:8786/x"],
)  # fmt: skip
def test_an_address_that_is_none_is_told_at_once(told):
    with pytest.raises(ConfigError, match=r"expected the address of a Dask scheduler, as tcp://"):
        opened(told)


def test_where_nothing_listens_and_where_something_else_does_a_sentence_comes_soon(monkeypatch):
    monkeypatch.setattr(running_cluster, "_REACH_SECONDS", 1)
    start = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        with pytest.raises(ConfigError, match=r"no Dask scheduler answers there within 1 s"):
            opened(f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
        port = deaf.getsockname()[1]
    with pytest.raises(ConfigError, match=r"start one with `dask scheduler`"):
        opened(f"127.0.0.1:{port}")
    assert time.monotonic() - start < 10


def test_tasks_run_on_a_cluster_that_shares_the_folders(address, tmp_path):
    cluster = Cluster(address, work=tmp_path / "work", must_see=(tmp_path,))
    done = dict(run_tasks(abs, [-1, -2, 3], EngineOptions(cluster=cluster)))
    assert done == {-1: 1, -2: 2, 3: 3}
    assert list((tmp_path / "work").iterdir()) == []


def test_what_a_worker_does_not_see_is_named_before_any_scan(address, tmp_path):
    with pytest.raises(ConfigError, match=r"does not see .*/gone and 1 more, or may not use it"):
        opened(address, must_see=(tmp_path, tmp_path / "gone", tmp_path / "too"))


def test_another_version_of_the_package_or_of_python_is_refused(address, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(running_cluster, "code_version", lambda: "9 (code x)")
        with pytest.raises(ConfigError, match=r"has version .* of this package, and here is 9 "):
            opened(address)
    with monkeypatch.context() as patched:
        patched.setattr("platform.python_version", lambda: "3.99.1")
        with pytest.raises(ConfigError, match=r"runs Python 3\.1.* and this is 3\.99\.1"):
            opened(address)


def test_a_worker_that_is_unfit_in_other_ways_is_refused():
    seen = running_cluster._Seen(code_version(), running_cluster.platform.python_version(), (), "b")
    assert _why_unfit(seen, "b") == ""
    assert "another folder under the work folder's path" in _why_unfit(seen, "a")
    told = _why_unfit(ModuleNotFoundError("No module named 'lungseg'"), "a")
    assert told.startswith("cannot run this code (ModuleNotFoundError: No module named 'lungseg')")


def test_a_scheduler_without_workers_is_told(monkeypatch):
    monkeypatch.setattr(running_cluster, "_WORKER_SECONDS", 0.5)
    with (
        running(workers=0) as (empty, _),
        pytest.raises(ConfigError, match=r"has no workers; start some with `dask worker tcp://"),
    ):
        opened(empty)


def test_certificates_are_checked_and_passed_on(tmp_path, monkeypatch):
    pem, other = certificate(tmp_path), certificate(tmp_path, "other.pem")
    monkeypatch.setattr(running_cluster, "_REACH_SECONDS", 2)
    with running(tls=tmp_path) as (address, _):
        files = {"ca_file": pem, "cert": pem, "key": pem}
        assert opened(address, **files) == "running"
        with pytest.raises(ConfigError, match=r"no Dask scheduler answers there within 2 s"):
            opened(address, **dict.fromkeys(files, other))
        with pytest.raises(ConfigError, match=r"tls:// takes certificates; give --tls-ca-file"):
            opened(address)
        with pytest.raises(ConfigError, match=r"--tls-cert must be given, too"):
            opened(address, ca_file=pem)
        with pytest.raises(ConfigError, match=r"certificates are for tls://host:port"):
            opened(address.replace("tls", "tcp"), **files)
        bad = tmp_path / "bad.pem"
        bad.write_text("no certificate")
        with pytest.raises(ConfigError, match=r"these are no PEM files of a certificate and its"):
            opened(address, ca_file=bad, cert=bad)


def test_a_scheduler_that_goes_away_fails_what_is_left_in_words(monkeypatch):
    monkeypatch.setattr("lungseg.core.executor._LOST_SECONDS", 1)
    monkeypatch.setattr(running_cluster, "_REACH_SECONDS", 1)
    with running() as (address, process):
        tasks = run_tasks(time.sleep, [0.01, 60, 61], EngineOptions(cluster=Cluster(address)))
        first, _ = next(tasks)
        process.kill()
        start = time.monotonic()
        rest = dict(tasks)
    assert (first, set(rest)) == (0.01, {60, 61})
    assert time.monotonic() - start < 15
    for error in rest.values():
        assert isinstance(error, WorkerKilledError)
        assert "went away while scans were done; what is done is kept: start it again" in str(error)
