"""What a command says beside its result, on stderr. A stderr that is full, gone, or read by nobody costs the words, never the work."""

import contextlib
import sys

from logging_setup.sinks import sink_for

__all__ = ["say"]


def say(text: str) -> None:
    """Write lines to stderr."""
    with contextlib.suppress(OSError):
        sink_for(sys.stderr).write(text)
