"""An HTTP server on raw sockets with scripted faults for each path: throttle, reset, truncate, drip, redirect in a loop."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

__all__ = ["Answer", "Origin", "Step", "cut_off", "drip", "reply", "reset"]

Step = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Sends one response; returns whether the connection stays open."""

Answer = Callable[[str, Mapping[str, str]], Step]
"""Answers a request for a path with its query; a repeated parameter has its last value."""

PHRASES = {200: "OK", 302: "Found", 403: "Forbidden", 404: "Not Found", 410: "Gone", 429: "Too Many Requests", 503: "Service Unavailable"}


def reply(status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None, *, kind: str = "image/jpeg") -> Step:
    """A complete response."""
    data = _head(status, len(body), headers, kind) + body

    async def step(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return True

    return step


def reset() -> Step:
    """Reset the connection without a response."""

    async def step(writer: asyncio.StreamWriter) -> bool:
        linger = struct.pack("ii", 1, 0)  # on, 0 s: close sends RST instead of FIN
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        return False

    return step


def cut_off(body: bytes) -> Step:
    """Announce a whole body, send half of it, close the connection."""
    data = _head(200, len(body), None, "image/jpeg") + body[: len(body) // 2]

    async def step(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return False

    return step


def drip(body: bytes, *, seconds: float, pieces: int = 10) -> Step:
    """Send a body slowly, in pieces."""
    size = -(-len(body) // pieces)

    async def step(writer: asyncio.StreamWriter) -> bool:
        writer.write(_head(200, len(body), None, "image/jpeg"))
        for start in range(0, len(body), size):
            writer.write(body[start : start + size])
            await writer.drain()
            await asyncio.sleep(seconds / pieces)
        return True

    return step


def _head(status: int, length: int, headers: Mapping[str, str] | None, kind: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {PHRASES.get(status, 'X')}", f"Content-Type: {kind}", f"Content-Length: {length}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Origin:
    """Serves on a free port of 127.0.0.1 while the context is open. Paths without a script answer 404."""

    def __init__(self) -> None:
        self._steps: dict[str, Sequence[Step]] = {}
        self._answers: dict[str, Answer] = {}
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.hits: Counter[str] = Counter()
        self.base = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def script(self, path: str, *steps: Step) -> str:
        """Answer requests for a path with these steps in turn, then always with the last; return its URL."""
        self._steps[path] = steps
        return f"{self.base}{path}"

    def route(self, prefix: str, answer: Answer) -> str:
        """Answer requests for paths that begin with ``prefix``, as an API does; return its URL."""
        self._answers[prefix] = answer
        return f"{self.base}{prefix}"

    def _step(self, target: str) -> Step:
        path, _, query = target.partition("?")
        for prefix, answer in self._answers.items():
            if path.startswith(prefix):
                return answer(path, dict(parse_qsl(query)))
        steps = self._steps.get(target) or (reply(404, kind="text/plain"),)
        return steps[min(self.hits[target], len(steps) - 1)]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        goes_on = True
        while goes_on:
            head = await reader.readuntil(b"\r\n\r\n")
            parts = head.split(b" ", 2)
            target = parts[1].decode("latin-1") if len(parts) == 3 else "/"
            step = self._step(target)
            self.hits[target] += 1
            goes_on = await step(writer)
