"""The gate in front of every host: how many requests at once, how fast, not before when, and whether it answers at all.

Knows time and counts, nothing of HTTP. All of it is one process's view; what holds for a fleet is decided above.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from downloader.guard import Target
from errors import Reason

__all__ = ["Deferral", "HostGate", "HostSnapshot"]

_FAILURES_TO_OPEN: Final = 5
"""Connections in a row that could not be made before a host counts as away."""

_OPEN_FIRST_S: Final = 30.0
_OPEN_MAX_S: Final = 600.0
_HOSTS_KEPT: Final = 10_000

_PROFILES: Final[dict[str, int]] = {"wikimedia.org": 2, "wikipedia.org": 2}
"""Most connections at once that a site's own rules allow, by registrable domain (Wikimedia's robot policy: 2)."""


class Deferral(Exception):
    """Not now. ``until`` is Unix time in seconds."""

    def __init__(self, until: float, reason: Reason, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """One host as a progress display sees it; ``not_before`` is Unix time in seconds, 0 for none."""

    host: str
    in_flight: int
    waiting: int
    not_before: float
    failures: int


@dataclass(slots=True)
class _Host:
    slots: asyncio.Semaphore
    in_flight: int = 0
    waiting: int = 0
    not_before: float = 0.0
    why: Reason = Reason.RATE_LIMITED
    next_start: float = 0.0
    failures: int = 0
    open_until: float = 0.0
    open_s: float = 0.0
    probing: bool = field(default=False)

    @property
    def idle(self) -> bool:
        return self.in_flight == 0 and self.waiting == 0


class HostGate:
    """Slots per host, and per downloader.

    Args:
        concurrency: requests in flight over all hosts.
        per_host: requests in flight to one host; a site's profile may lower it.
        rate_per_host: requests started per second and host, 0 for no limit.
        inline_wait_max_s: how long a closed host is waited for in place; beyond that the URL is deferred.
    """

    def __init__(
        self,
        *,
        concurrency: int,
        per_host: int,
        rate_per_host: float,
        inline_wait_max_s: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._all = asyncio.Semaphore(concurrency)
        self._per_host = per_host
        self._interval_s = 1 / rate_per_host if rate_per_host > 0 else 0.0
        self._inline_wait_max_s = inline_wait_max_s
        self._clock = clock
        self._sleep = sleep
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    @contextlib.asynccontextmanager
    async def slot(self, target: Target, *, waited_until: float = 0.0) -> AsyncIterator[None]:
        """Hold one of the host's slots, once the host is open, and one of the downloader's.

        Args:
            target: the URL about to be requested.
            waited_until: the caller has already slept until then, so the host's own demand up to that time is met.

        Raises:
            Deferral: the host is closed for longer than is waited in place, or does not answer.
        """
        host = self._host(target)
        host.waiting += 1
        try:
            await self._wait_until_open(host, waited_until)
            await host.slots.acquire()
        finally:
            host.waiting -= 1
        probe = False
        host.in_flight += 1
        try:
            await self._wait_until_open(host, waited_until)
            probe = self._begin_probe(host)
            await self._wait_for_rate(host)
            async with self._all:
                yield
        finally:
            host.in_flight -= 1
            host.probing = host.probing and not probe
            host.slots.release()

    def close(self, target: Target, until: float, why: Reason) -> None:
        """Keep every URL of the host waiting until then; an earlier time changes nothing."""
        host = self._host(target)
        if until > host.not_before:
            host.not_before, host.why = until, why

    def connected(self, target: Target) -> None:
        """Take note that the host answered, with whatever."""
        host = self._host(target)
        host.failures, host.open_until, host.open_s = 0, 0.0, 0.0

    def connect_failed(self, target: Target) -> None:
        """Take note that no connection could be made; enough of them in a row, or a failed probe, close the host for a while."""
        host = self._host(target)
        host.failures += 1
        if host.failures >= _FAILURES_TO_OPEN and host.open_until <= self._clock():
            host.open_s = min(max(_OPEN_FIRST_S, host.open_s * 2), _OPEN_MAX_S)
            host.open_until = self._clock() + host.open_s

    def snapshot(self) -> tuple[HostSnapshot, ...]:
        """Return the hosts that are in use or in trouble, in the order they were last used."""
        return tuple(
            HostSnapshot(name, host.in_flight, host.waiting, max(host.not_before, host.open_until), host.failures)
            for name, host in self._hosts.items()
            if not host.idle or host.failures or host.not_before > self._clock()
        )

    def _host(self, target: Target) -> _Host:
        host = self._hosts.get(target.origin)
        if host is None:
            host = self._hosts[target.origin] = _Host(asyncio.Semaphore(self._slots_for(target.host)))
            self._forget_oldest()
        self._hosts.move_to_end(target.origin)
        return host

    def _slots_for(self, name: str) -> int:
        domain = ".".join(name.split(".")[-2:])
        return min(self._per_host, _PROFILES.get(domain, self._per_host))

    def _forget_oldest(self) -> None:
        if len(self._hosts) <= _HOSTS_KEPT:
            return
        for name, host in self._hosts.items():
            if host.idle and max(host.not_before, host.open_until) <= self._clock():
                del self._hosts[name]
                return

    async def _wait_until_open(self, host: _Host, waited_until: float) -> None:
        while True:
            now = self._clock()
            if host.open_until > now or (host.open_until and host.probing):
                raise Deferral(max(host.open_until, now + _OPEN_FIRST_S / 2), Reason.HOST_UNAVAILABLE)
            until = host.not_before
            if until <= max(now, waited_until):
                return
            if until - now > self._inline_wait_max_s:
                raise Deferral(until, host.why, retry_after_s=until - now)
            await self._sleep(until - now)
            waited_until = until

    def _begin_probe(self, host: _Host) -> bool:
        """After the pause one request tries the host; the others stay away until it has been told how that went."""
        if not host.open_until:
            return False
        host.probing = True
        return True

    async def _wait_for_rate(self, host: _Host) -> None:
        if not self._interval_s:
            return
        now = self._clock()
        start = max(now, host.next_start)
        host.next_start = start + self._interval_s
        if start > now:
            await self._sleep(start - now)
