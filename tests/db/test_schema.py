"""Tests of app.db.schema: creation, migration and downgrade, and the refusal of unknown revisions."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import errors
from app.db import Database, images, schema, tables
from app.db.schema import MIGRATIONS
from tests.db.builders import add_images, add_job, count


def alembic_config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


async def table_names(db: Database) -> set[str]:
    async with db.read() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def set_revision(db: Database, revision: str) -> None:
    async with db.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


@pytest.fixture
async def empty_database(any_database_url: str) -> AsyncIterator[Database]:
    """A database without a schema, of each kind in turn."""
    db = Database(any_database_url)
    yield db
    await db.close()


async def test_an_upgrade_makes_every_table(empty_database: Database) -> None:
    """From nothing to the newest revision, which it returns."""
    assert await schema.current(empty_database) is None
    assert await table_names(empty_database) == set()
    assert await schema.upgrade(empty_database) == schema.head()
    assert await schema.current(empty_database) == schema.head()
    assert await table_names(empty_database) == {*tables.metadata.tables, "alembic_version"}
    await schema.require_current(empty_database)


async def test_the_tables_are_what_the_migrations_make(any_database: Database) -> None:
    """A column or an index in the code alone, or in a migration alone, is found here."""

    def compare(sync: object) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(sync, opts={"compare_type": True}), tables.metadata))  # type: ignore[arg-type]

    async with any_database.read() as connection:
        assert await connection.run_sync(compare) == []


async def test_an_older_workspace_keeps_its_rows(any_database: Database) -> None:
    """A database as the first revision made it, with rows: the upgrade adds what is new and touches nothing else."""
    job_id = await add_job(any_database)
    (image_id,) = await add_images(any_database, job_id, 1, changes={"state": "failed", "reason": "robots", "detail": "kept"})
    async with any_database.write() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0001"))
    with pytest.raises(errors.ConfigurationError, match="at revision 0001"):
        await schema.require_current(any_database)
    assert await schema.upgrade(any_database) == schema.head()
    found = await images.get(any_database, image_id)
    assert (found.job_id, found.reason, found.detail, found.evidence) == (job_id, "robots", "kept", None)


async def test_a_second_upgrade_is_harmless(any_database: Database) -> None:
    """Nothing changes, rows least of all."""
    await add_job(any_database)
    assert await schema.upgrade(any_database) == schema.head()
    assert await count(any_database, tables.jobs) == 1


async def test_upgrades_at_the_same_moment_do_not_collide(any_database_url: str) -> None:
    """Two processes that start on an empty database: one makes the tables, the other finds them."""
    one, other = Database(any_database_url), Database(any_database_url)
    try:
        assert await asyncio.gather(schema.upgrade(one), schema.upgrade(other)) == [schema.head()] * 2
        assert await table_names(one) == {*tables.metadata.tables, "alembic_version"}
    finally:
        await one.close()
        await other.close()


async def test_a_downgrade_takes_everything_away(any_database: Database) -> None:
    """And an upgrade brings it back."""
    await add_job(any_database)
    async with any_database.write() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))
    assert await table_names(any_database) == {"alembic_version"}
    await schema.upgrade(any_database)
    assert await count(any_database, tables.jobs) == 0


async def test_a_database_from_a_newer_version_is_refused(any_database: Database) -> None:
    """Neither upgraded nor used; the message says whose it is and what to do, and nothing is changed."""
    await set_revision(any_database, "9999")
    words = "at revision 9999, which this version does not know: a newer pictrawl wrote it; upgrade pictrawl"
    with pytest.raises(errors.ConfigurationError, match=words):
        await schema.upgrade(any_database)
    with pytest.raises(errors.ConfigurationError, match=words):
        await schema.require_current(any_database)
    assert await schema.current(any_database) == "9999"


async def test_a_fleet_needs_the_newest_schema(empty_database: Database) -> None:
    """The message names both revisions and the command that helps."""
    words = f"at revision none, this version needs {schema.head()}: run `pictrawl db upgrade`"
    with pytest.raises(errors.ConfigurationError, match=words):
        await schema.require_current(empty_database)


async def test_an_older_database_in_use_is_not_upgraded(any_database: Database) -> None:
    """The message names the process; nothing is changed. An empty one may be created meanwhile."""
    await set_revision(any_database, "0001")
    words = f"at revision 0001, this version needs {schema.head()}, and `pictrawl serve` .* works with it; stop that process"
    with pytest.raises(errors.ConfigurationError, match=words):
        await schema.upgrade(any_database, in_use_by="`pictrawl serve` (process 7)")
    assert await schema.current(any_database) == "0001"
    await set_revision(any_database, schema.head())
    assert await schema.upgrade(any_database, in_use_by="`pictrawl serve` (process 7)") == schema.head()


async def test_an_empty_database_in_use_is_made(empty_database: Database) -> None:
    """The holder of a new workspace may not have come so far."""
    assert await schema.upgrade(empty_database, in_use_by="`pictrawl build` (process 7)") == schema.head()


async def test_an_upgrade_that_fails_leaves_nothing_behind(empty_database: Database) -> None:
    """All revisions are one transaction, on both databases: a table in the way, and none of ours is made."""
    async with empty_database.write() as connection:
        await connection.execute(text("CREATE TABLE images (id INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        await schema.upgrade(empty_database)
    assert await table_names(empty_database) == {"images"}


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
    assert schema.head() == ScriptDirectory.from_config(alembic_config()).get_current_head()


async def test_a_new_file_gets_what_the_migrations_make(tmp_path: Path) -> None:
    """Columns with their types and defaults, keys, indexes with what they are over and where, and the revision."""
    fresh, migrated = (Database(f"sqlite+aiosqlite:///{tmp_path}/{name}.db") for name in ("fresh", "migrated"))
    try:
        await schema.upgrade(fresh)
        async with migrated.write() as connection:
            await connection.run_sync(lambda sync: command.upgrade(alembic_config(sync), "head"))
        assert await described(fresh) == await described(migrated)
        assert await schema.current(fresh) == schema.head()
    finally:
        await fresh.close()
        await migrated.close()


async def test_a_database_is_brought_up_whatever_is_in_it(empty_database: Database) -> None:
    """From nothing, from an older revision, and again; rows stay."""
    await schema.upgrade(empty_database)
    assert await schema.current(empty_database) == schema.head()
    await add_job(empty_database)
    await schema.upgrade(empty_database)
    assert await count(empty_database, tables.jobs) == 1


async def test_a_file_with_other_tables_is_left_to_the_migrations(tmp_path: Path) -> None:
    """It is somebody's: the migrations say what is in their way, and nothing is half made."""
    db = Database(f"sqlite+aiosqlite:///{tmp_path}/other.db")
    try:
        async with db.write() as connection:
            await connection.execute(text("CREATE TABLE images (id INTEGER)"))
        with pytest.raises(Exception, match="already exists"):
            await schema.upgrade(db)
        assert await table_names(db) == {"images"}
    finally:
        await db.close()


def test_no_migration_tool_is_loaded_for_a_new_file(tmp_path: Path) -> None:
    """Nor for one that is at the newest."""
    code = (
        "import asyncio, sys\nfrom app.db import Database, schema\n"
        "async def main():\n"
        f"    db = Database('sqlite+aiosqlite:///{tmp_path}/new.db')\n"
        "    await schema.upgrade(db)\n    await schema.upgrade(db)\n    await db.close()\n"
        "asyncio.run(main())\nprint({'alembic', 'mako'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr
