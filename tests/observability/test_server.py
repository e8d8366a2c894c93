"""The metrics server of a worker: it answers scrapes, and costs the work nothing whatever is sent to it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from app.observability import (
    metrics,  # noqa: F401 - what there is to serve
    server,
)
from app.observability.server import metrics_server
from logging_setup.config import add_sink, remove_sink
from tests.figures import parsed
from tests.services import free_port

HOST = "127.0.0.1"


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What is logged meanwhile."""
    taken: list[dict[str, Any]] = []
    sink = add_sink(lambda record: taken.append(dict(record)), level="INFO")
    yield taken
    remove_sink(sink)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A door on a free port."""
    async with metrics_server(HOST, free_port()) as port:
        yield f"http://{HOST}:{port}"


@contextmanager
def taken(port: int) -> Iterator[None]:
    """Somebody else has the port."""
    with socket.create_server((HOST, port)):
        yield


async def get(url: str, method: str = "GET") -> httpx.Response:
    """One request on a connection of its own."""
    async with httpx.AsyncClient() as client:
        return await client.request(method, url)


async def test_metrics_are_served(url: str) -> None:
    """In the text format, with what this process counts."""
    answer = await get(f"{url}/metrics?debug=1")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert ("pictrawl_leases_expired_total", ()) in parsed(answer.text)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_only_reading_is_allowed(url: str, method: str) -> None:
    """No method changes anything."""
    assert (await get(f"{url}/metrics", method)).status_code == 405


RUBBISH = [b"\r\n\r\n", b"nonsense\r\n\r\n", b"GET\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET /metrics", b"A" * 20_000, b""]


@pytest.mark.parametrize("sent", RUBBISH)
async def test_rubbish_is_answered_or_hung_up_on(url: str, sent: bytes) -> None:
    """And the next who comes is served."""
    reader, writer = await asyncio.open_connection(HOST, int(url.rpartition(":")[2]))
    writer.write(sent)
    writer.write_eof()
    answer = await reader.read()
    assert answer == b"" or b"200 OK" not in answer.split(b"\r\n")[0] or sent.startswith(b"GET")
    writer.close()
    assert (await get(f"{url}/metrics")).status_code == 200


async def test_zero_is_off(lines: list[dict[str, Any]]) -> None:
    """The default: nothing listens, nothing is said."""
    async with metrics_server(HOST, 0) as port:
        assert port is None
    assert lines == []


async def test_a_port_that_is_taken_is_a_warning_with_a_way_out(lines: list[dict[str, Any]]) -> None:
    """The worker goes on without."""
    port = free_port()
    with taken(port):
        async with metrics_server(HOST, port) as bound:
            assert bound is None
    (line,) = [line for line in lines if line["event"] == "metrics.not_listening"]
    assert line["level"] == "WARNING"
    assert line["error"] == "Address already in use"
    assert (line["host"], line["port"]) == (HOST, port)
    assert "metrics.ports" in line["way_out"]


async def test_several_processes_of_a_machine_share_a_range(lines: list[dict[str, Any]]) -> None:
    """Each takes the first port that is free, and says which."""
    port = free_port()
    async with metrics_server(HOST, port, tries=20) as first, metrics_server(HOST, port, tries=20) as second:
        assert first == port
        assert second is not None
        assert port < second < port + 20
        assert (await get(f"http://{HOST}:{second}/metrics")).status_code == 200
    assert [line["port"] for line in lines if line["event"] == "metrics.listening"] == [first, second]


@pytest.mark.parametrize("host", ["192.0.2.1", "a..b"])
async def test_an_address_that_is_not_ours_is_no_reason_to_try_further_ports(host: str, lines: list[dict[str, Any]]) -> None:
    """It will not become ours."""
    async with metrics_server(host, free_port(), tries=50) as bound:
        assert bound is None
    (line,) = [line for line in lines if line["event"] == "metrics.not_listening"]
    assert line["error"]
    assert line["error"] != "Success"


async def test_a_client_that_leaves_early_costs_nothing(url: str) -> None:
    """It is not waited for."""
    for _ in range(5):
        _, writer = await asyncio.open_connection(HOST, int(url.rpartition(":")[2]))
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        writer.transport.abort()
    assert (await get(f"{url}/metrics")).status_code == 200


async def test_a_client_that_sends_nothing_is_hung_up_on(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its thread ends after the timeout, and nothing is printed."""
    monkeypatch.setattr(server, "REQUEST_TIMEOUT_S", 0.05)
    async with metrics_server(HOST, free_port()) as port:
        reader, writer = await asyncio.open_connection(HOST, port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
    assert capfd.readouterr() == ("", "")
