"""Python's cyclic collector: out of the way while a process starts, and seldom at work in one that works for hours."""

import functools
import gc
from typing import Final

__all__ = ["calm", "defer"]

_STARTING: Final = 300_000
"""New objects before it looks while modules are imported: they make 400,000, next to none of them in cycles that are let go of. At the
default, 700, an eighth of a start went into looking."""

_THRESHOLD: Final = 50_000
"""New objects before it looks. A request in flight holds 120; at the default, 700, it looks once every seven requests, for nothing:
what the downloader leaves behind is not cyclic."""


def defer() -> None:
    """Have it wait while a process starts; what works for long calls :func:`calm` then."""
    gc.set_threshold(_STARTING)


@functools.cache
def calm() -> None:
    """Set the collector up, once in a process, when everything has been imported. Never looks at what is there by then.

    Nor does it look once more before that: 50 to 90 ms, and what imports leave behind are a thousand objects.
    """
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
