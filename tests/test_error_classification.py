"""The seed's list for error classification: the mapping of statuses, the hierarchy, and the two classifiers."""

import httpx
import pytest

import errors

SEVEN = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.AuthenticationError,
    404: errors.NotFoundError,
    429: errors.RateLimitError,
    503: errors.ServiceUnavailableError,
    504: errors.ServiceUnavailableError,
}


@pytest.mark.parametrize(("status", "expected"), SEVEN.items())
def test_http_status_code_mapping(status, expected):
    """Seven codes have classes of their own."""
    assert errors.classify_http_error(status) is expected


def test_every_other_status_is_permanent():
    """Exactly seven: the rest of the range, and what is no status at all, is PermanentError itself."""
    for status in set(range(-1, 1101)) - set(SEVEN):
        assert errors.classify_http_error(status) is errors.PermanentError


@pytest.mark.parametrize("error_type", [errors.ValidationError, errors.NotFoundError, errors.AuthenticationError, errors.BadRequestError])
def test_permanent_errors_are_permanent(error_type):
    """The seed's permanent classes."""
    assert issubclass(error_type, errors.PermanentError)
    assert not issubclass(error_type, errors.TransientError)


@pytest.mark.parametrize(
    "error_type", [errors.RateLimitError, errors.ServiceUnavailableError, errors.TimeoutException, errors.NetworkError]
)
def test_transient_errors_are_transient(error_type):
    """The seed's transient classes, which are what the request layer retries."""
    assert issubclass(error_type, errors.TransientError)
    assert not issubclass(error_type, errors.PermanentError)
    assert error_type in errors.TRANSIENT


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (httpx.ConnectTimeout("x"), errors.TimeoutException),
        (httpx.ReadTimeout("x"), errors.TimeoutException),
        (httpx.ConnectError("x"), errors.NetworkError),
        (httpx.ReadError("x"), errors.NetworkError),
        (httpx.WriteError("x"), errors.NetworkError),
        (httpx.InvalidURL("x"), errors.InvalidURLError),
    ],
)
def test_classify_network_error(exc, expected):
    """Timeouts and broken connections are transient, a URL that is none is permanent."""
    assert errors.classify_network_error(exc) is expected


def test_infrastructure_is_neither():
    """What the job layer retries, nobody else does."""
    assert (MemoryError, errors.DatabaseConnectionError) == errors.INFRASTRUCTURE
    assert not issubclass(errors.DatabaseConnectionError, errors.PermanentError | errors.TransientError)
