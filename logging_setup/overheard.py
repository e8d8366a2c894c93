"""What is said in a process that has no log of its own: warnings, libraries' lines, a bug's traceback. Kept to be told to its parent.

Imports neither loguru nor anything else that a decoder would have to load. Nothing is done while nothing is said.
"""

import contextlib
import logging
import traceback
import warnings
from dataclasses import dataclass
from typing import Final, TextIO

__all__ = ["MOST_REMARKS", "Listener", "Remark", "is_listening", "listen"]

MOST_REMARKS: Final = 10
"""Remarks on one image; a file can be made to draw thousands of warnings."""

MOST_CHARS: Final = 500
MOST_TRACEBACK_CHARS: Final = 4000


@dataclass(frozen=True, slots=True)
class Remark:
    """What was said and by whom; the category is a warning's class, a line's level, or the class of what a bug raised."""

    library: str
    text: str
    category: str = ""
    traceback: str = ""


class Listener(logging.Handler):
    """Gathers remarks until somebody takes them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._remarks: list[Remark] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a library's line."""
        text = "what it said cannot be shown"
        with contextlib.suppress(Exception):
            text = record.getMessage()
        self._add(Remark(record.name, text[:MOST_CHARS], record.levelname))

    def warned(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Take a warning."""
        self._add(Remark("warnings", str(message)[:MOST_CHARS], category.__name__))

    def failed(self, error: Exception) -> None:
        """Take an exception that is answered with less than it says. Its end is where the cause stands."""
        trace = "".join(traceback.format_exception(error))[-MOST_TRACEBACK_CHARS:]
        self._remarks[MOST_REMARKS - 1 :] = [Remark("decoder", str(error)[:MOST_CHARS], type(error).__name__, trace)]

    def _add(self, remark: Remark) -> None:
        if len(self._remarks) < MOST_REMARKS:
            self._remarks.append(remark)

    def take(self) -> tuple[Remark, ...]:
        """Return what was said since the last time."""
        if not self._remarks:
            return ()
        taken = tuple(self._remarks)
        self._remarks.clear()
        return taken


_listeners: list[Listener] = []


def listen() -> Listener:
    """Hear everything that is said in this process from now on."""
    listener = Listener()
    logging.getLogger().addHandler(listener)
    warnings.showwarning = listener.warned
    warnings.simplefilter("always")
    _listeners.append(listener)
    return listener


def is_listening() -> bool:
    """Tell whether warnings have somewhere to go in this process."""
    return bool(_listeners)
