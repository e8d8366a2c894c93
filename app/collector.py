"""Python's cyclic collector in a process that works for hours: it looks seldom, and never at what was there from the start."""

import functools
import gc
from typing import Final

__all__ = ["calm"]

_THRESHOLD: Final = 50_000
"""New objects before it looks. A request in flight holds 120; at the default, 700, it looks once every seven requests, for nothing:
what the downloader leaves behind is not cyclic."""


@functools.cache
def calm() -> None:
    """Set the collector up, once in a process, when everything has been imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
