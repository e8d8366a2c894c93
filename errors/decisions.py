"""The retry decision table as data: which layer retries which error. Documentation and tests read it; no code branches on it."""

from dataclasses import dataclass
from enum import StrEnum

from errors import taxonomy

__all__ = ["DECISION_TABLE", "Decision", "Layer", "decision_for"]


class Layer(StrEnum):
    """The one layer that retries."""

    JOB = "job"
    REQUEST = "request"
    SWEEPER = "sweeper"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens after an error; tests compare it with the code.

    Attributes:
        layer: the layer that retries.
        tries: maximum number of tries, the first included; 0 is unlimited.
        waits_s: the waits between the tries, without jitter.
    """

    layer: Layer
    tries: int
    waits_s: tuple[float, ...] = ()


_NEVER = Decision(Layer.NOBODY, tries=1)
_REQUEST = Decision(Layer.REQUEST, tries=3, waits_s=(2.0, 4.0))
_JOB = Decision(Layer.JOB, tries=4, waits_s=(60.0, 60.0, 60.0))
_RELEASED = Decision(Layer.SWEEPER, tries=0, waits_s=(60.0,))

DECISION_TABLE: dict[type[BaseException], Decision] = {
    MemoryError: _JOB,
    taxonomy.DatabaseConnectionError: _JOB,
    taxonomy.InfrastructureError: _JOB,
    taxonomy.TransientError: _REQUEST,
    taxonomy.TimeoutException: _REQUEST,
    taxonomy.NetworkError: _REQUEST,
    taxonomy.TruncatedBodyError: _REQUEST,
    taxonomy.RateLimitError: _REQUEST,
    taxonomy.ServiceUnavailableError: _REQUEST,
    taxonomy.StorageError: _RELEASED,
    taxonomy.ProxyError: _RELEASED,
    taxonomy.QueueUnavailableError: _RELEASED,
    taxonomy.PermanentError: _NEVER,
    taxonomy.ValidationError: _NEVER,
    taxonomy.NotFoundError: _NEVER,
    taxonomy.AuthenticationError: _NEVER,
    taxonomy.BadRequestError: _NEVER,
    taxonomy.InvalidURLError: _NEVER,
    taxonomy.BlockedAddressError: _NEVER,
    taxonomy.HostNotFoundError: _NEVER,
    taxonomy.TLSError: _NEVER,
    taxonomy.RedirectError: _NEVER,
    taxonomy.ProtocolError: _NEVER,
    taxonomy.TooLargeError: _NEVER,
    taxonomy.EmptyBodyError: _NEVER,
    taxonomy.NotAnImageError: _NEVER,
    taxonomy.UnreadableError: _NEVER,
    taxonomy.RobotsError: _NEVER,
    taxonomy.OptOutError: _NEVER,
    taxonomy.ContactRequiredError: _NEVER,
    taxonomy.RetryAfterOverCapError: _NEVER,
    taxonomy.HostUnavailableError: _NEVER,
    taxonomy.ProxyRefusedError: _NEVER,
    taxonomy.ConfigurationError: _NEVER,
}
"""One row for every class that may be raised."""


def decision_for(error_type: type[BaseException]) -> Decision:
    """Return the row of a class or of its nearest ancestor in the table; any other class is tried once."""
    for ancestor in error_type.__mro__:
        if ancestor in DECISION_TABLE:
            return DECISION_TABLE[ancestor]
    return _NEVER
