"""Queries on the versions of datasets: what each dataset was, and what the newest one of a lineage is."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import and_, insert, select, update

from app.db import tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.rows import Version

__all__ = ["add", "newest_of_dataset", "newest_of_each", "newest_of_lineage", "numbered", "of_lineage", "set_provenance"]

_NEWEST = (tables.versions.c.major.desc(), tables.versions.c.minor.desc(), tables.versions.c.patch.desc())


async def add(connection: Connection, values: Mapping[str, Any]) -> Version:
    """Insert a version, with all columns but ``id`` and ``created_at``, and return it."""
    statement = insert(tables.versions).values(id=new_id("ver"), created_at=db_now(), **values)
    row = (await connection.execute(statement.returning(*tables.versions.c))).one()
    return Version(**row._mapping)


async def set_provenance(connection: Connection, version_id: str, facts: Mapping[str, Any]) -> None:
    """Write where a version comes from."""
    await connection.execute(update(tables.versions).where(tables.versions.c.id == version_id).values(provenance=dict(facts)))


async def newest_of_dataset(connection: Connection, dataset_id: str) -> Version | None:
    """Return what a dataset is now; None where it was never finished, or before versions were recorded."""
    return await _first(connection, tables.versions.c.dataset_id == dataset_id)


async def newest_of_each(db: Database, dataset_ids: Sequence[str]) -> dict[str, Version]:
    """Return what each of these datasets is now, without those that have no version."""
    query = select(tables.versions).where(tables.versions.c.dataset_id.in_(list(dataset_ids))).order_by(*_NEWEST)
    found: dict[str, Version] = {}
    async with db.read() as connection:
        for row in (await connection.execute(query)).all():
            found.setdefault(row.dataset_id, Version(**row._mapping))
    return found


async def newest_of_lineage(connection: Connection, lineage_id: str) -> Version | None:
    """Return the highest version of a lineage."""
    return await _first(connection, tables.versions.c.lineage_id == lineage_id)


async def numbered(connection: Connection, lineage_id: str, number: str) -> Version | None:
    """Return a version of a lineage by its number, as in ``1.2.0``."""
    c = tables.versions.c
    parts = [int(part) for part in number.split(".")]
    is_number = [column == part for column, part in zip((c.major, c.minor, c.patch), parts, strict=True)]
    return await _first(connection, and_(c.lineage_id == lineage_id, *is_number))


async def of_lineage(db: Database, lineage_id: str) -> list[Version]:
    """Return all versions of a lineage, the highest first."""
    query = select(tables.versions).where(tables.versions.c.lineage_id == lineage_id).order_by(*_NEWEST)
    async with db.read() as connection:
        return [Version(**row._mapping) for row in (await connection.execute(query)).all()]


async def _first(connection: Connection, condition: Any) -> Version | None:
    row = (await connection.execute(select(tables.versions).where(condition).order_by(*_NEWEST).limit(1))).first()
    return None if row is None else Version(**row._mapping)
