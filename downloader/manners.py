"""One URL's dealings with its sites' wishes: asks robots.txt, reads opt-out headers, refuses, and remembers what was decided."""

import httpx

import errors
from downloader.decisions import Decisions, OptOutVerdict, RobotsDecision, RobotsVerdict
from downloader.guard import Target
from downloader.opt_out import refuse_opt_out
from downloader.profiles import require_contact
from downloader.robots import Robots

__all__ = ["Manners"]


class Manners:
    """What an attempt asks before each hop and of its reply; the last attempt's decisions are kept.

    Args:
        robots: None to ask no robots.txt.
        opt_out: whether headers that refuse use for training are obeyed.
        contact: whom the User-Agent names; some sites refuse to be asked without. None where nobody minds.
    """

    def __init__(self, robots: Robots | None, *, opt_out: bool, contact: str | None = None) -> None:
        self._robots = robots
        self._contact = contact
        self._obeys_opt_out = opt_out
        self.begin()

    def begin(self) -> None:
        """Forget the last attempt."""
        self._hops: list[RobotsDecision] = []
        self._opt_out = OptOutVerdict.NOT_READ if self._obeys_opt_out else OptOutVerdict.OFF
        self._opt_out_evidence: str | None = None

    async def admit(self, target: Target) -> None:
        """Refuse a hop that robots.txt disallows, or whose site wants a contact that is not given.

        Raises:
            errors.ContactRequiredError: see `downloader.profiles.require_contact`.
            errors.PictrawlError: see `Robots.check`.
            Deferral: see `Robots.check`.
        """
        if self._contact is not None:
            require_contact(target.host, self._contact)
        if self._robots is not None:
            await self._robots.check(target, self._hops.append)

    def inspect(self, headers: httpx.Headers) -> None:
        """Refuse a reply that refuses use for training.

        Raises:
            errors.OptOutError: with the header as evidence.
        """
        if not self._obeys_opt_out:
            return
        try:
            refuse_opt_out(headers)
        except errors.OptOutError as exc:
            self._opt_out, self._opt_out_evidence = OptOutVerdict.REFUSED, exc.evidence
            raise
        self._opt_out = OptOutVerdict.NONE

    def decisions(self) -> Decisions:
        """What was decided."""
        return Decisions(self._robots_verdict(), tuple(self._hops), self._opt_out, self._opt_out_evidence)

    def _robots_verdict(self) -> RobotsVerdict:
        if self._robots is None:
            return RobotsVerdict.OFF
        return self._hops[-1].verdict if self._hops else RobotsVerdict.NOT_ASKED
