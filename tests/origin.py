"""A scripted origin on a real socket: per path the exact bytes, resets, pauses and redirects it answers with, and a log of every hit.

::

    async with Origin() as origin:
        origin.script("/a.jpg", reply(503), reply(body=JPEG))   # the last step repeats
        ... origin.url("/a.jpg") ... origin.hits("/a.jpg")
"""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + b"\x00" * 200 + b"\xff\xd9"
"""Begins and ends like a JPEG; nothing here decodes it."""

Step = Callable[["Exchange"], Awaitable[None]]
"""Answers one request."""


@dataclass(frozen=True)
class Hit:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Exchange:
    """One request and the means to answer it."""

    hit: Hit
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stopping: asyncio.Event = field(repr=False)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def rest(self, seconds: float) -> None:
        """Do nothing for a while, or until the origin closes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()


class Hangup(Exception):
    """The step wants the connection closed."""


def reply(
    status: int = 200,
    body: bytes = b"",
    headers: Iterable[tuple[str, str]] | dict[str, str] = (),
    *,
    length: int | None = None,
    reason: str = "X",
) -> Step:
    """Answer with a status, headers and a body; ``length`` overrides the Content-Length, a negative one leaves it out and closes."""
    lines = [f"HTTP/1.1 {status} {reason}"]
    lines += [f"{name}: {value}" for name, value in (headers.items() if isinstance(headers, dict) else headers)]
    announced = len(body) if length is None else length
    if announced >= 0 and status >= 200 and status != 204:
        lines.append(f"Content-Length: {announced}")
    data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
    return raw(data, close=announced != len(body))


def image(body: bytes = JPEG, **headers: str) -> Step:
    """Answer 200 with an image; headers by keyword, underscores for dashes."""
    return reply(200, body, {"Content-Type": "image/jpeg", **{name.replace("_", "-"): value for name, value in headers.items()}})


def redirect(location: str | None, status: int = 302, headers: Iterable[tuple[str, str]] = ()) -> Step:
    """Answer with a redirect; None leaves Location out."""
    where = [] if location is None else [("Location", location)]
    return reply(status, headers=[*where, *headers])


def raw(data: bytes, *, close: bool = True) -> Step:
    """Answer with exactly these bytes, then hang up unless told otherwise."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(data)
        if close:
            raise Hangup

    return step


def reset(after: bytes = b"") -> Step:
    """Send some bytes, then reset the connection."""

    async def step(exchange: Exchange) -> None:
        if after:
            await exchange.send(after)
            await asyncio.sleep(0.02)  # the bytes must be read before the reset overtakes them
        _linger_zero(exchange.writer)
        exchange.writer.transport.abort()
        raise Hangup

    return step


def hang_up() -> Step:
    """Close without a word."""
    return raw(b"")


def stall(after: bytes = b"", seconds: float = 60.0) -> Step:
    """Send some bytes, then nothing more."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(after)
        await exchange.rest(seconds)
        raise Hangup

    return step


def drip(head: bytes, body: bytes, *, every_s: float) -> Step:
    """Send the head, then the body one byte at a time."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(head)
        for at in range(len(body)):
            await exchange.send(body[at : at + 1])
            await exchange.rest(every_s)
        raise Hangup

    return step


def endless(chunk: bytes = b"A" * 65536, headers: str = "") -> Step:
    """Answer 200 with a body that never ends."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode())
        while not exchange.stopping.is_set():
            await exchange.send(chunk)

    return step


class Origin:
    """Listens on a free loopback port. Paths without a script answer 404, robots.txt included.

    Args:
        ssl_context: serve https instead.
        greeting: answers every connection before anything has been read from it, then hangs up.
    """

    def __init__(self, ssl_context: ssl.SSLContext | None = None, *, greeting: Step | None = None) -> None:
        self._ssl_context = ssl_context
        self._greeting = greeting
        self._scripts: dict[str, list[Step]] = {}
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.log: list[Hit] = []
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._ssl_context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        assert self._server is not None
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self._server.wait_closed()

    def script(self, path: str, *steps: Step) -> str:
        """Answer requests for a path (query left out) with these steps in turn, the last one for ever; return its URL."""
        self._scripts[path] = list(steps)
        return self.url(path)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://{host}:{self.port}{path}"

    def hits(self, path: str) -> list[Hit]:
        """Requests for a path, oldest first."""
        return [hit for hit in self.log if hit.target.partition("?")[0] == path]

    def step_for(self, hit: Hit) -> Step:
        """Return how a request is answered: by its path's script. A server with an answer of its own overrides this."""
        steps = self._scripts.get(hit.target.partition("?")[0], [reply(404)])
        return steps.pop(0) if len(steps) > 1 else steps[0]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with contextlib.suppress(Hangup, OSError, asyncio.IncompleteReadError):
                if self._greeting is not None:
                    await self._greeting(Exchange(Hit("", "", {}), reader, writer, self._stopping))
                    return
                while True:
                    await self._answer(reader, writer)
        except asyncio.CancelledError:
            pass  # the server's own callback would report it
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hit = await _read_request(reader)
        self.log.append(hit)
        step = self.step_for(hit)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await step(Exchange(hit, reader, writer, self._stopping))
        finally:
            self.in_flight -= 1


async def _read_request(reader: asyncio.StreamReader) -> Hit:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Hit(method, target, headers, body)


def _linger_zero(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
