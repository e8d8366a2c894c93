"""Ctrl-C and SIGTERM: the first asks the run to end in order, the second ends it at once. Nothing is lost either way."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.cli import codes

__all__ = ["Interrupts"]


class Interrupts:
    """Listens for the body's time.

    Args:
        on_first: called once, with what to say to whoever waits.
    """

    def __init__(self, on_first: Callable[[str], None]) -> None:
        self.stopped = asyncio.Event()
        self.signal: int | None = None
        self._on_first = on_first

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._receive, number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    @property
    def code(self) -> int | None:
        """The exit code of an interrupted run, ``None`` where nobody interrupted it."""
        return None if self.signal is None else codes.SIGNALLED + self.signal

    async def wait(self, seconds: float) -> bool:
        """Wait so long, or until interrupted; tell whether that was so."""
        if not self.stopped.is_set():
            waiter = asyncio.ensure_future(self.stopped.wait())
            await asyncio.wait([waiter], timeout=seconds)
            waiter.cancel()
        return self.stopped.is_set()

    def _receive(self, number: int) -> None:
        if self.signal is not None:
            _leave_at_once(codes.SIGNALLED + number)
        self.signal = number
        self.stopped.set()
        self._on_first("stopping: what is in hand is finished and saved; once more to stop at once")


def _leave_at_once(code: int) -> None:
    """No drain, no farewell: the database holds all that matters, and decoder processes die with their parent."""
    if sys.stderr.isatty():
        sys.stderr.write("\x1b[?25h\n")  # a live display hides the cursor
    sys.stderr.flush()
    os._exit(code)
