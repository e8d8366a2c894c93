"""The clients that `benchmarks/download.py` compares. Each runs in a process of its own and prints one line of JSON.

::

    python benchmarks/clients.py --client pictrawl --base http://127.0.0.1:18080 --home FOLDER --count 3000 --in-flight 64

All read every body to its end and check its length; what a client does beyond that is its own way of working.
"""

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import measuring
import origin
import uvloop

from app import process_setup
from downloader import Attempt, Fetched, FetchFailed, FetchLimits, FetchRequest, Outcome, RetryRules
from downloader.client import Downloader
from downloader.transport import GuardedTransport
from downloader.url_guard import URLGuard
from logging_setup import get_logger
from logging_setup.config import configure

LOOPBACK: Final = ("127.0.0.0/8",)
TIMEOUT_S: Final = 60.0
CLIENTS_AT_BEST: Final = 16
"""The number of httpx clients with which 64 requests in flight are fastest."""

_DEFAULT_LIMITS: Final = httpx.Limits(max_connections=100, max_keepalive_connections=20)
"""httpx's own defaults."""

BODIES: Final = ("large", "endless")
"""For the worst case of memory: each request in flight has all of its body but the end. ``large`` bodies have ``max_bytes`` and are kept;
``endless`` ones do not say how long they are and are refused one byte later."""

_WARM_UP: Final = 600
_WAVES: Final = 3

Fetch = Callable[[str], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Task:
    """The URLs of one client, and how to fetch them."""

    urls: list[str]
    sizes: dict[str, int]
    in_flight: int
    authority: Path | None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """A context that trusts the origin's authority; None over http."""
        return ssl.create_default_context(cafile=self.authority) if self.authority else None

    def check(self, url: str, size_bytes: int) -> None:
        """Exit where a body has another length than the file."""
        expected = self.sizes[url.rpartition("/")[2]]
        if size_bytes != expected:
            raise SystemExit(f"{url}: {size_bytes} bytes instead of {expected}")


class Recorder:
    """An attempt log in memory, instead of the database."""

    def __init__(self) -> None:
        self.reserved = 0
        self.recorded: list[Attempt] = []

    async def reserve(self, request: FetchRequest, number: int) -> None:
        self.reserved += 1

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        self.recorded.append(attempt)


async def fetch_all(task: Task, urls: Iterable[str], workers: int, fetch: Fetch) -> None:
    """Keep ``workers`` requests in flight until all URLs are read."""
    left = iter(urls)

    async def work() -> None:
        for url in left:
            task.check(url, await fetch(url))

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


def downloader_for(task: Task) -> Downloader:
    """The downloader with every feature enabled; only operator settings differ from their defaults."""
    limits = FetchLimits(concurrency=task.in_flight, per_host=task.in_flight, allow_networks=LOOPBACK, ports=())
    return Downloader(limits, RetryRules(), ssl_context=task.tls)


async def pictrawl(task: Task) -> None:
    recorder = Recorder()
    async with downloader_for(task) as downloader:
        with get_logger(__name__).contextualize(job_id="job", chunk_id="chunk"):
            async for outcome in downloader.fetch_many(map(FetchRequest, task.urls), log=recorder):
                _check_outcome(task, outcome)
    if recorder.reserved != len(recorder.recorded) or recorder.reserved != len(task.urls):
        raise SystemExit("an attempt is missing from the log")


def _check_outcome(task: Task, outcome: Outcome) -> None:
    if not isinstance(outcome, Fetched):
        raise SystemExit(f"not fetched: {outcome}")
    task.check(outcome.request.url, len(outcome.body))


def _streaming(client: httpx.AsyncClient) -> Fetch:
    async def fetch(url: str) -> int:
        async with client.stream("GET", url) as response:
            response.raise_for_status()
            return len(b"".join([chunk async for chunk in response.aiter_raw()]))

    return fetch


def _httpx(task: Task, limits: httpx.Limits | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=task.tls or True, timeout=TIMEOUT_S, trust_env=False, limits=limits or _DEFAULT_LIMITS)


def _keeping(connections: int) -> httpx.Limits:
    return httpx.Limits(max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=60)


async def httpx_kept(task: Task) -> None:
    async with _httpx(task, _keeping(task.in_flight)) as client:
        await fetch_all(task, task.urls, task.in_flight, _streaming(client))


async def httpx_default(task: Task) -> None:
    async with _httpx(task, None) as client:
        await fetch_all(task, task.urls, task.in_flight, _streaming(client))


async def httpx_sharded(task: Task) -> None:
    """Many clients with few connections each, since the cost of httpx's pool grows with its connections."""
    share = max(1, task.in_flight // CLIENTS_AT_BEST)
    clients = [_httpx(task, _keeping(share)) for _ in range(CLIENTS_AT_BEST)]
    shares = [task.urls[number::CLIENTS_AT_BEST] for number in range(CLIENTS_AT_BEST)]
    await asyncio.gather(*(fetch_all(task, urls, share, _streaming(client)) for urls, client in zip(shares, clients, strict=True)))
    await asyncio.gather(*(client.aclose() for client in clients))


async def _through(task: Task, transport: httpx.AsyncBaseTransport) -> None:
    async with httpx.AsyncClient(transport=transport, timeout=TIMEOUT_S, trust_env=False) as client:
        await fetch_all(task, task.urls, task.in_flight, _streaming(client))


async def our_transport(task: Task) -> None:
    await _through(task, GuardedTransport(URLGuard((), LOOPBACK), ssl_context=task.tls))


def _session(task: Task) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=task.in_flight, ssl=task.tls or True)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)
    )


async def bare_aiohttp(task: Task) -> None:
    async with _session(task) as session:

        async def fetch(url: str) -> int:
            async with session.get(url) as response:
                return len(await response.read())

        await fetch_all(task, task.urls, task.in_flight, fetch)


CLIENTS: Final[dict[str, Callable[[Task], Awaitable[None]]]] = {
    "pictrawl": pictrawl,
    "httpx-kept": httpx_kept,
    "httpx-default": httpx_default,
    "httpx-sharded": httpx_sharded,
    "aiohttp": bare_aiohttp,
    "our-transport": our_transport,
}


def measure(client: str, task: Task) -> dict[str, Any]:
    """Run a client; starting Python and importing it are not counted, connecting is."""
    started, spent = time.perf_counter(), time.process_time()
    uvloop.run(_run(CLIENTS[client], task))
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - spent
    count = len(task.urls)
    return {
        "client": client,
        "in_flight": task.in_flight,
        "images": count,
        "images_per_s": round(count / wall_s, 1),
        "cpu_ms": round(cpu_s / count * 1000, 4),
        "peak_rss_mb": round(measuring.peak_rss_bytes() / 1e6, 1),
    }


async def _run(client: Callable[[Task], Awaitable[None]], task: Task) -> None:
    process_setup.tune_gc()  # as in the workers
    await client(task)


async def _measure_peak(base: str, kind: str, in_flight: int) -> dict[str, Any]:
    """Fetch ordinary images first, for the memory that the process takes anyway, then the large bodies."""
    limits = FetchLimits(concurrency=in_flight, per_host=in_flight, allow_networks=LOOPBACK, ports=(), max_bytes=origin.LARGE_BYTES)
    async with Downloader(limits) as downloader:
        async for outcome in downloader.fetch_many(map(FetchRequest, origin.urls_of(base, _WARM_UP))):
            assert isinstance(outcome, Fetched), outcome
        before = measuring.peak_rss_bytes()
        bodies = [FetchRequest(f"{base}/{kind}/{number}") for number in range(_WAVES * in_flight)]
        async for outcome in downloader.fetch_many(bodies):
            _check_body(outcome, kind)
    bound = in_flight * origin.LARGE_BYTES
    return {
        "kind": kind,
        "in_flight": in_flight,
        "max_bytes_mb": origin.LARGE_BYTES / 1e6,
        "before_mb": round(before / 1e6, 1),
        "peak_mb": round(measuring.peak_rss_bytes() / 1e6, 1),
        "bound_mb": round((before + bound) / 1e6, 1),
    }


def _check_body(outcome: Outcome, kind: str) -> None:
    if kind == "large":
        assert isinstance(outcome, Fetched), outcome
        assert len(outcome.body) == origin.LARGE_BYTES
    else:
        assert isinstance(outcome, FetchFailed), outcome
        assert outcome.reason == "too_large", outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--client", choices=sorted(CLIENTS))
    chosen.add_argument("--bodies", choices=BODIES, help="measure the downloader's peak memory over such bodies instead")
    parser.add_argument("--base", required=True, help="where the origin listens")
    parser.add_argument("--home", type=Path, required=True, help="the scratch folder with the corpus")
    parser.add_argument("--count", type=int, default=3000, help="images to fetch")
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    configure("INFO", "json")
    if options.bodies:
        print(json.dumps(uvloop.run(_measure_peak(options.base, options.bodies, options.in_flight))))
        return
    place = origin.Place(options.home)
    authority = place.authority if options.base.startswith("https") else None
    task = Task(origin.urls_of(options.base, options.count), origin.sizes_of(place), options.in_flight, authority)
    print(json.dumps(measure(options.client, task)))


if __name__ == "__main__":
    main()
