"""What the sites allow: robots.txt and a contact before each request, opt-out headers on its reply (X-Robots-Tag, TDM, Content-Usage).

Refuses with a reason and its evidence, and notes each decision in the URL's state. Where a header is malformed, what can be read of it
counts: a refusal with a typing error is still a refusal.
"""

import re
from collections.abc import Iterable
from typing import Final

import httpx

import errors
from downloader.fetch_state import FetchState
from downloader.limiter.site_profiles import site_profile
from downloader.models import FetchLimits, OptOutVerdict, RobotsVerdict
from downloader.robots import AGENT, Robots
from downloader.url_guard import Target

__all__ = ["CrawlPolicy", "find_opt_out", "require_contact"]

_READ_CHARS: Final = 4096
"""Longer headers are cut off: reading one takes quadratic time where quotes do not close."""

_OPT_OUT_HEADERS: Final = frozenset({b"x-robots-tag", b"tdm-reservation", b"content-usage"})
_OPT_OUT_DIRECTIVES: Final = frozenset({"noai", "noimageai"})
_VALUED_DIRECTIVES: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_AGENT_NAME: Final = re.compile(r"\*|[a-z_][a-z0-9._-]*(?:/[a-z0-9.]*)?")
"""A product token, perhaps with its version; the `25 Jun 2010 15` of a date is none."""

_TRAINING: Final = ("train-ai", "train-genai")
_MEMBER: Final = re.compile(r'(?:"(?:\\.|[^"\\])*+"|[^",])+')
"""A member of a structured dictionary (RFC 9651 3.2): a comma inside a string does not end it."""


class CrawlPolicy:
    """The checks of image requests. The decisions about the last attempt are kept in the URL's state.

    Args:
        robots: checks robots.txt; used where ``fetch.robots`` is on.
        limits: which checks are on, and the contact in the User-Agent.
    """

    def __init__(self, robots: Robots, limits: FetchLimits) -> None:
        self._robots = robots if limits.robots else None
        self._reads_opt_out = limits.opt_out
        self._contact = limits.contact

    def begin_attempt(self, state: FetchState) -> None:
        """Reset the decisions."""
        robots = RobotsVerdict.OFF if self._robots is None else RobotsVerdict.NOT_ASKED
        state.reset_decisions(robots=robots, opt_out=OptOutVerdict.NOT_READ if self._reads_opt_out else OptOutVerdict.OFF)

    async def check_target(self, target: Target, state: FetchState) -> None:
        """Refuse a hop that robots.txt disallows, or whose site requires a contact that is not set.

        Raises:
            errors.ContactRequiredError: see `require_contact`.
            errors.PictrawlError: see `Robots.check`.
            HostClosedError: see `Robots.check`.
        """
        require_contact(target.host, self._contact)
        if self._robots is not None:
            await self._robots.check(target, state)

    def check_headers(self, headers: httpx.Headers, state: FetchState) -> None:
        """Refuse a reply whose headers reserve it from use for training.

        Raises:
            errors.OptOutError: with the header as evidence.
        """
        if not self._reads_opt_out:
            return
        evidence = find_opt_out(headers)
        if evidence is not None:
            state.set_opt_out(OptOutVerdict.REFUSED, evidence)
            raise errors.OptOutError("the reply's headers refuse use for training", evidence=evidence)
        state.set_opt_out(OptOutVerdict.NONE)


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
        if directive := _opt_out_directive(value):
            return _evidence("x-robots-tag", value, directive)
    for value in headers.get_list("tdm-reservation"):
        if _is_tdm_reserved(value):
            return _evidence("tdm-reservation", value, "1")
    usage = headers.get_list("content-usage")
    if key := _refused_training(usage):
        return _evidence("content-usage", ", ".join(usage), f"{key}=n")
    return None


def _evidence(name: str, value: str, deciding: str) -> str:
    line = f"{name}: {value}"
    return errors.as_evidence(line if len(line) <= errors.EVIDENCE_CHARS else f"{name}: … {deciding} … (of {len(value)} characters)")


def _opt_out_directive(value: str) -> str | None:
    """Read ``[agent:] directive, ...``: an agent's name applies until the next one; a directive with a value is no agent."""
    applies = True
    for part in value.lower().split(","):
        name, colon, rest = part.partition(":")
        directive = part.strip()
        if colon and _is_agent(name.strip()):
            applies = name.strip().partition("/")[0] in {"*", AGENT}
            directive = rest.strip()
        if applies and directive in _OPT_OUT_DIRECTIVES:
            return directive
    return None


def _is_agent(name: str) -> bool:
    return name not in _VALUED_DIRECTIVES and _AGENT_NAME.fullmatch(name) is not None


def _is_tdm_reserved(value: str) -> bool:
    return value.partition(";")[0].strip() == "1"


def _refused_training(values: Iterable[str]) -> str | None:
    """Read the headers as one structured dictionary: the last of two equal keys counts."""
    usage: dict[str, str] = {}
    for value in values:
        for member in _MEMBER.findall(value[:_READ_CHARS].lower()):
            key, _, setting = member.partition(";")[0].partition("=")
            usage[key.strip()] = setting.strip()
    return next((key for key in _TRAINING if usage.get(key) == "n"), None)
