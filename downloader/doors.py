"""One host as this process queues for it: who waits, who is there, what was granted, and what a person is shown of it."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from downloader.host_state import Grant, HostLimits, HostState
from logging_setup import get_logger

__all__ = ["Door", "HostSnapshot"]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """One host as a progress display sees it.

    Attributes:
        not_before: Unix time in seconds, 0 for none.
        failures: connections in a row that could not be made.
        places: requests at once it is given now; 0 where it was not asked yet.
        rate_per_s: requests per second it is given now, 0 for no limit.
    """

    host: str
    in_flight: int
    waiting: int
    not_before: float
    failures: int
    places: int = 0
    rate_per_s: float = 0.0


@dataclass(slots=True)
class Door:
    """One host as this process queues for it. Whoever holds ``turnstile`` is next; it is fair, so URLs go in the order they came."""

    host: str
    limits: HostLimits
    turnstile: asyncio.Lock = field(default_factory=asyncio.Lock)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    waiting: int = 0
    grant: Grant | None = None
    told: Grant | None = None
    starts: deque[float] = field(default_factory=deque)
    starts_at: float = 0.0
    probing: bool = False
    used_at: float = 0.0

    @property
    def idle(self) -> bool:
        return self.in_flight == 0 and self.waiting == 0

    def seen(self, state: HostState | None, now: float) -> HostSnapshot | None:
        """Return what a progress display shows of the host; None where it is neither in use nor in trouble."""
        if state is None:
            return None if self.idle else HostSnapshot(self.host, self.in_flight, self.waiting, 0.0, 0)
        not_before, failures = max(state.not_before, state.breaker.open_until), state.breaker.failures
        if self.idle and not failures and not_before <= now:
            return None
        places, rate = state.window.places(self.limits.places), state.pace.rate_now(self.limits.rate_per_s)
        return HostSnapshot(self.host, self.in_flight, self.waiting, not_before, failures, places, rate)

    def tell_of(self, grant: Grant) -> None:
        """One line where a host goes away, and one where its URLs begin to be spaced; for a URL that asks, which the context has."""
        if grant is self.told:
            return
        before, self.told = self.told, grant
        if grant.away_until and not (before and before.away_until):
            _log.warning("host.away", host=self.host, reason=grant.why.value, wait_s=round(grant.away_until - grant.at, 1))
        if grant.rate_per_s and before is not None and not before.rate_per_s:
            _log.debug("host.paced", host=self.host, rate_per_s=round(grant.rate_per_s, 2))
