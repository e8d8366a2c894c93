"""Whether a host is away: opens after failures in a row, lets one probe through after a pause, closes on an answer. Pure."""

from dataclasses import dataclass
from typing import Final

from errors import Reason

__all__ = ["Breaker"]

_FAILURES_TO_OPEN: Final = 5
"""Connections in a row that could not be made."""

_REFUSALS_TO_OPEN: Final = 20
_REFUSING_S: Final = 30.0
"""Cuts of the pace in a row, and for how long, without one accepted request between: the host is not slow, it serves nobody."""

_OPEN_FIRST_S: Final = 30.0
_OPEN_MAX_S: Final = 600.0
_PROBE_S: Final = 60.0
"""A probe without a verdict for so long has died with its worker."""


@dataclass(slots=True)
class Breaker:
    """The breaker of one host; times are Unix seconds, 0 for never.

    Attributes:
        failures: connections in a row that could not be made.
        refusals: refusals in a row, a cut of the pace each; the first was at ``refusing_since``.
        open_until: when the next probe may go; 0 while the breaker is closed.
        open_s: length of the current pause.
        probe_until: while a probe is under way, when it counts as lost.
        why: what a URL that is kept away gets as its reason.
    """

    failures: int = 0
    refusals: int = 0
    refusing_since: float = 0.0
    open_until: float = 0.0
    open_s: float = 0.0
    probe_until: float = 0.0
    why: str = Reason.HOST_UNAVAILABLE.value

    def kept_away_until(self, now: float) -> float:
        """When to ask again; 0 where requests may go, a probe among them."""
        if self.open_until > now:
            return self.open_until
        return now + _OPEN_FIRST_S / 2 if self.probe_until > now else 0.0

    def begin_probe(self, now: float) -> bool:
        """True where the request about to go is the probe."""
        if not self.open_until:
            return False
        self.probe_until = now + _PROBE_S
        return True

    def end_probe(self) -> None:
        """The probe is over, with or without a verdict."""
        self.probe_until = 0.0

    def connected(self) -> None:
        """The host answered, with whatever: connections can be made."""
        self.failures = 0
        if not self.refusals:
            self.open_until = self.open_s = self.probe_until = 0.0

    def accepted(self) -> None:
        """The host answered, and not with a refusal."""
        self.refusals = 0
        self.connected()

    def connect_failed(self, now: float) -> None:
        """No connection could be made."""
        self.failures += 1
        if self.failures >= _FAILURES_TO_OPEN or self.open_until:  # a failed probe
            self._open(now, Reason.HOST_UNAVAILABLE)

    def refused(self, now: float, why: Reason) -> None:
        """The host refused what was sent after its last refusal."""
        self.refusals += 1
        if self.refusals == 1:
            self.refusing_since = now
        if self.refusals >= _REFUSALS_TO_OPEN and now - self.refusing_since >= _REFUSING_S:
            self._open(now, Reason.RATE_LIMITED if why is Reason.RATE_LIMITED else Reason.HOST_UNAVAILABLE)

    def _open(self, now: float, why: Reason) -> None:
        if self.open_until > now:
            return
        self.open_s = min(max(_OPEN_FIRST_S, self.open_s * 2), _OPEN_MAX_S)
        self.open_until = now + self.open_s
        self.probe_until = 0.0
        self.why = why.value
