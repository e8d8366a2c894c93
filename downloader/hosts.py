"""The gate in front of every host: how many requests at once, how fast, not before when, and whether it answers at all.

Queues and waits for one process; what may go is decided by the host's state (`downloader.host_state`), which a book keeps for this process
or for a whole fleet. Knows time and counts, nothing of HTTP.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Final

from downloader.doors import Door, HostSnapshot
from downloader.guard import Target
from downloader.host_state import Ask, Grant, HostLimits
from downloader.hostbook import HOSTS_KEPT, HostBook, LocalBook
from downloader.profiles import profile_of
from downloader.visits import Deferral, Visit

__all__ = ["HostGate"]

_RENEW_S: Final = 1.0
_RENEW_SHARED_S: Final = 0.2
"""Seconds a grant of a shared book is good for: alone at the host, and among others."""

_LINGER_S: Final = 0.5
"""Seconds a host without work keeps its places, for the next URL of the same host."""

class _Slot:
    """The context of `HostGate.slot`: entered once. A class, since a generator would cost each request three times as much."""

    __slots__ = ("_door", "_gate", "_is_probe", "_waited_until")

    def __init__(self, gate: "HostGate", door: Door, waited_until: float) -> None:
        self._gate = gate
        self._door = door
        self._waited_until = waited_until
        self._is_probe = False

    async def __aenter__(self) -> Visit:
        visit, self._is_probe = await self._gate.enter(self._door, self._waited_until)
        return visit

    async def __aexit__(self, *_: object) -> None:
        self._gate.leave(self._door, self._is_probe)


class HostGate:
    """Places per host, and per downloader.

    Args:
        concurrency: requests in flight over all hosts.
        per_host: requests in flight to one host, over all processes that share the book; a site's profile may lower it.
        rate_per_host: requests started per second and host, 0 for no limit but what the host itself teaches.
        inline_wait_max_s: how long a closed host is waited for in place; beyond that the URL is deferred.
        book: where the states of hosts are kept; this process's own by default.
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
        book: HostBook | None = None,
    ) -> None:
        self._all = asyncio.Semaphore(concurrency)
        self._per_host = per_host
        self._rate_per_host = rate_per_host
        self._inline_wait_max_s = inline_wait_max_s
        self._clock = clock
        self._sleep = sleep
        self._book = book or LocalBook(clock)
        self._doors: OrderedDict[str, Door] = OrderedDict()
        self._held: dict[str, Door] = {}
        self._keeper: asyncio.Task[None] | None = None

    def slot(self, target: Target, *, waited_until: float = 0.0) -> "_Slot":
        """Hold one of the host's places, once the host is open, and one of the downloader's, for the time of the context.

        Args:
            target: the URL about to be requested.
            waited_until: the caller has already slept until then, so the host's own demand up to that time is met.

        Raises:
            Deferral: on entering, the host is closed for longer than is waited in place, or does not answer.
        """
        return _Slot(self, self._door(target), waited_until)

    async def enter(self, door: Door, waited_until: float) -> tuple[Visit, bool]:
        """Queue, and take both places; returns the visit, and whether it is the breaker's probe."""
        door.waiting += 1
        try:
            async with door.turnstile:
                is_probe = await self._pass(door, waited_until)
                door.in_flight += 1
        finally:
            door.waiting -= 1
        try:
            await self._all.acquire()
        except asyncio.CancelledError:
            self._leave_place(door, is_probe)
            raise
        return Visit(self._book, door.host, door.limits, self._clock()), is_probe

    def leave(self, door: Door, is_probe: bool) -> None:
        """Give both places back."""
        self._all.release()
        self._leave_place(door, is_probe)

    def _leave_place(self, door: Door, is_probe: bool) -> None:
        door.in_flight -= 1
        door.used_at = self._clock()
        if is_probe:
            self._end_probe(door)
        door.freed.set()

    async def aclose(self) -> None:
        """Give all places of a shared book back."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            await asyncio.gather(*(self._renew(door) for door in tuple(self._held.values())))

    def snapshot(self) -> tuple[HostSnapshot, ...]:
        """Return the hosts that are in use or in trouble, in the order they were last used."""
        now = self._clock()
        return tuple(seen for door in self._doors.values() if (seen := door.seen(self._book.peek(door.host), now)) is not None)

    def _door(self, target: Target) -> Door:
        door = self._doors.get(target.origin)
        if door is None:
            profile = profile_of(target.host)
            places = min(self._per_host, profile.places) if profile else self._per_host
            self._forget_oldest()
            door = self._doors[target.origin] = Door(target.origin, HostLimits(places, self._rate_per_host, self._inline_wait_max_s))
        self._doors.move_to_end(target.origin)
        return door

    def _forget_oldest(self) -> None:
        if len(self._doors) >= HOSTS_KEPT:
            oldest = next((host for host, door in self._doors.items() if door.idle and host not in self._held), None)
            if oldest is not None:
                del self._doors[oldest]

    async def _pass(self, door: Door, waited_until: float) -> bool:
        """Return once the head of the queue may go; True where it is the breaker's probe."""
        while True:
            door.freed.clear()
            grant = await self._granted(door)
            now = self._clock()
            if grant.away_until > now:
                raise Deferral(grant.away_until, grant.why)
            if grant.closed_until > max(now, waited_until):
                waited_until = await self._sit_out(grant, now)
            elif door.in_flight >= grant.places:
                await self._wait_for_place(door)
            elif await self._wait_for_start(door, grant, waited_until):
                return self._leave_queue(door)

    async def _sit_out(self, grant: Grant, now: float) -> float:
        wait_s = grant.closed_until - now
        if wait_s > self._inline_wait_max_s:
            raise Deferral(grant.closed_until, grant.why, retry_after_s=wait_s)
        await self._sleep(wait_s)
        return grant.closed_until

    async def _wait_for_place(self, door: Door) -> None:
        if not self._book.worker:
            await door.freed.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RENEW_SHARED_S):
                await door.freed.wait()

    async def _wait_for_start(self, door: Door, grant: Grant, waited_until: float) -> bool:
        """Wait for the next start where the host is paced; False where the pace was cut since it was taken, which makes it void."""
        if not grant.rate_per_s or not door.starts:  # none is given where a closure was sat out
            return True
        wait_s = door.starts.popleft() - max(self._clock(), waited_until)
        if wait_s > 0:
            try:
                await self._sleep(wait_s)
            except asyncio.CancelledError:
                if door.probing:
                    self._end_probe(door)
                raise
        state = self._book.peek(door.host)
        if state is None or state.pace.cut_at <= door.starts_at or door.probing:
            return True
        door.starts.clear()
        return False

    def _leave_queue(self, door: Door) -> bool:
        is_probe, door.probing = door.probing, False
        if is_probe:
            door.grant = None  # it was for the probe only
        return is_probe

    def _end_probe(self, door: Door) -> None:
        door.probing = False
        self._book.note(door.host, lambda state, now: state.breaker.end_probe(), soon=True)

    async def _granted(self, door: Door) -> Grant:
        """The grant in force, renewed where it may have changed."""
        grant = door.grant
        if grant is None or self._is_stale(door, grant):
            grant = await self._ask(door)
        door.tell_of(grant)
        return grant

    def _is_stale(self, door: Door, grant: Grant) -> bool:
        if not self._book.worker or door.in_flight >= grant.places or (grant.rate_per_s and not door.starts):
            return True
        return self._is_over(grant) or self._is_overtaken(door, grant)

    def _is_over(self, grant: Grant) -> bool:
        return self._clock() - grant.at > (_RENEW_SHARED_S if grant.is_shared else _RENEW_S)

    def _is_overtaken(self, door: Door, grant: Grant) -> bool:
        """Whether what this process has learned since says more than the grant."""
        state = self._book.peek(door.host)
        return state is None or state.pace.cut_at > grant.at or state.not_before > max(grant.closed_until, self._clock())

    async def _ask(self, door: Door) -> Grant:
        """Ask the book; only ever from inside the turnstile, so that answers come in the order of the questions."""
        starts = 0
        if not door.starts and door.waiting:
            rate_per_s = door.grant.rate_per_s if door.grant else 0.0
            starts = 1 + min(door.waiting - 1, int(rate_per_s * _RENEW_SHARED_S))
        grant = await self._book.ask(door.host, Ask(self._book.worker, door.in_flight, door.waiting, starts), door.limits)
        door.grant = grant
        if grant.rate_per_s and grant.starts:
            door.starts.extend(grant.starts)
            door.starts_at = grant.at
        door.probing = door.probing or grant.probe
        if self._book.worker:
            self._hold(door)
        return grant

    def _hold(self, door: Door) -> None:
        """Remember who has places of a shared book, to renew them in time and to give them back."""
        if door.grant is not None and door.grant.places:
            self._held[door.host] = door
        else:
            self._held.pop(door.host, None)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="host places", context=Context())  # of all URLs: none's log lines

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_SHARED_S / 2)
            due = [door for door in self._held.values() if not door.turnstile.locked() and self._is_due(door)]
            await asyncio.gather(*(self._renew(door) for door in due))

    def _is_due(self, door: Door) -> bool:
        if door.idle:
            return self._clock() - door.used_at > _LINGER_S
        return door.grant is None or self._is_over(door.grant)

    async def _renew(self, door: Door) -> None:
        """Tell the book what is used now; places of a host without work go back."""
        async with door.turnstile:
            if door.idle:
                door.starts.clear()
            await self._ask(door)
            door.freed.set()
