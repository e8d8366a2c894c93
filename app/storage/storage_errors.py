"""Errors of obstore and of the operating system, translated to ours. The one place where that happens for stored bytes."""

import os
import re
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Final

import obstore.exceptions

import errors
from app.observability import metrics

__all__ = ["MissingObject", "reading", "sending", "writing"]

_OS_ERROR: Final = re.compile(r"\(os error (\d+)\)")
_QUERY: Final = re.compile(r"\?\S+")
_REFUSED: Final = re.compile(r"status code: (?P<status>4\d\d)(?P<words>[A-Za-z -]*)")  # obstore.exceptions has no class for most of them
_MAY_PASS: Final = (408, 425, 429)
_REFUSALS: Final = {401: errors.AuthenticationError, 403: errors.AuthenticationError, 404: errors.NotFoundError}
_MAX_CAUSE_CHARS: Final = 300
_UNTIMED: Final = "list"  # its duration is that of its consumer
_FOREIGN: Final = (obstore.exceptions.BaseError, OSError)


class MissingObject(errors.PermanentError):
    """No object has this key. A retry cannot help, so this is no :class:`errors.StorageError`."""

    reason = errors.Reason.CORRUPT


class _Writing:
    """Translates what is raised inside, and measures its time. A class, because a generator costs three times as much per object."""

    __slots__ = ("_began", "_key", "_operation")

    def __init__(self, operation: str, key: str) -> None:
        self._operation = operation
        self._key = key

    @property
    def _label(self) -> str:
        return metrics.storage_operation.known(self._operation)

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._operation != _UNTIMED:
            metrics.storage_seconds.labels(self._label).observe(time.perf_counter() - self._began)
        if error is not None:
            self._translate(error)

    def _translate(self, error: BaseException) -> None:
        if isinstance(error, _FOREIGN):
            metrics.storage_errors.labels(self._label).inc()
            raise errors.StorageError(f"{self._operation} {self._key}: {_cause_of(error)}") from error


class _Reading(_Writing):
    __slots__ = ()

    def _translate(self, error: BaseException) -> None:
        if isinstance(error, FileNotFoundError):
            raise MissingObject(f"{self._operation} {self._key}: no such object") from error
        super()._translate(error)


class _Sending(_Writing):
    __slots__ = ()

    def _translate(self, error: BaseException) -> None:
        refused = _REFUSED.search(str(error)) if isinstance(error, _FOREIGN) else None
        if refused is not None and int(refused["status"]) not in _MAY_PASS:
            metrics.storage_errors.labels(self._label).inc()
            kind = _REFUSALS.get(int(refused["status"]), errors.BadRequestError)
            raise kind(f"{self._operation} {self._key}: refused with {refused['status']}{refused['words']}".strip()) from error
        super()._translate(error)


def reading(operation: str, key: str) -> AbstractContextManager[None]:
    """Translate the errors of reading ``key``.

    Args:
        operation: begins the message, and labels the metrics.
        key: of the object.

    Raises:
        MissingObject: there is no such object.
        errors.StorageError: any other error of the store or the system.
    """
    return _Reading(operation, key)


def writing(operation: str, key: str) -> AbstractContextManager[None]:
    """Translate the errors of writing ``key`` as `reading` does, but a missing file is an `errors.StorageError` too."""
    return _Writing(operation, key)


def sending(operation: str, url: str) -> AbstractContextManager[None]:
    """Translate the errors of a store that is not ours: what it refuses is the user's to settle, and no other try changes it.

    Raises:
        errors.AuthenticationError: it refuses these credentials.
        errors.NotFoundError: there is no such bucket or object.
        errors.BadRequestError: it refuses the request in another way (4xx).
        errors.StorageError: it is full, fails or does not answer.
    """
    return _Sending(operation, url)


def _cause_of(error: Exception) -> str:
    """The cause in a few words, without a path of the server or a query string, which may hold a signature."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _OS_ERROR.search(str(error))):
        number = int(found[1])
    if number is not None:
        return os.strerror(number)
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _QUERY.sub("?...", first_line)[:_MAX_CAUSE_CHARS]
