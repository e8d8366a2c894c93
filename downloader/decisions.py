"""What a site's own word made of a URL: robots.txt before every hop, opt-out headers on the reply. Data, no rules."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Decisions", "OptOutVerdict", "RobotsDecision", "RobotsVerdict"]


class RobotsVerdict(StrEnum):
    """What robots.txt says."""

    OFF = "off"
    """It is not asked: ``fetch.robots`` is off."""

    NOT_ASKED = "not_asked"
    """The URL ended before it came to that: it is no URL, its host is closed, its attempts are spent."""

    ALLOWED = "allowed"
    DISALLOWED = "disallowed"

    NO_FILE = "no_file"
    """RFC 9309 2.3.1.3: no file, no rules."""

    UNREACHABLE = "unreachable"
    """RFC 9309 2.3.1.4: a server error disallows everything for now; a host that cannot be reached cannot be asked."""


class OptOutVerdict(StrEnum):
    """What the reply's headers say of use for training."""

    OFF = "off"
    """They are not read: ``fetch.opt_out`` is off."""

    NOT_READ = "not_read"
    """There was no successful reply to read them from."""

    NONE = "none"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RobotsDecision:
    """One hop's answer.

    Attributes:
        robots_txt: the file's URL.
        evidence: the rule that disallows, or why there are no rules; safe to show.
    """

    robots_txt: str
    verdict: RobotsVerdict
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """Of a URL's last attempt.

    Attributes:
        robots: the last hop's verdict, which is the one that counted.
        hops: one for the URL and for every redirect that was followed, in order.
        opt_out_evidence: the header that refuses; safe to show.
    """

    robots: RobotsVerdict = RobotsVerdict.NOT_ASKED
    hops: tuple[RobotsDecision, ...] = ()
    opt_out: OptOutVerdict = OptOutVerdict.NOT_READ
    opt_out_evidence: str | None = None
