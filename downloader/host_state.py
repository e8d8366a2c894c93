"""All that is known of one host: closure, breaker, window, pace, and the workers that ask it. Pure: no clock, no I/O.

Whoever holds the state (`downloader.hostbook`) passes every change through these functions, so one process and a fleet follow the same
rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson

from downloader.breaker import Breaker
from downloader.pace import Pace
from downloader.places import Share, Window, divide
from errors import Reason

__all__ = ["Ask", "Change", "Grant", "HostLimits", "HostState"]

_SHARE_S: Final = 5.0
"""Seconds without a word from a worker after which its places are others' again."""

_TIMES: Final[dict[str, tuple[str, ...]]] = {
    "window": ("cut_at",),
    "pace": ("cut_at", "next_start", "last_start", "since", "answered_at", "troubled_since", "unspaced_until"),
    "breaker": ("refusing_since", "open_until", "probe_until"),
}


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the settings and the site's own rules allow.

    Attributes:
        places: requests at once, all workers together.
        rate_per_s: requests started per second, 0 for no limit.
        patience_s: a start further off is not reserved; the host counts as closed until then.
    """

    places: int
    rate_per_s: float = 0.0
    patience_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Ask:
    """What one worker wants of a host.

    Attributes:
        worker: its name; empty where no other can be.
        in_flight: requests it has on their way to the host.
        waiting: URLs it would send now.
        starts: requests it is about to send.
    """

    worker: str = ""
    in_flight: int = 0
    waiting: int = 0
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What it gets, as of ``at`` (Unix time).

    Attributes:
        places: requests it may have on their way at once.
        starts: when the requests asked for may go, each at its time.
        probe: the first of them is the breaker's probe.
        closed_until: Unix time before which nothing may go, 0 for none; ``why`` says for what reason.
        away_until: the same for a host that does not answer.
        rate_per_s: requests started per second, 0 where they are not spaced.
        is_shared: other workers want the host too, so the grant must be renewed soon.
    """

    at: float
    places: int
    starts: tuple[float, ...]
    probe: bool
    closed_until: float
    away_until: float
    why: Reason
    rate_per_s: float
    is_shared: bool


@dataclass(slots=True)
class HostState:
    """See the module. Times are Unix seconds."""

    window: Window = field(default_factory=Window)
    pace: Pace = field(default_factory=Pace)
    breaker: Breaker = field(default_factory=Breaker)
    not_before: float = 0.0
    why: str = Reason.RATE_LIMITED.value
    shares: dict[str, Share] = field(default_factory=dict)

    def close(self, until: float, why: Reason) -> None:
        """Keep every URL of the host waiting until then; an earlier time changes nothing."""
        if until > self.not_before:
            self.not_before, self.why = until, why.value

    def accepted(self, limits: HostLimits, now: float, *, started_at: float) -> None:
        """Take note of an answer that was no refusal."""
        self.breaker.accepted()
        self.window.answered(limits.places)
        self.pace.accepted(now, started_at=started_at)

    def refused(self, why: Reason, limits: HostLimits, now: float, *, started_at: float, retry_after_s: float | None) -> None:
        """The host asks to be asked less: 429 or 503."""
        self.breaker.connected()
        self.window.suffered(now, started_at=started_at, most=limits.places)
        if self.pace.refused(now, started_at=started_at, retry_after_s=retry_after_s):
            self.breaker.refused(now, why)

    def stalled(self, limits: HostLimits, now: float, *, started_at: float) -> None:
        """The host took too long."""
        self.window.suffered(now, started_at=started_at, most=limits.places)

    def is_idle(self, now: float) -> bool:
        """Whether nobody has places, and nothing is lost by forgetting the host."""
        return not self.shares and not self.has_lessons(now)

    def has_lessons(self, now: float) -> bool:
        """Whether the host has taught anything that still holds: a time, a pace, a narrower window, a breaker that counts."""
        waits = max(self.not_before, self.breaker.open_until, self.pace.next_start) > now
        return waits or bool(self.pace.rate or self.window.size or self.breaker.failures or self.breaker.refusals)

    def grant(self, ask: Ask, limits: HostLimits, now: float) -> Grant:
        """Answer a worker: its places, and starts where it may go."""
        places = self._share(ask, limits.places, now)
        away_until = self.breaker.kept_away_until(now)
        closed_until, why = self._closed(limits, now)
        count = 0 if away_until or closed_until else min(ask.starts, places - ask.in_flight)
        probe = count > 0 and self.breaker.begin_probe(now)
        starts = self.pace.reserve(1 if probe else count, now, limits.rate_per_s) if count > 0 else ()
        return Grant(
            at=now,
            places=places,
            starts=tuple(starts),
            probe=probe,
            closed_until=closed_until,
            away_until=away_until,
            why=Reason(self.breaker.why) if away_until else why,
            rate_per_s=self.pace.rate_now(limits.rate_per_s),
            is_shared=len(self.shares) > 1,
        )

    def _closed(self, limits: HostLimits, now: float) -> tuple[float, Reason]:
        """Until when nothing may go, 0 for no such time: the host's own word, or a pace so slow that nobody waits for it."""
        next_start = self.pace.next_start if self.pace.rate_now(limits.rate_per_s) else 0.0
        if next_start - now > limits.patience_s and next_start > self.not_before:
            return next_start, Reason.RATE_LIMITED
        return (self.not_before, Reason(self.why)) if self.not_before > now else (0.0, Reason(self.why))

    def _share(self, ask: Ask, most: int, now: float) -> int:
        """What others still hold is theirs until they say otherwise, so the host never sees more than its places."""
        places = self.window.places(most)
        if not ask.worker:
            return places
        self.shares = {worker: share for worker, share in self.shares.items() if share.until > now and worker != ask.worker}
        wants = ask.in_flight + ask.waiting
        if not wants:
            return 0
        if not self.shares:
            self.shares[ask.worker] = Share(places, wants, now + _SHARE_S)
            return places
        others = sum(share.places for share in self.shares.values())
        fair = divide({worker: share.wants for worker, share in self.shares.items()} | {ask.worker: wants}, places, now)[ask.worker]
        mine = max(min(fair, places - others), ask.in_flight)
        self.shares[ask.worker] = Share(mine, wants, now + _SHARE_S)
        return mine

    def shifted(self, seconds: float) -> Self:
        """Move every time by so much, from one clock to another; returns itself."""
        for part, names in _TIMES.items():
            _shift(getattr(self, part), names, seconds)
        _shift(self, ("not_before",), seconds)
        for share in self.shares.values():
            share.until += seconds
        return self

    def dump(self) -> bytes:
        """As JSON."""
        return orjson.dumps(self)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """From JSON; what another version wrote is as good as nothing."""
        try:
            parts: dict[str, Any] = orjson.loads(data)
            shares = {worker: Share(**share) for worker, share in parts.pop("shares").items()}
            made = (Window(**parts.pop("window")), Pace(**parts.pop("pace")), Breaker(**parts.pop("breaker")))
            return cls(*made, shares=shares, **parts)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return cls()


Change = Callable[[HostState, float], None]
"""Applied to the state at a time; may be applied anew to a newer state, so it changes nothing else."""


def _shift(part: object, names: Sequence[str], seconds: float) -> None:
    for name in names:
        if at := getattr(part, name):
            setattr(part, name, at + seconds)
