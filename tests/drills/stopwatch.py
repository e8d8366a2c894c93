"""A clock for time limits on a busy machine: it leaves out the time in which processes waited for a processor."""

import asyncio
import time
from pathlib import Path

__all__ = ["Stopwatch"]

_PRESSURE = Path("/proc/pressure/cpu")

LEAST_SHARE = 0.3
"""Share of the wall time that counts at least, so that a limit is reached on the busiest machine."""


class Stopwatch:
    """Seconds since its creation, less those in which at least one process of the machine waited for a processor.

    Use it where a limit is about our own waits (a lease, a sweep, a drain) and the machine may add to them. Where the kernel does not
    report CPU pressure (``Documentation/accounting/psi.rst``), it is a plain clock.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stalled_s = _stalled_s()

    @property
    def elapsed_s(self) -> float:
        """Seconds so far."""
        wall_s = time.monotonic() - self._began
        return max(wall_s - (_stalled_s() - self._stalled_s), LEAST_SHARE * wall_s)

    async def reach(self, seconds: float) -> None:
        """Wait until so many seconds have elapsed."""
        while (left_s := seconds - self.elapsed_s) > 0:
            await asyncio.sleep(min(left_s, 0.5))


def _stalled_s() -> float:
    """Seconds since boot in which some process was ready to run and waited."""
    try:
        some = _PRESSURE.read_text().splitlines()[0]
    except OSError:
        return 0.0
    return int(some.rpartition("total=")[2]) / 1e6
