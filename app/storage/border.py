"""The border to what stores bytes: the one place where errors of obstore and of the operating system become ours."""

import os
import re
import time
from contextlib import AbstractContextManager
from types import TracebackType

import obstore.exceptions

import errors
from app.observability import families

__all__ = ["MissingObject", "reading", "writing"]

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_QUERY = re.compile(r"\?\S+")
_MAX_CAUSE_CHARS = 300
_UNTIMED = "list"  # lasts as long as its reader takes
_FOREIGN = (obstore.exceptions.BaseError, OSError)


class MissingObject(errors.PermanentError):
    """No object has this key. Waiting does not bring it back, so it is no :class:`errors.StorageError`."""

    reason = errors.Reason.CORRUPT


class _Border:
    """Translates what fails inside, and clocks it. A class, as one is made for every object: a generator costs thrice."""

    __slots__ = ("_began", "_key", "_operation")

    def __init__(self, operation: str, key: str) -> None:
        self._operation = operation
        self._key = key

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._operation != _UNTIMED:
            families.storage_seconds.observe(time.perf_counter() - self._began, self._operation)
        if error is not None:
            self._translate(error)

    def _translate(self, error: BaseException) -> None:
        if isinstance(error, _FOREIGN):
            families.storage_errors.add(self._operation)
            raise errors.StorageError(f"{self._operation} {self._key}: {_cause(error)}") from error


class _Reading(_Border):
    __slots__ = ()

    def _translate(self, error: BaseException) -> None:
        if isinstance(error, FileNotFoundError):
            raise MissingObject(f"{self._operation} {self._key}: no such object") from error
        super()._translate(error)


def reading(operation: str, key: str) -> AbstractContextManager[None]:
    """Translate what fails while ``key`` is read.

    Raises:
        MissingObject: there is no such object.
        errors.StorageError: anything else that the store or the system reports.
    """
    return _Reading(operation, key)


def writing(operation: str, key: str) -> AbstractContextManager[None]:
    """Translate what fails while ``key`` is written. Here a missing file is a fault like any other."""
    return _Border(operation, key)


def _cause(error: Exception) -> str:
    """Why, in few words: no server path, and no query string, which may carry a signature."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _OS_ERROR.search(str(error))):
        number = int(found[1])
    if number is not None:
        return os.strerror(number)
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _QUERY.sub("?...", first_line)[:_MAX_CAUSE_CHARS]
