"""How fast one host is requested: evenly spaced starts (GCRA) at a rate learned by AIMD from its refusals. Pure: time is an argument.

Nothing is spaced until the host refuses. The first refusal gives an estimate from the answers so far, or begins a search that doubles the
rate each second (slow start). After that each refusal cuts the rate by a share, and the rate grows linearly while it is used (Chiu and
Jain 1989: additive increase, multiplicative decrease).
"""

import math
from dataclasses import dataclass
from typing import Final

__all__ = ["MIN_RATE_PER_S", "AdaptiveRate"]

MIN_RATE_PER_S: Final = 0.5
"""Requests per second below which no refusal pushes the rate; a host that refuses even those is left to the circuit breaker."""

_DECREASE: Final = 0.93
"""Share of the refused rate that remains after a cut. A host's limit is sharp, so a small step below it is enough."""

_SEARCH_DECREASE: Final = 0.7
"""Share that remains where the search overran the limit."""

_RECOVERY_S: Final = 30.0
"""Busy seconds in which the rate grows back to the refused one, at a constant increase."""

_MIN_ANSWERS: Final = 15
"""Answers that make an estimate of the rate; with fewer it is searched for."""

_FIRST_PAUSE_S: Final = 1.0
"""Pause after the first refusal: most limits are counted by the second."""

_DOUBLING_S: Final = 1.0

_IDLE_S: Final = 5.0
_MEMORY_S: Final = 10.0
"""Answers are counted over so many seconds; after a pause of `_IDLE_S` the count starts again."""


@dataclass(slots=True)
class AdaptiveRate:
    """The rate of one host. Times are Unix seconds, rates requests per second, 0 means none.

    Attributes:
        rate: right after the last cut; 0 while the host has refused nothing.
        increase: growth per busy second; 0 while the rate is searched for.
        busy_s: seconds since the cut in which starts were taken as fast as allowed. A rate grows only while it is used.
        cut_at: time of the last cut; requests sent before it do not cause another one.
        next_start: earliest start of the next request.
        last_start: the start granted last.
        answers: successes since ``since``, as of ``answered_at``.
    """

    rate: float = 0.0
    increase: float = 0.0
    busy_s: float = 0.0
    cut_at: float = 0.0
    next_start: float = 0.0
    last_start: float = 0.0
    answers: float = 0.0
    since: float = 0.0
    answered_at: float = 0.0

    def current(self, limit_per_s: float = 0.0) -> float:
        """Return the requests per second; 0 for no limit.

        Args:
            limit_per_s: a limit that holds whatever is learned.
        """
        learned = self._learned()
        return min(learned or limit_per_s, limit_per_s or learned)

    def reserve_starts(self, count: int, now: float, limit_per_s: float = 0.0) -> list[float]:
        """Take the next ``count`` starts. The first may be now or later, and is never earlier than one interval ago."""
        if not self.since:
            self.since = now
        rate = self.current(limit_per_s)
        if not rate:
            return [now] * count
        interval_s = 1 / rate
        first = self.next_start if self.next_start >= now - interval_s else now
        last = first + (count - 1) * interval_s
        self.busy_s += min(max(last - self.last_start, 0.0), (count + 1) * interval_s)
        self.last_start = last
        self.next_start = last + interval_s
        return [first + number * interval_s for number in range(count)]

    def on_success(self, now: float) -> None:
        """Count an answer that was no refusal."""
        if now - self.answered_at > _IDLE_S:
            self.answers, self.since = 0.0, now if self.answered_at else self.since or now
        elif now - self.since > _MEMORY_S:
            self.answers, self.since = self.answers / 2, now - (now - self.since) / 2
        self.answers += 1
        self.answered_at = now

    def on_refusal(self, now: float, *, started_at: float, retry_after_s: float | None = None) -> bool:
        """Cut the rate and pause; return False for a request that was sent before the last cut.

        Args:
            retry_after_s: what the host asked for, which then is the pause.
        """
        if started_at < self.cut_at:
            return False
        refused_per_s = self._learned()
        if refused_per_s:
            self._cut(refused_per_s, _DECREASE if self.increase else _SEARCH_DECREASE)
        else:
            self._estimate(now)
        pause_s = retry_after_s or (1 / self.rate if refused_per_s else _FIRST_PAUSE_S)
        self.busy_s, self.cut_at = 0.0, now
        self.next_start = self.last_start = now + pause_s
        return True

    def _learned(self) -> float:
        if not self.increase:
            return self.rate * math.exp2(min(self.busy_s / _DOUBLING_S, 30.0))
        return self.rate + self.increase * self.busy_s

    def _estimate(self, now: float) -> None:
        """Take the rate of the answers so far for the host's limit, or begin the search below it where they are few."""
        seen_per_s = self.answers / max(1.0, now - self.since)
        if self.answers >= _MIN_ANSWERS:
            self._cut(seen_per_s, _DECREASE)
        else:
            self.rate = max(seen_per_s / 2, MIN_RATE_PER_S)

    def _cut(self, refused_per_s: float, share: float) -> None:
        self.rate = max(refused_per_s * share, MIN_RATE_PER_S)
        self.increase = refused_per_s * (1 - share) / _RECOVERY_S
