"""The two pipes to and from a decoder process: bytes out, bytes in, one timer. Knows asyncio, no frames and no images.

A protocol instead of streams: an image wakes the event loop once and costs it one future and one timer.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

__all__ = ["Pipes"]

_STDIN, _STDOUT = 0, 1

_HELD_BYTES: Final = 1 << 20
"""Bytes of replies that are held before the pipe is left to fill up."""


class Pipes(asyncio.SubprocessProtocol):
    """What a process says, in ``heard``, until somebody takes it from there.

    Attributes:
        heard: bytes that were not taken yet.
        is_at_end: whether nothing will come any more.
        exited: done once the process has ended.
        closed: done once its pipes are gone as well.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.heard = bytearray()
        self.is_at_end = False
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._waiter: asyncio.Future[bool] | None = None
        self._out: asyncio.WriteTransport | None = None
        self._in: asyncio.ReadTransport | None = None
        self._is_full = False

    def attach(self, process: asyncio.SubprocessTransport) -> None:
        """Take the ends of the pipes from the process they belong to."""
        self._out = cast(asyncio.WriteTransport, process.get_pipe_transport(_STDIN))
        self._in = cast(asyncio.ReadTransport, process.get_pipe_transport(_STDOUT))

    def write(self, parts: Iterable[bytes]) -> None:
        """Send. A pipe that is closed at the other end is no news here: reading tells how far the process got."""
        if self._out is not None and not self._out.is_closing():
            self._out.writelines(parts)

    async def more(self, limit_s: float) -> bool:
        """Wait until more was heard or nothing more will come; False after ``limit_s`` seconds without either."""
        if self.is_at_end:
            return True
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(limit_s, self._wake, False)
        if self._is_full and self._in is not None:
            self._is_full = False
            self._in.resume_reading()
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self, has_more: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(has_more)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what came."""
        self.heard += data
        if len(self.heard) > _HELD_BYTES and self._waiter is None and self._in is not None:
            self._is_full = True
            self._in.pause_reading()
        self._wake(True)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note the end of what is said; that of the other pipe is no news."""
        if fd == _STDOUT:
            self.is_at_end = True
            self._wake(True)

    def process_exited(self) -> None:
        """Note that the process has ended."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the pipes are gone."""
        if not self.closed.done():
            self.closed.set_result(None)
