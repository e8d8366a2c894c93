"""Value types of the downloader: settings, a request, its attempts, the four outcomes and the decisions of the crawl policy."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from downloader.host_headers import HostHeaders
from downloader.proxy import Proxy
from errors import Reason

__all__ = [
    "Attempt",
    "AttemptLog",
    "Decisions",
    "Deferred",
    "FetchFailed",
    "FetchLimits",
    "FetchRequest",
    "Fetched",
    "HostClosedError",
    "HostSilence",
    "HostSnapshot",
    "IPVersion",
    "Network",
    "NotModified",
    "OptOutVerdict",
    "Outcome",
    "Page",
    "RetryRules",
    "RobotsDecision",
    "RobotsVerdict",
    "Validators",
]

IPVersion = Literal["any", "4", "6"]


@dataclass(frozen=True, slots=True)
class Network:
    """How hosts are reached.

    Attributes:
        ca_file: authorities that are trusted besides the public ones, PEM.
        ip_version: of the addresses that are resolved and dialled.
        hosts: further headers of some hosts.
        proxy: every request goes through it.
    """

    ca_file: Path | None = None
    ip_version: IPVersion = "any"
    hosts: HostHeaders = field(default=HostHeaders({}), repr=False)
    proxy: Proxy | None = None


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Limits and politeness of one downloader; the names are those of the ``[fetch]`` settings."""

    concurrency: int = 64
    per_host: int = 2
    rate_per_host: float = 0.0
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    attempt_timeout_s: float = 35.0
    url_deadline_s: float = 120.0
    max_bytes: int = 30_000_000
    max_redirects: int = 5
    allow_networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = (80, 443, 8080, 8443, 8000)
    contact: str = ""
    robots: bool = True
    crawl_delay_max_s: float = 30.0
    opt_out: bool = True


@dataclass(frozen=True, slots=True)
class RetryRules:
    """When a request is retried; the names are those of the ``[retry]`` settings."""

    attempts: int = 3
    backoff_base_s: float = 2.0
    backoff_max_s: float = 10.0
    jitter: float = 0.25
    inline_wait_max_s: float = 10.0
    retry_after_max_s: float = 3600.0
    defer_max_s: float = 7200.0
    dead_host_s: float = 120.0
    extra_statuses: tuple[int, ...] = ()
    budget: float = 0.1
    budget_floor: int = 50


@dataclass(frozen=True, slots=True)
class Validators:
    """What an origin recognises the bytes by that it sent before (RFC 9110 8.8): the values of ETag and Last-Modified, one at least.

    Attributes:
        url: the URL that sent them, after redirects. They are sent to no other one.
    """

    url: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One URL to fetch.

    Attributes:
        url: absolute http or https URL; its bytes are sent as given.
        key: the caller's own identifier, passed to the attempt log and returned in the outcome.
        attempts_made: attempts of earlier runs of this job; they count against ``RetryRules.attempts``.
        validators: of the bytes that the caller has; the outcome is `NotModified` where the origin would send the same ones.
    """

    url: str
    key: Hashable = None
    attempts_made: int = 0
    validators: Validators | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request, redirects included, and its result.

    Attributes:
        number: 1 is the URL's first attempt in its job.
        started_at: Unix time, seconds.
        elapsed_s: seconds from dial to result.
        queued_s: seconds waited *before* it for its hosts to accept a request.
        wait_s: seconds waited *after* this attempt, 0 after the last.
        wait_cause: ``backoff``, ``retry_after`` or empty.
    """

    number: int
    started_at: float
    elapsed_s: float
    status: int | None = None
    error: str | None = None
    reason: Reason | None = None
    wait_s: float = 0.0
    wait_cause: str = ""
    queued_s: float = 0.0


class RobotsVerdict(StrEnum):
    """What robots.txt says about a URL."""

    OFF = "off"
    """``fetch.robots`` is off."""

    NOT_ASKED = "not_asked"
    """The URL ended before its robots.txt was read: it is invalid, its host is blocked, or no attempt is left."""

    ALLOWED = "allowed"
    DISALLOWED = "disallowed"

    NO_FILE = "no_file"
    """RFC 9309 2.3.1.3: no file, no rules."""

    UNREACHABLE = "unreachable"
    """RFC 9309 2.3.1.4: a server error disallows everything for now; so does 429. Also a host that cannot be reached at all."""


class OptOutVerdict(StrEnum):
    """What the site's files and the replies' headers say about use for training."""

    OFF = "off"
    """``fetch.opt_out`` is off."""

    NOT_READ = "not_read"
    """There was no successful reply, and no file refused before."""

    NONE = "none"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RobotsDecision:
    """The decision of one robots.txt about one URL or redirect.

    Attributes:
        robots_txt: URL of the file.
        evidence: the rule that disallows, or why there are no rules; safe to show.
    """

    robots_txt: str
    verdict: RobotsVerdict
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """Decisions of the crawl policy about a URL's last attempt.

    Attributes:
        robots: verdict of the last hop, the one that counts.
        hops: one decision for the URL and one for every redirect that was followed, in order.
        opt_out_evidence: the header that refuses, or the line of robots.txt or tdmrep.json; safe to show.
    """

    robots: RobotsVerdict = RobotsVerdict.NOT_ASKED
    hops: tuple[RobotsDecision, ...] = ()
    opt_out: OptOutVerdict = OptOutVerdict.NOT_READ
    opt_out_evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it came.

    Attributes:
        url: where it is, after redirects.
        media_type, charset: of its Content-Type, lower case; empty if it has none.
        directives: the words of its X-Robots-Tag that are for us, lower case.
    """

    url: str
    body: bytes = field(repr=False)
    media_type: str = ""
    charset: str = ""
    directives: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes of an image as its origin sent them."""

    request: FetchRequest
    body: bytes = field(repr=False)
    sha256: str
    media_type: str
    status: int
    final_url: str
    attempts: tuple[Attempt, ...]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    decisions: Decisions = field(default_factory=Decisions)
    validators: Validators | None = None


@dataclass(frozen=True, slots=True)
class NotModified:
    """The origin answered 304: it would send the bytes again that the request's validators belong to."""

    request: FetchRequest
    status: int
    final_url: str
    attempts: tuple[Attempt, ...]
    decisions: Decisions = field(default_factory=Decisions)


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """A final failure with one named reason.

    Attributes:
        evidence: what the reason rests on: a header line, a rule of robots.txt, an address, a part of the URL.
    """

    request: FetchRequest
    reason: Reason
    error: str
    message: str
    attempts: tuple[Attempt, ...]
    status: int | None = None
    final_url: str | None = None
    retry_after_s: float | None = None
    evidence: str | None = None
    decisions: Decisions = field(default_factory=Decisions)


@dataclass(frozen=True, slots=True)
class HostSilence:
    """A host that gives no usable answer: none at all, or nothing but 429 and server errors without Retry-After.

    Attributes:
        host: its origin, ``scheme://host:port``.
        since: when the first such request was sent, Unix time.
        answered_at: its last usable answer before, Unix time; 0 for none.
    """

    host: str
    since: float
    answered_at: float = 0.0

    @property
    def name(self) -> str:
        """The host for a sentence, without the port that its scheme implies."""
        scheme, _, name = self.host.partition("://")
        return name.removesuffix(":443" if scheme == "https" else ":80")


@dataclass(frozen=True, slots=True)
class Deferred:
    """Not now: the host sent a long Retry-After or is blocked. Request the URL again at ``until`` (Unix time, seconds).

    Attributes:
        silence: of the host that is waited for; None where it has answered lately, or has asked for patience.
    """

    request: FetchRequest
    until: float
    reason: Reason
    attempts: tuple[Attempt, ...]
    status: int | None = None
    retry_after_s: float | None = None
    evidence: str | None = None
    decisions: Decisions = field(default_factory=Decisions)
    silence: HostSilence | None = None


Outcome = Fetched | NotModified | FetchFailed | Deferred


class AttemptLog(Protocol):
    """Where attempts are made durable. The downloader awaits ``reserve`` before every request it sends."""

    async def reserve(self, request: FetchRequest, number: int) -> None:
        """Return once attempt ``number`` is on record; raise to forbid the request."""
        ...

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        """Record a finished attempt; it may be written a moment later. One whose robots.txt could not be fetched was not reserved."""
        ...


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """One host for a progress display.

    Attributes:
        not_before: Unix time in seconds before which nothing is sent, 0 for none.
        failures: failed connections in a row.
        slots: requests at once that it gets now; 0 where none was sent yet.
        rate_per_s: requests per second that it gets now, 0 for no limit.
    """

    host: str
    in_flight: int
    waiting: int
    not_before: float
    failures: int
    slots: int = 0
    rate_per_s: float = 0.0


class HostClosedError(Exception):
    """A host may not be asked before ``until`` (Unix time, seconds). Inside the downloader only; callers get Deferred.

    ``host`` is its origin; empty for that of the URL's current hop.
    """

    def __init__(self, until: float, reason: Reason, *, host: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.host = host
        self.until = until
        self.reason = reason
        self.retry_after_s = retry_after_s
