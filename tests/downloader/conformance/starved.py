"""Run as a program: fetch with no file descriptor left, then with enough again, and print what came of it as JSON."""

import asyncio
import contextlib
import json
import os
import resource
from collections.abc import Awaitable, Iterator

import errors
from downloader import FetchLimits, RetryRules
from downloader.client import Downloader
from tests.origin import Origin, image

LIMIT = 64
LIMITS = FetchLimits(allow_networks=("127.0.0.0/8", "::1/128"), ports=(), robots=False)


@contextlib.contextmanager
def exhausted() -> Iterator[None]:
    """Hold every descriptor that there is."""
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.dup(0))
    yield
    for descriptor in held:
        os.close(descriptor)


async def ending(fetching: Awaitable[object]) -> str:
    """The outcome's name, its reason, or the error that left the downloader."""
    try:
        outcome = await fetching
    except errors.PictrawlError as exc:
        return type(exc).__name__
    return str(getattr(outcome, "reason", type(outcome).__name__))


async def main() -> dict[str, object]:
    said: dict[str, object] = {}
    "a".encode("idna")  # what Python loads for a name is there: glibc is left to fail by itself, and cold
    async with Origin() as origin, Downloader(LIMITS, RetryRules(attempts=1)) as downloader:
        url = origin.script("/x", image())
        by_name = url.replace("127.0.0.1", "localhost")
        with exhausted():
            said["address"] = await ending(downloader.fetch(url))
            said["name"] = await ending(downloader.fetch(by_name))
            said["no such name"] = await ending(downloader.fetch("http://gone.invalid/x"))
            said["https"] = await ending(downloader.fetch(url.replace("http:", "https:")))
        said["blamed"] = [host.host for host in downloader.hosts() if host.failures]
        said["requests"] = len(origin.log)
        said["address, later"] = await ending(downloader.fetch(url))
        said["name, later"] = await ending(downloader.fetch(by_name))
    return said


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
    print(json.dumps(asyncio.run(main())))
