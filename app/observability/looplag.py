"""How late the event loop is: measured by a task that only sleeps, once for a process however many want it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

from app.observability import families
from app.observability.instruments import Reading, being_read

__all__ = ["Sampler", "sampled"]

LOOK_S = 0.25
"""Seconds between two looks: a hold-up of a second is never missed, and four wake-ups a second are nothing."""

KEPT_S = 60.0
"""Seconds for which the worst is remembered: longer than anyone leaves between two scrapes."""


class Sampler:
    """Notes each look in the histogram, and keeps the last minute for its maximum."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._recent: deque[tuple[float, float]] = deque()  # (when, lag), lags falling: the first is the worst

    def note(self, lag_s: float) -> None:
        """Take note of one look."""
        families.lag.observe(lag_s)
        while self._recent and self._recent[-1][1] <= lag_s:
            self._recent.pop()
        self._recent.append((self._clock(), lag_s))

    @property
    def worst_s(self) -> float:
        """The worst of the last minute."""
        while self._recent and self._recent[0][0] < self._clock() - KEPT_S:
            self._recent.popleft()
        return self._recent[0][1] if self._recent else 0.0

    def read(self) -> Iterator[Reading]:
        """For the scrape."""
        yield families.LAG_MAX, (), self.worst_s

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            asked = self._clock()
            await self._sleep(LOOK_S)
            self.note(max(0.0, self._clock() - asked - LOOK_S))


_holders: dict[asyncio.AbstractEventLoop, int] = {}


@asynccontextmanager
async def sampled() -> AsyncIterator[None]:
    """Measure this event loop for the body's time. A loop that is measured already is not measured twice."""
    loop = asyncio.get_running_loop()
    _holders[loop] = _holders.get(loop, 0) + 1
    try:
        if _holders[loop] > 1:
            yield
        else:
            async with _measuring(Sampler()):
                yield
    finally:
        _holders[loop] -= 1
        if not _holders[loop]:
            del _holders[loop]


@asynccontextmanager
async def _measuring(sampler: Sampler) -> AsyncIterator[None]:
    task = asyncio.create_task(sampler.run(), name="loop-lag")
    try:
        with being_read(sampler.read):
            yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
