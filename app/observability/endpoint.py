"""A door for Prometheus in a process that serves nothing else: ``GET /metrics`` and ``GET /healthz``, one request a connection.

It runs on the event loop and not in a thread: what is read at a scrape belongs to the loop, and a loop that cannot answer a scrape is news.
Whoever can reach it can read it, so it listens on loopback unless told otherwise, and tells figures only.
"""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from app.observability.instruments import exposition
from logging_setup import get_logger

__all__ = ["CONTENT_TYPE", "listening", "own_figures"]

log = get_logger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUEST_S = 5.0
"""Seconds that a client has to ask, and to take its answer."""

HEAD_BYTES = 8192
"""Largest request head; a scrape's has a few hundred."""

Render = Callable[[], Awaitable[bytes]]
WAY_OUT = "give this process a metrics.port of its own, or several to choose from with metrics.ports; metrics.port = 0 is off"


async def own_figures() -> bytes:
    """What this process counts itself."""
    return exposition()


@asynccontextmanager
async def listening(host: str, port: int, render: Render = own_figures, *, tries: int = 1) -> AsyncIterator[int | None]:
    """Answer scrapes for the body's time, on the first free of ``tries`` ports from ``port`` on; yield which, None for none.

    A port that cannot be had costs the figures, never the work.
    """
    server, bound = await _bound(host, port, _Door(render), tries) if port else (None, None)
    if server is None:
        yield None
        return
    log.info("metrics.listening", host=host, port=bound)
    try:
        yield bound
    finally:
        server.close()  # what is being answered ends with the loop's tasks: nobody waits for a scraper


async def _bound(host: str, port: int, door: "_Door", tries: int) -> tuple[asyncio.Server | None, int | None]:
    why = ""
    for number in range(port, min(port + tries, 65536)):
        try:
            return await asyncio.start_server(door.answer, host, number, limit=HEAD_BYTES), number
        except (OSError, UnicodeError) as error:  # a name that cannot be one
            why = _words(error)
            if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                break
    log.warning("metrics.not_listening", host=host, port=port, tries=tries, error=why, way_out=WAY_OUT)
    return None, None


def _words(error: OSError | UnicodeError) -> str:
    """Without the address, which asyncio adds; the numbers of a name that is none are not the system's."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else str(error)


class _Door:
    def __init__(self, render: Render) -> None:
        self._render = render

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._reply(head))
                await writer.drain()
        writer.close()

    async def _reply(self, head: bytes) -> bytes:
        method, path = (*head.split(b"\r\n", 1)[0].split(b" "), b"", b"")[:2]
        path = path.partition(b"?")[0]
        if method not in (b"GET", b"HEAD"):
            return _message("405 Method Not Allowed", b"", "Allow: GET, HEAD\r\n")
        if path not in (b"/metrics", b"/healthz"):
            return _message("404 Not Found", b"")
        body = await self._render() if path == b"/metrics" else b"ok\n"
        reply = _message("200 OK", body, f"Content-Type: {CONTENT_TYPE}\r\n")
        return reply if method == b"GET" else reply[: len(reply) - len(body)]


def _message(status: str, body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
