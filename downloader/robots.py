"""What a site's robots.txt says about a URL: fetches and caches the file (RFC 9309 2.3), decides, and names the rule as evidence.

Sends its requests through the same URL guard and host gate as everything else. How a file is read stands in `downloader.robots_txt`.
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import errors
from downloader import robots_txt
from downloader.fetch_state import FetchState
from downloader.models import HostClosedError, RobotsDecision, RobotsVerdict
from downloader.request import Requester
from downloader.robots_txt import RobotsTxt
from downloader.site_files import FRESH_S, MAX_BYTES, SiteFiles
from downloader.url_guard import Target
from errors import Reason
from logging_setup import get_logger

__all__ = ["Robots"]

_UNREACHABLE_S: Final = 60.0
"""Seconds a site stays closed whose robots.txt is answered by 429 or a server error without Retry-After."""

_NO_RULES: Final = RobotsTxt()

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _RobotsFile:
    """One site's robots.txt: read, absent (no rules), or unreachable for now (nothing allowed).

    Attributes:
        default: the decision where no rule disallows.
        closed: why nothing is allowed; None unless the file is unreachable.
    """

    fresh_until: float
    default: RobotsDecision
    rules: RobotsTxt = _NO_RULES
    closed: Reason | None = None

    def decide(self, path: str) -> RobotsDecision:
        rule = self.rules.find_disallow(path)
        if rule is None:
            return self.default
        url = self.default.robots_txt
        return RobotsDecision(url, RobotsVerdict.DISALLOWED, errors.as_evidence(f"{url} {rule}"))


class Robots:
    """The robots.txt of every site, fetched once a day.

    Args:
        requester: the downloader's own.
        clock: Unix time, seconds.
    """

    def __init__(self, requester: Requester, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._site_files: SiteFiles[_RobotsFile] = SiteFiles("/robots.txt", requester, clock, self._read, self._without_file)

    async def check(self, target: Target, path: str, state: FetchState) -> RobotsTxt:
        """Refuse a URL that the site disallows, note the decision in ``state``, and return all that the file says.

        Args:
            path: the `canonical_path` of the URL.

        Raises:
            errors.RobotsError: a rule of robots.txt disallows it.
            errors.PictrawlError: the site cannot be reached at all, so neither can the URL.
            HostClosedError: the site answers robots.txt with 429 or a server error, which disallows everything for now.
        """
        try:
            file = await self._site_files.get(target)
        except (errors.PermanentError, errors.TransientError) as exc:
            evidence = errors.as_evidence(exc.message)
            state.add_robots_decision(RobotsDecision(self._site_files.url_of(target), RobotsVerdict.UNREACHABLE, evidence))
            raise
        decision = file.decide(path)
        state.add_robots_decision(decision)
        if file.closed is not None:
            raise HostClosedError(file.fresh_until, file.closed)
        if decision.verdict is RobotsVerdict.DISALLOWED:
            raise errors.RobotsError("robots.txt disallows the URL", evidence=decision.evidence)
        return file.rules

    def _read(self, url: str, body: bytes) -> _RobotsFile:
        return _RobotsFile(self._clock() + FRESH_S, RobotsDecision(url, RobotsVerdict.ALLOWED), robots_txt.parse(_decode(body)))

    def _without_file(self, url: str, exc: errors.PictrawlError, *, is_redirected: bool) -> _RobotsFile:
        """RFC 9309 2.3.1: no file (4xx, endless or useless redirects) allows everything, a server error nothing.

        429 is no word on the file: it closes the site for a while. Other failures are the URL's own, unless a redirect led to them.
        """
        now, evidence = self._clock(), errors.as_evidence(exc.message)
        is_busy = exc.status == 429
        is_transient = isinstance(exc, errors.TransientError)
        if is_busy or (exc.status is not None and exc.status >= 500) or (is_transient and is_redirected):
            _log.debug("robots.unreachable", host=urlsplit(url).netloc, status=exc.status)
            until = now + min(exc.retry_after_s or _UNREACHABLE_S, FRESH_S)
            reason = Reason.RATE_LIMITED if is_busy else Reason.HOST_UNAVAILABLE
            return _RobotsFile(until, RobotsDecision(url, RobotsVerdict.UNREACHABLE, evidence), closed=reason)
        is_absent = exc.status is not None or isinstance(exc, errors.RedirectError | errors.ProtocolError) or is_redirected
        if is_absent and not isinstance(exc, errors.TimeoutException):
            return _RobotsFile(now + FRESH_S, RobotsDecision(url, RobotsVerdict.NO_FILE, evidence))
        raise exc


def _decode(body: bytes) -> str:
    """Return the text, without a last line that was cut off: half an Allow allows too much."""
    if len(body) >= MAX_BYTES:
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    is_utf_16 = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return body.decode("utf-16" if is_utf_16 else "utf-8", "replace")
