"""Tests of app.db.schema: from nothing to the newest revision and back, and no step into the unknown."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

import errors
from app.db import Database, images, schema, tables
from app.db.schema import _config
from tests.db.builders import add_images, add_job, count


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
    await schema.require_head(empty_database)


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
        await connection.run_sync(lambda sync: command.downgrade(_config(sync), "0001"))
    with pytest.raises(errors.ConfigurationError, match="at revision 0001"):
        await schema.require_head(any_database)
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
        await connection.run_sync(lambda sync: command.downgrade(_config(sync), "base"))
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
        await schema.require_head(any_database)
    assert await schema.current(any_database) == "9999"


async def test_a_fleet_needs_the_newest_schema(empty_database: Database) -> None:
    """The message names both revisions and the command that helps."""
    words = f"at revision none, this version needs {schema.head()}: run `pictrawl db upgrade`"
    with pytest.raises(errors.ConfigurationError, match=words):
        await schema.require_head(empty_database)


async def test_an_upgrade_that_fails_leaves_nothing_behind(empty_database: Database) -> None:
    """All revisions are one transaction, on both databases: a table in the way, and none of ours is made."""
    async with empty_database.write() as connection:
        await connection.execute(text("CREATE TABLE images (id INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        await schema.upgrade(empty_database)
    assert await table_names(empty_database) == {"images"}
