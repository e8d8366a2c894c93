"""What is said in a decoder process, as log lines of its parent: in the context of the image at work, bounded, and as data.

Must not know processes or replies.
"""

import contextlib
import os
from collections.abc import Sequence

from app.images import printed
from logging_setup import get_logger
from logging_setup.overheard import Remark

__all__ = ["StandardError", "log_remarks"]

log = get_logger(__name__)


class StandardError:
    """A pipe for a child's standard error, where libraries of C and a dying interpreter print. Neither end ever waits.

    While it lives, the child itself takes out what was printed over an image and tells it with that image's answer, so that nothing
    is taken for another image's; what it leaves there are its last words.
    """

    def __init__(self) -> None:
        self.ours, self.theirs = os.pipe()
        for end in (self.ours, self.theirs):
            os.set_blocking(end, False)

    def release(self) -> None:
        """Close the child's end here: the child has its own by now."""
        os.close(self.theirs)

    def take(self) -> str:
        """Return what was printed and not taken yet."""
        return printed.take(self.ours)

    def close(self) -> None:
        """Hear no more. Safe to call twice."""
        if self.ours >= 0:
            with contextlib.suppress(OSError):
                os.close(self.ours)
        self.ours = -1


def log_remarks(remarks: Sequence[Remark], last_words: str = "") -> None:
    """Log what was said over the image whose context is active."""
    for remark in remarks:
        if remark.traceback:
            log.warning("decoder.bug", error_type=remark.category, error=remark.text, traceback=remark.traceback)
        else:
            log.debug("decoder.remark", library=remark.library, category=remark.category, text=remark.text)
    if last_words:
        log.debug("decoder.remark", library="stderr", category="", text=last_words)
