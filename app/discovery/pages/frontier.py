"""Which links of a page are followed: the hosts of a crawl, one key for all spellings of a page, and traps that have no end. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

__all__ = ["ANY_HOST", "CrawlScope", "page_key", "why_trap"]

ANY_HOST: Final = "*"

MAX_PATH_PARTS: Final = 12
MAX_REPEATS: Final = 2
"""Times that one part of a path may occur: relative links that are resolved wrongly make ``/a/b/a/b/a/b``."""

MAX_PARAMETERS: Final = 4
"""Of a query: filters that can be combined have more."""

MAX_URL_CHARS: Final = 1_000

_NO_IDENTITY: Final = re.compile(
    r"utm_\w+|fbclid|gclid|msclkid|mc_[ce]id|igshid|yclid|_ga|phpsessid|jsessionid|aspsessionid\w*|cfid|cftoken|sid|sessionid|session_id|zenid|oscsid"
)
"""Parameters that do not change what a page shows: sessions and campaigns."""

_SESSION: Final = re.compile(r";jsessionid=[^/?#]*", re.IGNORECASE)
_ORDER: Final = re.compile(
    r"sort(?:_?by|_?order|_?dir)?|order(?:_?by)?|dir|direction|view(?:_?mode)?|mode|layout|per_?page|page_?size|limit|display|print|format"
    r"|filters?(?:\[.*|[_-].*)?|facets?(?:\[.*)?|f\[.*|min_?price|max_?price|replytocom|share|add-to-cart|add_to_cart|action|oldid|diff|redirect(?:_to)?"
)
"""Parameters that show the same in another order or form, or do something."""

_CALENDAR: Final = frozenset({"calendar", "kalender", "calendrier", "calendario", "ical"})
_DATES: Final = re.compile(r"(?:cal|date|day|month|year|week|ical|tribe-bar-date)")
_ACTIONS: Final = frozenset(
    {"login", "logout", "signin", "signup", "register", "cart", "checkout", "account", "my-account", "wp-login.php", "wp-admin"}
)
_ARCHIVES: Final = frozenset({".zip", ".gz", ".tar", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".exe", ".dmg", ".iso", ".apk", ".deb", ".rpm"})
_MEDIA: Final = frozenset(
    {".mp3", ".mp4", ".m4a", ".m4v", ".avi", ".mov", ".mkv", ".webm", ".ogg", ".ogv", ".wav", ".flac", ".svg", ".ico"}
)
_OFFICE: Final = frozenset(
    {".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".ods", ".csv", ".tsv", ".epub", ".ics", ".psd"}
)
_PARTS: Final = frozenset({".css", ".js", ".mjs", ".map", ".woff", ".woff2", ".ttf", ".eot", ".bin", ".ai", ".eps"})
_FILES: Final = _ARCHIVES | _MEDIA | _OFFICE | _PARTS
"""Suffixes of files that hold no images for us. Those of sitemaps that are packed end in ``.xml.gz``."""


@dataclass(frozen=True, slots=True)
class CrawlScope:
    """The hosts of a crawl.

    Attributes:
        follow_hosts: hosts that are followed besides that of the page with the link, each with its subdomains; ``*`` for all.
    """

    follow_hosts: tuple[str, ...] = ()

    def is_followed(self, host: str, page_host: str) -> bool:
        """Whether a page on ``host`` is read that one on ``page_host`` links."""
        if _site(host) == _site(page_host):
            return True
        return any(wanted == ANY_HOST or host == wanted or host.endswith(f".{wanted}") for wanted in self.follow_hosts)

    def select(self, links: Sequence[str], page_url: str) -> list[str]:
        """Return the links of a page that are followed, each page once."""
        page_host = host_of(page_url)
        followed: dict[str, str] = {}
        for link in links:
            if self.is_followed(host_of(link), page_host) and not why_trap(link):
                followed.setdefault(page_key(link), link)
        followed.pop(page_key(page_url), None)
        return list(followed.values())


def host_of(url: str) -> str:
    """Return the host of a URL in lower case, without its port; empty where there is none."""
    return urlsplit(url).hostname or ""


def _site(host: str) -> str:
    """Return a host without ``www.``, under which most sites answer as well."""
    return host.removeprefix("www.")


def page_key(url: str) -> str:
    """Return one spelling for all URLs of a page: without fragment, session and campaign, parameters in order."""
    parts = urlsplit(url)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not _NO_IDENTITY.fullmatch(name.lower())]
    path = _SESSION.sub("", parts.path)
    stem, _, name = path.rpartition("/")
    path = f"{stem}/" if name in ("index.html", "index.htm", "index.php") else path
    return f"{parts.netloc}{path or '/'}?{urlencode(sorted(query))}"


def why_trap(url: str) -> str:
    """Return in words why a link is not followed although its host is; empty if it is."""
    parts = urlsplit(url)
    path = [part.lower() for part in unquote(parts.path).split("/") if part]
    names = [name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if len(url) > MAX_URL_CHARS or len(path) > MAX_PATH_PARTS:
        return "a URL without end"
    if any(path.count(part) > MAX_REPEATS for part in path):
        return "a path that repeats itself"
    if path and _suffix(path[-1]) in _FILES:
        return "no page"
    if _ACTIONS.intersection(path) or any(map(_ORDER.fullmatch, names)) or len(names) > MAX_PARAMETERS:
        return "another view of a page, or an action"
    if _CALENDAR.intersection(path) or any(map(_DATES.fullmatch, names)):
        return "a calendar"
    return ""


def _suffix(name: str) -> str:
    return "" if name.endswith((".xml.gz", ".txt.gz")) else PurePosixPath(name).suffix
