"""Circuit breaker of one host: opens after failures in a row, allows one half-open probe after a pause, closes on success. Pure."""

from dataclasses import dataclass
from typing import Final

from errors import Reason

__all__ = ["CircuitBreaker"]

_CONNECT_ERRORS_TO_OPEN: Final = 5
"""Failed connections in a row."""

_REFUSALS_TO_OPEN: Final = 20
_REFUSING_S: Final = 30.0
"""Rate cuts in a row, and the seconds they must span, without one success in between: such a host serves nobody."""

_SILENT_S: Final = 90.0
"""Seconds without any reply after which a host is closed that accepts connections: three attempts of a URL by the default time limits."""

_RECENT_ANSWER_S: Final = 600.0
"""A host that gave an answer so shortly before may be slow at some URLs only."""

_FIRST_PAUSE_S: Final = 30.0
_MAX_PAUSE_S: Final = 600.0
_MAX_UNKNOWN_PAUSE_S: Final = 60.0
"""Longest pause of a host that has never answered. Its URLs are given up after two minutes, and a later job soon gets its probe."""

_PROBE_TIMEOUT_S: Final = 60.0
"""A probe without a result after so long was lost with its worker."""


@dataclass(slots=True)
class CircuitBreaker:
    """The breaker of one host. Times are Unix seconds, 0 for never.

    Attributes:
        failures: failed connections in a row.
        refusals: refusals in a row, one for each cut of the rate; the first came at ``refusing_since``.
        open_until: when the next probe may be sent; 0 while the breaker is closed.
        pause_s: length of the current pause.
        probe_until: while a probe is in flight, the time at which it counts as lost.
        reason: the reason that a deferred URL gets.
        answered_at: when the host last gave a usable answer: any status but 429 and 5xx.
        silent_since: since when it has been asked and has not given one.
    """

    failures: int = 0
    refusals: int = 0
    refusing_since: float = 0.0
    open_until: float = 0.0
    pause_s: float = 0.0
    probe_until: float = 0.0
    reason: str = Reason.HOST_UNAVAILABLE.value
    answered_at: float = 0.0
    silent_since: float = 0.0

    def blocked_until(self, now: float) -> float:
        """Return when to ask again; 0 where a request may be sent, the probe included. During a probe: half a pause from now."""
        if self.open_until > now:
            return self.open_until
        return now + _FIRST_PAUSE_S / 2 if self.probe_until > now else 0.0

    def begin_probe(self, now: float) -> bool:
        """Return True where the next request is the half-open probe."""
        if not self.open_until:
            return False
        self.probe_until = now + _PROBE_TIMEOUT_S
        return True

    def end_probe(self) -> None:
        """The probe has ended, with or without a result."""
        self.probe_until = 0.0

    def on_connected(self) -> None:
        """A connection was made; the answer may still be a refusal."""
        self.failures = 0
        if not self.refusals:
            self.open_until = self.pause_s = self.probe_until = 0.0

    def on_success(self) -> None:
        """The host answered, and not with a refusal."""
        self.refusals = 0
        self.on_connected()

    def on_answer(self, now: float) -> None:
        """The host gave a usable answer."""
        self.answered_at, self.silent_since = now, 0.0

    def on_silence(self, started_at: float) -> None:
        """A request sent at this time brought no usable answer."""
        self.silent_since = self.silent_since or started_at

    def on_no_reply(self, now: float, *, started_at: float) -> None:
        """The host accepted a connection, and not one byte of a reply came."""
        self.on_silence(started_at)
        if now - self.silent_since >= _SILENT_S and self.silent_since - self.answered_at > _RECENT_ANSWER_S:
            self._open(now, Reason.HOST_UNAVAILABLE)
        else:
            self.on_connected()

    def on_connect_error(self, now: float) -> None:
        """No connection could be made. A failed probe opens the breaker again."""
        self.failures += 1
        if self.failures >= _CONNECT_ERRORS_TO_OPEN or self.open_until:
            self._open(now, Reason.HOST_UNAVAILABLE)

    def on_refusal(self, now: float, reason: Reason) -> None:
        """The host refused a request that was sent after its last refusal."""
        self.refusals += 1
        if self.refusals == 1:
            self.refusing_since = now
        if self.refusals >= _REFUSALS_TO_OPEN and now - self.refusing_since >= _REFUSING_S:
            self._open(now, Reason.RATE_LIMITED if reason is Reason.RATE_LIMITED else Reason.HOST_UNAVAILABLE)

    def _open(self, now: float, reason: Reason) -> None:
        if self.open_until > now:
            return
        self.pause_s = min(max(_FIRST_PAUSE_S, self.pause_s * 2), _MAX_PAUSE_S if self.answered_at else _MAX_UNKNOWN_PAUSE_S)
        self.open_until = now + self.pause_s
        self.probe_until = 0.0
        self.reason = reason.value
