"""Queries on derived forms: what a recipe makes of stored bytes. A form may be dropped at any time, and is made again when it is wanted.

The bytes of a form are an object of the store under their digest, like those of an image. ``created_at`` is when it was made or last used.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.db.rows import DerivedImage

__all__ = ["add", "drop", "drop_sources", "find", "in_use", "renew"]

_DERIVED = tables.derived_images.c


async def find(connection: Connection, recipe: str, sources: Collection[str]) -> dict[str, DerivedImage]:
    """Return the forms that a recipe gave, by the digest of what they were made from; at most a few thousand at once."""
    names = [column for column in _DERIVED if column.name != "created_at"]
    query = select(*names).where(_DERIVED.recipe == recipe, _DERIVED.source_sha256.in_(list(sources)))
    return {row.source_sha256: DerivedImage(**row._mapping) for row in (await connection.execute(query)).all()}


async def renew(connection: Connection, recipe: str, sources: Collection[str]) -> None:
    """Note that forms are used, so that clean-up leaves them for a while."""
    used = update(tables.derived_images).where(_DERIVED.recipe == recipe, _DERIVED.source_sha256.in_(list(sources)))
    await connection.execute(used.values(created_at=db_now()))


async def add(connection: Connection, forms: Sequence[DerivedImage]) -> None:
    """Insert forms whose bytes are stored, in place of earlier ones."""
    if not forms:
        return
    dialect: Any = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.derived_images).values(created_at=db_now())
    changed = {column.name: statement.excluded[column.name] for column in _DERIVED if not column.primary_key}
    statement = statement.on_conflict_do_update(index_elements=["source_sha256", "recipe"], set_=changed)
    await connection.execute(statement, [asdict(form) for form in sorted(forms, key=lambda form: form.source_sha256)])


async def in_use(db: Database, digests: Collection[str], *, since: float) -> set[str]:
    """Return those of these digests that are forms made or used since this Unix time."""
    query = select(_DERIVED.out_sha256).where(_DERIVED.out_sha256.in_(list(digests)), _DERIVED.created_at > since)
    async with db.read() as connection:
        return {row.out_sha256 for row in (await connection.execute(query)).all()}


async def drop(db: Database, digests: Collection[str]) -> None:
    """Forget the forms with these digests; call it before their bytes are deleted."""
    async with db.write() as connection:
        await connection.execute(delete(tables.derived_images).where(_DERIVED.out_sha256.in_(list(digests))))


async def drop_sources(connection: Connection, sources: Collection[str]) -> list[str]:
    """Forget the forms that were made from these bytes; return the forms' digests."""
    statement = delete(tables.derived_images).where(_DERIVED.source_sha256.in_(list(sources))).returning(_DERIVED.out_sha256)
    return sorted({row.out_sha256 for row in (await connection.execute(statement)).all()})
