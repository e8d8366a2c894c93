"""How fast a job goes and when it will be done, for the command line, the API and the pages."""

import math
from dataclasses import dataclass
from typing import Final

from app.db.funnel import Funnel
from downloader.lru import LRUDict

__all__ = ["ETA_FROM", "LONGEST_ETA_S", "Pace", "PaceMeter", "PaceMeters", "RateEstimate", "eta_s"]

HALF_LIFE_S: Final = 15.0
"""Seconds after which an old rate counts half."""

ETA_FROM: Final = 20
"""Images before which a forecast would be a guess."""

LONGEST_ETA_S: Final = 48 * 3600.0
"""Seconds; a longer forecast only means that nothing moves."""

_MAX_JOBS: Final = 1_000
"""Jobs that a server remembers the pace of."""


class RateEstimate:
    """The rate of a growing count per second, as an exponentially weighted average.

    Attributes:
        idle_s: seconds since the count last changed, or since the first one.
    """

    def __init__(self) -> None:
        self.rate = 0.0
        self.idle_s = 0.0
        self._at: float | None = None
        self._count = 0

    def update(self, at: float, count: int) -> float:
        """Add the count at a time in monotonic seconds; return the rate."""
        if self._at is None:
            self._at, self._count = at, count
            return self.rate
        passed = at - self._at
        if passed <= 0:
            return self.rate
        self.idle_s = 0.0 if count != self._count else self.idle_s + passed
        now = max(0, count - self._count) / passed
        weight = 1.0 if self.rate == 0.0 else 1 - math.exp(-passed * math.log(2) / HALF_LIFE_S)
        self.rate += weight * (now - self.rate)
        self._at, self._count = at, count
        return self.rate


def eta_s(*, good: int, goal: int | None, rate: float) -> float | None:
    """Seconds to go; ``None`` where a forecast would be a guess."""
    if goal is None or good < ETA_FROM or rate <= 0 or good >= goal:
        return None
    left_s = (goal - good) / rate
    return left_s if left_s < LONGEST_ETA_S else None


@dataclass(frozen=True, slots=True)
class Pace:
    """Images a second that are valid and no duplicates, images a second that are fetched, and the seconds to go, where they can be told."""

    valid_per_s: float
    fetched_per_s: float
    left_s: float | None


class PaceMeter:
    """The pace of one build, from looks at its funnel. The time to go is that to the target, or to the last candidate."""

    def __init__(self) -> None:
        self._good, self._fetched, self._settled = RateEstimate(), RateEstimate(), RateEstimate()

    @property
    def idle_s(self) -> float:
        """Seconds since a candidate last got an outcome."""
        return self._settled.idle_s

    def update(self, at: float, funnel: Funnel, target: int | None) -> Pace:
        """Add a look at a time in monotonic seconds."""
        settled = funnel.requested - funnel.open
        good, rate = self._good.update(at, funnel.unique), self._settled.update(at, settled)
        fetched = self._fetched.update(at, funnel.fetched)
        left = eta_s(good=funnel.unique, goal=target, rate=good) if target else eta_s(good=settled, goal=funnel.requested, rate=rate)
        return Pace(good, fetched, left)


class PaceMeters:
    """The meters of the jobs that somebody looks at, shared by all who look."""

    def __init__(self) -> None:
        self._meters = LRUDict[str, PaceMeter](_MAX_JOBS)

    def of(self, job_id: str) -> PaceMeter:
        """The meter of a job; a new one begins with its first look."""
        meter = self._meters.get(job_id)
        if meter is None:
            meter = PaceMeter()
            self._meters.put(job_id, meter)
        return meter
