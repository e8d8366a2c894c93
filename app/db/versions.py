"""Queries on the versions of datasets: what each dataset was, and what the newest one of a lineage is."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select

from app.db import tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.rows import Version

__all__ = ["add", "newest_of_dataset", "newest_of_lineage", "of_lineage"]

_NEWEST = (tables.versions.c.major.desc(), tables.versions.c.minor.desc(), tables.versions.c.patch.desc())


async def add(connection: Connection, values: Mapping[str, Any]) -> str:
    """Insert a version, with all columns but ``id`` and ``created_at``, and return its id."""
    version_id = new_id("ver")
    await connection.execute(insert(tables.versions).values(id=version_id, created_at=db_now(), **values))
    return version_id


async def newest_of_dataset(connection: Connection, dataset_id: str) -> Version | None:
    """Return what a dataset is now; None where it was never finished, or before versions were recorded."""
    return await _first(connection, tables.versions.c.dataset_id == dataset_id)


async def newest_of_lineage(connection: Connection, lineage_id: str) -> Version | None:
    """Return the highest version of a lineage."""
    return await _first(connection, tables.versions.c.lineage_id == lineage_id)


async def of_lineage(db: Database, lineage_id: str) -> list[Version]:
    """Return all versions of a lineage, the highest first."""
    query = select(tables.versions).where(tables.versions.c.lineage_id == lineage_id).order_by(*_NEWEST)
    async with db.read() as connection:
        return [Version(**row._mapping) for row in (await connection.execute(query)).all()]


async def _first(connection: Connection, condition: Any) -> Version | None:
    row = (await connection.execute(select(tables.versions).where(condition).order_by(*_NEWEST).limit(1))).first()
    return None if row is None else Version(**row._mapping)
