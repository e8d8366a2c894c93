"""One decoder process as its parent sees it: started, asked, killed, reaped. Must not know how many there are or why."""

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

from app.images import wire
from app.images.pipes import Pipes
from app.images.wire import Answer, Request
from errors import StorageError
from logging_setup.capture import StderrPipe, log_remarks

__all__ = ["Child", "ChildDied", "Overdue"]

_START_LIMIT_S: Final = 60.0
"""Seconds for imports, on a machine that is busy with everything else."""

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
}


class ChildDied(Exception):
    """The process ended before it answered. ``started`` says whether it had begun on the image."""

    def __init__(self, how: str, *, started: bool) -> None:
        super().__init__(how)
        self.started = started


class Overdue(Exception):
    """The image at work takes longer than it may."""


class Child:
    """A decoder process. One request at a time; after one that was not answered to its end it must be killed."""

    def __init__(self, process: asyncio.SubprocessTransport, pipes: Pipes, stderr: StderrPipe) -> None:
        self._process, self._pipes, self._stderr = process, pipes, stderr
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
        heard = self._pipes.heard
        if not heard and not await self._pipes.more(limit_s):
            raise StorageError(f"a decoder process was not ready within {limit_s:.0f} s")
        if not heard.startswith(wire.READY):
            how, last_words = await self._how_it_died(), self._stderr.take().rpartition("\n")[2]
            raise StorageError(f"a decoder process ended while it started: {how}{last_words and f', {last_words[:200]}'}")
        del heard[: len(wire.READY)]

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.get_pid() or 0

    @property
    def is_alive(self) -> bool:
        """Whether, as far as is known, it would answer."""
        return self._process.get_returncode() is None and not self._pipes.is_at_end

    async def answers(self, request: Request, deadline_s: float) -> AsyncGenerator[list[Answer], None]:
        """Send a request and yield the answers in the order of its images, as many at a time as have come (under ``aclosing``).

        Args:
            request: images, by the same rules.
            deadline_s: seconds for one image, from its beginning; that of the first is its sending.

        Raises:
            ChildDied: the process ended before it answered for the next image.
            Overdue: the next image takes too long.
        """
        self._pipes.write(wire.encode_request(request))
        missing, began_at = len(request.sources), time.monotonic()
        while missing:
            if answers := self._taken():
                self.answered += len(answers)
                missing -= len(answers)
                yield answers
                began_at = time.monotonic()
            elif self._pipes.is_at_end:
                raise await self._death()
            elif not await self._pipes.more(began_at + deadline_s - time.monotonic()):
                raise Overdue

    def _taken(self) -> list[Answer]:
        answers = []
        while (answer := wire.take_answer(self._pipes.heard)) is not None:
            answers.append(answer)
        return answers

    async def _death(self) -> ChildDied:
        """Say how it ended. What it printed and could not tell any more is logged."""
        started, how = bool(self._pipes.heard), await self._how_it_died()
        log_remarks((), self._stderr.take())
        return ChildDied(how, started=started)

    async def _how_it_died(self) -> str:
        await self._pipes.exited
        code = self._process.get_returncode()
        return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End the process at once. It holds nothing that could be lost."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def reap(self) -> None:
        """Wait until the process is gone for good and its pipes are closed."""
        await self._pipes.exited
        self._process.close()
        await self._pipes.closed
        self._stderr.close()


async def _spawn(memory_bytes: int) -> tuple[asyncio.SubprocessTransport, Pipes, StderrPipe]:
    stderr = StderrPipe()
    command = [sys.executable, "-P", "-m", "app.images.child", str(os.getpid()), str(memory_bytes), str(stderr.read_end)]
    try:
        process, pipes = await asyncio.get_running_loop().subprocess_exec(
            Pipes, *command, stderr=stderr.write_end, env=_environment(), start_new_session=True, pass_fds=(stderr.read_end,)
        )
    except BaseException:
        stderr.close()
        raise
    finally:
        stderr.close_write_end()
    pipes.attach(process)
    return process, pipes, stderr


def _environment() -> dict[str, str]:
    """The child's whole environment; this package is found where it was found for us."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {**inherited, **_TUNING, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
