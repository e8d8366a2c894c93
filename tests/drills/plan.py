"""A plan of N URLs drawn from a seed, each with its bytes, its behaviour and its one right outcome, and the origin that serves them."""

import asyncio
import contextlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from hashlib import sha256
from types import TracebackType
from typing import Self

from tests.images.samples import encode, photo
from tests.origin import Exchange, Origin, Step, image, reply

__all__ = ["SEED_VARIABLE", "Kind", "Page", "Plan", "PlanOrigin", "choose_seed", "make_plan"]

SEED_VARIABLE = "DRILL_SEED"
"""Environment variable with the seed that a failure names: the same URLs, faults and times are drawn again."""

_CALM = 4
_TROUBLED = 24
"""Loopback addresses of hosts that answer at once, and of those that refuse first: a refusal slows its whole host down."""


class Kind(StrEnum):
    """The behaviour of a URL."""

    OK = "ok"
    FLAKY = "flaky"
    LIMITED = "limited"
    MISSING = "missing"
    BROKEN = "broken"
    DUPLICATE = "duplicate"


SHARES = {Kind.OK: 70, Kind.FLAKY: 10, Kind.LIMITED: 5, Kind.MISSING: 5, Kind.BROKEN: 5, Kind.DUPLICATE: 5}
"""Percent of each kind."""

_TROUBLE = frozenset({Kind.FLAKY, Kind.LIMITED})


@dataclass(frozen=True, slots=True)
class Page:
    """One URL.

    Attributes:
        sha256: empty if the URL never returns bytes.
        ends: the states and reasons that are right for it, if its kind does not decide that.
    """

    url: str
    path: str
    kind: Kind
    body: bytes = field(default=b"", repr=False)
    sha256: str = ""
    ends: frozenset[tuple[str, str | None]] = frozenset()

    @property
    def costs(self) -> int:
        """Number of requests without any fault of ours."""
        return 2 if self.kind in _TROUBLE else 1


@dataclass(frozen=True, slots=True)
class Plan:
    """All URLs of a drill, and their hits."""

    seed: int
    pages: dict[str, Page]
    origin: "PlanOrigin"

    @property
    def urls(self) -> list[str]:
        """URLs in the order of the submitted list."""
        return list(self.pages)

    def hits(self) -> Counter[str]:
        """Number of requests so far, by URL."""
        return Counter(f"http://{hit.headers.get('host', '')}{hit.target}" for hit in self.origin.log)


class PlanOrigin(Origin):
    """An origin on many loopback addresses and one port: the downloader takes each address for a host of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.others: list[asyncio.Server] = []
        self.addresses = [f"127.0.0.{number}" for number in range(1, 1 + _CALM + _TROUBLED)]

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        for address in self.addresses[1:]:
            self.others.append(await asyncio.start_server(self._serve, address, self.port))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in self.others:
            server.close()
        await super().__aexit__(kind, error, trace)
        for server in self.others:
            await server.wait_closed()


def choose_seed() -> int:
    """The seed of ``DRILL_SEED``, or a new one."""
    given = os.environ.get(SEED_VARIABLE)
    return int(given) if given else random.SystemRandom().randrange(1_000_000)


def make_plan(origin: PlanOrigin, seed: int, count: int, *, latency_s: float = 0.05) -> Plan:
    """Draw ``count`` URLs and script the origin's answers, each after ``latency_s``."""
    dice = random.Random(seed)
    kinds = list(_kinds(count))
    dice.shuffle(kinds)
    bodies = iter(dice.sample(range(1, 5000), count))
    pages: dict[str, Page] = {}
    for number, kind in enumerate(kinds):
        page = _draw(origin, dice, number, kind, list(pages.values()), next(bodies))
        origin.script(page.path, *(_late(step, latency_s) for step in _steps(page)))
        pages[page.url] = page
    return Plan(seed, pages, origin)


def _kinds(count: int) -> Iterator[Kind]:
    for kind, percent in SHARES.items():
        if kind is not Kind.OK:
            yield from [kind] * round(count * percent / 100)
    yield from [Kind.OK] * (count - sum(round(count * percent / 100) for kind, percent in SHARES.items() if kind is not Kind.OK))


def _draw(origin: PlanOrigin, dice: random.Random, number: int, kind: Kind, before: list[Page], body_seed: int) -> Page:
    originals = [page for page in before if page.kind is Kind.OK]
    if kind is Kind.DUPLICATE and not originals:
        kind = Kind.OK
    path = f"/{number:04d}-{kind}.jpg"
    address = origin.addresses[_CALM + number % _TROUBLED if kind in _TROUBLE else number % _CALM]
    body = dice.choice(originals).body if kind is Kind.DUPLICATE else _body(kind, body_seed)
    return Page(origin.url(path, address), path, kind, body, sha256(body).hexdigest() if body else "")


def _body(kind: Kind, seed: int) -> bytes:
    if kind is Kind.MISSING:
        return b""
    body = _photo(seed)
    return body[: len(body) // 2] if kind is Kind.BROKEN else body


@cache
def _photo(seed: int) -> bytes:
    return encode(photo(96, 96, seed=seed))


def _steps(page: Page) -> list[Step]:
    match page.kind:
        case Kind.MISSING:
            return [reply(404)]
        case Kind.FLAKY:
            return [reply(503), image(page.body)]
        case Kind.LIMITED:
            return [reply(429), image(page.body)]
        case _:
            return [image(page.body)]


def _late(step: Step, seconds: float) -> Step:
    async def late(exchange: Exchange) -> None:
        await exchange.rest(seconds)
        with contextlib.suppress(ConnectionError):
            await step(exchange)

    return late if seconds else step
