"""How fast one host is asked: evenly spaced starts (GCRA), at a rate learned from its refusals. Pure: time is an argument.

Until the host refuses, nothing is spaced. The first refusal gives an estimate. Where that rests on few answers the rate doubles each second
until it is refused again; from there it grows along a cubic that is flat just below the rate last refused, and steep far from it, as CUBIC
does with its window (RFC 9438 4.2): the host is asked at nearly what it allows, and the limit is tried again about once a minute.

Some hosts refuse at random, however slowly they are asked. Where half the rate got half as much accepted, the refusals are not about the
rate: nothing is spaced then for a while.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["FLOOR_PER_S", "AdaptiveRate"]

FLOOR_PER_S: Final = 0.5
"""Requests per second below which no refusal pushes the pace; a host that refuses even those is the breaker's business."""

_FIRST_FLOOR_PER_S: Final = 4.0
_FIRST_FLOOR_S: Final = 20.0
_FLOOR_HALVES_IN_S: Final = 10.0
"""The floor of a host whose trouble is new: a handful of refusals in a row is no proof of a limit of one in two seconds. It holds for a
while, then sinks by half every ten seconds."""

_OVER_S: Final = 60.0
"""Seconds without a cut after which trouble counts as new."""

_CUT: Final = 0.93
"""Share of the refused rate that is left by a cut. A host's limit is sharp, so a small step below it is enough."""

_DEEP_CUT: Final = 0.7
"""Share left where the limit was overrun by far: at the end of the search, and by a refusal right after a cut."""

_SOON_S: Final = 3.0
"""A refusal within so many busy seconds of a cut says that the cut was not enough."""

_TRUSTED: Final = 15
"""Answers in the first second that make a rate; with fewer it is searched for."""

_FIRST_PAUSE_S: Final = 1.0
"""Rest after the first refusal: most limits are counted by the second."""

_DOUBLES_IN_S: Final = 1.0
_SHORT_S: Final = 25.0
_LONG_S: Final = 60.0
_LONGER_S: Final = 30.0
"""Busy seconds from a cut back to the refused rate: after a deep cut, after a small one, and more for each second of Retry-After that the
next refusal would cost."""

_COSTLY_S: Final = 6.0
"""Retry-After beyond which a refusal counts as no costlier, seconds."""

_BEYOND_S: Final = 6.0
"""Time scale of the growth beyond the refused rate: 8 % in so many seconds, with the cube of time."""

_LEVELS: Final = 12
"""Cuts remembered to judge whether cutting helps."""

_JUDGED_ANSWERS: Final = 8
_JUDGED_S: Final = 0.7
"""Answers and seconds, above and below half the highest rate refused, that make a judgement."""

_HELPED: Final = 0.75
"""Share of the accepted rate that half the rate leaves where a limit is behind the refusals: a limit leaves all, chance leaves half."""

_UNSPACED_S: Final = 60.0
"""Seconds for which refusals are taken as chance once cuts were in vain."""

_IDLE_S: Final = 5.0
_MEMORY_S: Final = 10.0
"""Answers are counted over so many seconds; after a pause of `_IDLE_S` the count starts again."""


@dataclass(slots=True)
class AdaptiveRate:
    """The pace of one host. Times are Unix seconds, rates requests per second, 0 means none.

    Attributes:
        rate: right after the last cut; 0 while the host has refused nothing.
        ceiling: the rate refused last; 0 while it is searched for.
        climb_s: busy seconds from ``rate`` up to ``ceiling``.
        busy_s: seconds since the cut in which starts were taken as fast as allowed. A pace grows by being used.
        cut_at: when the last cut was made; requests sent before do not count against it.
        next_start: the earliest start of the next request.
        last_start: the start taken last.
        answers: accepted requests since ``since``, as of ``answered_at``.
        troubled_since: when the first of the cuts was made that came one upon the other.
        rest_s: seconds without a request after the last cut.
        since_cut: accepted requests that were sent after the last cut.
        levels: of each of the last cuts the rate refused, and what was accepted in how many seconds before it.
        unspaced_until: nothing is spaced before then.
    """

    rate: float = 0.0
    ceiling: float = 0.0
    climb_s: float = 0.0
    busy_s: float = 0.0
    cut_at: float = 0.0
    next_start: float = 0.0
    last_start: float = 0.0
    answers: float = 0.0
    since: float = 0.0
    answered_at: float = 0.0
    troubled_since: float = 0.0
    rest_s: float = 0.0
    since_cut: int = 0
    levels: list[tuple[float, int, float]] = field(default_factory=list)
    unspaced_until: float = 0.0

    def current(self, most_per_s: float = 0.0) -> float:
        """Requests per second; 0 for no limit.

        Args:
            most_per_s: a limit that holds whatever is learned.
        """
        learned = self._grown()
        return min(learned or most_per_s, most_per_s or learned)

    def reserve_starts(self, count: int, now: float, most_per_s: float = 0.0) -> list[float]:
        """Take the next starts, ``count`` of them; the first may be now or later, and is never earlier than one interval ago."""
        if not self.since:
            self.since = now
        rate = self.current(most_per_s)
        if not rate:
            return [now] * count
        interval_s = 1 / rate
        first = self.next_start if self.next_start >= now - interval_s else now
        last = first + (count - 1) * interval_s
        self.busy_s += min(max(last - self.last_start, 0.0), (count + 1) * interval_s)
        self.last_start = last
        self.next_start = last + interval_s
        return [first + number * interval_s for number in range(count)]

    def on_success(self, now: float, *, started_at: float) -> None:
        """Take note of an answer that was no refusal."""
        if now - self.answered_at > _IDLE_S:
            self.answers, self.since = 0.0, now if self.answered_at else self.since or now
        elif now - self.since > _MEMORY_S:
            self.answers, self.since = self.answers / 2, now - (now - self.since) / 2
        self.answers += 1
        self.since_cut += started_at >= self.cut_at
        self.answered_at = now

    def on_refusal(self, now: float, *, started_at: float, retry_after_s: float | None = None) -> bool:
        """Cut the rate and rest; False for a request that was sent before the last cut.

        Args:
            retry_after_s: what the host asked for, which then is the rest.
        """
        if started_at < self.cut_at:
            return False
        if now < self.unspaced_until:
            self.cut_at = now
            return True
        if now - self.cut_at > _OVER_S:
            self.troubled_since = now
        refused_per_s = self._grown()
        if refused_per_s and self._is_in_vain(refused_per_s):
            self._give_up(now)
            return True
        if not refused_per_s:
            self._estimate(now)
        elif not self.ceiling or self.busy_s < _SOON_S:
            self._cut(now, refused_per_s, _DEEP_CUT, _SHORT_S)
        else:
            self._cut(now, refused_per_s, _CUT, _LONG_S + _LONGER_S * min(retry_after_s or 0.0, _COSTLY_S))
        self.rest_s = retry_after_s or (1 / self.rate if refused_per_s else _FIRST_PAUSE_S)
        self.busy_s, self.since_cut, self.cut_at = 0.0, 0, now
        self.next_start = self.last_start = now + self.rest_s
        return True

    def _grown(self) -> float:
        if not self.ceiling:
            return self.rate * math.exp2(min(self.busy_s / _DOUBLES_IN_S, 30.0))
        left = 1 - self.busy_s / self.climb_s
        if left > 0:
            return self.ceiling - (self.ceiling - self.rate) * left**3
        return self.ceiling * (1 + 0.08 * ((self.busy_s - self.climb_s) / _BEYOND_S) ** 3)

    def _is_in_vain(self, refused_per_s: float) -> bool:
        """Whether cutting the rate cut what was accepted as well."""
        if self.busy_s > _SHORT_S:
            self.levels = []
        self.levels = [*self.levels, (refused_per_s, self.since_cut, self.rest_s + self.busy_s)][-_LEVELS:]
        half_per_s = max(rate for rate, _, _ in self.levels) / 2
        fast = _accepted([level for level in self.levels if level[0] > half_per_s])
        slow = _accepted([level for level in self.levels if level[0] <= half_per_s])
        return fast is not None and slow is not None and slow < _HELPED * fast

    def _give_up(self, now: float) -> None:
        self.rate = self.ceiling = self.busy_s = 0.0
        self.levels = []
        self.answers, self.since, self.since_cut = 0.0, now, 0
        self.cut_at, self.unspaced_until = now, now + _UNSPACED_S

    def _estimate(self, now: float) -> None:
        seen_per_s = self.answers / max(1.0, now - self.since)
        if self.answers >= _TRUSTED:
            self._cut(now, seen_per_s, _CUT, _SHORT_S)
        else:
            self.rate = max(seen_per_s / 2, self._floor(now))

    def _cut(self, now: float, refused_per_s: float, share: float, climb_s: float) -> None:
        """Step below the refused rate; at the floor the search begins anew."""
        floor = self._floor(now)
        self.rate = max(refused_per_s * share, floor)
        self.ceiling = refused_per_s if self.rate > floor else 0.0
        self.climb_s = climb_s

    def _floor(self, now: float) -> float:
        halvings = max(0.0, now - self.troubled_since - _FIRST_FLOOR_S) / _FLOOR_HALVES_IN_S
        return max(FLOOR_PER_S, _FIRST_FLOOR_PER_S * math.exp2(-halvings))


def _accepted(levels: Sequence[tuple[float, int, float]]) -> float | None:
    """Accepted requests per second, or None where they are too few to tell."""
    answers, seconds = sum(answers for _, answers, _ in levels), sum(seconds for _, _, seconds in levels)
    return answers / seconds if answers >= _JUDGED_ANSWERS and seconds >= _JUDGED_S else None
