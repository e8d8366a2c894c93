"""What a site's robots.txt says about a URL (RFC 9309): fetches and caches the file, decides, and names the rule as evidence.

Sends its requests through the same URL guard and host gate as everything else. protego decides and does not say by which line, so the
second half of this module reads the lines as leniently as protego does and asks it about one line at a time.
"""

import asyncio
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

import protego

import errors
from downloader.fetch_state import FetchState
from downloader.lru import LRUDict
from downloader.models import FetchRequest, HostClosedError, RobotsDecision, RobotsVerdict
from downloader.request import Requester, RequestOptions
from downloader.url_guard import Target
from logging_setup import get_logger

__all__ = ["AGENT", "DisallowRule", "Robots", "deciding_rule", "disallow_rules"]

AGENT: Final = "pictrawl"
"""Our product token, as sites write it in robots.txt and X-Robots-Tag."""

_FRESH_S: Final = 86_400.0
"""RFC 9309 2.4: a cached robots.txt is not used for more than 24 hours."""

_UNREACHABLE_S: Final = 60.0
_OPTIONS: Final = RequestOptions(600_000, truncate=True)
"""RFC 9309 2.5 wants at least 500 KiB parsed; the rest is cut off."""

_MAX_SITES: Final = 10_000
_FETCH_S: Final = 30.0

_USER_AGENT: Final = frozenset({"user-agent", "useragent", "user agent"})
_DISALLOW: Final = frozenset({"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"})
_SITE_WIDE: Final = frozenset({"sitemap", "sitemaps", "site-map", "host"})
"""Fields outside the groups; they end none."""

_OTHER: Final = frozenset({"allow", "crawl-delay", "crawl delay", "request-rate", "request rate", "visit-time", "visit time"})
_KNOWN: Final = _USER_AGENT | _DISALLOW | _SITE_WIDE | _OTHER
_LITERAL: Final = re.compile(r"(?!https?://)[A-Za-z0-9_.~/-]*")
"""The literal prefix of a rule: no wildcard, no escape, no URL instead of a path."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _RobotsFile:
    """One site's robots.txt: parsed, absent (everything allowed), or unreachable for now (nothing allowed).

    Attributes:
        default: the decision where no rule disallows.
        disallows: the lines that may disallow, for the evidence.
    """

    fresh_until: float
    default: RobotsDecision
    parsed: protego.Protego | None = None
    disallows: tuple["DisallowRule", ...] = ()

    def decide(self, url: str) -> RobotsDecision:
        if self.parsed is None or self.parsed.can_fetch(url, AGENT):
            return self.default
        rule = deciding_rule(self.disallows, url)
        robots_txt = self.default.robots_txt
        evidence = errors.as_evidence(f"{robots_txt} {rule}" if rule else robots_txt)
        return RobotsDecision(robots_txt, RobotsVerdict.DISALLOWED, evidence)


class Robots:
    """The robots.txt of every site, fetched once a day.

    Args:
        requester: the downloader's own.
        clock: Unix time, seconds.
    """

    def __init__(self, requester: Requester, clock: Callable[[], float]) -> None:
        self._requester = requester
        self._clock = clock
        self._files: LRUDict[str, _RobotsFile] = LRUDict(_MAX_SITES)
        self._fetching: dict[str, asyncio.Lock] = {}

    async def check(self, target: Target, state: FetchState) -> None:
        """Refuse a URL that the site disallows, and note the decision in ``state``.

        Raises:
            errors.RobotsError: a rule of robots.txt disallows it.
            errors.PictrawlError: the site cannot be reached at all, so neither can the URL.
            HostClosedError: the site answers robots.txt with a server error, which disallows everything for now.
        """
        try:
            file = self._cached(target.origin) or await self._fetch_once(target)
        except (errors.PermanentError, errors.TransientError) as exc:
            evidence = errors.as_evidence(exc.message)
            state.add_robots_decision(RobotsDecision(_robots_txt(target), RobotsVerdict.UNREACHABLE, evidence))
            raise
        decision = file.decide(target.url)
        state.add_robots_decision(decision)
        if decision.verdict is RobotsVerdict.UNREACHABLE:
            raise HostClosedError(file.fresh_until, errors.Reason.HOST_UNAVAILABLE)
        if decision.verdict is RobotsVerdict.DISALLOWED:
            raise errors.RobotsError("robots.txt disallows the URL", evidence=decision.evidence)

    def _cached(self, origin: str) -> _RobotsFile | None:
        file = self._files.peek(origin)
        return file if file and file.fresh_until > self._clock() else None

    async def _fetch_once(self, target: Target) -> _RobotsFile:
        lock = self._fetching.setdefault(target.origin, asyncio.Lock())
        try:
            async with lock:
                file = self._cached(target.origin) or await self._fetch(target)
        finally:
            if not lock.locked():
                self._fetching.pop(target.origin, None)
        self._files.put(target.origin, file)
        return file

    async def _fetch(self, target: Target) -> _RobotsFile:
        now = self._clock()
        robots_txt = _robots_txt(target)
        try:
            reply = await self._requester.send(FetchState(FetchRequest(robots_txt), _FETCH_S, clock=self._clock), _OPTIONS)
        except (errors.PermanentError, errors.TransientError) as exc:
            return self._without_file(exc, target, now)
        text = reply.body.decode("utf-8", "replace").removeprefix("\ufeff")
        allowed = RobotsDecision(robots_txt, RobotsVerdict.ALLOWED)
        return _RobotsFile(now + _FRESH_S, allowed, protego.Protego.parse(text), disallow_rules(text, AGENT))

    def _without_file(self, exc: errors.PictrawlError, target: Target, now: float) -> _RobotsFile:
        """RFC 9309 2.3.1: no file (4xx, endless redirects) allows everything, a server error nothing; other failures are the URL's own."""
        evidence = errors.as_evidence(exc.message)
        if exc.status is not None and exc.status >= 500:
            _log.debug("robots.unreachable", host=target.host, status=exc.status)
            unreachable = RobotsDecision(_robots_txt(target), RobotsVerdict.UNREACHABLE, evidence)
            return _RobotsFile(now + (exc.retry_after_s or _UNREACHABLE_S), unreachable)
        is_absent = exc.status is not None or isinstance(exc, errors.RedirectError | errors.ProtocolError)
        if is_absent and not isinstance(exc, errors.TimeoutException):
            return _RobotsFile(now + _FRESH_S, RobotsDecision(_robots_txt(target), RobotsVerdict.NO_FILE, evidence))
        raise exc


def _robots_txt(target: Target) -> str:
    return target.url.removesuffix(target.path) + "/robots.txt"


@dataclass(frozen=True, slots=True)
class DisallowRule:
    """A Disallow line.

    Attributes:
        line: its number; 1 is the first line of the file.
        agent: the agent its group names, ``*`` for every agent; in lower case.
        value: what it disallows, as the file spells it.
        prefix: literal prefix of every path that it can match, unescaped.
    """

    line: int
    agent: str
    value: str
    prefix: str

    def __str__(self) -> str:
        return f"line {self.line}, user-agent {self.agent}: Disallow: {self.value}"


def disallow_rules(text: str, agent: str) -> tuple[DisallowRule, ...]:
    """Return the Disallow lines of the one group that applies to an agent (RFC 9309 2.2.1), in the order of the file."""
    groups: dict[str, list[DisallowRule]] = {}
    agents: list[str] = []
    is_group_start = False
    for number, field, value in _directives(text):
        if field in _USER_AGENT:
            agents = [*(agents if is_group_start else ()), *_agent_names(value)]
            for name in agents:
                groups.setdefault(name, [])
        elif field in _DISALLOW and value:
            for name in dict.fromkeys(agents):
                groups[name].append(DisallowRule(number, name, value, _literal_prefix(value)))
        is_group_start = field in _USER_AGENT
    chosen = max(groups, key=lambda name: _match_length(name, agent), default="")
    return tuple(groups[chosen]) if _match_length(chosen, agent) else ()


def deciding_rule(rules: Sequence[DisallowRule], url: str) -> DisallowRule | None:
    """Return the rule with the longest match (RFC 9309 2.2.2), the first of equals; None where none matches.

    Args:
        url: a disallowed URL; Allow lines are not considered here.
    """
    decided: DisallowRule | None = None
    path = unquote(urlsplit(url).path)
    for rule in rules:
        if not path.startswith(rule.prefix):  # true for most rules of a long file, and a hundred times cheaper
            continue
        if _disallows(rule.value, url) and (decided is None or _is_longer(rule.value, decided.value, url)):
            decided = rule
    return decided


def _directives(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        directive = _directive(content)
        if directive is not None and directive[0] not in _SITE_WIDE:
            yield number, *directive


def _directive(content: str) -> tuple[str, str] | None:
    """Read ``field: value``, or ``field value`` where the text before the colon is no known field."""
    name, colon, value = content.partition(":")
    field = name.strip().lower()
    if colon and (field in _KNOWN or not value or value[0].isspace()):
        return field, value.strip()
    words = content.split()
    for count in (1, 2):
        if (candidate := " ".join(words[:count]).lower()) in _KNOWN:
            return candidate, " ".join(words[count:])
    return (field, value.strip()) if colon else None


def _literal_prefix(value: str) -> str:
    literal = _LITERAL.match(value)
    return literal[0] if literal else ""


def _agent_names(value: str) -> list[str]:
    """Return the agents that a line names: as written, and without asterisks that mean nothing."""
    name = value.lower()
    bare = "" if name == "*" else name.replace("*", "")
    return [found for found in dict.fromkeys((name, bare)) if found]


def _match_length(name: str, agent: str) -> int:
    """Return how well a group applies: the longer its name the better, ``*`` least; 0 is not at all."""
    if name == "*":
        return 1
    at = agent.find(name) if name else -1
    while at > 0 and (agent[at - 1].isalnum() or agent[at - 1] in "-_"):
        at = agent.find(name, at + 1)
    return len(name) if at >= 0 else 0


@functools.lru_cache(maxsize=2048)
def _parsed(*lines: str) -> protego.Protego:
    return protego.Protego.parse("\n".join(("User-agent: *", *lines)))


def _disallows(value: str, url: str) -> bool:
    return not _parsed(f"Disallow: {value}").can_fetch(url, "*")


def _is_longer(value: str, other: str, url: str) -> bool:
    """Compare two matching rules. Of an Allow and a Disallow the longer one counts, and of equals the Allow; protego knows which it is."""
    return not _parsed(f"Allow: {other}", f"Disallow: {value}").can_fetch(url, "*")
