"""Time that passes only where a test says so: a clock and a sleep that moves it, and an event loop whose time is made of timers."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["FakeTime", "VirtualTime"]

_T = TypeVar("_T")


class FakeTime:
    """``time.clock`` and ``time.sleep`` for whatever takes a clock and a sleep; ``waits`` is what was slept, in order."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self.waits: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class VirtualTime:
    """Runs coroutines on an event loop that never waits: where nothing can run, its clock jumps to the next timer.

    ``asyncio.sleep``, timeouts and deadlines of many tasks keep their order, and minutes take milliseconds. For code without real I/O.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._began = now
        self._passed = 0.0

    def clock(self) -> float:
        return self._began + self._passed

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        with asyncio.Runner(loop_factory=lambda: _VirtualLoop(self)) as runner:
            return runner.run(main)

    @property
    def passed(self) -> float:
        return self._passed

    def pass_over(self, seconds: float) -> None:
        self._passed += max(seconds, 1e-6)  # less would be lost in the rounding of a clock of today


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, time: VirtualTime) -> None:
        self._virtual = time
        super().__init__(_NoWaiting(time))

    def time(self) -> float:
        return self._virtual.passed


class _NoWaiting(selectors.DefaultSelector):
    def __init__(self, time: VirtualTime) -> None:
        super().__init__()
        self._virtual = time

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("everything waits for something that no timer brings")
        if not ready and timeout is not None and timeout > 0:
            self._virtual.pass_over(timeout)
        return ready
