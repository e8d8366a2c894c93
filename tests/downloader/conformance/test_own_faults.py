"""Faults of this machine: they leave as ours, at once, and no host is blamed for them."""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

import errors
from downloader import Fetched, FetchLimits
from downloader.client import Downloader
from downloader.resolver import ThreadedResolver
from tests.clocks import FakeTime
from tests.downloader.conformance.dials import Dials
from tests.origin import JPEG

ROOT = Path(__file__).parents[3]
LIMITS = FetchLimits(robots=False)


def test_process_without_descriptors_blames_nobody() -> None:
    """EMFILE is a StorageError for an address, a name (which glibc would call unknown) and TLS; with room again all is well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "tests.downloader.conformance.starved"], capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "address": "StorageError",
        "name": "StorageError",
        "no such name": "StorageError",
        "https": "StorageError",
        "blamed": [],
        "requests": 0,
        "address, later": "Fetched",
        "name, later": "Fetched",
    }


@pytest.mark.parametrize("code", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"])
async def test_exhausted_machine_is_not_the_hosts_fault(code: str) -> None:
    """Whatever ran out, during a lookup: raised, not retried, not counted; the next request goes through."""
    time, failures = FakeTime(), iter([OSError(getattr(errno, code), code)])

    async def lookup(host: str) -> list[str]:
        for failure in failures:
            raise failure
        raise socket.gaierror(socket.EAI_NONAME, "scripted")

    async with Downloader(LIMITS, sleep=time.sleep, clock=time.clock, lookup=lookup) as downloader:
        with pytest.raises(errors.StorageError):
            await downloader.fetch("http://h.test/x")
        assert (time.waits, downloader.hosts()) == ([], ())
        assert (await downloader.fetch("http://h.test/x")).reason == "dns_not_found"  # type: ignore[union-attr]


async def test_full_pool_is_not_the_hosts_fault() -> None:
    """Waiting for a connection of our own pool says nothing about the other end."""
    time, full = FakeTime(), iter([httpx.PoolTimeout("x")])

    def answer(request: httpx.Request) -> httpx.Response:
        for error in full:
            raise error
        return httpx.Response(200, content=JPEG)

    async with Downloader(LIMITS, transport=httpx.MockTransport(answer), sleep=time.sleep, clock=time.clock) as downloader:
        with pytest.raises(errors.StorageError):
            await downloader.fetch("http://h.test/x")
        assert (time.waits, downloader.hosts()) == ([], ())
        assert isinstance(await downloader.fetch("http://h.test/x"), Fetched)


async def test_full_pool_forgives_no_failures() -> None:
    """Five broken connections close a host, and our own trouble in between does not make it well."""
    time = FakeTime()
    coming = iter([httpx.ConnectError("x"), httpx.ConnectError("x"), httpx.ConnectError("x"), httpx.PoolTimeout("x")])

    def answer(request: httpx.Request) -> httpx.Response:
        raise next(coming, httpx.ConnectError("x"))

    async with Downloader(LIMITS, transport=httpx.MockTransport(answer), sleep=time.sleep, clock=time.clock) as downloader:
        assert (await downloader.fetch("http://h.test/x")).reason == "network"  # type: ignore[union-attr]
        with pytest.raises(errors.StorageError):
            await downloader.fetch("http://h.test/x")
        assert [host.failures for host in downloader.hosts()] == [3]


async def test_hanging_resolver_ends_as_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name without an answer is retried like a network failure; name after name without any is this machine's resolver."""
    release = threading.Event()
    monkeypatch.setattr("downloader.resolver.socket.getaddrinfo", lambda *args, **kwargs: release.wait() and [])
    time, lookup = FakeTime(), ThreadedResolver(timeout_s=0.05)
    with Dials() as dials:
        async with Downloader(LIMITS, sleep=time.sleep, clock=time.clock, lookup=lookup) as downloader:
            for number in range(4):
                assert (await downloader.fetch(f"http://silent{number}.test/x")).reason == "network"  # type: ignore[union-attr]
            with pytest.raises(errors.StorageError):
                await downloader.fetch("http://silent4.test/x")
    release.set()
    lookup.close()
    assert dials.made == []
    assert len(time.waits) == 8
