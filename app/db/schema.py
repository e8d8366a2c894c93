"""The schema's version: bring a database to the newest, and refuse one that is newer than this code."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, func, select

import errors
from app.db.engine import Database

__all__ = ["current", "head", "require_head", "upgrade"]

UPGRADE_LOCK = 0x70696374
"""Number of PostgreSQL's advisory lock that an upgrade holds: "pict" in ASCII."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """The newest revision this code knows."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


async def current(db: Database) -> str | None:
    """The database's revision; ``None`` where it has no schema."""
    async with db.read() as connection:
        return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())


async def upgrade(db: Database) -> str:
    """Bring the database to the newest revision and return it.

    Raises:
        errors.ConfigurationError: the database is newer than this code.
    """
    await _refuse_newer(db)
    async with db.write() as connection:
        # one upgrade at a time, from before Alembic looks: SQLite lets one writer in, with its first statement
        await connection.execute(select(1) if db.is_sqlite else select(func.pg_advisory_xact_lock(UPGRADE_LOCK)))
        await connection.run_sync(lambda sync: command.upgrade(_config(sync), "head"))
    return head()


async def require_head(db: Database) -> None:
    """Raise ConfigurationError unless the database is at the newest revision."""
    await _refuse_newer(db)
    found = await current(db)
    if found != head():
        raise errors.ConfigurationError(
            f"the database is at revision {found or 'none'}, this version needs {head()}: run `pictrawl db upgrade`"
        )


async def _refuse_newer(db: Database) -> None:
    found = await current(db)
    if found is None:
        return
    try:
        ScriptDirectory.from_config(_config()).get_revision(found)
    except CommandError as error:
        raise errors.ConfigurationError(
            f"the database is at revision {found}, which this version does not know: a newer pictrawl wrote it; upgrade pictrawl"
        ) from error
