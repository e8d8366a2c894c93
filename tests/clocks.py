"""Time that passes only where a test says so: a clock, and a sleep that moves it and keeps the waits."""

__all__ = ["FakeTime"]


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
