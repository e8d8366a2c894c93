"""One decoder process as its parent sees it: started, asked, killed, reaped. Must not know how many there are or why."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Final, cast

from app.images.pool import protocol
from app.images.pool.protocol import Answer, Request
from errors import StorageError
from logging_setup.capture import StderrPipe, log_remarks

__all__ = ["DeadlineExceeded", "DecoderProcess", "PipeProtocol", "ProcessDied", "Stalled"]

_START_TIMEOUT_S: Final = 60.0
"""Seconds for the imports of a child, on a machine that is busy with everything else."""

_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TZ")
"""The environment holds keys and passwords; a process that parses hostile files gets only these variables."""

_TUNING: Final = {
    # by default glibc returns pixel buffers to the kernel at once: 2.85 ms a decode instead of 1.73
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "536870912",
    # one image at a time on one core; BLAS threads would only take address space
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}

_STDIN, _STDOUT = 0, 1

_MAX_BUFFERED_BYTES: Final = 1 << 20
"""Bytes of replies that are buffered before reading pauses and the pipe fills up."""


class ProcessDied(Exception):
    """The process ended before it answered. ``started`` says whether it had begun the image."""

    def __init__(self, how: str, *, started: bool) -> None:
        super().__init__(how)
        self.started = started


class DeadlineExceeded(Exception):
    """The current image takes more CPU than it may."""


class Stalled(Exception):
    """There was no answer for a time in which a working process gives one, however busy the machine is."""


class PipeProtocol(asyncio.SubprocessProtocol):
    """The two pipes to and from a process. Cheaper than streams: an image wakes the loop once and costs one future and one timer.

    Attributes:
        received: bytes that were not consumed yet.
        is_at_end: whether nothing more will be received.
        exited: done once the process has ended.
        closed: done once its pipes are closed as well.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.received = bytearray()
        self.is_at_end = False
        self.exited: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._waiter: asyncio.Future[bool] | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._stdout: asyncio.ReadTransport | None = None
        self._is_paused = False

    def attach(self, process: asyncio.SubprocessTransport) -> None:
        """Set the process whose pipes these are."""
        self._stdin = cast(asyncio.WriteTransport, process.get_pipe_transport(_STDIN))
        self._stdout = cast(asyncio.ReadTransport, process.get_pipe_transport(_STDOUT))

    def write(self, parts: Iterable[bytes]) -> None:
        """Send bytes. A pipe that is closed at the other end raises nothing: reading shows how far the process got."""
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.writelines(parts)

    async def wait_for_more(self, timeout_s: float) -> bool:
        """Wait until more was received or the stream has ended; False after ``timeout_s`` seconds without either."""
        if self.is_at_end:
            return True
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, self._wake, False)
        if self._is_paused and self._stdout is not None:
            self._is_paused = False
            self._stdout.resume_reading()
        try:
            return await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self, has_more: bool) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(has_more)

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Buffer what came."""
        self.received += data
        if len(self.received) > _MAX_BUFFERED_BYTES and self._waiter is None and self._stdout is not None:
            self._is_paused = True
            self._stdout.pause_reading()
        self._wake(True)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note the end of the process's output; that of its input changes nothing."""
        if fd == _STDOUT:
            self.is_at_end = True
            self._wake(True)

    def process_exited(self) -> None:
        """Note that the process has ended."""
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the pipes are closed."""
        if not self.closed.done():
            self.closed.set_result(None)


class DecoderProcess:
    """A decoder process. It takes one request at a time; after a request that was not answered completely it must be killed.

    Attributes:
        answered: images answered so far.
    """

    def __init__(self, process: asyncio.SubprocessTransport, pipes: PipeProtocol, stderr: StderrPipe) -> None:
        self._process, self._pipes, self._stderr = process, pipes, stderr
        self.answered = 0

    @classmethod
    async def start(cls, memory_bytes: int, cpu_limit_s: float = 20.0) -> "DecoderProcess":
        """Start a process; it is not usable before `wait_ready` has returned.

        Args:
            memory_bytes: its address space, about 250 MB of which Python, Pillow and numpy take.
            cpu_limit_s: seconds of CPU for one image.

        Raises:
            errors.StorageError: no process or descriptor is available.
            MemoryError: the machine has no memory for it.
        """
        try:
            return cls(*await _spawn(memory_bytes, cpu_limit_s))
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError("no memory for a decoder process") from error
            raise StorageError(f"cannot start a decoder process: {error.strerror}") from error

    async def wait_ready(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait until the process accepts requests, at most ``timeout_s`` seconds.

        Raises:
            errors.StorageError: it ended instead, or was not ready in time.
        """
        received = self._pipes.received
        if not received and not await self._pipes.wait_for_more(timeout_s):
            raise StorageError(f"a decoder process was not ready within {timeout_s:.0f} s")
        if not received.startswith(protocol.READY):
            how, last_words = await self._exit_status(), self._stderr.take().rpartition("\n")[2]
            raise StorageError(f"a decoder process ended while it started: {how}{last_words and f', {last_words[:200]}'}")
        del received[: len(protocol.READY)]

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.get_pid() or 0

    @property
    def is_alive(self) -> bool:
        """Whether the process, as far as is known, would answer."""
        return self._process.get_returncode() is None and not self._pipes.is_at_end

    async def run(self, request: Request, stall_s: float) -> AsyncGenerator[list[Answer], None]:
        """Send a request and yield the answers in the order of its images, as many at a time as were received (use ``aclosing``).

        Args:
            request: images, by the same rules.
            stall_s: seconds by the clock for each image, the first one counted from the sending.

        Raises:
            ProcessDied: the process ended before it answered for the next image.
            DeadlineExceeded: the next image takes too much CPU.
            Stalled: no answer came for ``stall_s``.
        """
        self._pipes.write(protocol.encode_request(request))
        missing, began_at = len(request.sources), time.monotonic()
        while missing:
            if answers := self._received_answers():
                self.answered += len(answers)
                missing -= len(answers)
                yield answers
                began_at = time.monotonic()
            elif self._pipes.is_at_end:
                raise await self._death()
            elif not await self._pipes.wait_for_more(began_at + stall_s - time.monotonic()):
                raise Stalled

    def _received_answers(self) -> list[Answer]:
        answers = []
        while (answer := protocol.pop_answer(self._pipes.received)) is not None:
            answers.append(answer)
        return answers

    async def _death(self) -> ProcessDied | DeadlineExceeded:
        """Describe how the process ended, and log what it printed last."""
        started, how = bool(self._pipes.received), await self._exit_status()
        log_remarks((), self._stderr.take())
        if self._process.get_returncode() == -signal.SIGPROF:
            return DeadlineExceeded()
        return ProcessDied(how, started=started)

    async def _exit_status(self) -> str:
        await self._pipes.exited
        code = self._process.get_returncode()
        return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End the process at once. It holds nothing that could be lost."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def reap(self) -> None:
        """Wait until the process has ended, and close its pipes."""
        await self._pipes.exited
        self._process.close()
        await self._pipes.closed
        self._stderr.close()


async def _spawn(memory_bytes: int, cpu_limit_s: float) -> tuple[asyncio.SubprocessTransport, PipeProtocol, StderrPipe]:
    stderr = StderrPipe()
    limits = [str(os.getpid()), str(memory_bytes), str(stderr.read_end), str(cpu_limit_s)]
    command = [sys.executable, "-P", "-m", "app.images.pool.child", *limits]
    try:
        process, pipes = await asyncio.get_running_loop().subprocess_exec(
            PipeProtocol, *command, stderr=stderr.write_end, env=_environment(), start_new_session=True, pass_fds=(stderr.read_end,)
        )
    except BaseException:
        stderr.close()
        raise
    finally:
        stderr.close_write_end()
    pipes.attach(process)
    return process, pipes, stderr


def _environment() -> dict[str, str]:
    """The child's whole environment; its PYTHONPATH is the folder of this installation."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, **_TUNING, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
