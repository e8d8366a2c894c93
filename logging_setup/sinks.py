"""Sinks for lines: a stream, a descriptor, a file. A write either writes the whole line or raises, and never waits for a stalled reader.

Lines bypass Python's buffers: text that a full disk refused would stay in the buffer and fail again at exit, which changes the exit code.
loguru's own file sink (``logger.add(path, watch=True)``) is not used. When a write fails it prints the record before redaction, 15 lines
of it, to standard error, and hangs if nobody reads that; with ``catch=False`` the error reaches the caller. A test shows both.
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
"""How long the first line waits for a full pipe. Lines after it do not wait at all until one has been written again."""

WATCH_INTERVAL_S: Final = 1.0
"""Seconds between two checks that the path still names the open file: logrotate moves the file and expects a new one."""

_PIECE: Final = 4096
"""Bytes that a pipe is sure to take at once when poll reports it writable (PIPE_BUF on Linux)."""


class Stream(Protocol):
    """A text stream."""

    def write(self, text: str, /) -> Any: ...

    def flush(self) -> Any: ...


class Sink(Protocol):
    """Writes lines."""

    def write(self, line: str, /) -> None:
        """Write a whole line, or raise."""
        ...

    def close(self) -> None:
        """Close what the sink itself opened."""
        ...


class StreamSink:
    """A stream without a descriptor, such as io.StringIO. The caller closes it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, line: str) -> None:
        """Write and flush."""
        self._stream.write(line)
        self._stream.flush()

    def close(self) -> None:
        """Nothing to close."""


class DescriptorSink:
    """An open descriptor, such as standard error. A pipe that nobody reads costs lines and does not block the process."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor = descriptor
        self._encoding = encoding
        self._poll = _poll_of(descriptor)
        self._patience_ms = PATIENCE_MS
        self._is_torn = False

    def write(self, line: str) -> None:
        """Write a whole line. If that fails midway, the next line starts with a line break."""
        body = line.encode(self._encoding, "backslashreplace")
        rest = memoryview(b"\n" + body if self._is_torn else body)
        while rest:
            written = os.write(self._descriptor, self._writable_part(rest))
            rest = rest[written:]
            self._is_torn = bool(rest)

    def _writable_part(self, rest: memoryview) -> memoryview:
        """Return as much as can be written without blocking: everything, unless the descriptor is a pipe or a socket."""
        if self._poll is None:
            return rest
        if not self._poll.poll(self._patience_ms):
            self._patience_ms = 0
            raise BlockingIOError("nobody reads the log")
        self._patience_ms = PATIENCE_MS
        return rest[:_PIECE]

    def close(self) -> None:
        """Nothing to close: the descriptor belongs to the process."""


class FileSink:
    """A file that is appended to, and opened anew when its path was moved, removed or replaced."""

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._open()

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._identity = _identity(os.fstat(self._descriptor))
        self._lines = DescriptorSink(self._descriptor)
        self._check_at = self._clock() + WATCH_INTERVAL_S

    def write(self, line: str) -> None:
        """Append a line."""
        if self._clock() >= self._check_at:
            self._reopen_if_replaced()
        self._lines.write(line)

    def _reopen_if_replaced(self) -> None:
        """Open the path again if it names another file now. On failure keep the old file and try again at the next check."""
        self._check_at = self._clock() + WATCH_INTERVAL_S
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
    """Return the sink for a stream; for None (a process started without standard error) one that refuses every line."""
    if stream is None:
        return StreamSink(_ClosedStream())
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):  # no descriptor, or closed
            return DescriptorSink(stream.fileno(), stream.encoding)
    return StreamSink(stream)


def is_terminal(stream: Stream | None) -> bool:
    """Return whether the stream is an open terminal."""
    with contextlib.suppress(AttributeError, ValueError):
        return bool(stream.isatty())  # type: ignore[union-attr]
    return False


class _ClosedStream(io.TextIOBase):
    def write(self, text: str) -> int:
        raise OSError("this process has no standard error")


def _poll_of(descriptor: int) -> "select.poll | None":
    """Return a poll object for descriptors that may block (pipes and sockets), None for others."""
    with contextlib.suppress(OSError, AttributeError):
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            return poll
    return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
