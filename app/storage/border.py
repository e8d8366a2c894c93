"""The border to what stores bytes: the one place where errors of obstore and of the operating system become ours."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import obstore.exceptions

import errors
from app.meters import families

__all__ = ["MissingObject", "reading", "writing"]

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_QUERY = re.compile(r"\?\S+")
_MAX_CAUSE_CHARS = 300
_UNTIMED = "list"  # lasts as long as its reader takes
_FOREIGN = (obstore.exceptions.BaseError, OSError)


class MissingObject(errors.PermanentError):
    """No object has this key. Waiting does not bring it back, so it is no :class:`errors.StorageError`."""

    reason = errors.Reason.CORRUPT


@contextmanager
def reading(operation: str, key: str) -> Iterator[None]:
    """Translate what fails while ``key`` is read.

    Raises:
        MissingObject: there is no such object.
        errors.StorageError: anything else that the store or the system reports.
    """
    try:
        with _clocked(operation):
            yield
    except FileNotFoundError as error:
        raise MissingObject(f"{operation} {key}: no such object") from error
    except _FOREIGN as error:
        families.storage_errors.add(operation)
        raise errors.StorageError(f"{operation} {key}: {_cause(error)}") from error


@contextmanager
def writing(operation: str, key: str) -> Iterator[None]:
    """Translate what fails while ``key`` is written. Here a missing file is a fault like any other."""
    try:
        with _clocked(operation):
            yield
    except _FOREIGN as error:
        families.storage_errors.add(operation)
        raise errors.StorageError(f"{operation} {key}: {_cause(error)}") from error


@contextmanager
def _clocked(operation: str) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        if operation != _UNTIMED:
            families.storage_seconds.observe(time.perf_counter() - began, operation)


def _cause(error: Exception) -> str:
    """Why, in few words: no server path, and no query string, which may carry a signature."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := _OS_ERROR.search(str(error))):
        number = int(found[1])
    if number is not None:
        return os.strerror(number)
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return _QUERY.sub("?...", first_line)[:_MAX_CAUSE_CHARS]
