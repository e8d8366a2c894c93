"""What is said in a decoder process, as log lines of its parent: in the context of the image at work, bounded, and as data.

Must not know processes or replies.
"""

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from logging_setup import get_logger
from logging_setup.overheard import Remark

__all__ = ["StandardError", "log_remarks"]

log = get_logger(__name__)

_AT_ONCE_BYTES: Final = 65_536
"""All that a pipe holds: what is printed over one image is not taken for the next one's."""

_MOST_CHARS: Final = 2000


class StandardError:
    """A pipe for a child's standard error, where libraries of C and a dying interpreter print. Neither end ever waits."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.pipe()
        for end in (self._ours, self.theirs):
            os.set_blocking(end, False)

    def release(self) -> None:
        """Close the child's end here: the child has its own by now."""
        os.close(self.theirs)

    def take(self) -> str:
        """Return what was printed since the last time."""
        try:
            return os.read(self._ours, _AT_ONCE_BYTES)[-_MOST_CHARS:].decode("utf-8", "replace").strip()
        except OSError:  # nothing, which is the rule
            return ""

    def close(self) -> None:
        """Hear no more. Safe to call twice."""
        if self._ours >= 0:
            with contextlib.suppress(OSError):
                os.close(self._ours)
        self._ours = -1


def log_remarks(remarks: Sequence[Remark], printed: str) -> None:
    """Log what was said over the image whose context is active."""
    for remark in remarks:
        if remark.traceback:
            log.warning("decoder.bug", error_type=remark.category, error=remark.text, traceback=remark.traceback)
        else:
            log.debug("decoder.remark", library=remark.library, category=remark.category, text=remark.text)
    if printed:
        log.debug("decoder.remark", library="stderr", category="", text=printed)
