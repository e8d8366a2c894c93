"""Queries on datasets, and on their exports and checks."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Text, and_, case, cast, delete, func, insert, literal, or_, select, update

import errors
from app.db import paging, tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.exceptions import StateConflict
from app.db.rows import Dataset, DatasetCheck, Export, PageOf
from app.domain import ImageState
from app.job_states import FINAL_JOB_STATES

__all__ = [
    "add_check",
    "add_export",
    "allow_overwrite",
    "collection_period",
    "create_dataset",
    "delete_dataset",
    "export_ids_of_job",
    "exports_of_job",
    "get_check",
    "get_dataset",
    "get_export",
    "get_file",
    "is_needed_by_job",
    "job_that_needs",
    "list_datasets",
    "lock_lineage",
    "mark_delivered",
    "names_of",
    "page_checks",
    "page_exports",
    "prefixes",
    "set_export",
    "set_report",
]


async def create_dataset(connection: Connection, *, user_id: str, name: str, lineage_id: str | None = None) -> str:
    """Insert a dataset, the first of its lineage or a further version in one, and return its id."""
    dataset_id = new_id("ds")
    values = {"id": dataset_id, "user_id": user_id, "name": name, "lineage_id": lineage_id or dataset_id}
    await connection.execute(insert(tables.datasets).values(created_at=db_now(), **values))
    return dataset_id


async def get_dataset(db: Database, dataset_id: str, *, user_id: str | None = None) -> Dataset:
    """Return one dataset.

    Raises:
        errors.NotFoundError: there is no such dataset, or it belongs to another user.
    """
    return Dataset(**await _get(db, tables.datasets, dataset_id, user_id, "dataset"))


async def collection_period(db: Database, dataset_id: str) -> tuple[float | None, float | None]:
    """Return when the first and the last of the kept images of a dataset came from its origin; None where none is kept."""
    c = tables.images.c
    query = select(func.min(c.fetched_at).label("since"), func.max(c.fetched_at).label("until")).where(
        c.dataset_id == dataset_id, c.state == ImageState.KEPT
    )
    async with db.read() as connection:
        row = (await connection.execute(query)).one()
    return row.since, row.until


async def list_datasets(
    db: Database, *, user_id: str | None = None, name: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[Dataset]:
    """Return datasets, newest first; with ``name`` those whose names hold it, in whatever case of ASCII letters."""
    c = tables.datasets.c
    query = select(*c)
    if user_id is not None:
        query = query.where(c.user_id == user_id)
    if name is not None:
        query = query.where(c.name.icontains(name, autoescape=True))
    rows, next_cursor = await paging.newest_first(db, query, [c.created_at, c.id], limit=limit, cursor=cursor)
    return PageOf([Dataset(**row._mapping) for row in rows], next_cursor)


async def names_of(db: Database, dataset_ids: Collection[str]) -> dict[str, str]:
    """Return the names of datasets by id."""
    c = tables.datasets.c
    async with db.read() as connection:
        rows = (await connection.execute(select(c.id, c.name).where(c.id.in_(set(dataset_ids))))).all()
    return {row.id: row.name for row in rows}


async def lock_lineage(connection: Connection, lineage_id: str) -> None:
    """Lock the rows of all versions of a dataset: two that are recorded at a time would take the same number."""
    of_lineage = select(tables.datasets.c.id).where(tables.datasets.c.lineage_id == lineage_id)
    await connection.execute(of_lineage.order_by(tables.datasets.c.id).with_for_update(key_share=True))


def is_needed_by_job(dataset_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a row of jobs has not ended, and works on a dataset or has it in its spec: as what it updates, adds to or merges."""
    c = tables.jobs.c
    in_spec = cast(c.spec, Text).contains(literal('"').concat(dataset_id).concat('"'))
    return and_(c.state.not_in(FINAL_JOB_STATES), or_(c.dataset_id == dataset_id, in_spec))


async def job_that_needs(connection: Connection, dataset_id: str) -> str | None:
    """Return a job that has not ended and works on a dataset, or makes another one of it."""
    query = select(tables.jobs.c.id).where(is_needed_by_job(literal(dataset_id))).limit(1)
    return (await connection.execute(query)).scalar_one_or_none()


async def delete_dataset(db: Database, dataset_id: str) -> None:
    """Delete a dataset and every row that refers to it; the next clean-up deletes its blobs.

    Raises:
        StateConflict: a job on it, or one that makes another dataset of it, has not ended.
    """
    async with db.write() as connection:
        job_id = await job_that_needs(connection, dataset_id)
        if job_id is not None:
            raise StateConflict(f"job {job_id} still works with dataset {dataset_id}; cancel it, or wait for its end")
        await connection.execute(delete(tables.datasets).where(tables.datasets.c.id == dataset_id))


async def add_export(
    connection: Connection,
    *,
    user_id: str,
    dataset_id: str,
    job_id: str,
    export_format: str,
    storage_tier: str,
    version: str | None = None,
    options: Mapping[str, Any] | None = None,
    destination: str | None = None,
    delivery: Mapping[str, Any] | None = None,
) -> str:
    """Insert an export in state ``pending`` and return its id. The version is not known before its job has begun."""
    export_id = new_id("exp")
    await connection.execute(
        insert(tables.exports).values(
            id=export_id,
            user_id=user_id,
            dataset_id=dataset_id,
            job_id=job_id,
            format=export_format,
            storage_tier=storage_tier,
            version=version,
            options=None if options is None else dict(options),
            destination=destination,
            delivery=dict(delivery) if destination is not None and delivery is not None else None,
            state="pending",
            created_at=db_now(),
        )
    )
    return export_id


async def set_export(connection: Connection, export_id: str, **values: Any) -> None:
    """Change columns of an export. Its states: pending, written, ready, failed; one with a destination has been delivered after that.

    One that was withdrawn meanwhile becomes neither ready nor failed: it has to be written again.
    """
    changed = update(tables.exports).where(tables.exports.c.id == export_id)
    if values.get("state") in ("ready", "failed"):
        changed = changed.where(tables.exports.c.state != "withdrawn")
    if values.get("state") == "ready":
        values["verified_at"] = db_now()
    await connection.execute(changed.values(**values))


async def mark_delivered(connection: Connection, export_id: str, delivery: Mapping[str, Any]) -> None:
    """Write that all of an export is at its destination. Why one was withdrawn meanwhile stays."""
    error = case((tables.exports.c.state == "withdrawn", tables.exports.c.error))
    values = {"delivery": dict(delivery), "delivered_at": db_now(), "error": error}
    await connection.execute(update(tables.exports).where(tables.exports.c.id == export_id).values(**values))


async def allow_overwrite(db: Database, job_id: str) -> None:
    """Let the exports of a job that are not at their destinations yet replace the datasets that are there."""
    for export in await exports_of_job(db, job_id, with_report=False):
        if export.is_undelivered:
            async with db.write() as connection:
                await set_export(connection, export.id, delivery=dict(export.delivery or {}) | {"overwrite": True})


async def get_export(db: Database, export_id: str, *, user_id: str | None = None) -> Export:
    """Return one export.

    Raises:
        errors.NotFoundError: there is no such export, or it belongs to another user.
    """
    return Export(**await _get(db, tables.exports, export_id, user_id, "export"))


async def get_file(db: Database, export_id: str, path: str, *, user_id: str | None = None) -> tuple[Export, int | None]:
    """Return an export and the size in bytes that its report gives for one file, ``None`` if the report has no such file.

    The export comes without its report, which may list a million files.

    Raises:
        errors.NotFoundError: there is no such export, or it belongs to another user.
    """
    size = cast(tables.exports.c.report["files"][path].as_string(), BigInteger).label("file_size")
    values = await _get(db, tables.exports, export_id, user_id, "export", columns=[*_SUMMARY, size])
    file_size = values.pop("file_size")
    return _summary_as_export(values), file_size


async def exports_of_job(db: Database, job_id: str, *, with_report: bool = True) -> list[Export]:
    """Return a job's exports, newest first. A report lists every file; set ``with_report`` to false where it is not needed."""
    query = select(*(tables.exports.c if with_report else _SUMMARY)).where(tables.exports.c.job_id == job_id).order_by(*_NEWEST)
    async with db.read() as connection:
        return [_summary_as_export(row._mapping) for row in (await connection.execute(query)).all()]


async def page_exports(
    db: Database, *, dataset_id: str | None = None, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[Export]:
    """Return exports without their reports, newest first."""
    rows, next_cursor = await _page(db, tables.exports, _SUMMARY, dataset_id, user_id, limit, cursor)
    return PageOf([_summary_as_export(row._mapping) for row in rows], next_cursor)


async def prefixes(db: Database) -> set[str]:
    """Return the store prefixes of all exports."""
    async with db.read() as connection:
        return {row.prefix for row in (await connection.execute(select(tables.exports.c.prefix))).all() if row.prefix}


async def export_ids_of_job(connection: Connection, job_id: str) -> list[str]:
    """Return the ids of the exports that a job writes, newest first."""
    query = select(tables.exports.c.id).where(tables.exports.c.job_id == job_id).order_by(*_NEWEST)
    return [row.id for row in (await connection.execute(query)).all()]


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
    """Insert a check and return its id. A check has no state of its own; the state of its job applies."""
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
    """Write the result of a job's check."""
    await connection.execute(update(tables.checks).where(tables.checks.c.job_id == job_id).values(report=dict(report)))


async def get_check(db: Database, check_id: str, *, user_id: str | None = None) -> DatasetCheck:
    """Return one check.

    Raises:
        errors.NotFoundError: there is no such check, or it belongs to another user.
    """
    return DatasetCheck(**await _get(db, tables.checks, check_id, user_id, "check"))


async def page_checks(
    db: Database, *, dataset_id: str | None = None, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[DatasetCheck]:
    """Return checks, newest first."""
    rows, next_cursor = await _page(db, tables.checks, tables.checks.c, dataset_id, user_id, limit, cursor)
    return PageOf([DatasetCheck(**row._mapping) for row in rows], next_cursor)


_NEWEST = (tables.exports.c.created_at.desc(), tables.exports.c.id.desc())

_SUMMARY: list[Any] = [column for column in tables.exports.c if column.name not in ("report", "problems")]
"""Columns of an export without its report, which may list a million files."""


def _summary_as_export(values: Mapping[Any, Any]) -> Export:
    missing: dict[str, Any] = {"report": None, "problems": None}
    return Export(**(missing | dict(values)))


async def _get(db: Database, table: Any, row_id: str, user_id: str | None, what: str, *, columns: Any = None) -> dict[str, Any]:
    query = select(*(columns or table.c)).where(table.c.id == row_id)
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        raise errors.NotFoundError(f"no {what} {row_id}")
    return dict(row._mapping)


async def _page(
    db: Database, table: Any, columns: Any, dataset_id: str | None, user_id: str | None, limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    query = select(*columns)
    if dataset_id is not None:
        query = query.where(table.c.dataset_id == dataset_id)
    if user_id is not None:
        query = query.where(table.c.user_id == user_id)
    return await paging.newest_first(db, query, [table.c.created_at, table.c.id], limit=limit, cursor=cursor)
