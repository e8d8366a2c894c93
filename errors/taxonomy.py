"""The tree of errors. A class says who may retry: nobody, the request layer, the job layer, or the sweeper.

::

    PictrawlError
    ├── PermanentError            nobody retries
    │   ├── BadRequestError (400), AuthenticationError (401, 403), NotFoundError (404), ValidationError
    │   ├── InvalidURLError, BlockedAddressError, HostNotFoundError, TLSError, RedirectError
    │   ├── ProtocolError, TooLargeError, EmptyBodyError, NotAnImageError
    │   ├── RobotsError, OptOutError, ContactRequiredError
    │   └── RetryAfterOverCapError, HostUnavailableError, ConfigurationError
    ├── TransientError            the request layer: 3 attempts
    │   ├── TimeoutException, RateLimitError (429), ServiceUnavailableError (503, 504)
    │   └── NetworkError
    │       └── TruncatedBodyError
    ├── InfrastructureError       the job layer: 3 retries, 60 s apart
    │   └── DatabaseConnectionError
    └── StorageError, QueueUnavailableError   ours: the work is released and comes back by itself
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
    "ValidationError",
]


class PictrawlError(Exception):
    """Root of the tree.

    Args:
        message: what failed and on what; constant text with no secret and no query string in it.
        status: HTTP status of the reply, where there was one.
        retry_after_s: seconds the origin asked us to wait, where it did.
        reason: overrides the class's own reason, for statuses that share a class.
        evidence: the raw signal a refusal rests on (a header line, a robots rule, an address).
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
        """The reason an image's row gets for this error."""
        return self._reason or type(self).reason

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.status, self.retry_after_s, self._reason, self.evidence)


def _rebuild(
    cls: type[PictrawlError], message: str, status: int | None, retry_after_s: float | None, reason: Reason | None, evidence: str | None
) -> PictrawlError:
    return cls(message, status=status, retry_after_s=retry_after_s, reason=reason, evidence=evidence)


class PermanentError(PictrawlError):
    """Would fail the same way again: never retried."""


class TransientError(PictrawlError):
    """May succeed a moment later. The request layer retries it; a search that still fails is released up to 5 times."""

    reason = Reason.NETWORK


class InfrastructureError(PictrawlError):
    """Our own machinery failed: the job layer retries it, nobody else."""


class ValidationError(PermanentError):
    """Input or content breaks a rule that we state."""

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
    """The host is, or resolves to, an address or port that may not be dialled."""

    reason = Reason.BLOCKED_ADDRESS


class HostNotFoundError(PermanentError):
    """The name does not exist (NXDOMAIN)."""

    reason = Reason.DNS_NOT_FOUND


class TLSError(PermanentError):
    """The certificate or the handshake is not to be trusted. Never worked around."""

    reason = Reason.TLS


class RedirectError(PermanentError):
    """A loop, too many hops, or no usable Location."""

    reason = Reason.REDIRECT


class ProtocolError(PermanentError):
    """The reply is not HTTP as we speak it, or a status that makes no sense for an image."""

    reason = Reason.PROTOCOL


class TooLargeError(PermanentError):
    """More bytes than ``fetch.max_bytes``, on the wire or unpacked."""

    reason = Reason.TOO_LARGE


class EmptyBodyError(PermanentError):
    """A success without a body."""

    reason = Reason.EMPTY_BODY


class NotAnImageError(PermanentError):
    """The bytes do not begin like any image format that we take."""

    reason = Reason.NOT_AN_IMAGE


class RobotsError(PermanentError):
    """robots.txt disallows the URL (RFC 9309)."""

    reason = Reason.ROBOTS


class OptOutError(PermanentError):
    """The reply carries a machine-readable refusal of use for training."""

    reason = Reason.OPT_OUT


class ContactRequiredError(PermanentError):
    """The site's own rules ask for a contact in the User-Agent, and ``fetch.contact`` is empty."""

    reason = Reason.CONTACT_REQUIRED


class RetryAfterOverCapError(PermanentError):
    """The origin asks us to wait longer than ``retry.retry_after_max_s``."""

    reason = Reason.RETRY_AFTER_OVER_CAP


class HostUnavailableError(PermanentError):
    """The host stayed closed until the deferral ended."""

    reason = Reason.HOST_UNAVAILABLE


class ConfigurationError(PermanentError):
    """A setting or an argument is wrong; the message names it, its value and the way out."""


class TimeoutException(TransientError):
    """Connecting, reading or the whole attempt took too long."""

    reason = Reason.TIMEOUT


class NetworkError(TransientError):
    """The connection failed or broke."""

    reason = Reason.NETWORK


class TruncatedBodyError(NetworkError):
    """Fewer bytes came than were announced."""

    reason = Reason.TRUNCATED_BODY


class RateLimitError(TransientError):
    """429."""

    reason = Reason.RATE_LIMITED


class ServiceUnavailableError(TransientError):
    """503 and 504, and what ``retry.extra_statuses`` adds."""

    reason = Reason.SERVICE_UNAVAILABLE


class DatabaseConnectionError(InfrastructureError):
    """The database cannot be reached or cannot take the statement now."""


class StorageError(PictrawlError):
    """Disk, object store or file descriptors failed: our fault, never the URL's."""


class QueueUnavailableError(PictrawlError):
    """Redis cannot be reached; the row stays pending and the sweeper sends it later."""


TRANSIENT: tuple[type[TransientError], ...] = (TimeoutException, NetworkError, RateLimitError, ServiceUnavailableError)
"""What the request layer retries."""

INFRASTRUCTURE: tuple[type[BaseException], ...] = (MemoryError, DatabaseConnectionError)
"""What the job layer retries."""
