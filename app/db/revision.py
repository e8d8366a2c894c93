"""Whether a database has the newest schema, and a new file that gets it, without Alembic: loading that takes longer than many a command."""

from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.db import tables
from app.db.engine import Database

__all__ = ["bring_up", "is_newest", "newest", "require_newest"]

VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
"""As Alembic makes it."""

VERSIONS = Path(__file__).parent / "migrations" / "versions"


def newest() -> str:
    """The newest revision this code knows: migrations are numbered in their files' names."""
    return max(path.name[1:5] for path in VERSIONS.glob("r[0-9][0-9][0-9][0-9]_*.py"))


async def is_newest(db: Database) -> bool:
    """Whether nothing is to do. False where it cannot be told: :mod:`app.db.schema` finds out then."""
    try:
        async with db.read() as connection:
            rows = (await connection.execute(text("SELECT version_num FROM alembic_version"))).all()
    except DBAPIError:  # no such table: no schema at all
        return False
    return [row.version_num for row in rows] == [newest()]


async def bring_up(db: Database) -> None:
    """Give the database the newest schema. Alembic is loaded only where there is something to migrate.

    Raises:
        errors.ConfigurationError: the database is newer than this code.
    """
    if await is_newest(db) or (db.is_sqlite and await _was_empty(db)):
        return
    from app.db import schema

    await schema.upgrade(db)


async def require_newest(db: Database) -> None:
    """Raise ConfigurationError unless the database is at the newest revision."""
    if not await is_newest(db):
        from app.db import schema

        await schema.require_head(db)


async def _was_empty(db: Database) -> bool:
    """Make the tables in a file that has none, in one transaction; tell whether that was so."""
    async with db.write() as connection:
        return await connection.run_sync(_fill)


def _fill(connection: Connection) -> bool:
    if connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first():
        return False
    tables.metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql(VERSION_TABLE)
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (newest(),))
    return True
