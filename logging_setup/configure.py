"""Loguru, set up once per process: where lines go, how they look, what is kept out of them. Knows no other package of ours.

House rule: a constant dotted event and data as keywords, ``log.info("chunk.fetched", ok=97, failed=3)``; context through
``log.contextualize(job_id=...)``, so that one grep on an id shows its whole life.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TextIO

import loguru

from logging_setup import bridge
from logging_setup.records import flatten, format_json, format_pretty

if TYPE_CHECKING:
    from loguru import Logger, Message, Record

__all__ = ["LogFormat", "Stream", "add_sink", "configure", "dropped_lines", "get_logger", "remove_sink"]

LogFormat = Literal["auto", "pretty", "json"]
_DEFAULT_SINK_ID: Final = 0
"""The handler that loguru installs on import."""


class Stream(Protocol):
    """What a line is written to."""

    def write(self, text: str, /) -> Any: ...

    def flush(self) -> Any: ...


class _Installed:
    """What configure() put up, so that calling it again replaces it instead of adding to it."""

    def __init__(self) -> None:
        self.sink_ids: list[int] = [_DEFAULT_SINK_ID]
        self.file: TextIO | None = None
        self.lock = threading.Lock()
        self.dropped = 0


_installed = _Installed()


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
    opened = _open(file)
    target = stream if stream is not None else sys.stderr
    with _installed.lock:
        _take_down()
        _installed.file = opened
        _installed.sink_ids.append(_install(_line_sink(target, _wants_pretty(format, target), _wants_colour(target)), level))
        if opened is not None:
            _installed.sink_ids.append(_install(_line_sink(opened, False, False), level))
    bridge.install(level)


def add_sink(sink: Callable[[Mapping[str, Any]], None], level: str = "INFO") -> int:
    """Hand every record from ``level`` upwards to ``sink`` as a flat, redacted dict; what it raises is dropped, with the record.

    Returns:
        The id that `remove_sink` takes.
    """

    def receive(message: "Message") -> None:
        _never_raise(lambda: sink(flatten(message)))

    return _install(receive, level)


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


def _open(file: str | None) -> TextIO | None:
    if file is None:
        return None
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)


def _take_down() -> None:
    for sink_id in _installed.sink_ids:
        remove_sink(sink_id)
    _installed.sink_ids.clear()
    if _installed.file is not None:
        with contextlib.suppress(OSError):
            _installed.file.close()


def _install(sink: "Callable[[Message], None]", level: str) -> int:
    """No diagnose: it prints the values of variables, secrets among them. No enqueue: it costs ten times a line."""
    return loguru.logger.add(sink, level=level, format=_only_traceback, colorize=False, backtrace=False, diagnose=False, catch=True)


def _only_traceback(record: "Record") -> str:
    return "{exception}" if record["exception"] else ""


def _line_sink(stream: Stream, pretty: bool, colour: bool) -> "Callable[[Message], None]":
    def write(message: "Message") -> None:
        fields = flatten(message)
        stream.write(format_pretty(fields, colour=colour) if pretty else format_json(fields))
        stream.flush()

    return lambda message: _never_raise(lambda: write(message))


def _never_raise(act: Callable[[], None]) -> None:
    """Logging must not break the work: whatever a sink raises costs its line, and is counted."""
    written = False
    with contextlib.suppress(Exception):
        act()
        written = True
    if not written:
        _installed.dropped += 1


def _wants_pretty(format: str, stream: Stream) -> bool:
    return format == "pretty" or (format == "auto" and _is_terminal(stream))


def _wants_colour(stream: Stream) -> bool:
    return _is_terminal(stream) and not os.environ.get("NO_COLOR")


def _is_terminal(stream: Stream) -> bool:
    with contextlib.suppress(AttributeError, ValueError):  # no file at all, or one that is closed
        return bool(stream.isatty())  # type: ignore[attr-defined]
    return False
