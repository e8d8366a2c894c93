"""How many retries a worker may spend, so that an origin that fails for everybody is not hammered. Pure: time is an argument."""

from collections import deque
from typing import Final

__all__ = ["RetryBudget"]

_SPAN_S: Final = 600.0
_BUCKET_S: Final = 60.0
"""Requests are remembered for ten minutes, by the minute."""


class RetryBudget:
    """Retries are at most a share of the first attempts of the last ten minutes, or a floor where those are few.

    The rule is that of a client's retry budget (Beyer et al., Site Reliability Engineering, ch. 21): a retry helps where few requests
    fail, and is fuel to the fire where most do.

    Args:
        share: retries for each first attempt, 0 to 1.
        floor: retries that are always allowed within ten minutes.
    """

    def __init__(self, share: float, floor: int) -> None:
        self._share = share
        self._floor = floor
        self._minutes: deque[list[float]] = deque()  # [began, first attempts, retries]

    def count_first(self, now: float) -> None:
        """Take note of a URL's first request in this run."""
        self._minute(now)[1] += 1

    def spend(self, now: float) -> bool:
        """Take one retry; False where there is none left."""
        minute = self._minute(now)
        firsts = sum(firsts for _, firsts, _ in self._minutes)
        if sum(retries for _, _, retries in self._minutes) + 1 > max(self._floor, self._share * firsts):
            return False
        minute[2] += 1
        return True

    def _minute(self, now: float) -> list[float]:
        while self._minutes and now - self._minutes[0][0] > _SPAN_S:
            self._minutes.popleft()
        if not self._minutes or now - self._minutes[-1][0] > _BUCKET_S:
            self._minutes.append([now, 0, 0])
        return self._minutes[-1]
