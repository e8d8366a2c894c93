"""The version of the schema: create it in an empty database, migrate an older one, refuse one that is newer than this code.

Alembic is loaded only where there is something to migrate, since its import takes longer than most commands.
"""

from pathlib import Path

from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

import errors
from app.db import tables
from app.db.engine import Database

__all__ = ["current", "head", "require_current", "upgrade"]

UPGRADE_LOCK = 0x70696374
"""Number of the PostgreSQL advisory lock that an upgrade holds: "pict" in ASCII."""

VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
"""The statement that Alembic itself would send."""

MIGRATIONS = Path(__file__).parent / "migrations"


def head() -> str:
    """Return the newest revision that this code knows."""
    return max(_revisions())


def _revisions() -> set[str]:
    """Return all revisions that this code knows. The names of the files begin with their revision: ``r0001_...py``."""
    return {path.name[1:5] for path in (MIGRATIONS / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py")}


async def current(db: Database) -> str | None:
    """Return the revision of the database; ``None`` where it has no schema."""
    try:
        async with db.read() as connection:
            row = (await connection.execute(text("SELECT version_num FROM alembic_version"))).first()
    except DBAPIError:  # there is no such table
        return None
    return row.version_num if row else None


async def require_current(db: Database) -> None:
    """Check the revision of the database without changing it.

    Raises:
        errors.ConfigurationError: the database does not have the newest revision.
    """
    found = await current(db)
    _refuse_unknown(found)
    if found != head():
        raise errors.ConfigurationError(
            f"the database is at revision {found or 'none'}, this version needs {head()}: run `pictrawl db upgrade`"
        )


async def upgrade(db: Database, *, in_use_by: object = None) -> str:
    """Bring the database to the newest revision and return that revision.

    Args:
        in_use_by: a process that works with the database as it is; its tables are not changed meanwhile.

    Raises:
        errors.ConfigurationError: the database is newer than this code, or older and in use.
    """
    found = await current(db)
    _refuse_unknown(found)
    if in_use_by is not None and found not in (None, head()):
        raise errors.ConfigurationError(
            f"the database is at revision {found}, this version needs {head()}, and {in_use_by} works with it; "
            "stop that process, and the next command of this version upgrades the database"
        )
    if found == head() or (db.is_sqlite and await _create_if_empty(db)):
        return head()
    async with db.write() as connection:
        # one upgrade at a time, from before Alembic reads the version: SQLite has one writer, from its first statement on
        await connection.execute(select(1) if db.is_sqlite else select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        await connection.run_sync(_run_alembic)
    return head()


def _refuse_unknown(found: str | None) -> None:
    if found is not None and found not in _revisions():
        raise errors.ConfigurationError(
            f"the database is at revision {found}, which this version does not know: a newer pictrawl wrote it; upgrade pictrawl"
        )


async def _create_if_empty(db: Database) -> bool:
    """Create the tables in a SQLite file that has none, in one transaction; return whether it had none."""
    async with db.write() as connection:
        return await connection.run_sync(_create)


def _create(connection: Connection) -> bool:
    if connection.exec_driver_sql("SELECT 1 FROM sqlite_master LIMIT 1").first():
        return False
    for table in tables.metadata.sorted_tables:
        connection.execute(CreateTable(table))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):  # of two indexes that fit alike, SQLite takes the later one
            connection.execute(CreateIndex(index))
    connection.exec_driver_sql(VERSION_TABLE)
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (head(),))
    return True


def _run_alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
