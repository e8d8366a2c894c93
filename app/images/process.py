"""One decoder process as its parent sees it: started, asked, killed, reaped. Must not know how many there are or why."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Final

from app.images import wire
from app.images.chatter import StandardError, log_remarks
from app.images.wire import Reply, Request
from errors import StorageError

__all__ = ["Child", "ChildDied"]

_START_LIMIT_S: Final = 60.0
"""Seconds for imports, on a machine that is busy with everything else."""

_READ_LIMIT_BYTES: Final = 1 << 20
"""Bytes of a reply that are buffered before the pipe is left to fill up."""

_INHERITED: Final = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME", "TZ")
"""The environment holds keys and passwords; a process that parses hostile files gets nothing it doesn't need."""

_TUNING: Final = {
    # glibc returns pixel buffers to the kernel at once unless told otherwise: 2.85 ms a decode instead of 1.73
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "536870912",
    # one image at a time on one core; BLAS threads would only take address space
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class ChildDied(Exception):
    """The process ended before it answered. ``started`` says whether it had begun on the image."""

    def __init__(self, how: str, *, started: bool) -> None:
        super().__init__(how)
        self.started = started


class Child:
    """A decoder process. One request at a time; after a failed or cancelled one it must be killed."""

    def __init__(self, process: Process, stderr: StandardError) -> None:
        self._process = process
        self._stderr = stderr
        self.answered = 0

    @classmethod
    async def start(cls, memory_bytes: int) -> "Child":
        """Start a process; it is not usable before `ready` has returned.

        Args:
            memory_bytes: its address space, about 250 MB of which Python, Pillow and numpy take.

        Raises:
            errors.StorageError: no process or descriptor is to be had.
            MemoryError: the machine has no memory for it.
        """
        try:
            return cls(*await _spawn(memory_bytes))
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError("no memory for a decoder process") from error
            raise StorageError(f"cannot start a decoder process: {error.strerror}") from error

    async def ready(self, limit_s: float = _START_LIMIT_S) -> None:
        """Wait until the process takes requests, at most ``limit_s`` seconds.

        Raises:
            errors.StorageError: it ended instead, or takes forever.
        """
        try:
            async with asyncio.timeout(limit_s):
                greeting = await self._stdout.read(len(wire.READY))
        except TimeoutError as error:
            raise StorageError(f"a decoder process was not ready within {limit_s:.0f} s") from error
        if greeting != wire.READY:
            how, last_words = await self._how_it_died(), self._stderr.take().rpartition("\n")[2]
            raise StorageError(f"a decoder process ended while it started: {how}{last_words and f', {last_words[:200]}'}")

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether, as far as is known, it would answer."""
        return self._process.returncode is None and not self._stdout.at_eof()

    @property
    def _stdout(self) -> asyncio.StreamReader:
        assert self._process.stdout is not None
        return self._process.stdout

    async def ask(self, request: Request) -> Reply:
        """Send a request and wait for its answer.

        Raises:
            ChildDied: the process ended before it answered.
        """
        await self._send(request)
        try:
            head = await self._stdout.readexactly(len(wire.STARTED) + wire.LENGTHS.size)
            header_size, payload_size = wire.LENGTHS.unpack(head[len(wire.STARTED) :])
            rest = await self._stdout.readexactly(header_size + payload_size)
        except asyncio.IncompleteReadError as error:
            started = bool(error.partial) or error.expected != len(wire.STARTED) + wire.LENGTHS.size
            how = await self._how_it_died()
            log_remarks((), self._stderr.take())
            raise ChildDied(how, started=started) from error
        self.answered += 1
        reply, remarks = wire.decode_reply(rest[:header_size], rest[header_size:])
        log_remarks(remarks, self._stderr.take())
        return reply

    async def _send(self, request: Request) -> None:
        """Write a request. A pipe that is closed at the other end is no news here: reading tells how far it got."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.writelines(wire.encode_request(request))
            await self._process.stdin.drain()

    async def _how_it_died(self) -> str:
        code = await self._process.wait()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End the process at once. It holds nothing that could be lost."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def reap(self) -> None:
        """Wait until the process is gone for good and its pipes are closed."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        while await self._stdout.read(_READ_LIMIT_BYTES):
            pass
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await self._process.stdin.wait_closed()
        await self._process.wait()
        self._stderr.close()


async def _spawn(memory_bytes: int) -> tuple[Process, StandardError]:
    command = [sys.executable, "-P", "-m", "app.images.child", str(os.getpid()), str(memory_bytes)]
    stderr = StandardError()
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=stderr.theirs, env=_environment(), start_new_session=True, limit=_READ_LIMIT_BYTES
        )
    except BaseException:
        stderr.close()
        raise
    finally:
        stderr.release()
    return process, stderr


def _environment() -> dict[str, str]:
    """The child's whole environment; this package is found where it was found for us."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, **_TUNING, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
