"""Other people's messages into loguru: standard logging, warnings, and exceptions that nobody caught.

With `capture` the only module that imports `logging`. A hook that somebody else has set (a command's excepthook, a test runner's) stays.
"""

import contextlib
import logging
import sys
import threading
import warnings
from types import TracebackType
from typing import Any, Final, TextIO

import loguru

__all__ = ["install"]

log = loguru.logger.bind(logger=__name__)

_LEVELS: Final[dict[str, int]] = {
    "aiohttp": logging.WARNING,
    "aiosqlite": logging.WARNING,  # DEBUG is every statement with its parameters
    "alembic": logging.WARNING,
    "arq": logging.WARNING,
    "asyncio": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,  # INFO is every URL with its query
    "opentelemetry": logging.WARNING,
    "opentelemetry.exporter": logging.CRITICAL,  # several lines per failed batch; we log one until exports work again
    "sqlalchemy": logging.WARNING,
    "urllib3": logging.WARNING,
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.WARNING,  # the API logs its requests itself, with their ids
    "uvicorn.error": logging.INFO,
}
"""Least severe level of each library. A stricter ``log.level`` applies to libraries too."""


def install(level: str) -> None:
    """Route the root logger, warnings and uncaught exceptions to loguru. Idempotent."""
    _route_standard_logging(loguru.logger.level(level).no)
    warnings.showwarning = _on_warning
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _on_uncaught
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _on_uncaught_in_thread
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _on_unraisable


def _route_standard_logging(level: int) -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _LoguruHandler)]:
        root.removeHandler(handler)
    root.addHandler(_LoguruHandler())
    root.setLevel(level)
    for name, least in _LEVELS.items():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(least, level))


class _LoguruHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's text as the event, under the name of its logger."""
        loguru.logger.bind(logger=record.name).opt(exception=record.exc_info or None).log(_level(record), "{}", _text(record))


def _text(record: logging.LogRecord) -> str:
    """Format the message. If its arguments do not fit, return the format alone: an exception here would reach the caller."""
    with contextlib.suppress(Exception):
        return str(record.getMessage())
    return record.msg if isinstance(record.msg, str) else f"<{type(record.msg).__name__}>"


def _level(record: logging.LogRecord) -> str | int:
    try:
        return loguru.logger.level(record.levelname).name
    except ValueError:  # a custom level
        return max(record.levelno, 0)


def _on_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    log.warning("python.warning", error_type=category.__name__, error=str(message), file=filename, line=lineno)


def _on_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):  # not a failure: the shell shows it
        sys.__excepthook__(kind, error, trace)
        return
    log.opt(exception=(kind, error, trace)).error("process.crashed")


def _on_uncaught_in_thread(args: Any) -> None:
    if not issubclass(args.exc_type, SystemExit):  # ignored by Python's own hook too
        thread = args.thread.name if args.thread is not None else None
        log.opt(exception=(args.exc_type, args.exc_value, args.exc_traceback)).error("thread.crashed", thread=thread)


def _on_unraisable(unraisable: Any) -> None:
    """An exception in a finaliser or in a callback of C code, which has no caller."""
    where = f"{unraisable.err_msg or 'Exception ignored in'}: {type(unraisable.object).__name__}"
    log.opt(exception=(unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback)).error("finaliser.failed", where=where)
