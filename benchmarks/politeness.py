"""How well a fleet finds and keeps a host's limit: worker processes with one Redis against an origin that allows so many requests a second.

    python benchmarks/politeness.py --workers 4 --allowed 20 --seconds 60

The origin answers after 20 ms, and 429 beyond its limit, once without Retry-After and once with it. Shown are, after the first ten seconds,
the share of requests that were refused, the share of the allowed rate that was used, and the most requests it ever had at once.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count

from loguru import logger
from redis.asyncio import Redis

from downloader import FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader
from downloader.limiter.redis_store import RedisHostStateStore
from tests.origin import JPEG
from tests.services import RedisServer

WARM_UP_S = 10.0
"""Seconds in which the limit may be learned."""

LATENCY_S = 0.02


@dataclass
class Limit:
    """A token bucket, as most rate limiters are."""

    per_s: float
    burst: float
    tokens: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self.burst

    def allows(self) -> bool:
        now = time.monotonic()
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.per_s)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class Seen:
    """What the origin saw."""

    answers: list[tuple[float, bool]] = field(default_factory=list)
    in_flight: int = 0
    most_in_flight: int = 0

    def after(self, began: float) -> list[bool]:
        return [allowed for at, allowed in self.answers if at >= began]


@contextlib.asynccontextmanager
async def origin(limit: Limit, retry_after: str, seen: Seen) -> AsyncIterator[int]:
    """Serve on a free loopback port."""
    asked = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    yes = f"HTTP/1.1 200 OK\r\nContent-Length: {len(JPEG)}\r\n\r\n".encode() + JPEG
    no = f"HTTP/1.1 429 Too Many Requests\r\n{asked}Content-Length: 0\r\n\r\n".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                seen.in_flight += 1
                seen.most_in_flight = max(seen.most_in_flight, seen.in_flight)
                await asyncio.sleep(LATENCY_S / 2)
                allowed = limit.allows()
                seen.answers.append((time.monotonic(), allowed))
                await asyncio.sleep(LATENCY_S / 2)
                seen.in_flight -= 1
                writer.write(yes if allowed else no)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def work(name: str, port: int, redis_port: int, seconds: float) -> None:
    """One worker: fetch one URL of the host after the other, as many at once as the host's state allows."""
    limits = FetchLimits(allow_networks=("127.0.0.0/8",), ports=(), robots=False)
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)

    def urls() -> Iterator[FetchRequest]:
        for number in count():
            yield FetchRequest(f"http://127.0.0.1:{port}/{name}/{number}")

    async with contextlib.aclosing(Redis(port=redis_port)) as redis:
        store = RedisHostStateStore(redis)
        async with Downloader(limits, RetryRules(), store=store) as downloader:
            async for _ in downloader.fetch_many(urls(), stop=stop):
                pass
        await store.aclose()


async def measure(args: argparse.Namespace, redis_port: int, retry_after: str) -> str:
    """Run one series and describe it."""
    seen, began = Seen(), time.monotonic()
    async with origin(Limit(args.allowed, args.burst), retry_after, seen) as port:
        command = (sys.executable, __file__, "--worker", f"--port={port}", f"--redis-port={redis_port}", f"--seconds={args.seconds}")
        workers = [await asyncio.create_subprocess_exec(*command, f"--name=w{number}") for number in range(args.workers)]
        await asyncio.gather(*(worker.wait() for worker in workers))
    first = seen.answers[0][0] if seen.answers else began
    late = [allowed for at, allowed in seen.answers if first + WARM_UP_S <= at < first + args.seconds]
    used = sum(late) / (args.allowed * (args.seconds - WARM_UP_S))
    refused = 1 - sum(late) / max(1, len(late))
    cells = (retry_after or "none", f"{used:.1%}", f"{refused:.2%}", str(seen.most_in_flight), str(len(seen.answers)))
    return "| " + " | ".join(cells) + " |"


async def main(args: argparse.Namespace) -> None:
    """Run all series and print the table."""
    print(f"{args.workers} workers, {args.allowed}/s allowed, bursts of {args.burst}, {args.seconds:.0f} s; goal: 90 % used, 5 % refused")
    print("| Retry-After | used | refused | most at once | requests |\n|---|---|---|---|---|")
    for retry_after in args.retry_after:
        with RedisServer() as redis:
            print(await measure(args, redis.port, retry_after), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--allowed", type=float, default=20.0, help="requests a second")
    parser.add_argument("--burst", type=float, default=20.0, help="requests at once that the limit lets through")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--retry-after", nargs="*", default=["", "1"], help='values of the header; "" for none')
    for hidden in ("--port", "--redis-port"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    arguments_given = arguments()
    if arguments_given.worker:
        logger.remove()
        asyncio.run(work(arguments_given.name, arguments_given.port, arguments_given.redis_port, arguments_given.seconds))
    else:
        asyncio.run(main(arguments_given))
