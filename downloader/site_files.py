"""The files by which a site speaks to crawlers, such as /robots.txt: each fetched once a day for a site, and kept.

Their requests pass the URL guard and the host gate like all others, are sent without retries, and follow redirects.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import errors
from downloader.fetch_state import FetchState
from downloader.lru import LRUDict
from downloader.models import FetchRequest
from downloader.request import Requester, RequestOptions
from downloader.url_guard import Target

__all__ = ["FRESH_S", "MAX_BYTES", "SiteFiles"]

FRESH_S: Final = 86_400.0
"""RFC 9309 2.4: a cached robots.txt is not used for more than 24 hours."""

MAX_BYTES: Final = 600_000
"""RFC 9309 2.5 wants at least 500 KiB parsed; the rest is cut off."""

_OPTIONS: Final = RequestOptions(MAX_BYTES, truncate=True, min_redirects=5)
"""RFC 9309 2.3.1.2: at least five redirects are followed."""

_REDIRECTS: Final = range(300, 400)
_MAX_SITES: Final = 10_000
_FETCH_S: Final = 30.0


class _SiteFile(Protocol):
    @property
    def fresh_until(self) -> float: ...


_File = TypeVar("_File", bound=_SiteFile)
_File_co = TypeVar("_File_co", bound=_SiteFile, covariant=True)


class _OnFailure(Protocol[_File_co]):
    def __call__(self, url: str, exc: errors.PictrawlError, *, is_redirected: bool) -> _File_co: ...


class SiteFiles(Generic[_File]):
    """One file of every site.

    Args:
        path: where a site has it.
        requester: the downloader's own.
        clock: Unix time, seconds.
        read: makes the value that is kept of the URL and the body.
        on_failure: makes it of the error, or raises that; its argument says whether a redirect was followed.
    """

    def __init__(
        self,
        path: str,
        requester: Requester,
        clock: Callable[[], float],
        read: Callable[[str, bytes], _File],
        on_failure: _OnFailure[_File],
    ) -> None:
        self._path = path
        self._requester = requester
        self._clock = clock
        self._read = read
        self._on_failure = on_failure
        self._files: LRUDict[str, _File] = LRUDict(_MAX_SITES)
        self._fetching: dict[str, asyncio.Lock] = {}

    async def get(self, target: Target) -> _File:
        """Return the file of the site of a URL; many URLs at once fetch it once.

        Raises:
            errors.PictrawlError: what ``on_failure`` raises.
            HostClosedError: the site may not be asked now.
        """
        return self._cached(target.origin) or await self._fetch_once(target)

    def url_of(self, target: Target) -> str:
        """Return the URL of the file of the site of a URL."""
        return target.url.removesuffix(target.path) + self._path

    def _cached(self, origin: str) -> _File | None:
        file = self._files.peek(origin)
        return file if file is not None and file.fresh_until > self._clock() else None

    async def _fetch_once(self, target: Target) -> _File:
        lock = self._fetching.setdefault(target.origin, asyncio.Lock())
        try:
            async with lock:
                file = self._cached(target.origin)
                if file is None:
                    file = await self._fetch(self.url_of(target))
                    self._files.put(target.origin, file)
        finally:
            if not lock.locked():
                self._fetching.pop(target.origin, None)
        return file

    async def _fetch(self, url: str) -> _File:
        state = FetchState(FetchRequest(url), _FETCH_S, clock=self._clock)
        try:
            reply = await self._requester.send(state, _OPTIONS)
        except (errors.PermanentError, errors.TransientError) as exc:
            is_redirected = state.url != url or state.status in _REDIRECTS
            return self._on_failure(url, exc, is_redirected=is_redirected)
        return self._read(url, reply.body)
