"""One URL in, the bytes of an image or a named failure out. Knows no job, row or storage.

`downloader.client.Downloader` fetches. This facade has the value types and the URL rules, which import no HTTP connection pool.
"""

from downloader.models import (
    Attempt,
    AttemptLog,
    Decisions,
    Deferred,
    Fetched,
    FetchFailed,
    FetchLimits,
    FetchRequest,
    HostSilence,
    HostSnapshot,
    IPVersion,
    Network,
    NotModified,
    OptOutVerdict,
    Outcome,
    Page,
    RetryRules,
    RobotsDecision,
    RobotsVerdict,
    Validators,
)

__all__ = [
    "Attempt",
    "AttemptLog",
    "Decisions",
    "Deferred",
    "FetchFailed",
    "FetchLimits",
    "FetchRequest",
    "Fetched",
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
