"""The downloader's vocabulary: a request, its attempts, and the three ways it can end."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from downloader.decisions import Decisions
from errors import Reason

__all__ = ["Attempt", "AttemptLog", "Deferred", "FetchFailed", "FetchLimits", "FetchRequest", "Fetched", "Outcome", "RetryRules"]


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds and manners of one downloader; the names are those of the ``[fetch]`` settings."""

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
    opt_out: bool = True


@dataclass(frozen=True, slots=True)
class RetryRules:
    """When a request is tried again; the names are those of the ``[retry]`` settings."""

    attempts: int = 3
    backoff_base_s: float = 2.0
    backoff_max_s: float = 10.0
    jitter: float = 0.25
    inline_wait_max_s: float = 10.0
    retry_after_max_s: float = 3600.0
    defer_max_s: float = 7200.0
    extra_statuses: tuple[int, ...] = ()
    budget: float = 0.1
    budget_floor: int = 50


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """One URL to fetch.

    Attributes:
        url: absolute http or https URL, its bytes sent as given.
        key: the caller's own name for it, handed to the attempt log and back in the outcome.
        attempts_made: requests this URL already cost in this job; they count against ``RetryRules.attempts``.
    """

    url: str
    key: Hashable = None
    attempts_made: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP request and what came of it.

    Attributes:
        number: 1 is the URL's first attempt in its job.
        started_at: Unix time, seconds.
        elapsed_s: seconds from dial to verdict.
        queued_s: seconds waited *before* it, for its hosts to be open and for a free place.
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


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No image, for one named reason, for good.

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
class Deferred:
    """Not now: the host asked for patience or is closed. The slot is free; ask again at ``until`` (Unix time, seconds)."""

    request: FetchRequest
    until: float
    reason: Reason
    attempts: tuple[Attempt, ...]
    status: int | None = None
    retry_after_s: float | None = None
    evidence: str | None = None
    decisions: Decisions = field(default_factory=Decisions)


Outcome = Fetched | FetchFailed | Deferred


class AttemptLog(Protocol):
    """Where attempts are made durable. The downloader awaits ``reserve`` before every request it sends."""

    async def reserve(self, request: FetchRequest, number: int) -> None:
        """Return once attempt ``number`` is on record; raise to forbid the request."""
        ...

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        """Take note of a finished attempt; it may be written a moment later."""
        ...
