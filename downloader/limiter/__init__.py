"""Limits of one host: requests at once, requests per second, Retry-After and a circuit breaker, for one process or for a fleet."""

from downloader.limiter.gate import HostGate
from downloader.limiter.state import Grant, GrantRequest, HostLimits, HostState, StateChange
from downloader.limiter.store import HostFeedback, HostStateStore, LocalHostStateStore

__all__ = [
    "Grant",
    "GrantRequest",
    "HostFeedback",
    "HostGate",
    "HostLimits",
    "HostState",
    "HostStateStore",
    "LocalHostStateStore",
    "StateChange",
]
