"""Loguru, set up once per process: where lines go, how they look, what is kept out of them. Knows no other package of ours.

House rule: a constant dotted event and data as keywords, ``log.info("chunk.fetched", ok=97, failed=3)``; context through
``log.contextualize(job_id=...)``, so that one grep on an id shows its whole life.
"""

import atexit
import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import loguru

from logging_setup import bridge, hooks
from logging_setup.records import flatten, format_json, format_pretty
from logging_setup.repeats import Repeats
from logging_setup.sinks import FileSink, Sink, Stream, is_terminal, sink_for

if TYPE_CHECKING:
    from loguru import Logger, Record

__all__ = ["LogFormat", "add_sink", "configure", "dropped_lines", "get_logger", "remove_sink"]

LogFormat = Literal["auto", "pretty", "json"]
Fields = Mapping[str, Any]
Render = Callable[[Fields], str]
_DEFAULT_SINK_ID: Final = 0
"""The handler that loguru installs on import."""


class _Lines:
    """One flattening and one count of repeats for all places that lines go to."""

    def __init__(self) -> None:
        self._outputs: list[tuple[Sink, Render]] = []
        self._repeats = Repeats()
        self._lock = threading.RLock()

    def add(self, sink: Sink, render: Render) -> None:
        self._outputs.append((sink, render))

    def take(self, record: "Record") -> None:
        fields = flatten(record)
        with self._lock:
            self._write(self._repeats.admit(fields))

    def _write(self, lines: list[Fields]) -> None:
        for fields in lines:
            for sink, render in self._outputs:
                _never_raise(_put, sink, render, fields)

    def finish(self) -> None:
        """Write what was only counted yet."""
        with self._lock:
            self._write(self._repeats.flush())

    def close(self) -> None:
        self.finish()
        for sink, _ in self._outputs:
            sink.close()
        self._outputs.clear()


class _Installed:
    """What configure() put up, so that calling it again replaces it instead of adding to it."""

    def __init__(self) -> None:
        self.sink_id = _DEFAULT_SINK_ID
        self.lines = _Lines()
        self.lock = threading.Lock()
        self.dropped = 0


_installed = _Installed()
atexit.register(lambda: _installed.lines.finish())


def get_logger(name: str) -> "Logger":
    """Return loguru's logger with the module's name bound to it."""
    return loguru.logger.bind(logger=name)


def configure(level: str = "INFO", format: LogFormat = "auto", file: str | None = None, stream: Stream | None = None) -> None:
    """Send lines from ``level`` upwards to a stream, and as JSON to a file too. May be called again; the last call holds.

    Args:
        level: DEBUG, INFO, WARNING, ERROR or CRITICAL.
        format: pretty for people, json for machines; auto is pretty on a terminal and json elsewhere.
        file: appended to, its folder is made; a file that cannot be opened raises here and never later.
        stream: standard error unless given.

    Raises:
        ValueError: an unknown level or format; nothing has been changed then.
        OSError: ``file`` cannot be opened; nothing has been changed then.
    """
    level = level.upper()
    _check(level, format)
    opened = FileSink(file) if file is not None else None
    target = stream if stream is not None else sys.stderr
    lines = _Lines()
    lines.add(sink_for(target), _renderer(format, target))
    if opened is not None:
        lines.add(opened, format_json)
    with _installed.lock:
        remove_sink(_installed.sink_id)
        _installed.lines.close()
        _installed.lines = lines
        _installed.sink_id = _install(lines.take, level)
    bridge.install(level)
    hooks.install()


def add_sink(sink: Callable[[Mapping[str, Any]], None], level: str = "INFO") -> int:
    """Hand every record from ``level`` upwards to ``sink`` as a flat, redacted dict; what it raises is dropped, with the record.

    Returns:
        The id that `remove_sink` takes.
    """
    return _install(lambda record: sink(flatten(record)), level)


def remove_sink(sink_id: int) -> None:
    """Stop handing records to a sink; one that is gone already is no error."""
    with contextlib.suppress(ValueError):
        loguru.logger.remove(sink_id)


def dropped_lines() -> int:
    """Return how many lines no sink would take: a closed pipe, a full disk, a sink that raised."""
    return _installed.dropped


def _check(level: str, format: str) -> None:
    loguru.logger.level(level)
    if format not in ("auto", "pretty", "json"):
        raise ValueError(f"log.format is {format!r}; it can be auto, pretty or json")


def _install(take: "Callable[[Record], None]", level: str) -> int:
    """Take records where loguru only asks whether they are wanted, and want none.

    What comes behind that question would cost: a lock that raises where a record is made while one is written (a warning in a
    finaliser), and a report of whatever went wrong, with the record as it is, secrets and all.
    """

    def receive(record: "Record") -> bool:
        _never_raise(take, record)
        return False

    return loguru.logger.add(_nowhere, level=level, filter=receive, format="", colorize=False, backtrace=False, diagnose=False, catch=True)


def _nowhere(_: str) -> None:
    """No record comes this far."""


def _put(sink: Sink, render: Render, fields: Fields) -> None:
    sink.write(render(fields))


def _never_raise(act: Callable[..., None], *what: Any) -> None:
    """Logging must not break the work: whatever a sink raises costs its line, and is counted."""
    written = False
    with contextlib.suppress(Exception):
        act(*what)
        written = True
    if not written:
        _installed.dropped += 1


def _renderer(format: str, stream: Stream | None) -> Render:
    if format == "json" or (format == "auto" and not is_terminal(stream)):
        return format_json
    colour = is_terminal(stream) and not os.environ.get("NO_COLOR")
    return lambda fields: format_pretty(fields, colour=colour)
