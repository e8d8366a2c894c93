"""One child: its environment, and who is to blame when it doesn't come up."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from app.domain import Verdict
from app.images.pool import process
from app.images.pool.process import DecoderProcess, PipeProtocol, ProcessDied
from app.images.pool.protocol import Request
from app.rules import ValidationRules
from errors import StorageError

MEMORY_BYTES = 1 << 30


async def test_a_child_answers_and_is_reaped(jpeg: bytes) -> None:
    """A process is started, ready, used, killed and gone."""
    child = await DecoderProcess.start(MEMORY_BYTES)
    await child.wait_ready()
    assert child.is_alive
    answers = [answer async for group in child.run(Request(ValidationRules(), (jpeg, jpeg)), 20.0) for answer in group]
    assert [type(answer.reply) for answer in answers] == [Verdict, Verdict]
    assert child.answered == 2
    child.kill()
    await child.reap()
    assert not child.is_alive
    child.kill()


async def test_a_dead_child_has_not_started(jpeg: bytes) -> None:
    """A request that was not begun says so."""
    child = await DecoderProcess.start(MEMORY_BYTES)
    await child.wait_ready()
    os.kill(child.pid, 9)
    with pytest.raises(ProcessDied, match="SIGKILL") as caught:
        await anext(child.run(Request(ValidationRules(), (jpeg,)), 20.0))
    assert not caught.value.started
    await child.reap()


async def test_a_child_that_cannot_start_is_our_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interpreter, or one that ends at once."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(StorageError, match="cannot start"):
        await DecoderProcess.start(MEMORY_BYTES)
    monkeypatch.setattr("sys.executable", "/bin/false")
    child = await DecoderProcess.start(MEMORY_BYTES)
    with pytest.raises(StorageError, match="exit code 1"):
        await child.wait_ready()
    await child.reap()


async def test_a_child_that_is_never_ready_is_given_up() -> None:
    """A limit of nothing is over before the interpreter is up."""
    child = await DecoderProcess.start(MEMORY_BYTES)
    with pytest.raises(StorageError, match="not ready within 0 s"):
        await child.wait_ready(timeout_s=0)
    child.kill()
    await child.reap()


async def test_a_child_has_no_secrets_and_only_its_own_descriptors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the environment but what it needs, and no file or socket of the parent."""
    monkeypatch.setenv("PICTRAWL_DB__URL", "postgresql://secret")
    with (tmp_path / "held").open("w") as held:
        child = await DecoderProcess.start(MEMORY_BYTES)
        await child.wait_ready()
        environment = Path(f"/proc/{child.pid}/environ").read_bytes()
        targets = [str(entry.readlink()) for entry in Path(f"/proc/{child.pid}/fd").iterdir()]
        child.kill()
        await child.reap()
        assert held.name not in targets
    assert b"secret" not in environment
    assert b"MALLOC_MMAP_THRESHOLD_=268435456" in environment
    assert len(targets) <= 6
    assert set(process._environment()) <= {*process._INHERITED, *process._TUNING, "PYTHONPATH"}


async def test_a_child_has_its_own_session() -> None:
    """Ctrl-C goes to the terminal's process group, which a child is no part of."""
    child = await DecoderProcess.start(MEMORY_BYTES)
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    child.kill()
    await child.reap()


STDIN, STDOUT = 0, 1


class Pipe:
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
        self.ends = {STDIN: Pipe(), STDOUT: Pipe()}

    def get_pipe_transport(self, fd: int) -> Pipe:
        return self.ends[fd]


def _opened() -> tuple[PipeProtocol, Pipe, Pipe]:
    pipes, process = PipeProtocol(), Process()
    pipes.attach(process)  # type: ignore[arg-type]
    return pipes, process.ends[STDIN], process.ends[STDOUT]


async def test_waiting_ends_with_bytes_with_the_end_or_with_the_limit() -> None:
    """The result says which; received bytes stay until they are consumed."""
    pipes, _, _ = _opened()
    assert not await pipes.wait_for_more(0)
    loop = asyncio.get_running_loop()
    loop.call_soon(pipes.pipe_data_received, STDOUT, b"ab")
    assert await pipes.wait_for_more(20)
    loop.call_soon(pipes.pipe_connection_lost, STDIN, None)
    loop.call_soon(pipes.pipe_connection_lost, STDOUT, None)
    assert await pipes.wait_for_more(20)
    assert pipes.is_at_end
    assert await pipes.wait_for_more(20)
    assert pipes.received == b"ab"


async def test_a_pipe_that_is_closed_takes_nothing_and_says_nothing() -> None:
    """How far a process got is known from what it sent."""
    pipes, out, _ = _opened()
    PipeProtocol().write([b"nobody is there yet"])
    pipes.write([b"a", b"b"])
    out.closing = True
    pipes.write([b"c"])
    assert out.sent == [b"a", b"b"]


async def test_a_flood_that_nobody_takes_is_held_back() -> None:
    """Reading resumes when somebody waits for more."""
    pipes, _, heard = _opened()
    pipes.pipe_data_received(STDOUT, bytes(1 << 20))
    assert not heard.paused
    pipes.pipe_data_received(STDOUT, b"x")
    assert heard.paused
    assert not await pipes.wait_for_more(0)
    assert not heard.paused


async def test_the_end_is_told_once() -> None:
    """Of the process, and of its pipes."""
    pipes, _, _ = _opened()
    for _ in range(2):
        pipes.process_exited()
        pipes.connection_lost(None)
    assert pipes.exited.done()
    assert pipes.closed.done()
