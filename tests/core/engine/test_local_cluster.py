"""The cluster of this machine: nobody else can talk to it, and it serves no pages."""

import asyncio
import contextlib
import os
import socket
import ssl

import psutil
import pytest
from distributed import Client, Security
from distributed.comm import connect

from lungseg.core.engine.local_cluster import local_client
from lungseg.core.limits import MEMORY_VARIABLE


@pytest.fixture(scope="module")
def client():
    # The port of Dask's dashboard is taken: nobody is to notice.
    with socket.create_server(("127.0.0.1", 0)) as taken, local_client(2, "1GB") as client:
        assert taken
        yield client


def ports():
    """Every port that this process and its workers listen on."""
    own = psutil.Process()
    found = []
    for process in (own, *own.children(recursive=True)):
        found += [c.laddr for c in process.net_connections("tcp") if c.status == "LISTEN"]
    return found


def test_a_stranger_is_refused_at_every_port(client):
    assert client.submit(os.getpid).result() != os.getpid()
    listening = [place for place in ports() if connects_as_dask(place)]
    # A scheduler, two nannies and two workers.
    assert len(listening) == 5
    for place in listening:
        assert place.ip == "127.0.0.1"
        assert b"HTTP" not in answer_to_http(place)
        # Without a certificate, with another one, and in Dask's own words without any.
        assert not talks_tls(place, None)
        assert not talks_tls(place, Security.temporary())


def answer_to_http(place):
    with socket.create_connection(place, timeout=5) as plain:
        plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            return plain.recv(1000)
    return b""


def connects_as_dask(place):
    """True if it speaks TLS; the test's own taken port, and those of others, do not."""
    with socket.create_connection(place, timeout=1) as raw:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        raw.settimeout(1)
        try:
            context.wrap_socket(raw).close()
        except (TimeoutError, OSError):
            return False
    return True


def talks_tls(place, security):
    async def talk():
        arguments = security.get_connection_args("client") if security else {}
        protocol = "tls" if security else "tcp"
        address = f"{protocol}://{place.ip}:{place.port}"
        comm = await connect(address, timeout=1, **arguments)
        await comm.write({"op": "identity", "reply": True})
        return await asyncio.wait_for(comm.read(), 1)

    try:
        return bool(asyncio.run(talk()))
    except (OSError, ValueError, RuntimeError, TimeoutError):
        return False


def test_dasks_own_client_without_the_certificate_is_refused(client):
    address = client.scheduler_info()["address"]
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises(OSError, match=r"TLS certificate does not match|Timed out"):
        Client(address, timeout=1, security=Security.temporary(), set_as_default=False)


def test_a_worker_knows_its_limit_of_memory(client):
    assert client.submit(os.getenv, MEMORY_VARIABLE).result() == "900000000"
