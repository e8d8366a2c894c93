"""One URL in, the bytes of an image or a named failure out. Knows no job, no row and no storage.

A name's module is imported when the name is first asked for (PEP 562): who only reads records pays for no HTTP client.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
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

_NAMES: Final = {
    "attempt": ("Reply", "Terms"),
    "client": ("Downloader", "user_agent"),
    "decisions": ("Decisions", "OptOutVerdict", "RobotsDecision", "RobotsVerdict"),
    "doors": ("HostSnapshot",),
    "formats": ("sniff",),
    "guard": ("Guard", "check_url", "is_public", "normalise"),
    "host_state": ("Ask", "Change", "Grant", "HostLimits", "HostState"),
    "hostbook": ("HostBook",),
    "records": ("Attempt", "AttemptLog", "Deferred", "Fetched", "FetchFailed", "FetchLimits", "FetchRequest", "Outcome", "RetryRules"),
}
_MODULE_OF: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value
