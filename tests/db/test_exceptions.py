"""Tests of app.db.exceptions: each code and each word, on its own."""

import sqlite3

import pytest
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

import errors
from app.db.exceptions import translate


class Said(Exception):
    """A driver's error with a SQLSTATE."""

    def __init__(self, words: str, sqlstate: str | None = None) -> None:
        super().__init__(words)
        self.sqlstate = sqlstate


def of_postgresql(code: str) -> DBAPIError:
    return DBAPIError("SELECT 1", {}, Said("words", code))


def of_sqlite(code: int, words: str) -> DBAPIError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, error)


@pytest.mark.parametrize(
    "code", ["40001", "40P01", "55P03", "57014", "57P01", "57P02", "57P03", "53300", "53200", "08000", "08003", "08006", "08P01"]
)
def test_what_passes_is_a_connection_error(code: str) -> None:
    """Conflicts, time-outs, restarts, too many clients and broken connections are worth another try."""
    error = translate(of_postgresql(code))
    assert isinstance(error, errors.DatabaseConnectionError)
    assert code in str(error)


@pytest.mark.parametrize("code", ["53100", "58030"])
def test_a_full_or_failing_disk_of_postgresql_is_a_storage_error(code: str) -> None:
    """Our own fault, which no retry of the job layer may eat."""
    assert isinstance(translate(of_postgresql(code)), errors.StorageError)


@pytest.mark.parametrize("code", ["42P01", "42601", "23505", "22001", "22021", "42703", "28P01"])
def test_a_programming_error_of_postgresql_stays_what_it_is(code: str) -> None:
    """A wrong statement or a broken constraint fails the same way again."""
    error = of_postgresql(code)
    assert translate(error) is error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_BUSY, "database is locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "database is locked"),
        (sqlite3.SQLITE_LOCKED, "database table is locked"),
        (sqlite3.SQLITE_CANTOPEN, "unable to open database file"),
        (sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
        (sqlite3.SQLITE_PROTOCOL, "locking protocol"),
    ],
)
def test_a_busy_or_closed_file_is_a_connection_error(code: int, words: str) -> None:
    """SQLite's codes decide, extended ones by their low byte."""
    error = translate(of_sqlite(code, words))
    assert isinstance(error, errors.DatabaseConnectionError)
    assert words in str(error)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "database or disk is full"),
        (sqlite3.SQLITE_IOERR, "disk I/O error"),
        (sqlite3.SQLITE_IOERR_WRITE, "disk I/O error"),
    ],
)
def test_a_full_or_failing_disk_under_sqlite_is_a_storage_error(code: int, words: str) -> None:
    """Full and failing disks are one case: ours."""
    assert isinstance(translate(of_sqlite(code, words)), errors.StorageError)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_ERROR, "no such column: connection_timeout"),
        (sqlite3.SQLITE_ERROR, "no such table: locked_busy_closed"),
        (sqlite3.SQLITE_CORRUPT, "database disk image is malformed"),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: units.id"),
    ],
)
def test_words_in_a_programming_error_mislead_nobody(code: int, words: str) -> None:
    """A name that sounds like a lost connection is still a bug."""
    error = of_sqlite(code, words)
    assert translate(error) is error


@pytest.mark.parametrize(
    "cause",
    [Said("connection is closed"), Said("cannot perform operation: …"), sqlite3.ProgrammingError("Cannot operate on a closed database.")],
)
def test_a_driver_without_a_code_is_taken_at_its_word(cause: Exception) -> None:
    """asyncpg's interface errors and aiosqlite's own have no code."""
    assert isinstance(translate(DBAPIError("SELECT 1", {}, cause)), errors.DatabaseConnectionError)


def test_a_connection_that_sqlalchemy_gave_up_is_a_connection_error() -> None:
    """Whatever the words, an invalidated connection is lost."""
    error = DBAPIError("SELECT 1", {}, Said("gone"), connection_invalidated=True)
    assert isinstance(translate(error), errors.DatabaseConnectionError)
    error = DBAPIError("SELECT 1", {}, Said("something else"))
    assert translate(error) is error


def test_errors_of_sqlalchemy_itself() -> None:
    """A pool without a free connection passes; anything else of SQLAlchemy's own is a bug."""
    assert isinstance(translate(PoolTimeout("QueuePool limit")), errors.DatabaseConnectionError)
    error = ProgrammingError("SELECT", {}, Said("bad"))
    assert translate(error) is error
    other = ArgumentError("wrong use")
    assert translate(other) is other
