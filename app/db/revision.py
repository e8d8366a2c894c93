"""Whether a database has the newest schema, asked without Alembic: loading that takes longer than many a command."""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.engine import Database

__all__ = ["is_newest", "newest"]

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
