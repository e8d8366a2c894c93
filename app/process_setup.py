"""How a process of ours is set up: its garbage collector, and its end with the parent. Decoder processes import this, so it stays light."""

import ctypes
import functools
import gc
import os
import signal
import sys
from typing import Final

__all__ = ["defer_gc", "set_parent_death_signal", "tune_gc"]

_GC_THRESHOLD_AT_START: Final = 300_000
"""New objects between collections during imports, which create 400,000 and hardly any garbage. With the default, 700, collections took an
eighth of the start-up time."""

_GC_THRESHOLD: Final = 50_000
"""New objects between collections. A request in flight holds 120 objects; with the default, 700, there would be a collection every seven
requests, which frees nothing, because the downloader creates no cycles."""

_PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h"""


def defer_gc() -> None:
    """Collect seldom while a process starts; a process that runs for long calls :func:`tune_gc` after its imports."""
    gc.set_threshold(_GC_THRESHOLD_AT_START)


@functools.cache
def tune_gc() -> None:
    """Freeze all objects that exist now and set the threshold, once in a process, after the imports.

    No collection runs before the freeze: it would take 50 to 90 ms, and imports leave about a thousand objects of garbage.
    """
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)


def set_parent_death_signal(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (prctl(2), Linux); exit with 1 if the parent is another one already.

    Args:
        parent: process id.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)
