"""Tests of app.db.revision: what Alembic would say, without it."""

from app.db import Database, revision, schema
from tests.db.test_schema import empty_database, set_revision  # noqa: F401 - a fixture


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
