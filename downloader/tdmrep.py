"""The TDM Reservation Protocol (W3C TDMRep): what a site's /.well-known/tdmrep.json reserves from text and data mining.

A site without a readable file reserves nothing by it. The header of the same name is read in `downloader.crawl_policy`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

import errors
from downloader.models import HostClosedError
from downloader.request import Requester
from downloader.robots_txt import PathPattern
from downloader.site_files import FRESH_S, SiteFiles
from downloader.url_guard import Target
from errors import Reason

__all__ = ["PATH", "Reservation", "TDMRep", "find_reservation", "parse"]

PATH: Final = "/.well-known/tdmrep.json"

_RETRY_S: Final = 3600.0
"""Seconds until a file is asked for again that failed for a passing reason."""

_BUSY_S: Final = 60.0
"""Seconds a site stays closed that answers 429 without Retry-After."""

_SITE: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reservation:
    """An entry of the file.

    Attributes:
        number: its position, from 1.
        location: the path that it is about, as in robots.txt.
    """

    number: int
    location: str
    is_reserved: bool
    policy: str | None = None
    pattern: PathPattern = field(default=PathPattern("/"), repr=False, compare=False)

    def __str__(self) -> str:
        policy = f", tdm-policy {self.policy}" if self.policy else ""
        return f"entry {self.number}: location {self.location}, tdm-reservation {int(self.is_reserved)}{policy}"


@dataclass(frozen=True, slots=True)
class _ReservationFile:
    fresh_until: float
    entries: tuple[Reservation, ...] = ()


class TDMRep:
    """The reservations of every site, fetched once a day.

    Args:
        requester: the downloader's own.
        clock: Unix time, seconds.
    """

    def __init__(self, requester: Requester, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._site_files: SiteFiles[_ReservationFile] = SiteFiles(PATH, requester, clock, self._read, self._without_file)

    async def find(self, target: Target, path: str) -> str | None:
        """Return the entry that reserves a URL, with the file's URL, safe to show; None where none does.

        Args:
            path: the `canonical_path` of the URL.

        Raises:
            HostClosedError: the site may not be asked now.
        """
        found = find_reservation((await self._site_files.get(target)).entries, path)
        return errors.as_evidence(f"{self._site_files.url_of(target)} {found}") if found else None

    def _read(self, url: str, body: bytes) -> _ReservationFile:
        return _ReservationFile(self._clock() + FRESH_S, parse(body))

    def _without_file(self, url: str, exc: errors.PictrawlError, *, is_redirected: bool) -> _ReservationFile:
        now = self._clock()
        if exc.status == 429:
            raise HostClosedError(now + min(exc.retry_after_s or _BUSY_S, FRESH_S), Reason.RATE_LIMITED) from exc
        return _ReservationFile(now + (FRESH_S if isinstance(exc, errors.PermanentError) else _RETRY_S))


def find_reservation(entries: tuple[Reservation, ...], path: str) -> Reservation | None:
    """Return the entry that reserves a `canonical_path`: the first entry that matches decides."""
    found = next((entry for entry in entries if entry.pattern.matches(path)), None)
    return found if found is not None and found.is_reserved else None


def parse(body: bytes) -> tuple[Reservation, ...]:
    """Read a file; what is no entry is left out, and a single entry without its array counts."""
    try:
        document = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return ()
    entries = document if isinstance(document, list) else [document]
    read = (_entry(number, entry) for number, entry in enumerate(entries, 1) if isinstance(entry, dict))
    return tuple(entry for entry in read if entry is not None)


def _entry(number: int, entry: dict[str, Any]) -> Reservation | None:
    location, reservation, policy = entry.get("location", "/"), entry.get("tdm-reservation"), entry.get("tdm-policy")
    if not isinstance(location, str) or str(reservation).strip() not in ("0", "1", "True", "False"):
        return None
    path = _SITE.sub("", location.strip(), count=1)
    pattern = PathPattern(path if path.startswith(("/", "*")) else f"/{path}")
    return Reservation(number, location, str(reservation).strip() in ("1", "True"), policy if isinstance(policy, str) else None, pattern)
