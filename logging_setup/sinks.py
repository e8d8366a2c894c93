"""Where lines go: a stream, a descriptor, a file. Each write is whole or raises; none of them waits for a reader who does not read.

Lines go to descriptors past Python's buffers: what a full disk refuses stays in a buffer, and is refused again when the process ends.
"""

import contextlib
import io
import os
import select
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

__all__ = ["DescriptorSink", "FileSink", "Sink", "Stream", "StreamSink", "is_terminal", "sink_for"]

PATIENCE_MS: Final = 100
"""How long the first line waits that a full pipe does not take; the ones behind it do not wait until one is taken again."""

FOLLOW_S: Final = 1.0
"""Seconds between two looks whether a file still has its name: logrotate moves it away and expects a new one."""

_PIECE: Final = 4096
"""Bytes that a pipe takes at once where it says that it can be written to (PIPE_BUF of Linux)."""


class Stream(Protocol):
    """What a line is written to."""

    def write(self, text: str, /) -> Any: ...

    def flush(self) -> Any: ...


class Sink(Protocol):
    """Takes lines."""

    def write(self, line: str, /) -> None:
        """Write a whole line, or raise."""
        ...

    def close(self) -> None:
        """Let go of what was opened here."""
        ...


class StreamSink:
    """A stream in memory, or one that draws; it is the caller's, and is not closed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write and flush."""
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        """Nothing was opened here."""


class DescriptorSink:
    """An open descriptor, such as standard error's. A pipe nobody reads from costs lines, not the worker."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._poll = _poll_of(descriptor)
        self._patience_ms = PATIENCE_MS
        self._is_torn = False

    def write(self, line: str) -> None:
        """Write all of a line; where that fails in its middle, the next one begins on a row of its own."""
        body = line.encode(self._encoding, "backslashreplace")
        rest = memoryview(b"\n" + body if self._is_torn else body)
        while rest:
            written = os.write(self._descriptor, self._acceptable(rest))
            rest = rest[written:]
            self._is_torn = bool(rest)

    def _acceptable(self, rest: memoryview) -> memoryview:
        """As much as can be written without waiting. What is no pipe takes all of it."""
        if self._poll is None:
            return rest
        if not self._poll.poll(self._patience_ms):
            self._patience_ms = 0
            raise BlockingIOError("nobody reads the log")
        self._patience_ms = PATIENCE_MS
        return rest[:_PIECE]

    def close(self) -> None:
        """The descriptor is the process's."""


class FileSink:
    """A file that is appended to, and found again under its name where it was moved, removed or replaced."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._open()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._identity = _identity(os.fstat(self._descriptor))
        self._lines = DescriptorSink(self._descriptor)
        self._look_at = self._clock() + FOLLOW_S

    def write(self, line: str) -> None:
        """Append a line."""
        if self._clock() >= self._look_at:
            self._follow()
        self._lines.write(line)

    def _follow(self) -> None:
        """Open the name anew where it means another file by now. Where that fails the old file goes on, and the next look tries again."""
        self._look_at = self._clock() + FOLLOW_S
        with contextlib.suppress(OSError):
            try:
                current = _identity(self._path.stat())
            except FileNotFoundError:
                current = None
            if current != self._identity:
                old = self._descriptor
                self._open()
                os.close(old)

    def close(self) -> None:
        """Close the file. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        with contextlib.suppress(OSError):
            os.close(descriptor)


def sink_for(stream: Stream | None) -> Sink:
    """Return the shortest way to a stream. Of a process that was started without one nothing is written."""
    if stream is None:
        return StreamSink(_Closed())
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):  # no descriptor of its own, or closed
            return DescriptorSink(stream.fileno(), stream.encoding)
    return StreamSink(stream)


def is_terminal(stream: Stream | None) -> bool:
    """Tell whether a person sees what is written; not where the stream is none, or is closed."""
    with contextlib.suppress(AttributeError, ValueError):
        return bool(stream.isatty())  # type: ignore[union-attr]
    return False


class _Closed(io.TextIOBase):
    def write(self, text: str) -> int:
        raise OSError("this process has no standard error")


def _poll_of(descriptor: int) -> "select.poll | None":
    """Something that tells whether a descriptor takes a write at once, for those that may not: pipes and sockets."""
    with contextlib.suppress(OSError, AttributeError):
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            return poll
    return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
