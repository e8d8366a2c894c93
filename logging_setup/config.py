"""Logging set up once per process: which lines are written, to which sinks, in which format.

House rule: a constant dotted event and data as keywords, ``log.info("chunk.fetched", ok=97, failed=3)``. Ids come from
``log.contextualize(job_id=...)``, so that one grep on an id finds its whole life.
"""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import loguru

from logging_setup import bridge
from logging_setup.format import flatten, format_json, format_pretty
from logging_setup.repeats import Repeats
from logging_setup.sinks import FileSink, Sink, Stream, is_terminal, sink_for

if TYPE_CHECKING:
    from loguru import Record

__all__ = ["LogFormat", "add_sink", "configure", "dropped_lines", "remove_sink"]

LogFormat = Literal["auto", "pretty", "json"]
Fields = Mapping[str, Any]
Formatter = Callable[[Fields], str]
_DEFAULT_HANDLER_ID: Final = 0
"""The handler that loguru installs on import."""


class _LineWriter:
    """Flattens each record once, limits repeats and writes the line to every sink."""

    def __init__(self) -> None:
        self._outputs: list[tuple[Sink, Formatter]] = []
        self._repeats = Repeats()
        self._lock = threading.RLock()  # reentrant: a finaliser may log while its thread is writing a line

    def add(self, sink: Sink, formatter: Formatter) -> None:
        self._outputs.append((sink, formatter))

    def write_record(self, record: "Record") -> None:
        fields = flatten(record)
        with self._lock:
            self._write(self._repeats.admit(fields))

    def _write(self, lines: list[Fields]) -> None:
        for fields in lines:
            for sink, formatter in self._outputs:
                _drop_on_error(_write_line, sink, formatter, fields)

    def flush(self) -> None:
        """Write the pending counts of repeated lines."""
        with self._lock:
            self._write(self._repeats.flush())

    def close(self) -> None:
        self.flush()
        for sink, _ in self._outputs:
            sink.close()
        self._outputs.clear()


class _State:
    """What `configure` installed. A second call replaces it."""

    def __init__(self) -> None:
        self.handler_id = _DEFAULT_HANDLER_ID
        self.writer = _LineWriter()
        self.lock = threading.Lock()
        self.dropped = 0


_state = _State()
atexit.register(lambda: _state.writer.flush())


def configure(
    level: str = "INFO", format: LogFormat = "auto", file: str | None = None, stream: Stream | None = None, *, ids: bool = True
) -> None:
    """Write lines from ``level`` upwards to a stream, and as JSON to a file too. The last call replaces the ones before it.

    Args:
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        format: pretty for people, json for machines; auto is pretty on a terminal and json elsewhere.
        file: path of a file to append to; its folder is created. A file that cannot be opened raises here, never later.
        stream: standard error by default.
        ids: whether pretty lines have the logger and the ids of job, unit, chunk, request and worker. Lines of JSON always do.

    Raises:
        ValueError: unknown level or format. The previous set-up stays.
        OSError: ``file`` cannot be opened. The previous set-up stays.
    """
    level = level.upper()
    loguru.logger.level(level)
    if format not in ("auto", "pretty", "json"):
        raise ValueError(f"log.format is {format!r}; it can be auto, pretty or json")
    file_sink = FileSink(file) if file is not None else None
    target = stream if stream is not None else sys.stderr
    writer = _LineWriter()
    writer.add(sink_for(target), _formatter_for(format, target, ids))
    if file_sink is not None:
        writer.add(file_sink, format_json)
    with _state.lock:
        remove_sink(_state.handler_id)
        _state.writer.close()
        _state.writer = writer
        _state.handler_id = _add_handler(writer.write_record, level)
    bridge.install(level)


def add_sink(sink: Callable[[Mapping[str, Any]], None], level: str = "INFO") -> int:
    """Pass every record from ``level`` upwards to ``sink`` as a flat, redacted dict. A record whose sink raises is dropped and counted.

    Returns:
        The id that `remove_sink` takes.
    """
    return _add_handler(lambda record: sink(flatten(record)), level)


def remove_sink(sink_id: int) -> None:
    """Remove a sink. Removing it twice is no error."""
    with contextlib.suppress(ValueError):
        loguru.logger.remove(sink_id)


def dropped_lines() -> int:
    """Return how many lines were lost because a sink raised: closed pipe, full disk."""
    return _state.dropped


def _add_handler(handle: "Callable[[Record], None]", level: str) -> int:
    """Register ``handle`` as a handler's filter, which always answers no, so that loguru itself never formats or writes.

    loguru's own write path is not used for two reasons. It holds a lock that raises when a finaliser logs while the same thread is
    writing. And it reports each failure on standard error, with the record before redaction; that write blocks when nobody reads.
    """

    def filter_record(record: "Record") -> bool:
        _drop_on_error(handle, record)
        return False

    return loguru.logger.add(
        _discard, level=level, filter=filter_record, format="", colorize=False, backtrace=False, diagnose=False, catch=True
    )


def _discard(_: str) -> None:
    """The sink behind a filter that accepts nothing."""


def _write_line(sink: Sink, formatter: Formatter, fields: Fields) -> None:
    sink.write(formatter(fields))


def _drop_on_error(write: Callable[..., None], *arguments: Any) -> None:
    """Count the line as dropped if ``write`` raises: logging must not break the work."""
    is_written = False
    with contextlib.suppress(Exception):
        write(*arguments)
        is_written = True
    if not is_written:
        _state.dropped += 1


def _formatter_for(format: str, stream: Stream | None, ids: bool) -> Formatter:
    if format == "json" or (format == "auto" and not is_terminal(stream)):
        return format_json
    colour = is_terminal(stream) and not os.environ.get("NO_COLOR")
    return lambda fields: format_pretty(fields, colour=colour, ids=ids)
