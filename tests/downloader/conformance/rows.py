"""What a row of the conformance table is: what the origin sends, and what we make of it in requests, waits, class and reason."""

import datetime
import functools
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final, Self

import trustme

import errors
from downloader import Attempt, Deferred, Fetched, FetchFailed, FetchRequest, RetryRules
from downloader.client import Downloader
from downloader.resolver import Lookup
from tests.clocks import FakeTime
from tests.downloader.conformance.dials import Dials
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import Origin, Step, image

__all__ = [
    "HEAD",
    "IMPATIENT",
    "NOW",
    "WAITS",
    "Ending",
    "Row",
    "Scene",
    "answering",
    "final",
    "http_date",
    "ok",
    "retried",
    "tls_origin",
    "unable",
]

NOW: Final = 1_700_000_000.0
"""Where the clock of every row stands: Tue, 14 Nov 2023 22:13:20 GMT."""

WAITS: Final = (2.0, 4.0)
HEAD: Final = b"HTTP/1.1 200 OK\r\n"
IMPATIENT: Final[dict[str, Any]] = {"read_timeout_s": 0.4, "attempt_timeout_s": 0.8}
"""For rows whose subject is a timeout; elsewhere a busy machine must not make one."""


@dataclass(frozen=True)
class Ending:
    """How a URL ended, with all that it took over its deferrals."""

    outcome: Fetched | FetchFailed
    attempts: tuple[Attempt, ...]
    deferred: tuple[float, ...]


def _slash_x(scene: "Scene") -> str:
    return scene.origin.url("/x")


def _nothing_more(scene: "Scene", ending: Ending) -> None:
    return


def _plain(authority: trustme.CA) -> Origin:
    return Origin()


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        id: the table's number, and what tells variants apart.
        steps: what the origin answers under ``/x``, in turn.
        ends: ``ok`` or the reason; several where the table leaves a choice.
        error: class of the failure.
        requests: how many the origin sees, redirects and robots.txt included.
        attempts: how many are charged to the URL, where that differs.
        waits: what the clock is asked for.
        deferred: for how long the URL is handed back, each time.
        paths: what the origin answers elsewhere.
        url: what is fetched.
        limits, rules: what differs from the usual.
        serve: the origin.
        lookup: what names mean.
        before: fetched first, for their effect.
        check: whatever else the row demands.
    """

    id: str
    steps: tuple[Step, ...] = ()
    ends: tuple[str, ...] = ("ok",)
    error: type[errors.PictrawlError] | None = None
    requests: int = 1
    attempts: int | None = None
    waits: tuple[float, ...] = ()
    deferred: tuple[float, ...] = ()
    paths: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    url: Callable[["Scene"], str] = _slash_x
    limits: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    serve: Callable[[trustme.CA], Origin] = _plain
    lookup: Lookup = loopback
    before: tuple[str, ...] = ()
    check: Callable[["Scene", Ending], None] = _nothing_more

    @property
    def number(self) -> str:
        return self.id[:3]


def ok(name: str, *steps: Step, **more: Any) -> Row:
    """One request, and the image is there."""
    return Row(name, steps or (image(),), **more)


def final(name: str, error: type[errors.PictrawlError], *steps: Step, reason: str = "", **more: Any) -> Row:
    """One request, no wait, no second chance."""
    return Row(name, steps, ends=(reason or error.reason,), error=error, **more)


def retried(name: str, error: type[errors.PictrawlError], *steps: Step, **more: Any) -> Row:
    """Three requests, 2 s and 4 s apart unless the row says otherwise, then the same class."""
    return Row(name, steps, ends=(error.reason,), error=error, **{"requests": 3, "waits": WAITS, **more})


def unable(name: str, error: type[errors.PictrawlError], url: str, *, says: str = "") -> Row:
    """A URL that never reaches the network, and why in a word."""

    def check(scene: Scene, ending: Ending) -> None:
        assert isinstance(ending.outcome, FetchFailed)
        assert says in ending.outcome.message
        assert scene.dials.made == []

    return Row(name, (), ends=(error.reason,), error=error, requests=0, url=lambda scene: url, check=check)


def http_date(seconds: float, form: str = "imf") -> str:
    """``NOW`` plus some seconds, in one of the three forms of RFC 9110 5.6.7."""
    moment = datetime.datetime.fromtimestamp(NOW + seconds, datetime.UTC)
    forms = {
        "imf": formatdate(NOW + seconds, usegmt=True),
        "rfc850": moment.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
        "asctime": moment.strftime("%a %b %e %H:%M:%S %Y"),
    }
    return forms[form]


class Scene:
    """One row on stage: its origin, its clock, its downloader, and every dial."""

    def __init__(self, row: Row, authority: trustme.CA) -> None:
        self.row = row
        self.authority = authority
        self.time = FakeTime(NOW)
        self.dials = Dials()
        self.origin = row.serve(authority)
        self.other = Origin()
        """A second host, plain HTTP."""
        self.downloader = Downloader(
            replace(LIMITS, **{"allow_networks": ("127.0.0.1/32",), **row.limits}),
            RetryRules(**{"jitter": 0, **row.rules}),
            sleep=self.time.sleep,
            clock=self.time.clock,
            lookup=row.lookup,
            ssl_context=_trusting(authority),
        )

    async def __aenter__(self) -> Self:
        await self.origin.__aenter__()
        await self.other.__aenter__()
        self.dials.expected = {self.origin.port, self.other.port}
        self.dials.__enter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.dials.__exit__(kind, error, trace)
        await self.downloader.aclose()
        await self.other.__aexit__(kind, error, trace)
        await self.origin.__aexit__(kind, error, trace)

    async def play(self) -> Ending:
        """Script the origin and fetch the row's URL, coming back for as long as it is deferred."""
        self.origin.script("/x", *self.row.steps or (image(),))
        for path, steps in self.row.paths.items():
            self.origin.script(path, *steps)
        for path in self.row.before:
            await self.downloader.fetch(self.origin.url(path))
        return await self._fetch(FetchRequest(self.row.url(self)))

    async def _fetch(self, request: FetchRequest) -> Ending:
        attempts: tuple[Attempt, ...] = ()
        deferred: tuple[float, ...] = ()
        while isinstance(outcome := await self.downloader.fetch(replace(request, attempts_made=len(attempts))), Deferred):
            assert len(deferred) < 5, "deferred for ever"
            attempts, deferred = attempts + outcome.attempts, (*deferred, outcome.until - self.time.now)
            self.time.now = outcome.until
        return Ending(outcome, attempts + outcome.attempts, deferred)

    def targets(self) -> list[str]:
        """What the origin was asked for, oldest first."""
        return [hit.target for hit in self.origin.log]


@functools.cache
def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def tls_origin(*names: str, authority: trustme.CA, **options: Any) -> Origin:
    """An origin that proves to be ``names``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(context)
    return Origin(context)


def answering(**answers: list[str] | int) -> Lookup:
    """A lookup by host (underscores for dots): addresses, or the number of a resolver's error."""

    async def lookup(host: str) -> list[str]:
        answer = answers.get(host.replace(".", "_"), ["127.0.0.1"])
        if isinstance(answer, int):
            raise socket.gaierror(answer, "scripted")
        return answer

    return lookup
