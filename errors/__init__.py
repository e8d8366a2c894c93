"""The errors that every layer raises, and the tables that map foreign errors to them.

It depends on no other package of the project. The tables of foreign errors need httpx and are loaded on first
access (PEP 562), because decoder processes and ``--help`` do without it.
"""

from typing import TYPE_CHECKING, Any

from errors.decisions import DECISION_TABLE, Decision, Layer, decision_for
from errors.reasons import EVIDENCE_CHARS, Reason, as_evidence
from errors.taxonomy import (
    INFRASTRUCTURE,
    TRANSIENT,
    AuthenticationError,
    BadRequestError,
    BlockedAddressError,
    ConfigurationError,
    ContactRequiredError,
    DatabaseConnectionError,
    EmptyBodyError,
    HostNotFoundError,
    HostUnavailableError,
    InfrastructureError,
    InvalidURLError,
    NetworkError,
    NotAnImageError,
    NotFoundError,
    OptOutError,
    PermanentError,
    PictrawlError,
    ProtocolError,
    ProxyError,
    ProxyRefusedError,
    QueueUnavailableError,
    RateLimitError,
    RedirectError,
    RetryAfterOverCapError,
    RobotsError,
    ServiceUnavailableError,
    StorageError,
    TimeoutException,
    TLSError,
    TooLargeError,
    TransientError,
    TruncatedBodyError,
    UnreadableError,
    ValidationError,
)

if TYPE_CHECKING:
    from errors.classify import classify_http_error, classify_network_error, from_network_error, from_status, without_secrets

__all__ = [
    "DECISION_TABLE",
    "EVIDENCE_CHARS",
    "INFRASTRUCTURE",
    "TRANSIENT",
    "AuthenticationError",
    "BadRequestError",
    "BlockedAddressError",
    "ConfigurationError",
    "ContactRequiredError",
    "DatabaseConnectionError",
    "Decision",
    "EmptyBodyError",
    "HostNotFoundError",
    "HostUnavailableError",
    "InfrastructureError",
    "InvalidURLError",
    "Layer",
    "NetworkError",
    "NotAnImageError",
    "NotFoundError",
    "OptOutError",
    "PermanentError",
    "PictrawlError",
    "ProtocolError",
    "ProxyError",
    "ProxyRefusedError",
    "QueueUnavailableError",
    "RateLimitError",
    "Reason",
    "RedirectError",
    "RetryAfterOverCapError",
    "RobotsError",
    "ServiceUnavailableError",
    "StorageError",
    "TLSError",
    "TimeoutException",
    "TooLargeError",
    "TransientError",
    "TruncatedBodyError",
    "UnreadableError",
    "ValidationError",
    "as_evidence",
    "classify_http_error",
    "classify_network_error",
    "decision_for",
    "from_network_error",
    "from_status",
    "without_secrets",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from errors import classify

    return getattr(classify, name)
