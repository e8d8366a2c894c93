"""Everything known about one host: block, breaker, concurrency window, rate and the workers that use it. Pure: no clock, no I/O.

A store (`downloader.limiter.store`) passes every change through these functions, so one process and a fleet follow the same rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import orjson

from downloader.limiter.breaker import CircuitBreaker
from downloader.limiter.concurrency_window import ConcurrencyWindow, WorkerShare, divide
from downloader.limiter.rate_control import AdaptiveRate
from errors import Reason

__all__ = ["Grant", "GrantRequest", "HostLimits", "HostState", "StateChange"]

_SHARE_TTL_S: Final = 5.0
"""Seconds without a request from a worker after which its slots are free for others."""

_TIMES: Final[dict[str, tuple[str, ...]]] = {
    "window": ("cut_at",),
    "rate": ("cut_at", "next_start", "last_start", "since", "answered_at"),
    "breaker": ("refusing_since", "open_until", "probe_until", "answered_at", "silent_since"),
}


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What the settings and the site profile allow.

    Attributes:
        max_in_flight: requests at once, all workers together.
        rate_per_s: requests started per second, 0 for no limit.
        max_wait_s: a start further off is not reserved; the host counts as blocked until then.
    """

    max_in_flight: int
    rate_per_s: float = 0.0
    max_wait_s: float = 10.0


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """What one worker asks for.

    Attributes:
        worker: its name; empty where no other worker uses the store.
        in_flight: its requests in flight to the host.
        waiting: URLs it would send now.
        starts: start times it needs.
    """

    worker: str = ""
    in_flight: int = 0
    waiting: int = 0
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What one worker gets, as of ``at`` (Unix time).

    Attributes:
        slots: requests it may have in flight at once.
        starts: Unix times at which the requests may be sent.
        is_probe: the first of them is the half-open probe of the breaker.
        not_before: Unix time before which nothing may be sent, 0 for none; ``reason`` says why.
        breaker_open_until: the same while the circuit breaker is open.
        rate_per_s: requests started per second, 0 where they are not spaced.
        is_shared: other workers use the host too, so the grant must be renewed soon.
    """

    at: float
    slots: int
    starts: tuple[float, ...]
    is_probe: bool
    not_before: float
    breaker_open_until: float
    reason: Reason
    rate_per_s: float
    is_shared: bool


@dataclass(slots=True)
class HostState:
    """See the module. Times are Unix seconds."""

    window: ConcurrencyWindow = field(default_factory=ConcurrencyWindow)
    rate: AdaptiveRate = field(default_factory=AdaptiveRate)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    not_before: float = 0.0
    reason: str = Reason.RATE_LIMITED.value
    shares: dict[str, WorkerShare] = field(default_factory=dict)

    def block_until(self, until: float, reason: Reason) -> None:
        """Keep every URL of the host waiting until then; an earlier time changes nothing."""
        if until > self.not_before:
            self.not_before, self.reason = until, reason.value

    def on_success(self, limits: HostLimits, now: float) -> None:
        """The host answered, and not with a refusal."""
        self.breaker.on_success()
        self.window.on_success(limits.max_in_flight)
        self.rate.on_success(now)

    def on_refusal(self, reason: Reason, limits: HostLimits, now: float, *, started_at: float, retry_after_s: float | None) -> None:
        """The host answered 429, 503 or one of ``retry.extra_statuses``. One that asks for patience is not silent until then."""
        self.breaker.on_connected()
        if retry_after_s is None:
            self.breaker.on_silence(started_at)
        else:
            self.breaker.silent_since = 0.0
        self.window.on_overload(now, started_at=started_at, maximum=limits.max_in_flight)
        if self.rate.on_refusal(now, started_at=started_at, retry_after_s=retry_after_s):
            self.breaker.on_refusal(now, reason)

    def on_unreachable(self, now: float, *, started_at: float) -> None:
        """No connection could be made."""
        self.breaker.on_silence(started_at)
        self.breaker.on_connect_error(now)

    def on_timeout(self, limits: HostLimits, now: float, *, started_at: float, has_reply: bool = True) -> None:
        """The host took too long, perhaps without the beginning of a reply."""
        if not has_reply:
            self.breaker.on_no_reply(now, started_at=started_at)
        self.window.on_overload(now, started_at=started_at, maximum=limits.max_in_flight)

    def is_idle(self, now: float) -> bool:
        """Whether no worker holds slots, and nothing learned is lost by dropping the state."""
        return not self.shares and not self.is_restricted(now)

    def is_restricted(self, now: float) -> bool:
        """Whether anything learned still holds: a time, a rate, a smaller window, a breaker that counts."""
        waits = max(self.not_before, self.breaker.open_until, self.rate.next_start) > now
        return waits or bool(self.rate.rate or self.window.size or self.breaker.failures or self.breaker.refusals)

    def grant(self, request: GrantRequest, limits: HostLimits, now: float) -> Grant:
        """Answer a worker: its slots, and start times where requests may be sent."""
        slots = self._assign_slots(request, limits.max_in_flight, now)
        breaker_open_until = self.breaker.blocked_until(now)
        not_before, reason = self._blocked(limits, now)
        count = 0 if breaker_open_until or not_before else min(request.starts, slots - request.in_flight)
        is_probe = count > 0 and self.breaker.begin_probe(now)
        starts = self.rate.reserve_starts(1 if is_probe else count, now, limits.rate_per_s) if count > 0 else ()
        return Grant(
            at=now,
            slots=slots,
            starts=tuple(starts),
            is_probe=is_probe,
            not_before=not_before,
            breaker_open_until=breaker_open_until,
            reason=Reason(self.breaker.reason) if breaker_open_until else reason,
            rate_per_s=self.rate.current(limits.rate_per_s),
            is_shared=len(self.shares) > 1,
        )

    def _blocked(self, limits: HostLimits, now: float) -> tuple[float, Reason]:
        """Return until when nothing may be sent, 0 for no such time: by Retry-After, or by a rate too slow to wait for."""
        next_start = self.rate.next_start if self.rate.current(limits.rate_per_s) else 0.0
        if next_start - now > limits.max_wait_s and next_start > self.not_before:
            return next_start, Reason.RATE_LIMITED
        return (self.not_before, Reason(self.reason)) if self.not_before > now else (0.0, Reason(self.reason))

    def _assign_slots(self, request: GrantRequest, max_in_flight: int, now: float) -> int:
        """Assign slots. Those that others hold stay theirs until they renew, so the host never sees more than its limit."""
        limit = self.window.limit(max_in_flight)
        if not request.worker:
            return limit
        self.shares = {worker: share for worker, share in self.shares.items() if share.until > now and worker != request.worker}
        wanted = request.in_flight + request.waiting
        if not wanted:
            return 0
        if not self.shares:
            self.shares[request.worker] = WorkerShare(limit, wanted, now + _SHARE_TTL_S)
            return limit
        others = sum(share.slots for share in self.shares.values())
        all_wanted = {worker: share.wanted for worker, share in self.shares.items()} | {request.worker: wanted}
        fair = divide(all_wanted, limit, now)[request.worker]
        own = max(min(fair, limit - others), request.in_flight)
        self.shares[request.worker] = WorkerShare(own, wanted, now + _SHARE_TTL_S)
        return own

    def shifted(self, seconds: float) -> Self:
        """Move every time by so many seconds, from one clock to another; return itself."""
        for part, names in _TIMES.items():
            _shift(getattr(self, part), names, seconds)
        _shift(self, ("not_before",), seconds)
        for share in self.shares.values():
            share.until += seconds
        return self

    def dump(self) -> bytes:
        """Return the state as JSON."""
        return orjson.dumps(self)

    @classmethod
    def load(cls, data: bytes) -> Self:
        """Read a state from JSON; what another version wrote counts as an empty state."""
        try:
            parts: dict[str, Any] = orjson.loads(data)
            shares = {worker: WorkerShare(**share) for worker, share in parts.pop("shares").items()}
            window, rate = ConcurrencyWindow(**parts.pop("window")), AdaptiveRate(**parts.pop("rate"))
            return cls(window, rate, CircuitBreaker(**parts.pop("breaker")), shares=shares, **parts)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return cls()


StateChange = Callable[[HostState, float], None]
"""Applied to a state at a time. It may be applied again to a newer state, so it changes nothing else."""


def _shift(part: object, names: Sequence[str], seconds: float) -> None:
    for name in names:
        if at := getattr(part, name):
            setattr(part, name, at + seconds)
