"""Bytes of a child are kept until they are taken, and waiting for more ends."""

import asyncio
from typing import Any

from app.images.pipes import Pipes

STDIN, STDOUT = 0, 1


class End:
    """One end of a pipe, as a transport."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.paused = self.closing = False

    def writelines(self, parts: Any) -> None:
        self.sent += parts

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Process:
    """A process with two pipes."""

    def __init__(self) -> None:
        self.ends = {STDIN: End(), STDOUT: End()}

    def get_pipe_transport(self, fd: int) -> End:
        return self.ends[fd]


def _opened() -> tuple[Pipes, End, End]:
    pipes, process = Pipes(), Process()
    pipes.attach(process)  # type: ignore[arg-type]
    return pipes, process.ends[STDIN], process.ends[STDOUT]


async def test_waiting_ends_with_bytes_with_the_end_or_with_the_limit() -> None:
    """And says which; what was heard stays until it is taken."""
    pipes, _, _ = _opened()
    assert not await pipes.more(0)
    loop = asyncio.get_running_loop()
    loop.call_soon(pipes.pipe_data_received, STDOUT, b"ab")
    assert await pipes.more(20)
    loop.call_soon(pipes.pipe_connection_lost, STDIN, None)
    loop.call_soon(pipes.pipe_connection_lost, STDOUT, None)
    assert await pipes.more(20)
    assert pipes.is_at_end
    assert await pipes.more(20)
    assert pipes.heard == b"ab"


async def test_a_pipe_that_is_closed_takes_nothing_and_says_nothing() -> None:
    """How far a process got is told by what it said."""
    pipes, out, _ = _opened()
    Pipes().write([b"nobody is there yet"])
    pipes.write([b"a", b"b"])
    out.closing = True
    pipes.write([b"c"])
    assert out.sent == [b"a", b"b"]


async def test_a_flood_that_nobody_takes_is_held_back() -> None:
    """Until somebody waits for more."""
    pipes, _, heard = _opened()
    pipes.pipe_data_received(STDOUT, bytes(1 << 20))
    assert not heard.paused
    pipes.pipe_data_received(STDOUT, b"x")
    assert heard.paused
    assert not await pipes.more(0)
    assert not heard.paused


async def test_the_end_is_told_once() -> None:
    """Of the process, and of its pipes."""
    pipes, _, _ = _opened()
    for _ in range(2):
        pipes.process_exited()
        pipes.connection_lost(None)
    assert pipes.exited.done()
    assert pipes.closed.done()
