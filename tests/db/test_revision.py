"""Tests of app.db.revision: what Alembic would say and make, without it."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import errors
from app.db import Database, revision, schema, tables
from tests.db.builders import add_job, count
from tests.db.test_schema import empty_database, set_revision, table_names  # noqa: F401 - a fixture

PRAGMAS = {"table_xinfo": "name", "index_list": "name", "foreign_key_list": "table"}
"""What SQLite tells of a table, and by which column it is put in order: where a column stands in its table makes no difference."""


async def told(db: Database, statement: str, *left_out: str) -> list[dict[str, Any]]:
    async with db.read() as connection:
        rows = (await connection.execute(text(statement))).mappings().all()
    return [{name: value for name, value in row.items() if name not in left_out} for row in rows]


async def described(db: Database) -> dict[str, Sequence[Any]]:
    """Everything that SQLite knows of a schema, but the order of columns and the names that it made up itself."""
    found: dict[str, Sequence[Any]] = {}
    for table in sorted(await table_names(db)):
        for pragma, key in PRAGMAS.items():
            rows = await told(db, f"PRAGMA {pragma}('{table}')", "cid", "id", "seq")
            found[f"{pragma} {table}"] = sorted(rows, key=lambda row: (str(row[key]), str(row)))
        for index in await told(db, f"PRAGMA index_list('{table}')"):
            found[f"index {index['name']}"] = await told(db, f"PRAGMA index_xinfo('{index['name']}')", "cid")
    found["indexes"] = await told(db, "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")
    return found


def test_the_newest_is_alembics_head() -> None:
    """File names and revisions agree."""
    assert revision.newest() == schema.head()


async def test_only_the_newest_is_newest(any_database: Database) -> None:
    """Neither an older one nor one from the future."""
    assert await revision.is_newest(any_database)
    for other in ("0001", "9999"):
        await set_revision(any_database, other)
        assert not await revision.is_newest(any_database)


async def test_an_empty_database_is_not_the_newest(empty_database: Database) -> None:  # noqa: F811
    """It has no table to ask."""
    assert not await revision.is_newest(empty_database)


async def test_a_new_file_gets_what_the_migrations_make(tmp_path: Path) -> None:
    """Columns with their types and defaults, keys, indexes with what they are over and where, and the revision."""
    fresh, migrated = (Database(f"sqlite+aiosqlite:///{tmp_path}/{name}.db") for name in ("fresh", "migrated"))
    try:
        await revision.bring_up(fresh)
        await schema.upgrade(migrated)
        assert await described(fresh) == await described(migrated)
        assert await schema.current(fresh) == schema.head()
    finally:
        await fresh.close()
        await migrated.close()


async def test_a_database_is_brought_up_whatever_is_in_it(empty_database: Database) -> None:  # noqa: F811
    """From nothing, from an older revision, and again; rows stay."""
    await revision.bring_up(empty_database)
    assert await revision.is_newest(empty_database)
    await add_job(empty_database)
    await revision.bring_up(empty_database)
    assert await count(empty_database, tables.jobs) == 1


async def test_one_from_the_future_is_refused(any_database: Database) -> None:
    """By its name, and nothing is changed."""
    await set_revision(any_database, "9999")
    for step in (revision.bring_up, revision.require_newest):
        with pytest.raises(errors.ConfigurationError, match="a newer pictrawl wrote it"):
            await step(any_database)


async def test_two_that_find_the_same_new_file_do_not_collide(tmp_path: Path) -> None:
    """One makes the tables, the other finds them."""
    one, other = (Database(f"sqlite+aiosqlite:///{tmp_path}/new.db") for _ in range(2))
    try:
        await asyncio.gather(revision.bring_up(one), revision.bring_up(other))
        assert await table_names(one) == {*tables.metadata.tables, "alembic_version"}
    finally:
        await one.close()
        await other.close()


async def test_a_file_with_other_tables_is_left_to_the_migrations(tmp_path: Path) -> None:
    """It is somebody's: the migrations say what is in their way, and nothing is half made."""
    db = Database(f"sqlite+aiosqlite:///{tmp_path}/other.db")
    try:
        async with db.write() as connection:
            await connection.execute(text("CREATE TABLE images (id INTEGER)"))
        with pytest.raises(Exception, match="already exists"):
            await revision.bring_up(db)
        assert await table_names(db) == {"images"}
    finally:
        await db.close()


def test_no_migration_tool_is_loaded_for_a_new_file(tmp_path: Path) -> None:
    """Nor for one that is at the newest."""
    code = (
        "import asyncio, sys\nfrom app.db import Database, revision\n"
        "async def main():\n"
        f"    db = Database('sqlite+aiosqlite:///{tmp_path}/new.db')\n"
        "    await revision.bring_up(db)\n    await revision.bring_up(db)\n    await db.close()\n"
        "asyncio.run(main())\nprint({'alembic', 'mako'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr
