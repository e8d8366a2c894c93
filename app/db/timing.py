"""How long a transaction waits for its connection, how long it takes, and what ends it."""

import time
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

import errors
from app.observability import families

__all__ = ["Clocked"]


class Clocked:
    """One transaction: made when it is asked for, entered around its whole life."""

    __slots__ = ("_at", "_is_connected", "mode")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self._at = time.perf_counter()
        self._is_connected = False

    def __enter__(self) -> Self:
        return self

    def has_connection(self) -> None:
        """The wait is over; the transaction begins."""
        self._note_wait()
        self._is_connected = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._is_connected:
            families.db_seconds.observe(time.perf_counter() - self._at, self.mode)
        else:
            self._note_wait()
        if (fault := _fault(error)) is not None:
            families.db_errors.add(fault, self.mode)

    def _note_wait(self) -> None:
        now = time.perf_counter()
        families.db_wait_seconds.observe(now - self._at, self.mode)
        self._at = now


def _fault(error: BaseException | None) -> str | None:
    """What the database did wrong; None where it did not, whatever ended the body."""
    if isinstance(error, errors.DatabaseConnectionError):
        return "connection"
    if isinstance(error, errors.StorageError):
        return "storage"
    return "other" if isinstance(error, SQLAlchemyError) else None
