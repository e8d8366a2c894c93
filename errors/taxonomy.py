"""The exception hierarchy. Each class belongs to the layer that retries it: none, the request layer, the job layer, or the sweeper.

::

    PictrawlError
    ├── PermanentError            never retried
    │   ├── BadRequestError (400), AuthenticationError (401, 403), NotFoundError (404), ValidationError
    │   ├── InvalidURLError, BlockedAddressError, HostNotFoundError, TLSError, RedirectError
    │   ├── ProtocolError, TooLargeError, EmptyBodyError, NotAnImageError, UnreadableError
    │   ├── RobotsError, OptOutError, ContactRequiredError
    │   └── RetryAfterOverCapError, HostUnavailableError, ProxyRefusedError, ConfigurationError
    ├── TransientError            retried by the request layer: 3 attempts
    │   ├── TimeoutException, RateLimitError (429), ServiceUnavailableError (503, 504)
    │   └── NetworkError
    │       └── TruncatedBodyError
    ├── InfrastructureError       retried by the job layer: 3 retries, 60 s apart
    │   └── DatabaseConnectionError
    └── StorageError, ProxyError, QueueUnavailableError   the unit is released and dispatched again later
"""

from typing import Any, ClassVar

from errors.reasons import Reason

__all__ = [
    "INFRASTRUCTURE",
    "TRANSIENT",
    "AuthenticationError",
    "BadRequestError",
    "BlockedAddressError",
    "ConfigurationError",
    "ContactRequiredError",
    "DatabaseConnectionError",
    "EmptyBodyError",
    "HostNotFoundError",
    "HostUnavailableError",
    "InfrastructureError",
    "InvalidURLError",
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
]


class PictrawlError(Exception):
    """Base of all errors.

    Args:
        message: what failed and on what, without secrets and query strings.
        status: HTTP status of the response, if there was one.
        retry_after_s: the response's Retry-After, seconds, if it has one.
        reason: overrides the reason of the class, for statuses that share one class.
        evidence: the raw cause of a refusal: a header line, a robots.txt rule, an address.
    """

    reason: ClassVar[Reason] = Reason.PROTOCOL

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        reason: Reason | None = None,
        evidence: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.evidence = evidence
        self._reason = reason

    @property
    def slug(self) -> Reason:
        """The reason to store in an image's row for this error."""
        return self._reason or type(self).reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.status, self.retry_after_s, self._reason, self.evidence)


def _rebuild(
    cls: type[PictrawlError], message: str, status: int | None, retry_after_s: float | None, reason: Reason | None, evidence: str | None
) -> PictrawlError:
    return cls(message, status=status, retry_after_s=retry_after_s, reason=reason, evidence=evidence)


class PermanentError(PictrawlError):
    """Would fail in the same way again. Never retried."""


class TransientError(PictrawlError):
    """May succeed later. The request layer retries it; a search that still fails is released up to 5 times."""

    reason = Reason.NETWORK


class InfrastructureError(PictrawlError):
    """Our own infrastructure failed. Only the job layer retries it."""


class ValidationError(PermanentError):
    """Input or content is invalid."""

    reason = Reason.CORRUPT


class NotFoundError(PermanentError):
    """404."""

    reason = Reason.HTTP_404


class AuthenticationError(PermanentError):
    """401 and 403."""

    reason = Reason.HTTP_403


class BadRequestError(PermanentError):
    """400."""

    reason = Reason.HTTP_400


class InvalidURLError(PermanentError):
    """Not an absolute http or https URL that can be requested."""

    reason = Reason.INVALID_URL


class BlockedAddressError(PermanentError):
    """The host is, or resolves to, an address or port that is not allowed."""

    reason = Reason.BLOCKED_ADDRESS


class HostNotFoundError(PermanentError):
    """The name does not exist (NXDOMAIN)."""

    reason = Reason.DNS_NOT_FOUND


class TLSError(PermanentError):
    """The TLS handshake failed or the certificate is invalid. Never bypassed."""

    reason = Reason.TLS


class RedirectError(PermanentError):
    """A loop, too many hops, or no usable Location."""

    reason = Reason.REDIRECT


class ProtocolError(PermanentError):
    """The response is not valid HTTP, or its status makes no sense for an image."""

    reason = Reason.PROTOCOL


class TooLargeError(PermanentError):
    """The body exceeds ``fetch.max_bytes``, on the wire or decompressed."""

    reason = Reason.TOO_LARGE


class EmptyBodyError(PermanentError):
    """A successful response has no body."""

    reason = Reason.EMPTY_BODY


class NotAnImageError(PermanentError):
    """The first bytes are those of no accepted image format."""

    reason = Reason.NOT_AN_IMAGE


class UnreadableError(PermanentError):
    """A file of a folder is gone, has changed, or cannot be read."""

    reason = Reason.UNREADABLE


class RobotsError(PermanentError):
    """robots.txt disallows the URL (RFC 9309)."""

    reason = Reason.ROBOTS


class OptOutError(PermanentError):
    """A response header, robots.txt or tdmrep.json refuses use for training."""

    reason = Reason.OPT_OUT


class ContactRequiredError(PermanentError):
    """The site requires a contact in the User-Agent, and ``fetch.contact`` is empty."""

    reason = Reason.CONTACT_REQUIRED


class RetryAfterOverCapError(PermanentError):
    """The response's Retry-After is longer than ``retry.retry_after_max_s``."""

    reason = Reason.RETRY_AFTER_OVER_CAP


class HostUnavailableError(PermanentError):
    """The host did not answer before the URL's deferral ended."""

    reason = Reason.HOST_UNAVAILABLE


class ProxyRefusedError(PermanentError):
    """The proxy in ``fetch.proxy`` does not connect to this host."""

    reason = Reason.PROXY_REFUSED


class ConfigurationError(PermanentError):
    """A setting or an argument is invalid; the message names it, its value and the remedy."""


class TimeoutException(TransientError):
    """Connecting, reading or the whole attempt timed out."""

    reason = Reason.TIMEOUT


class NetworkError(TransientError):
    """The connection could not be made, or it broke."""

    reason = Reason.NETWORK


class TruncatedBodyError(NetworkError):
    """The body is shorter than announced."""

    reason = Reason.TRUNCATED_BODY


class RateLimitError(TransientError):
    """429."""

    reason = Reason.RATE_LIMITED


class ServiceUnavailableError(TransientError):
    """503, 504 and the statuses in ``retry.extra_statuses``."""

    reason = Reason.SERVICE_UNAVAILABLE


class DatabaseConnectionError(InfrastructureError):
    """The database cannot be reached, or cannot execute the statement now."""


class StorageError(PictrawlError):
    """The disk or object store failed, or file descriptors ran out. Never counted against the URL."""


class ProxyError(PictrawlError):
    """The proxy in ``fetch.proxy`` cannot be reached, or does not let us in. Never counted against the URL."""


class QueueUnavailableError(PictrawlError):
    """Redis cannot be reached. The unit stays pending and the sweeper dispatches it later."""


TRANSIENT: tuple[type[TransientError], ...] = (TimeoutException, NetworkError, RateLimitError, ServiceUnavailableError)
"""The errors that the request layer retries."""

INFRASTRUCTURE: tuple[type[BaseException], ...] = (MemoryError, DatabaseConnectionError)
"""The errors that the job layer retries."""
