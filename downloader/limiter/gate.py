"""Admission of requests: how many at once per host and in all, how fast, not before when, and not while the breaker is open.

Queues and waits for one process. The decisions come from the host's state (`downloader.limiter.state`), which a store keeps for this
process or for a fleet. Knows time and counts, nothing of HTTP.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, field, replace
from typing import Final

from downloader.limiter.site_profiles import limited_as, site_profile
from downloader.limiter.state import Grant, GrantRequest, HostLimits, HostState
from downloader.limiter.store import MAX_HOSTS, HostFeedback, HostStateStore, LocalHostStateStore
from downloader.lru import LRUDict
from downloader.models import HostClosedError, HostSilence, HostSnapshot
from downloader.url_guard import Target
from logging_setup import get_logger

__all__ = ["HostGate"]

_GRANT_TTL_S: Final = 1.0
_SHARED_GRANT_TTL_S: Final = 0.2
"""Seconds before a grant of a shared store is renewed: alone at the host, and among other workers."""

_IDLE_RELEASE_S: Final = 0.5
"""Seconds a host without work keeps its slots, for the next URL of the same host."""

_log = get_logger(__name__)


@dataclass(slots=True)
class HostQueue:
    """One host's queue in this process. ``lock`` is fair, so URLs go in the order they came; its holder goes next."""

    host: str
    limits: HostLimits
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    freed: asyncio.Event = field(default_factory=asyncio.Event)
    in_flight: int = 0
    waiting: int = 0
    grant: Grant | None = None
    logged: Grant | None = None
    starts: deque[float] = field(default_factory=deque)
    starts_granted_at: float = 0.0
    is_probing: bool = False
    used_at: float = 0.0

    @property
    def is_idle(self) -> bool:
        return self.in_flight == 0 and self.waiting == 0

    @property
    def holds_slots(self) -> bool:
        return self.grant is not None and self.grant.slots > 0

    def snapshot(self, state: HostState | None, now: float) -> HostSnapshot | None:
        """Return the host for a progress display; None where it is neither in use nor restricted."""
        if state is None:
            return None if self.is_idle else HostSnapshot(self.host, self.in_flight, self.waiting, 0.0, 0)
        not_before, failures = max(state.not_before, state.breaker.open_until), state.breaker.failures
        if self.is_idle and not failures and not_before <= now:
            return None
        slots, rate = state.window.limit(self.limits.max_in_flight), state.rate.current(self.limits.rate_per_s)
        return HostSnapshot(self.host, self.in_flight, self.waiting, not_before, failures, slots, rate)

    def log_changes(self, grant: Grant) -> None:
        """Write one line when the breaker opens and one when spacing begins, in the log context of the URL that waits."""
        if grant is self.logged:
            return
        before, self.logged = self.logged, grant
        if grant.breaker_open_until and not (before and before.breaker_open_until):
            wait_s = round(grant.breaker_open_until - grant.at, 1)
            _log.warning("host.away", host=self.host, reason=grant.reason.value, wait_s=wait_s)
        if grant.rate_per_s and before is not None and not before.rate_per_s:
            _log.debug("host.paced", host=self.host, rate_per_s=round(grant.rate_per_s, 2))


class _Slot:
    """The context manager that `HostGate.slot` returns. A class, since a generator costs three times as much for each request."""

    __slots__ = ("_gate", "_is_probe", "_queue", "_waited_until")

    def __init__(self, gate: "HostGate", queue: HostQueue, waited_until: float) -> None:
        self._gate = gate
        self._queue = queue
        self._waited_until = waited_until
        self._is_probe = False

    async def __aenter__(self) -> HostFeedback:
        feedback, self._is_probe = await self._gate.acquire(self._queue, self._waited_until)
        return feedback

    async def __aexit__(self, *_: object) -> None:
        self._gate.release(self._queue, self._is_probe)


class HostGate:
    """Slots per host, and per downloader.

    Args:
        concurrency: requests in flight over all hosts.
        per_host: requests in flight to one host, over all processes that share the store; a site profile may lower it.
        rate_per_host: requests started per second and host, 0 for no limit except the learned one.
        inline_wait_max_s: longest wait for a blocked host; beyond it the URL is deferred.
        store: where host states are kept; this process's own store by default.
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
        store: HostStateStore | None = None,
    ) -> None:
        self._all = asyncio.Semaphore(concurrency)
        self._per_host = per_host
        self._rate_per_host = rate_per_host
        self._inline_wait_max_s = inline_wait_max_s
        self._clock = clock
        self._sleep = sleep
        self._store = store or LocalHostStateStore(clock)
        self._is_shared = bool(self._store.worker)
        self._queues: LRUDict[str, HostQueue] = LRUDict(MAX_HOSTS, lambda queue: queue.is_idle and not self._holds_shared_slots(queue))
        self._holding: dict[str, HostQueue] = {}
        self._renewal: asyncio.Task[None] | None = None

    def slot(self, target: Target, *, waited_until: float = 0.0) -> "_Slot":
        """Hold one slot of the host, once it may be asked, and one of the downloader for the time of the context.

        Args:
            target: the URL about to be requested.
            waited_until: the caller has slept until then, so it has waited for any block up to that time.

        Raises:
            HostClosedError: on entering; the host is blocked for longer than ``inline_wait_max_s``, or its breaker is open.
        """
        return _Slot(self, self._queue(target), waited_until)

    def space_starts(self, target: Target, seconds: float) -> None:
        """Start requests to the host of ``target`` at least so far apart, as its Crawl-delay asks; 0 for no such wish."""
        queue = self._queue(target)
        wished = 1 / seconds if seconds else 0.0
        rate_per_s = min(wished or self._rate_per_host, self._rate_per_host or wished)
        if queue.limits.rate_per_s != rate_per_s:
            queue.limits = replace(queue.limits, rate_per_s=rate_per_s)
            queue.grant = None

    async def acquire(self, queue: HostQueue, waited_until: float) -> tuple[HostFeedback, bool]:
        """Wait for both slots; return the feedback of the request, and whether it is the half-open probe."""
        queue.waiting += 1
        try:
            async with queue.lock:
                is_probe = await self._wait_for_turn(queue, waited_until)
                queue.in_flight += 1
        finally:
            queue.waiting -= 1
        try:
            await self._all.acquire()
        except asyncio.CancelledError:
            self._release_host_slot(queue, is_probe)
            raise
        return HostFeedback(self._store, queue.host, queue.limits, self._clock()), is_probe

    def release(self, queue: HostQueue, is_probe: bool) -> None:
        """Give both slots back."""
        self._all.release()
        self._release_host_slot(queue, is_probe)

    async def aclose(self) -> None:
        """Give all slots of a shared store back."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
            await asyncio.gather(*(self._renew(queue) for queue in tuple(self._holding.values())))

    def snapshot(self) -> tuple[HostSnapshot, ...]:
        """Return the hosts that are in use or restricted, in the order they were last used."""
        now = self._clock()
        found = (queue.snapshot(self._store.peek(queue.host), now) for queue in self._queues.values())
        return tuple(snapshot for snapshot in found if snapshot is not None)

    def silence(self, host: str) -> HostSilence | None:
        """Return since when a host (its origin) gives no usable answer; None where it gives one, or has asked for patience."""
        state = self._store.peek(limited_as(host))
        if state is None or not state.breaker.silent_since or state.not_before > self._clock():
            return None
        return HostSilence(host, state.breaker.silent_since, state.breaker.answered_at)

    def _queue(self, target: Target) -> HostQueue:
        origin = limited_as(target.origin)
        queue = self._queues.get(origin)
        if queue is None:
            profile = site_profile(target.host)
            max_in_flight = min(self._per_host, profile.max_in_flight) if profile else self._per_host
            queue = HostQueue(origin, HostLimits(max_in_flight, self._rate_per_host, self._inline_wait_max_s))
            self._queues.put(origin, queue)
        return queue

    def _holds_shared_slots(self, queue: HostQueue) -> bool:
        return self._is_shared and queue.holds_slots

    def _release_host_slot(self, queue: HostQueue, is_probe: bool) -> None:
        queue.in_flight -= 1
        queue.used_at = self._clock()
        if is_probe:
            self._end_probe(queue)
        queue.freed.set()

    async def _wait_for_turn(self, queue: HostQueue, waited_until: float) -> bool:
        """Return once the head of the queue may go; True where its request is the half-open probe."""
        while True:
            queue.freed.clear()
            grant = await self._current_grant(queue)
            now = self._clock()
            if grant.breaker_open_until > now:
                raise HostClosedError(grant.breaker_open_until, grant.reason, host=queue.host)
            if grant.not_before > max(now, waited_until):
                waited_until = await self._wait_until_open(queue.host, grant, now)
            elif queue.in_flight >= grant.slots:
                await self._wait_for_slot(queue)
            elif await self._wait_for_start(queue, grant, waited_until):
                return self._leave_queue(queue)

    async def _wait_until_open(self, host: str, grant: Grant, now: float) -> float:
        wait_s = grant.not_before - now
        if wait_s > self._inline_wait_max_s:
            raise HostClosedError(grant.not_before, grant.reason, host=host, retry_after_s=wait_s)
        await self._sleep(wait_s)
        return grant.not_before

    async def _wait_for_slot(self, queue: HostQueue) -> None:
        if not self._is_shared:
            await queue.freed.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SHARED_GRANT_TTL_S):
                await queue.freed.wait()

    async def _wait_for_start(self, queue: HostQueue, grant: Grant, waited_until: float) -> bool:
        """Wait for the next start time where requests are spaced; return False where a rate cut has made that time void."""
        if not grant.rate_per_s or not queue.starts:  # no spacing, or blocked: the caller checks
            return True
        wait_s = queue.starts.popleft() - max(self._clock(), waited_until)
        if wait_s > 0:
            try:
                await self._sleep(wait_s)
            except asyncio.CancelledError:
                if queue.is_probing:
                    self._end_probe(queue)
                raise
        state = self._store.peek(queue.host)
        if state is None or state.rate.cut_at <= queue.starts_granted_at or queue.is_probing:
            return True
        queue.starts.clear()
        return False

    def _leave_queue(self, queue: HostQueue) -> bool:
        is_probe, queue.is_probing = queue.is_probing, False
        if is_probe:
            queue.grant = None  # it was for the probe only
        return is_probe

    def _end_probe(self, queue: HostQueue) -> None:
        queue.is_probing = False
        self._store.update(queue.host, lambda state, now: state.breaker.end_probe(), urgent=True)

    async def _current_grant(self, queue: HostQueue) -> Grant:
        """Return the grant in force, renewed where it may have changed."""
        grant = queue.grant
        if grant is None or self._is_stale(queue, grant):
            grant = await self._request_grant(queue)
        queue.log_changes(grant)
        return grant

    def _is_stale(self, queue: HostQueue, grant: Grant) -> bool:
        if not self._is_shared or queue.in_flight >= grant.slots or (grant.rate_per_s and not queue.starts):
            return True
        state = self._store.peek(queue.host)  # this process may have learned more since the grant
        is_overtaken = state is None or state.rate.cut_at > grant.at or state.not_before > max(grant.not_before, self._clock())
        return is_overtaken or self._is_expired(grant)

    def _is_expired(self, grant: Grant) -> bool:
        return self._clock() - grant.at > (_SHARED_GRANT_TTL_S if grant.is_shared else _GRANT_TTL_S)

    async def _request_grant(self, queue: HostQueue) -> Grant:
        """Ask the store. The caller holds the queue's lock, so that answers arrive in the order of the requests."""
        starts = 0
        if not queue.starts and queue.waiting:
            rate_per_s = queue.grant.rate_per_s if queue.grant else 0.0
            starts = 1 + min(queue.waiting - 1, int(rate_per_s * _SHARED_GRANT_TTL_S))
        request = GrantRequest(self._store.worker, queue.in_flight, queue.waiting, starts)
        grant = await self._store.request_grant(queue.host, request, queue.limits)
        queue.grant = grant
        if grant.rate_per_s and grant.starts:
            queue.starts.extend(grant.starts)
            queue.starts_granted_at = grant.at
        queue.is_probing = queue.is_probing or grant.is_probe
        if self._is_shared:
            self._track_slots(queue)
        return grant

    def _track_slots(self, queue: HostQueue) -> None:
        """Remember the queues that hold slots of a shared store, to renew them in time and to give them back."""
        if queue.holds_slots:
            self._holding[queue.host] = queue
        else:
            self._holding.pop(queue.host, None)
        if self._renewal is None:  # with an empty context: its log lines belong to no single URL
            self._renewal = asyncio.create_task(self._renew_grants(), name="host slots", context=Context())

    async def _renew_grants(self) -> None:
        while True:
            await asyncio.sleep(_SHARED_GRANT_TTL_S / 2)
            due = [queue for queue in self._holding.values() if not queue.lock.locked() and self._needs_renewal(queue)]
            await asyncio.gather(*(self._renew(queue) for queue in due))

    def _needs_renewal(self, queue: HostQueue) -> bool:
        if queue.is_idle:
            return self._clock() - queue.used_at > _IDLE_RELEASE_S
        return queue.grant is None or self._is_expired(queue.grant)

    async def _renew(self, queue: HostQueue) -> None:
        """Tell the store what is in use now; the slots of a host without work go back."""
        async with queue.lock:
            if queue.is_idle:
                queue.starts.clear()
            await self._request_grant(queue)
            queue.freed.set()
