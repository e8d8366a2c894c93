"""What a site's robots.txt says about a URL, asked before the request (RFC 9309).

Knows the file and nothing of images; requests it through the same guard and gate as everything else.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import protego

import errors
from downloader.attempt import Errand, Requester, Terms
from downloader.decisions import RobotsDecision, RobotsVerdict
from downloader.guard import Target
from downloader.opt_out import AGENT
from downloader.robots_rules import Rule, deciding_rule, disallow_rules
from downloader.visits import Deferral
from logging_setup import get_logger

__all__ = ["Robots"]

_FRESH_S: Final = 86_400.0
"""RFC 9309 2.4: a cached robots.txt is not used for more than 24 hours."""

_UNREACHABLE_S: Final = 60.0
_MAX_BYTES: Final = 600_000
"""RFC 9309 2.5 wants 500 KiB parsed at least; the rest is cut off."""

_SITES_KEPT: Final = 10_000
_FETCH_S: Final = 30.0

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Rules:
    """One site's robots.txt: parsed, absent (everything allowed), or not to be had for now (nothing allowed).

    Attributes:
        usually: the decision where no rule disallows.
        disallows: the lines that may, for the evidence.
    """

    fresh_until: float
    usually: RobotsDecision
    parsed: protego.Protego | None = None
    disallows: tuple[Rule, ...] = ()

    def decide(self, url: str) -> RobotsDecision:
        if self.parsed is None or self.parsed.can_fetch(url, AGENT):
            return self.usually
        rule = deciding_rule(self.disallows, url)
        where = self.usually.robots_txt
        evidence = errors.as_evidence(f"{where} {rule}" if rule else where)
        return RobotsDecision(where, RobotsVerdict.DISALLOWED, evidence)


class Robots:
    """robots.txt of every site, fetched once a day.

    Args:
        requester: the downloader's own.
        clock: Unix time.
    """

    def __init__(self, requester: Requester, clock: Callable[[], float]) -> None:
        self._requester = requester
        self._clock = clock
        self._sites: OrderedDict[str, _Rules] = OrderedDict()
        self._fetching: dict[str, asyncio.Lock] = {}

    async def check(self, target: Target, note: Callable[[RobotsDecision], None]) -> None:
        """Refuse a URL that the site disallows.

        Args:
            note: told what was decided, whatever it was.

        Raises:
            errors.RobotsError: a rule of robots.txt disallows it.
            errors.PictrawlError: the site cannot be reached at all; the URL could not be either.
            Deferral: the site answers robots.txt with a server error, which disallows everything for now.
        """
        try:
            rules = self._known(target.origin) or await self._fetch_once(target)
        except (errors.PermanentError, errors.TransientError) as exc:
            note(RobotsDecision(_robots_txt(target), RobotsVerdict.UNREACHABLE, errors.as_evidence(exc.message)))
            raise
        decision = rules.decide(target.url)
        note(decision)
        if decision.verdict is RobotsVerdict.UNREACHABLE:
            raise Deferral(rules.fresh_until, errors.Reason.HOST_UNAVAILABLE)
        if decision.verdict is RobotsVerdict.DISALLOWED:
            raise errors.RobotsError("robots.txt disallows the URL", evidence=decision.evidence)

    def _known(self, origin: str) -> _Rules | None:
        rules = self._sites.get(origin)
        return rules if rules and rules.fresh_until > self._clock() else None

    async def _fetch_once(self, target: Target) -> _Rules:
        lock = self._fetching.setdefault(target.origin, asyncio.Lock())
        try:
            async with lock:
                rules = self._known(target.origin) or await self._fetch(target)
        finally:
            if not lock.locked():
                self._fetching.pop(target.origin, None)
        self._sites[target.origin] = rules
        self._sites.move_to_end(target.origin)
        if len(self._sites) > _SITES_KEPT:
            self._sites.popitem(last=False)
        return rules

    async def _fetch(self, target: Target) -> _Rules:
        terms = Terms(_MAX_BYTES, truncate=True)
        now = self._clock()
        where = _robots_txt(target)
        try:
            reply = await self._requester.send(where, Errand(_FETCH_S), terms)
        except (errors.PermanentError, errors.TransientError) as exc:
            return self._without_file(exc, target, now)
        text = reply.body.decode("utf-8", "replace").removeprefix("\ufeff")
        allowed = RobotsDecision(where, RobotsVerdict.ALLOWED)
        return _Rules(now + _FRESH_S, allowed, protego.Protego.parse(text), disallow_rules(text, AGENT))

    def _without_file(self, exc: errors.PictrawlError, target: Target, now: float) -> _Rules:
        """RFC 9309 2.3.1: no file (4xx, endless redirects) allows everything, a server error nothing; other failures are the URL's own."""
        why = errors.as_evidence(exc.message)
        if exc.status is not None and exc.status >= 500:
            _log.debug("robots.unreachable", host=target.host, status=exc.status)
            unreachable = RobotsDecision(_robots_txt(target), RobotsVerdict.UNREACHABLE, why)
            return _Rules(now + (exc.retry_after_s or _UNREACHABLE_S), unreachable)
        absent = exc.status is not None or isinstance(exc, errors.RedirectError | errors.ProtocolError)
        if absent and not isinstance(exc, errors.TimeoutException):
            return _Rules(now + _FRESH_S, RobotsDecision(_robots_txt(target), RobotsVerdict.NO_FILE, why))
        raise exc


def _robots_txt(target: Target) -> str:
    return target.url.removesuffix(target.path) + "/robots.txt"
