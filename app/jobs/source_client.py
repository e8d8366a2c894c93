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
from app.resources import source_options
from app.settings import KeyedSourceSettings, Settings
from downloader import Attempt, FetchRequest
from downloader.client import Downloader
from logging_setup import get_logger

__all__ = ["THROTTLED_S", "SourceClient", "is_unreachable", "limits_of", "make_source_client"]

log = get_logger(__name__)

THROTTLED_S: Final = 60.0
"""Seconds for which an API that throttles us is left alone if it names no time."""


MID_PAGE_WAIT_S: Final = 60.0
"""Seconds that a request waits at most within a page that takes several: what was read of the page would be lost."""


MIN_KEY_CHARS: Final = 8
"""Of a key that is taken out of answers; a shorter one could stand anywhere in them, and is none."""


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
        max_wait_s: the first request of a page that must wait longer is not sent: `errors.RateLimitError` says when it may be.
        key: of the API; it is taken out of what the API answers.
        sleep: passes shorter waits.
        is_repeat: an earlier run of the search ended with a failed request, which its first request repeats.
        unreached_since: since when the source cannot be reached, Unix time; of earlier runs.

    Attributes:
        host: of the last request.
        waits_for_limit: the last request was not sent, because of a limit.
        requests, retries: requests that were sent for the page that is being read, and those of them that are retries.
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
        key: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        is_repeat: bool = False,
        unreached_since: float | None = None,
    ) -> None:
        self._downloader = downloader
        self._db = db
        self._name = name
        self._limits = limits
        self._max_wait_s = max_wait_s
        self._key = key if key and len(key) >= MIN_KEY_CHARS else None
        self._sleep = sleep
        self._is_repeat = is_repeat
        self._taken = 0
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
            return await self._downloader.fetch_json(
                url, params=params, headers=headers, log=self, on_reply=self._read_reply, secret=self._key
            )
        except _LimitReachedError as reached:
            self.waits_for_limit = True
            raise errors.RateLimitError(_words(reached.taken), retry_after_s=reached.taken.wait_s) from None
        except errors.RateLimitError as error:
            self.unreached_since = None
            await self.close(error.retry_after_s or THROTTLED_S)
            raise
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
        max_wait_s = max(self._max_wait_s, MID_PAGE_WAIT_S) if self.requests else self._max_wait_s
        taken = await source_limits.take(self._db, self.api, self._limits, max_wait_s=max_wait_s)
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
        key=source_options(settings, name).key,
        is_repeat=is_repeat,
        unreached_since=unreached_since,
    )


def limits_of(settings: Settings, name: str) -> tuple[RateLimit, ...]:
    """Return the limits that are kept for a source: those of the settings, else what it declares."""
    section, info = settings.sources.of(name), SOURCES.get(name)
    rates = section.limits
    if rates is None and info is not None:
        has_key = isinstance(section, KeyedSourceSettings) and section.key is not None
        return (has_key and info.limits_with_key) or info.limits
    return tuple(limit for rate in rates or () if (limit := rate_limits.parse(rate)) is not None)


def is_unreachable(error: errors.TransientError) -> bool:
    """Whether no reply came, or the host is closed after several requests without one."""
    return isinstance(error, errors.NetworkError | errors.TimeoutException) or error.slug is errors.Reason.HOST_UNAVAILABLE


def _words(taken: source_limits.Taken) -> str:
    """``200 requests a day are used up``."""
    if taken.limit is None:
        return "it gives no more answers for now"
    return f"{rate_limits.in_words(taken.limit)} {'is' if taken.limit.requests == 1 else 'are'} used up"
