"""What Python itself has to say, as lines of ours: warnings, and exceptions that nobody was there to catch.

Where somebody else has put a hook of his own, it stays: the command's excepthook, a test runner's.
"""

import sys
import threading
import warnings
from types import TracebackType
from typing import Any, TextIO

import loguru

__all__ = ["install"]

log = loguru.logger.bind(logger=__name__)


def install() -> None:
    """Take the place of Python's own hooks, which print past the log. Idempotent."""
    warnings.showwarning = _on_warning
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _on_crash
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _on_thread_crash
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _on_unraisable


def _on_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    log.warning("python.warning", error_type=category.__name__, error=str(message), file=filename, line=lineno)


def _on_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):  # somebody's wish, which the shell is to see as such
        sys.__excepthook__(kind, error, trace)
        return
    log.opt(exception=(kind, error, trace)).error("process.crashed")


def _on_thread_crash(crash: Any) -> None:
    if not issubclass(crash.exc_type, SystemExit):  # as Python's own hook does
        thread = crash.thread.name if crash.thread is not None else None
        log.opt(exception=(crash.exc_type, crash.exc_value, crash.exc_traceback)).error("thread.crashed", thread=thread)


def _on_unraisable(raised: Any) -> None:
    """A finaliser or a callback of C code raised: nobody is above it."""
    what = f"{raised.err_msg or 'Exception ignored in'}: {type(raised.object).__name__}"
    log.opt(exception=(raised.exc_type, raised.exc_value, raised.exc_traceback)).error("finaliser.failed", where=what)
