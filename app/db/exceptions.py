"""The errors of the database layer: the translation of driver errors, a table for each database, and two conflicts of our own.

Pure; :mod:`app.db.engine` applies the translation.
"""

import sqlite3

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import errors

__all__ = ["KeyReused", "StateConflict", "came_from_driver", "translate"]

SQLITE_TRANSIENT = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PROTOCOL}
)
"""Transient result codes: another writer, a file that cannot be opened or written now, a race in WAL (sqlite.org/rescode.html)."""

SQLITE_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
"""Result codes of a full or failing disk."""

POSTGRES_TRANSIENT = frozenset({"40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "53300", "53200"})
"""Transient SQLSTATEs: serialisation, deadlock, lock and statement timeouts, shutdown, start-up, too many clients, out of memory."""

POSTGRES_DISK = frozenset({"53100", "58030"})
"""SQLSTATEs of a full or failing disk."""


def came_from_driver(error: BaseException) -> bool:
    """Whether an OSError or sqlite3.Error was raised inside a driver or SQLAlchemy, not in the body of a transaction."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").partition(".")[0] in {"asyncpg", "aiosqlite", "sqlalchemy"}:
            return True
        trace = trace.tb_next
    return False


def translate(error: SQLAlchemyError) -> Exception:
    """Return the error to raise for an error of SQLAlchemy. A programming error is returned unchanged."""
    if isinstance(error, PoolTimeout):
        return errors.DatabaseConnectionError("no database connection was free in time")
    if not isinstance(error, DBAPIError):
        return error
    if isinstance(error.orig, sqlite3.Error):
        return _translate_sqlite(error)
    return _translate_postgresql(error) if getattr(error.orig, "sqlstate", None) else _translate_other(error)


def _translate_sqlite(error: DBAPIError) -> Exception:
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is None:  # raised by the driver, not by SQLite
        return _translate_other(error)
    if code & 0xFF in SQLITE_DISK:  # the low byte is the primary code
        return errors.StorageError(f"the database's disk is full or failing: {error.orig}")
    if code & 0xFF in SQLITE_TRANSIENT:
        return errors.DatabaseConnectionError(f"the database cannot take the statement now: {error.orig}")
    return error


def _translate_postgresql(error: DBAPIError) -> Exception:
    code = str(getattr(error.orig, "sqlstate", ""))
    if code in POSTGRES_DISK:
        return errors.StorageError(f"the database's disk is full or failing (SQLSTATE {code})")
    if code in POSTGRES_TRANSIENT or code.startswith("08"):
        return errors.DatabaseConnectionError(f"the database cannot take the statement now (SQLSTATE {code})")
    return error


def _translate_other(error: DBAPIError) -> Exception:
    """Translate an error without a code; only its text shows that the connection is lost."""
    words = str(error.orig).lower()
    if error.connection_invalidated or any(word in words for word in ("connection", "closed", "cannot perform operation")):
        return errors.DatabaseConnectionError(f"the database cannot be reached: {words[:200]}")
    return error


class StateConflict(errors.ValidationError):
    """The request does not fit the current state of a row; it may be possible in another state."""


class KeyReused(errors.ValidationError):
    """An Idempotency-Key was used again with another request."""
