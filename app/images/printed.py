"""What was printed into a pipe of which neither end waits. Imported by decoder processes too, so it imports nothing."""

import os
from typing import Final

__all__ = ["take"]

_AT_ONCE_BYTES: Final = 65_536
"""All that a pipe holds: what is printed over one image is not taken for the next one's."""

_MOST_CHARS: Final = 2000


def take(descriptor: int) -> str:
    """Return what was printed since the last time, the last 2,000 characters of it."""
    try:
        return os.read(descriptor, _AT_ONCE_BYTES)[-_MOST_CHARS:].decode("utf-8", "replace").strip()
    except OSError:  # nothing, which is the rule
        return ""
