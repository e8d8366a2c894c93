"""Where the states of hosts are kept. One process keeps its own; a fleet shares one book, built above this package."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from downloader.host_state import Ask, Change, Grant, HostLimits, HostState

__all__ = ["HOSTS_KEPT", "HostBook", "LocalBook"]

HOSTS_KEPT: Final = 10_000
"""Hosts whose state a process remembers; idle ones are forgotten first, oldest use first."""

_LOOKED_AT: Final = 16
"""How many of the oldest hosts are looked at for one that may be forgotten."""


class HostBook(Protocol):
    """The states of all hosts. A host is named by its origin, ``scheme://host:port``."""

    @property
    def worker(self) -> str:
        """The name this process asks under; empty where nobody else writes in the book."""
        ...

    def note(self, host: str, change: Change, *, soon: bool = False) -> None:
        """Apply a change: now, or where the book is shared with the next question, which ``soon`` does not wait for."""
        ...

    async def ask(self, host: str, ask: Ask, limits: HostLimits) -> Grant:
        """Answer from the newest state, after all changes noted before; never fails."""
        ...

    def peek(self, host: str) -> HostState | None:
        """The state as last seen, or None for a host that has none."""
        ...


class LocalBook:
    """A book for one process.

    Args:
        clock: Unix time, seconds.
    """

    worker = ""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: OrderedDict[str, HostState] = OrderedDict()

    def note(self, host: str, change: Change, *, soon: bool = False) -> None:
        """Apply a change now."""
        change(self._state(host), self._clock())

    async def ask(self, host: str, ask: Ask, limits: HostLimits) -> Grant:
        """Answer at once."""
        return self._state(host).grant(ask, limits, self._clock())

    def peek(self, host: str) -> HostState | None:
        """The state itself."""
        return self._states.get(host)

    def _state(self, host: str) -> HostState:
        state = self._states.get(host)
        if state is None:
            state = self._states[host] = HostState()
            self._forget_one()
        self._states.move_to_end(host)
        return state

    def _forget_one(self) -> None:
        if len(self._states) <= HOSTS_KEPT:
            return
        now = self._clock()
        oldest = [host for host, _ in zip(self._states, range(_LOOKED_AT), strict=False)]
        del self._states[next((host for host in oldest if self._states[host].is_idle(now)), oldest[0])]
