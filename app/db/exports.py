"""Queries on exports and checks: what a user asks of a finished dataset."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, cast, insert, select, update

import errors
from app.db import paging, tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.rows import Check, Export, PageOf

__all__ = [
    "add_check",
    "add_export",
    "get_check",
    "get_export",
    "get_file",
    "id_of_job",
    "latest_of_job",
    "page_checks",
    "page_exports",
    "set_export",
    "set_report",
]


async def add_export(connection: Connection, *, user_id: str, dataset_id: str, job_id: str, export_format: str, storage_tier: str) -> str:
    """Insert an export in state ``pending``, return its id."""
    export_id = new_id("exp")
    await connection.execute(
        insert(tables.exports).values(
            id=export_id,
            user_id=user_id,
            dataset_id=dataset_id,
            job_id=job_id,
            format=export_format,
            storage_tier=storage_tier,
            state="pending",
            created_at=db_now(),
        )
    )
    return export_id


async def set_export(connection: Connection, export_id: str, **values: Any) -> None:
    """Change an export. States: pending, writing, written, ready, failed."""
    if values.get("state") == "ready":
        values["verified_at"] = db_now()
    await connection.execute(update(tables.exports).where(tables.exports.c.id == export_id).values(**values))


async def get_export(db: Database, export_id: str, *, user_id: str | None = None) -> Export:
    """One export; a foreign one is not found."""
    return Export(**(await _one(db, tables.exports, export_id, user_id, "export")))


async def get_check(db: Database, check_id: str, *, user_id: str | None = None) -> Check:
    """One check; a foreign one is not found."""
    return Check(**(await _one(db, tables.checks, check_id, user_id, "check")))


async def _one(db: Database, table: Any, row_id: str, user_id: str | None, what: str) -> dict[str, Any]:
    query = select(table).where(table.c.id == row_id)
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        raise errors.NotFoundError(f"no {what} {row_id}")
    return dict(row._mapping)


async def get_file(db: Database, export_id: str, path: str, *, user_id: str | None = None) -> tuple[Export, int | None]:
    """One export without its report, which may list a million files, and the size in bytes that the report gives for one of them."""
    size = cast(tables.exports.c.report["files"][path].as_string(), BigInteger).label("file_size")
    query = select(*_summary(), size).where(tables.exports.c.id == export_id)
    if user_id is not None:
        query = query.where(tables.exports.c.user_id == user_id)
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        raise errors.NotFoundError(f"no export {export_id}")
    values = dict(row._mapping)
    found = values.pop("file_size")
    return _as_export(values), found


def _summary() -> list[Any]:
    return [column for column in tables.exports.c if column.name not in ("report", "problems")]


def _as_export(values: Mapping[Any, Any]) -> Export:
    left_out: dict[str, Any] = {"report": None, "problems": None}
    return Export(**(left_out | dict(values)))


async def latest_of_job(db: Database, job_id: str, *, with_report: bool = True) -> list[Export]:
    """A job's exports, newest first. A report lists every file: leave it out where nobody reads it."""
    query = (
        select(*(tables.exports.c if with_report else _summary()))
        .where(tables.exports.c.job_id == job_id)
        .order_by(tables.exports.c.created_at.desc(), tables.exports.c.id.desc())
    )
    async with db.read() as connection:
        return [_as_export(row._mapping) for row in (await connection.execute(query)).all()]


async def prefixes(db: Database) -> set[str]:
    """Where in the store exports lie."""
    async with db.read() as connection:
        return {row.prefix for row in (await connection.execute(select(tables.exports.c.prefix))).all() if row.prefix}


async def id_of_job(connection: Connection, job_id: str) -> str:
    """The export that a job was made for."""
    return str((await connection.execute(select(tables.exports.c.id).where(tables.exports.c.job_id == job_id))).scalar_one())


async def add_check(
    connection: Connection,
    *,
    user_id: str,
    dataset_id: str,
    job_id: str,
    kind: str,
    options: Mapping[str, Any],
    export_id: str | None = None,
) -> str:
    """Insert a check, return its id; its state is its job's."""
    check_id = new_id("chk")
    await connection.execute(
        insert(tables.checks).values(
            id=check_id,
            user_id=user_id,
            dataset_id=dataset_id,
            job_id=job_id,
            export_id=export_id,
            kind=kind,
            options=dict(options),
            created_at=db_now(),
        )
    )
    return check_id


async def set_report(connection: Connection, job_id: str, report: Mapping[str, Any]) -> None:
    """Write what a job's check found."""
    await connection.execute(update(tables.checks).where(tables.checks.c.job_id == job_id).values(report=dict(report)))


async def page_exports(
    db: Database, *, dataset_id: str | None = None, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[Export]:
    """Exports, newest first, without their reports."""
    rows, next_cursor = await _page(db, tables.exports, dataset_id, user_id, limit, cursor, columns=_summary())
    return PageOf([_as_export(row._mapping) for row in rows], next_cursor)


async def page_checks(
    db: Database, *, dataset_id: str | None = None, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[Check]:
    """Checks, newest first."""
    rows, next_cursor = await _page(db, tables.checks, dataset_id, user_id, limit, cursor)
    return PageOf([Check(**row._mapping) for row in rows], next_cursor)


async def _page(
    db: Database,
    table: Any,
    dataset_id: str | None,
    user_id: str | None,
    limit: int,
    cursor: str | None,
    *,
    columns: Sequence[Any] | None = None,
) -> tuple[Sequence[Any], str | None]:
    limit = max(1, min(limit, paging.MAX_LIMIT))
    keys = [table.c.created_at, table.c.id]
    query = select(*(columns or table.c)).order_by(*(key.desc() for key in keys)).limit(limit + 1)
    if dataset_id is not None:
        query = query.where(table.c.dataset_id == dataset_id)
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    if cursor is not None:
        query = query.where(paging.after(keys, paging.decode(cursor, float, str), descending=True))
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    more = len(rows) > limit
    rows = rows[:limit]
    return rows, paging.encode(rows[-1].created_at, rows[-1].id) if more else None
