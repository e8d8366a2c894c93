"""A TCP proxy between workers and Redis that can delay, hold back or lose bytes without breaking a connection."""

import asyncio
import contextlib
from collections.abc import Iterator
from types import TracebackType
from typing import Self

__all__ = ["Wire"]


class Wire:
    """Forwards one loopback port to another.

    Attributes:
        latency_s: delay of each chunk of bytes, one way.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._silenced: set[asyncio.Task[None]] = set()
        self.latency_s = 0.0
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    @contextlib.contextmanager
    def dark(self) -> Iterator[None]:
        """Hold all bytes back while the body runs, then forward them."""
        self._open.clear()
        try:
            yield
        finally:
            self._open.set()

    def silence(self) -> None:
        """Forward nothing on the current connections any more, and leave them open. New ones work."""
        self._silenced |= self._tasks

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            try:
                await self._join(task, reader, writer)
            finally:
                self._tasks.discard(task)
                writer.close()

    async def _join(self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        try:
            ways = [asyncio.create_task(self._carry(task, here, there)) for here, there in ((reader, there_writer), (there_reader, writer))]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            there_writer.close()

    async def _carry(self, owner: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.latency_s:
                await asyncio.sleep(self.latency_s)
            await self._open.wait()
            if owner in self._silenced:
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()
