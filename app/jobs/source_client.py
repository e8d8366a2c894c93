"""The downloader as a source sees it: each request waits for the limits of the source's API, which all workers share, and is counted.

Knows no search and no unit; used by searches, by the planner and by `pictrawl sources check`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import errors
from app.db import Database, source_limits
from app.discovery import SOURCES
from app.discovery.sources import rate_limits
from app.discovery.sources.rate_limits import RateLimit, Told
from app.discovery.sources.source import Params
from app.settings import Settings
from downloader import Attempt, FetchRequest
from downloader.client import Downloader
from logging_setup import get_logger

__all__ = ["THROTTLED_S", "SourceClient", "is_unreachable", "limits_of", "make_source_client"]

log = get_logger(__name__)

THROTTLED_S: Final = 60.0
"""Seconds for which an API that throttles us is left alone if it names no time."""

_FORBIDDEN: Final = 403


class _LimitReachedError(Exception):
    """The next request may be sent later only. The downloader passes it on as it is."""

    def __init__(self, taken: source_limits.Taken) -> None:
        super().__init__()
        self.taken = taken


class SourceClient:
    """Sends the requests of one source, and counts them.

    Args:
        db: where the limits are kept.
        name: the source.
        limits: those of the source.
        max_wait_s: a request that must wait longer is not sent: `errors.RateLimitError` says when it may be.
        throttles_with_403: a 403 with a page is too many requests.
        sleep: passes shorter waits.
        is_repeat: an earlier run of the search ended with a failed request, which its first request repeats.
        unreached_since: since when the source cannot be reached, Unix time; of earlier runs.

    Attributes:
        host: of the last request.
        waits_for_limit: the last request was not sent, because of a limit.
        requests, retries: requests that were sent, and those of them that are retries.
        told: what the last reply says of the API's limits.
    """

    def __init__(
        self,
        downloader: Downloader,
        db: Database,
        name: str,
        *,
        limits: Sequence[RateLimit],
        max_wait_s: float,
        throttles_with_403: bool = False,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_repeat: bool = False,
        unreached_since: float | None = None,
    ) -> None:
        self._downloader = downloader
        self._db = db
        self._name = name
        self._throttles_with_403 = throttles_with_403
        self._limits = limits
        self._max_wait_s = max_wait_s
        self._sleep = sleep
        self._is_repeat = is_repeat
        self._taken = 0
        self._is_page = False
        self.host = "the source"
        self.waits_for_limit = False
        self.unreached_since = unreached_since
        self.requests = self.retries = 0
        self.told: tuple[Told, ...] = ()

    @property
    def api(self) -> str:
        """The name under which the limits of the API are kept."""
        return f"{self._name} {self.host}"[:300]

    async def fetch_json(self, url: str, *, params: Params | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """See :class:`app.discovery.sources.source.JsonClient`.

        Raises:
            errors.RateLimitError: also where a limit forbids the request for longer than ``max_wait_s``; ``waits_for_limit`` is then set.
        """
        began, self.host = time.time(), urlsplit(url).netloc.rpartition("@")[2]
        self.waits_for_limit, self.told = False, ()
        try:
            return await self._downloader.fetch_json(url, params=params, headers=headers, log=self, on_reply=self._read_reply)
        except _LimitReachedError as reached:
            self.waits_for_limit = True
            raise errors.RateLimitError(_words(reached.taken), retry_after_s=reached.taken.wait_s) from None
        except errors.AuthenticationError as error:
            if not (self._throttles_with_403 and error.status == _FORBIDDEN and self._is_page):
                raise
            raise await self._throttled(error) from error
        except errors.RateLimitError as error:
            raise await self._throttled(error) from error
        except errors.TransientError as error:
            self.unreached_since = (self.unreached_since or began) if is_unreachable(error) else None
            raise
        finally:
            if self.told:
                await source_limits.tell(self._db, self.api, self._taken, self.told)

    async def close(self, wait_s: float) -> None:
        """Leave the API alone for some seconds, in all workers: it throttles us in words of its own."""
        await source_limits.close(self._db, self.api, wait_s)

    async def reserve(self, request: FetchRequest, number: int) -> None:
        """Wait until the API's limits allow a request: called right before each, retries included. See :class:`downloader.AttemptLog`."""
        taken = await source_limits.take(self._db, self.api, self._limits, max_wait_s=self._max_wait_s)
        if taken.number is None:
            raise _LimitReachedError(taken)
        self._taken = taken.number
        if taken.wait_s > 0:
            log.debug("source.waits", source=self._name, wait_s=round(taken.wait_s, 3))
            await self._sleep(taken.wait_s)

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        """Count a request."""
        self.requests += 1
        self.retries += attempt.number > 1 or self._is_repeat
        self._is_repeat = False

    def _read_reply(self, status: int, headers: Mapping[str, str]) -> None:
        self.told = rate_limits.read_headers(headers, now=time.time())
        self._is_page = headers.get("content-type", "").lower().startswith("text/html")

    async def _throttled(self, error: errors.PictrawlError) -> errors.RateLimitError:
        """Leave the API alone for as long as it asks; return the error that says so."""
        self.unreached_since = None
        wait_s = error.retry_after_s or THROTTLED_S
        await self.close(wait_s)
        return errors.RateLimitError(error.message, status=error.status, retry_after_s=wait_s, evidence=error.evidence)


def make_source_client(
    settings: Settings,
    name: str,
    downloader: Downloader,
    db: Database,
    *,
    is_repeat: bool = False,
    unreached_since: float | None = None,
) -> SourceClient:
    """Make the client of a source; see `SourceClient`."""
    return SourceClient(
        downloader,
        db,
        name,
        limits=limits_of(settings, name),
        max_wait_s=settings.retry.inline_wait_max_s,
        throttles_with_403=name in SOURCES and SOURCES[name].throttles_with_403,
        is_repeat=is_repeat,
        unreached_since=unreached_since,
    )


def limits_of(settings: Settings, name: str) -> tuple[RateLimit, ...]:
    """Return the limits that are kept for a source: those of the settings, else what it declares."""
    rates = settings.sources.of(name).limits
    if rates is None:
        return SOURCES[name].limits if name in SOURCES else ()
    return tuple(limit for rate in rates if (limit := rate_limits.parse(rate)) is not None)


def is_unreachable(error: errors.TransientError) -> bool:
    """Whether no reply came, or the host is closed after several requests without one."""
    return isinstance(error, errors.NetworkError | errors.TimeoutException) or error.slug is errors.Reason.HOST_UNAVAILABLE


def _words(taken: source_limits.Taken) -> str:
    """``200 requests a day are used up``."""
    if taken.limit is None:
        return "it gives no more answers for now"
    return f"{rate_limits.in_words(taken.limit)} {'is' if taken.limit.requests == 1 else 'are'} used up"
