"""What the sites allow: robots.txt, tdmrep.json and a contact before each request; opt-out headers on every reply, redirects included.

Refuses with a reason and its evidence, and notes each decision in the URL's state. Where a header is malformed, what can be read of it
counts: a refusal with a typing error is still a refusal.
"""

from collections.abc import Callable
from typing import Final, NoReturn

import httpx

import errors
from downloader import tdmrep
from downloader.content import media_type
from downloader.fetch_state import FetchState
from downloader.limiter.gate import HostGate
from downloader.limiter.site_profiles import site_profile
from downloader.models import FetchLimits, OptOutVerdict, RobotsVerdict
from downloader.request import Requester
from downloader.robots import Robots
from downloader.robots_tag import OPT_OUT_DIRECTIVES, directives
from downloader.robots_txt import RobotsTxt, canonical_path
from downloader.tdmrep import TDMRep
from downloader.url_guard import Target
from downloader.usage_preferences import training_in_usage

__all__ = ["CrawlPolicy", "find_opt_out", "require_contact"]

_NO_PAGE_TYPES: Final = ("video/", "audio/", "font/", "model/", "application/pdf", "application/zip", "application/vnd.")
_OPT_OUT_HEADERS: Final = frozenset({b"x-robots-tag", b"tdm-reservation", b"content-usage"})


class CrawlPolicy:
    """The checks of image requests. The decisions about the last attempt are kept in the URL's state.

    Args:
        requester: fetches the files of a site.
        gate: spaces requests as Crawl-delay asks.
        limits: which checks are on, and the contact in the User-Agent.
        clock: Unix time, seconds.
    """

    def __init__(self, requester: Requester, gate: HostGate, limits: FetchLimits, clock: Callable[[], float]) -> None:
        self._robots = Robots(requester, clock) if limits.robots else None
        self._tdmrep = TDMRep(requester, clock)
        self._gate = gate
        self._limits = limits

    def begin_attempt(self, state: FetchState) -> None:
        """Reset the decisions."""
        robots = RobotsVerdict.OFF if self._robots is None else RobotsVerdict.NOT_ASKED
        state.reset_decisions(robots=robots, opt_out=OptOutVerdict.NOT_READ if self._limits.opt_out else OptOutVerdict.OFF)

    async def check_target(self, target: Target, state: FetchState) -> None:
        """Refuse a hop that the files of its site disallow or reserve, or whose site requires a contact that is not set.

        Raises:
            errors.ContactRequiredError: see `require_contact`.
            errors.OptOutError: robots.txt or tdmrep.json reserves it from use for training.
            errors.PictrawlError: see `Robots.check`.
            HostClosedError: see `Robots.check`.
        """
        require_contact(target.host, self._limits.contact)
        if self._robots is None:
            return
        path = canonical_path(target.path)
        rules = await self._robots.check(target, path, state)
        self._gate.space_starts(target, min(rules.crawl_delay_s, self._limits.crawl_delay_max_s))
        if self._limits.opt_out and (evidence := await self._find_reservation(target, path, rules, state)):
            self._refuse(state, "a file of the site refuses use for training", evidence)

    def check_headers(self, headers: httpx.Headers, state: FetchState) -> None:
        """Refuse a reply whose headers reserve it from use for training.

        Raises:
            errors.OptOutError: with the header as evidence.
        """
        if not self._limits.opt_out:
            return
        if evidence := find_opt_out(headers):
            self._refuse(state, "the reply's headers refuse use for training", evidence)
        state.set_opt_out(OptOutVerdict.NONE)

    def check_page_headers(self, headers: httpx.Headers, state: FetchState) -> None:
        """Refuse what `check_headers` refuses, and a reply that is a film, a sound or an archive before it is read.

        Raises:
            errors.OptOutError: see `check_headers`.
            errors.ProtocolError: it can be no page.
        """
        self.check_headers(headers, state)
        found, _ = media_type(headers.get("content-type", ""))
        if found.startswith(_NO_PAGE_TYPES):
            raise errors.ProtocolError(f"the reply is {found[:80]}, no page", status=state.status)

    async def _find_reservation(self, target: Target, path: str, rules: RobotsTxt, state: FetchState) -> str | None:
        """Return what reserves the URL, as evidence. tdmrep.json is not requested where robots.txt disallows it."""
        if line := rules.find_reservation(path):
            return errors.as_evidence(f"{state.robots_txt} {line}")
        return None if rules.find_disallow(tdmrep.PATH) else await self._tdmrep.find(target, path)

    def _refuse(self, state: FetchState, message: str, evidence: str) -> NoReturn:
        state.set_opt_out(OptOutVerdict.REFUSED, evidence)
        raise errors.OptOutError(message, evidence=evidence)


def require_contact(host: str, contact: str) -> None:
    """Refuse a request to a site that requires a contact in the User-Agent where none is set.

    Raises:
        errors.ContactRequiredError: with the site's terms as evidence.
    """
    profile = site_profile(host)
    if profile is not None and profile.needs_contact and not contact.strip():
        message = f"{host} requires a contact in the User-Agent; set fetch.contact (--contact) to a mail or web address"
        raise errors.ContactRequiredError(message, evidence=profile.terms_url)


def find_opt_out(headers: httpx.Headers) -> str | None:
    """Return the header line that refuses use for training, safe to show, or None. A long line is cut to the part that refuses.

    It reads X-Robots-Tag ``noai`` and ``noimageai`` (for every agent or for ours), ``tdm-reservation: 1`` of the TDM reservation protocol
    and ``Content-Usage: train-ai=n`` of the IETF draft.
    """
    if _OPT_OUT_HEADERS.isdisjoint([name.lower() for name, _ in headers.raw]):
        return None
    for value in headers.get_list("x-robots-tag"):
        if found := OPT_OUT_DIRECTIVES & directives([value]):
            return _evidence("x-robots-tag", value, min(found))
    for value in headers.get_list("tdm-reservation"):
        if _is_tdm_reserved(value):
            return _evidence("tdm-reservation", value, "1")
    usage = headers.get_list("content-usage")
    training = training_in_usage(usage)
    return _evidence("content-usage", ", ".join(usage), training.member) if training and training.is_refused else None


def _evidence(name: str, value: str, deciding: str) -> str:
    line = f"{name}: {value}"
    return errors.as_evidence(line if len(line) <= errors.EVIDENCE_CHARS else f"{name}: … {deciding} … (of {len(value)} characters)")


def _is_tdm_reserved(value: str) -> bool:
    """Several headers may have been merged into one: one reservation among them is enough."""
    return any(part.partition(";")[0].strip() == "1" for part in value.split(","))
