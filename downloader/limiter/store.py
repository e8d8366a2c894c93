"""Where host states are kept: in this process by default, in Redis for a fleet (`downloader.limiter.redis_store`)."""

from collections.abc import Callable
from typing import Final, Protocol

from downloader.limiter.state import Grant, GrantRequest, HostLimits, HostState, StateChange
from downloader.lru import LRUDict
from errors import Reason

__all__ = ["MAX_HOSTS", "HostFeedback", "HostStateStore", "LocalHostStateStore"]

_TOO_MANY_REQUESTS: Final = 429
_SERVER_ERROR: Final = 500
_ANSWER_AGE_S: Final = 1.0
"""Seconds after which a further answer is written to the state."""

MAX_HOSTS: Final = 10_000
"""Hosts whose state a process keeps; idle ones are dropped first, least recently used first."""


class HostStateStore(Protocol):
    """The states of all hosts. A host is named by its origin, ``scheme://host:port``."""

    @property
    def worker(self) -> str:
        """The name of this process among those that share the store; empty where none does."""
        ...

    def update(self, host: str, change: StateChange, *, urgent: bool = False) -> None:
        """Apply a change here at once; a shared store sends it with the next request for a grant, or at once where ``urgent``."""
        ...

    async def request_grant(self, host: str, request: GrantRequest, limits: HostLimits) -> Grant:
        """Answer from the newest state, after all earlier changes; never fails."""
        ...

    def peek(self, host: str) -> HostState | None:
        """Return the state as last seen, or None for a host that has none."""
        ...


class LocalHostStateStore:
    """The store of one process.

    Args:
        clock: Unix time, seconds.
    """

    worker = ""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: LRUDict[str, HostState] = LRUDict(MAX_HOSTS, lambda state: state.is_idle(clock()), force=True)

    def update(self, host: str, change: StateChange, *, urgent: bool = False) -> None:
        """Apply a change at once."""
        change(self._state(host), self._clock())

    async def request_grant(self, host: str, request: GrantRequest, limits: HostLimits) -> Grant:
        """Answer at once."""
        return self._state(host).grant(request, limits, self._clock())

    def peek(self, host: str) -> HostState | None:
        """Return the state itself."""
        return self._states.peek(host)

    def _state(self, host: str) -> HostState:
        state = self._states.get(host)
        if state is None:
            state = HostState()
            self._states.put(host, state)
        return state


class HostFeedback:
    """Reports how one request went to the state of its host."""

    __slots__ = ("_has_reply", "_host", "_limits", "_started_at", "_store")

    def __init__(self, store: HostStateStore, host: str, limits: HostLimits, started_at: float) -> None:
        self._store = store
        self._host = host
        self._limits = limits
        self._started_at = started_at
        self._has_reply = False

    def replied(self, status: int) -> None:
        """The head of a reply came. 429 and server errors are no usable answer."""
        self._has_reply = True
        self.connected()
        started_at = self._started_at
        if status == _TOO_MANY_REQUESTS or status >= _SERVER_ERROR:
            self._update(lambda state, now: state.breaker.on_silence(started_at))
            return
        state = self._store.peek(self._host)
        if state is None or state.breaker.silent_since or started_at - state.breaker.answered_at > _ANSWER_AGE_S:
            self._update(lambda state, now: state.breaker.on_answer(now))

    def connected(self) -> None:
        """The host accepted the connection."""
        state = self._store.peek(self._host)
        if state is None or state.breaker.failures or state.breaker.open_until:
            self._update(lambda state, now: state.breaker.on_connected(), urgent=True)

    def succeeded(self) -> None:
        """The answer was no refusal."""
        limits = self._limits
        self._update(lambda state, now: state.on_success(limits, now))

    def refused(self, reason: Reason, retry_after_s: float | None = None) -> None:
        """The host answered 429, 503 or one of ``retry.extra_statuses``."""
        limits, started_at = self._limits, self._started_at
        self._update(
            lambda state, now: state.on_refusal(reason, limits, now, started_at=started_at, retry_after_s=retry_after_s), urgent=True
        )

    def overloaded(self) -> None:
        """The host is overloaded: it took too long, answered 504, or asked for a wait above the cap."""
        limits, started_at, has_reply = self._limits, self._started_at, self._has_reply
        self._update(lambda state, now: state.on_timeout(limits, now, started_at=started_at, has_reply=has_reply), urgent=True)

    def cut_off(self) -> None:
        """The connection broke; before any reply that is silence."""
        started_at = self._started_at
        if self._has_reply:
            self.connected()
        else:
            self._update(lambda state, now: state.breaker.on_no_reply(now, started_at=started_at), urgent=True)

    def unreachable(self) -> None:
        """No connection could be made; several in a row, or a failed probe, open the circuit breaker."""
        started_at = self._started_at
        self._update(lambda state, now: state.on_unreachable(now, started_at=started_at), urgent=True)

    def block_until(self, until: float, reason: Reason) -> None:
        """Keep every URL of the host waiting until then (Unix time); an earlier time changes nothing."""
        self._update(lambda state, now: state.block_until(until, reason), urgent=True)

    def _update(self, change: StateChange, *, urgent: bool = False) -> None:
        self._store.update(self._host, change, urgent=urgent)
