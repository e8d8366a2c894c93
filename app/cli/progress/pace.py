"""How fast a count grows and when it will be done. Pure: times are handed in."""

import math

__all__ = ["Pace", "eta_s"]

HALF_LIFE_S = 15.0
"""Seconds after which an old rate counts half."""

SHOWN_FROM = 20
"""Images before which a forecast would be a guess."""


LONGEST_S = 48 * 3600.0
"""Seconds beyond which a forecast says no more than that nothing moves."""


class Pace:
    """An exponentially weighted rate of a growing count, per second."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._at: float | None = None
        self._count = 0

    def note(self, at: float, count: int) -> float:
        """Take in the count at a time, monotonic seconds; return the rate."""
        if self._at is None:
            self._at, self._count = at, count
            return self.rate
        passed = at - self._at
        if passed <= 0:
            return self.rate
        now = max(0, count - self._count) / passed
        weight = 1.0 if self.rate == 0.0 else 1 - math.exp(-passed * math.log(2) / HALF_LIFE_S)
        self.rate += weight * (now - self.rate)
        self._at, self._count = at, count
        return self.rate


def eta_s(*, good: int, goal: int | None, rate: float) -> float | None:
    """Seconds to go; ``None`` while nobody can tell."""
    if goal is None or good < SHOWN_FROM or rate <= 0 or good >= goal:
        return None
    left_s = (goal - good) / rate
    return left_s if left_s < LONGEST_S else None
