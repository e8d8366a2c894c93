"""One URL in, the bytes of an image or a named failure out. Knows no job, no row and no storage."""

from downloader.attempt import Reply, Terms
from downloader.client import Downloader, user_agent
from downloader.decisions import Decisions, OptOutVerdict, RobotsDecision, RobotsVerdict
from downloader.doors import HostSnapshot
from downloader.formats import sniff
from downloader.guard import Guard, check_url, is_public, normalise
from downloader.host_state import Ask, Change, Grant, HostLimits, HostState
from downloader.hostbook import HostBook
from downloader.records import (
    Attempt,
    AttemptLog,
    Deferred,
    Fetched,
    FetchFailed,
    FetchLimits,
    FetchRequest,
    Outcome,
    RetryRules,
)

__all__ = [
    "Ask",
    "Attempt",
    "AttemptLog",
    "Change",
    "Decisions",
    "Deferred",
    "Downloader",
    "FetchFailed",
    "FetchLimits",
    "FetchRequest",
    "Fetched",
    "Grant",
    "Guard",
    "HostBook",
    "HostLimits",
    "HostSnapshot",
    "HostState",
    "OptOutVerdict",
    "Outcome",
    "Reply",
    "RetryRules",
    "RobotsDecision",
    "RobotsVerdict",
    "Terms",
    "check_url",
    "is_public",
    "normalise",
    "sniff",
    "user_agent",
]
