"""How late the event loop runs, measured by a task that only sleeps; one task per loop however many callers ask for it."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from app.observability import metrics

__all__ = ["LagSampler", "measure_lag"]

INTERVAL_S = 0.25
"""Seconds between two measurements: a hold-up of a second is always seen, and four wake-ups a second cost nothing."""

KEPT_S = 60.0
"""How long the maximum is kept: longer than the interval between two scrapes."""


class LagSampler:
    """Measures the lag, observes it in the histogram and keeps the maximum of the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._measured_at = clock()
        self._recent: deque[tuple[float, float]] = deque()  # (time, lag) with falling lags: the first is the maximum

    def add(self, lag_s: float) -> None:
        """Add one measurement."""
        metrics.event_loop_lag.observe(lag_s)
        now = self._measured_at = self._clock()
        while self._recent and (self._recent[-1][1] <= lag_s):
            self._recent.pop()
        self._recent.append((now, lag_s))
        while self._recent[0][0] < now - KEPT_S:
            self._recent.popleft()

    def max_s(self) -> float:
        """Return the maximum of the last minute, or how late the measurement is that is due now. Safe to call from any thread."""
        now = self._clock()
        overdue_s = now - self._measured_at - INTERVAL_S
        return max([overdue_s, 0.0, *(lag for measured_at, lag in tuple(self._recent) if measured_at >= now - KEPT_S)])

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            started = self._measured_at = self._clock()
            await self._sleep(INTERVAL_S)
            self.add(max(0.0, self._clock() - started - INTERVAL_S))


_users: dict[asyncio.AbstractEventLoop, int] = {}


@asynccontextmanager
async def measure_lag() -> AsyncIterator[None]:
    """Measure the running event loop while the body runs. A loop that is being measured is not measured twice."""
    loop = asyncio.get_running_loop()
    _users[loop] = _users.get(loop, 0) + 1
    try:
        if _users[loop] > 1:
            yield
        else:
            async with _sampling(LagSampler()):
                yield
    finally:
        _users[loop] -= 1
        if not _users[loop]:
            del _users[loop]


@asynccontextmanager
async def _sampling(sampler: LagSampler) -> AsyncIterator[None]:
    task = asyncio.create_task(sampler.run(), name="loop-lag")
    metrics.event_loop_lag_max.set_function(sampler.max_s)
    try:
        yield
    finally:
        metrics.event_loop_lag_max.set_function(lambda: 0.0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
