"""What a decoder process says (warnings, lines of libraries, prints of C code, tracebacks), carried to its parent and logged there.

The child imports this module, so it imports neither loguru nor numpy. It must not know processes or the protocol between them.
"""

import contextlib
import logging
import os
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from logging_setup import get_logger

__all__ = ["MAX_REMARKS", "Remark", "RemarkCollector", "StderrPipe", "install_collector", "is_capturing", "log_remarks", "read_printed"]

MAX_REMARKS: Final = 10
"""Remarks per image. A crafted file can cause thousands of warnings."""

MAX_CHARS: Final = 500
MAX_TRACEBACK_CHARS: Final = 4000
_PIPE_BYTES: Final = 65_536
"""Capacity of a pipe on Linux, read at once, so that nothing printed over one image is attributed to the next."""

_MAX_PRINTED_CHARS: Final = 2000


@dataclass(frozen=True, slots=True)
class Remark:
    """One message and its source. The category is the class of a warning or an exception, or the level of a line."""

    library: str
    text: str
    category: str = ""
    traceback: str = ""


class RemarkCollector(logging.Handler):
    """Collects remarks in the child until they are taken."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._remarks: list[Remark] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Collect a line of a library."""
        text = "the message cannot be formatted"
        with contextlib.suppress(Exception):
            text = record.getMessage()
        self._add(Remark(record.name, text[:MAX_CHARS], record.levelname))

    def on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Collect a warning (signature of `warnings.showwarning`)."""
        self._add(Remark("warnings", str(message)[:MAX_CHARS], category.__name__))

    def add_exception(self, error: Exception) -> None:
        """Collect an exception with the end of its traceback, where the cause is. It replaces the last remark if there is no room."""
        trace = "".join(traceback.format_exception(error))[-MAX_TRACEBACK_CHARS:]
        self._remarks[MAX_REMARKS - 1 :] = [Remark("decoder", str(error)[:MAX_CHARS], type(error).__name__, trace)]

    def _add(self, remark: Remark) -> None:
        if len(self._remarks) < MAX_REMARKS:
            self._remarks.append(remark)

    def take(self) -> tuple[Remark, ...]:
        """Return the remarks collected since the last call."""
        if not self._remarks:
            return ()
        taken = tuple(self._remarks)
        self._remarks.clear()
        return taken


_collectors: list[RemarkCollector] = []


def install_collector() -> RemarkCollector:
    """Collect all warnings and lines of this process from now on."""
    collector = RemarkCollector()
    logging.getLogger().addHandler(collector)
    warnings.showwarning = collector.on_warning
    warnings.simplefilter("always")
    _collectors.append(collector)
    return collector


def is_capturing() -> bool:
    """Return whether the warnings of this process are collected."""
    return bool(_collectors)


class StderrPipe:
    """A pipe for a child's standard error, to which C libraries and a dying interpreter print. Neither end blocks.

    The running child reads what was printed during an image itself and sends it with that image's answer, so that it is attributed to
    the right image. What remains in the pipe when the child has died are its last words.
    """

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        for end in (self.read_end, self.write_end):
            os.set_blocking(end, False)

    def close_write_end(self) -> None:
        """Close the parent's copy of the write end, once the child has been started with its own."""
        os.close(self.write_end)

    def take(self) -> str:
        """Return what was printed and not yet read."""
        return read_printed(self.read_end)

    def close(self) -> None:
        """Close the read end. Safe to call twice."""
        if self.read_end >= 0:
            with contextlib.suppress(OSError):
                os.close(self.read_end)
        self.read_end = -1


def read_printed(descriptor: int) -> str:
    """Return what was printed into a non-blocking pipe since the last call, the last 2,000 characters of it."""
    try:
        return os.read(descriptor, _PIPE_BYTES)[-_MAX_PRINTED_CHARS:].decode("utf-8", "replace").strip()
    except OSError:  # empty
        return ""


def log_remarks(remarks: Sequence[Remark], last_words: str = "") -> None:
    """Log remarks in the parent, within the log context of the image that caused them."""
    log = get_logger(__name__)  # not at import: the child must not import loguru
    for remark in remarks:
        if remark.traceback:
            log.warning("decoder.bug", error_type=remark.category, error=remark.text, traceback=remark.traceback)
        else:
            log.debug("decoder.remark", library=remark.library, category=remark.category, text=remark.text)
    if last_words:
        log.debug("decoder.remark", library="stderr", category="", text=last_words)
