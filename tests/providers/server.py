"""An API of images on a real socket: its items, its limits, its log of requests, and the faults that a test switches on.

::

    async with PROVIDERS["wikimedia"](total=120) as provider:
        provider.fail("html", at={2})              # the second page of the search
        ... sources.wikimedia.base_url = provider.base_url ...
        provider.requests, provider.listings
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from tests.origin import Hit, Origin, Step, reply, reset
from tests.providers.answers import Request, Response, page, picture, refusal
from tests.providers.faults import FAULTS, Context, Fault

__all__ = ["KEY", "Facts", "Limit", "Provider"]

KEY = "a-key-of-ours"
"""The key that a provider accepts where it wants one."""

_NUMBER = re.compile(r"/images/(\d+)(?:[/.]|$)")


@dataclass(frozen=True)
class Limit:
    """At most so many requests in so many seconds."""

    requests: int
    seconds: float


@dataclass(frozen=True)
class Facts:
    """What the service states of an item, as a candidate should have it; ``None`` where it states nothing."""

    licence: str | None
    page_url: str | None
    creator: str | None = None
    title: str | None = None
    attribution: str | None = None


class Provider(Origin, ABC):
    """The service of one source. A subclass writes `answer`, `facts`, and what of the rest differs; nothing of it is the source's code.

    Args:
        total: items that every keyword finds; the keyword ``nothing`` finds none.
        totals: items of some keywords.
        clock: Unix time, seconds; limits go by it.

    Attributes:
        name: the source that it answers.
        page_size: the most items that the API gives in one page to a client without privileges.
        limits: enforced where ``enforces_limits`` is set.
        items_way, total_way: where a page of a search has its items and its total.
        count_calls: requests that a count takes, 2 where a name is looked up first.
        own_faults: faults of this API only, by name; one with the name of a general fault takes its place.
        requests: every request but those for images.
        listings: the pages of a search that were right before a fault changed them.
        image_requests: of images.
        shrinks: the total is half as large after the first page.
    """

    name: ClassVar[str]
    page_size: ClassVar[int]
    limits: tuple[Limit, ...] = ()
    items_way: ClassVar[tuple[str, ...]]
    total_way: ClassVar[tuple[str, ...]] = ()
    count_calls: ClassVar[int] = 1
    own_faults: ClassVar[Mapping[str, Fault]] = {}

    def __init__(self, total: int = 2_000, *, totals: Mapping[str, int] | None = None, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self.total = total
        self.totals = {"nothing": 0, **(totals or {})}
        self.clock = clock
        self.keys = {KEY}
        self.enforces_limits = False
        self.enforces_headers = True
        self.shrinks = False
        self.requests: list[Request] = []
        self.image_requests: list[Request] = []
        self.listings: list[Response] = []
        self._faults: list[tuple[Fault, Collection[int] | None]] = []
        self._served: list[float] = []

    @abstractmethod
    def answer(self, request: Request) -> Response:
        """Answer a request to the API as its documentation says; pages of a search with `answers.listing`."""

    @abstractmethod
    def facts(self, number: int) -> Facts:
        """Return what the service states of an item. Items differ in licence, and some state none where the service allows it."""

    @classmethod
    def fault_names(cls) -> list[str]:
        """Names of all faults."""
        return sorted({**FAULTS, **cls.own_faults})

    @property
    def base_url(self) -> str:
        """The setting ``sources.NAME.base_url``."""
        return self.url("").rstrip("/")

    def fail(self, name: str, *, at: Collection[int] | None = None) -> None:
        """Switch a fault on: at these pages of a search, counted from 1 over all searches, or at all of them."""
        self._faults.append((({**FAULTS, **self.own_faults})[name], at))

    def heal(self) -> None:
        """Switch all faults off."""
        self._faults.clear()
        self.shrinks = False

    def found(self, keyword: str) -> int:
        """Return how many items a keyword has now."""
        total = next((number for word, number in self.totals.items() if word and word in keyword), self.total)
        return total // 2 if self.shrinks and self.listings else total

    def counted(self, keyword: str) -> int:
        """Return how many results the service says that a keyword has; fewer than items where a result has several images."""
        return self.found(keyword)

    def minimum_calls(self, keyword: str = "cat") -> int:
        """Return the fewest requests by which a client without privileges can read all that is reachable."""
        return max(1, -(-self.reachable(keyword) // self.page_size))

    def reachable(self, keyword: str = "cat") -> int:
        """Return how many items a client can reach, by dividing where that is possible."""
        return self.found(keyword)

    def image_url(self, number: int, size: str = "full") -> str:
        """Return the address of an item's image."""
        return self.url(f"/images/{number}/{size}.jpg")

    def image_number(self, path: str) -> int | None:
        """Return the item whose image is at a path, ``None`` where there is none. Goes with `image_url`."""
        match = _NUMBER.search(path)
        return int(match[1]) if match else None

    def refuse_headers(self, request: Request) -> Response | None:
        """Return the refusal of a request without the headers that the API asks for; a name for the client by default."""
        return None if request.headers.get("user-agent") else page(403, "Forbidden")

    def throttled(self, wait_s: float) -> Response:
        """Return the answer over a limit."""
        return refusal(429, self.error("too many requests"), Retry_After=str(int(wait_s) + 1))

    def limit_headers(self, limit: Limit, left: int, reset_s: float) -> dict[str, str]:
        """Return the headers that tell of a limit; none by default."""
        return {}

    def error(self, message: str) -> Any:
        """Return the body of an error in the API's own shape."""
        return {"error": message}

    def step_for(self, hit: Hit) -> Step:
        """Log and answer a request."""
        request = Request.parse(hit, self.clock())
        if request.path == "/robots.txt":
            return reply(404)
        number = self.image_number(request.path)
        if number is not None:
            self.image_requests.append(request)
            return _send(picture(number))
        self.requests.append(request)
        return _send(self._limited(request) or (self.enforces_headers and self.refuse_headers(request)) or self._answer_api(request))

    def _answer_api(self, request: Request) -> Response:
        good = self.answer(request)
        if good.status == 200 and good.is_listing:
            context = Context(self.items_way, self.total_way, self.error("something is wrong"), tuple(self.listings))
            self.listings.append(good)
            for fault, at in self._faults:
                if at is None or len(self.listings) in at:
                    good = fault(good, context)
        headers = dict(good.headers)
        for limit in self.limits if self.enforces_limits else ():
            used, reset_s = self._used(limit)
            headers |= self.limit_headers(limit, max(0, limit.requests - used), reset_s)
        return replace(good, headers=headers)

    def _limited(self, request: Request) -> Response | None:
        if not self.enforces_limits:
            return None
        for limit in self.limits:
            used, reset_s = self._used(limit)
            if used >= limit.requests:
                return self.throttled(reset_s)
        self._served.append(request.time)
        return None

    def _used(self, limit: Limit) -> tuple[int, float]:
        """Return the requests of a limit's last seconds, and when the first of them leaves its window."""
        now = self.clock()
        recent = [at for at in self._served if now - at < limit.seconds]
        return len(recent), (recent[0] + limit.seconds - now if recent else 0.0)


def _send(response: Response) -> Step:
    if response.is_reset:
        return reset()
    return reply(response.status, response.encoded, {"Content-Type": response.media_type, **response.headers})
