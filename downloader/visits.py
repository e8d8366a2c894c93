"""One request's visit to a host: what the host is told about how it went, or that it may not be made now."""

from downloader.host_state import Change, HostLimits
from downloader.hostbook import HostBook
from errors import Reason

__all__ = ["Deferral", "Visit"]


class Deferral(Exception):
    """Not now. ``until`` is Unix time in seconds."""

    def __init__(self, until: float, reason: Reason, *, status: int | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.until = until
        self.reason = reason
        self.status = status
        self.retry_after_s = retry_after_s


class Visit:
    """One request in its place, and what the host is told about how it went."""

    __slots__ = ("_book", "_host", "_limits", "_started_at")

    def __init__(self, book: HostBook, host: str, limits: HostLimits, started_at: float) -> None:
        self._book = book
        self._host = host
        self._limits = limits
        self._started_at = started_at

    def connected(self) -> None:
        """The host answered, with whatever."""
        state = self._book.peek(self._host)
        if state is None or state.breaker.failures or state.breaker.open_until:
            self._note(lambda state, now: state.breaker.connected(), soon=True)

    def accepted(self) -> None:
        """The answer was no refusal."""
        limits, started_at = self._limits, self._started_at
        self._note(lambda state, now: state.accepted(limits, now, started_at=started_at))

    def refused(self, why: Reason, retry_after_s: float | None = None) -> None:
        """The host asked to be asked less."""
        limits, started_at = self._limits, self._started_at
        self._note(lambda state, now: state.refused(why, limits, now, started_at=started_at, retry_after_s=retry_after_s), soon=True)

    def stalled(self) -> None:
        """The host took too long."""
        limits, started_at = self._limits, self._started_at
        self._note(lambda state, now: state.stalled(limits, now, started_at=started_at), soon=True)

    def unreachable(self) -> None:
        """No connection could be made; enough of them in a row, or a failed probe, keep everybody away for a while."""
        self._note(lambda state, now: state.breaker.connect_failed(now), soon=True)

    def close(self, until: float, why: Reason) -> None:
        """Keep every URL of the host waiting until then (Unix time); an earlier time changes nothing."""
        self._note(lambda state, now: state.close(until, why), soon=True)

    def _note(self, change: Change, *, soon: bool = False) -> None:
        self._book.note(self._host, change, soon=soon)
