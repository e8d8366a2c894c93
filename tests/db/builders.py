"""Rows that tests begin with: a dataset, a job with units, candidates; and a look at what is in a table."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Select, Table, event, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import Database, datasets, fleet, images, jobs, lifecycle, outbox, tables, units
from app.db.rows import NewUnit, Unit, WorkerRow
from app.domain import Candidate
from app.job_states import JobKind, JobState, UnitKind
from app.jobs.dispatch import mark_due

__all__ = [
    "add_images",
    "add_job",
    "all_rows",
    "candidates",
    "change",
    "claimed",
    "claimed_all",
    "count",
    "due",
    "expire",
    "explained",
    "job_row",
    "statements",
    "unit_ids",
    "unit_row",
]

LEASE_S = 30.0


async def add_job(
    db: Database,
    first: Sequence[NewUnit] | int = 1,
    *,
    user_id: str = "local",
    dataset_id: str | None = None,
    kind: JobKind = JobKind.BUILD,
    priority: int = 0,
    unit_kind: UnitKind = UnitKind.FETCH,
    spec: dict[str, Any] | None = None,
) -> str:
    """A job that runs, with units (so many of ``unit_kind``, or these), in a dataset of its own unless one is named."""
    new = [NewUnit(unit_kind) for _ in range(first)] if isinstance(first, int) else list(first)
    async with db.write() as connection:
        if dataset_id is None:
            dataset_id = await datasets.create_dataset(connection, user_id=user_id, name="a dataset")
        job_id = await lifecycle.create(
            connection, user_id=user_id, dataset_id=dataset_id, kind=kind, spec=spec or {}, first=new, priority=priority
        )
        await jobs.set_stage(connection, job_id, state=JobState.RUNNING, stage=None)
    return job_id


async def unit_ids(db: Database, job_id: str) -> list[str]:
    """The ids of a job's units, oldest first."""
    columns = tables.units.c
    return [row.id for row in await all_rows(db, select(columns.id).where(columns.job_id == job_id).order_by(columns.id))]


async def claimed(db: Database, unit_id: str, *, owner: str = "worker") -> Unit:
    """A unit in this owner's hands."""
    unit = await units.claim(db, unit_id, owner=owner, lease_s=LEASE_S)
    assert unit is not None
    return unit


async def claimed_all(db: Database, job_id: str) -> list[Unit]:
    """All units of a job, each claimed."""
    return [await claimed(db, unit_id) for unit_id in await unit_ids(db, job_id)]


async def due(db: Database, queue: str, *, window: int) -> list[outbox.Delivery]:
    """Send what fits into a queue's window."""
    return await mark_due(db, {queue: window}, max_crashes=3)


async def expire(db: Database, unit_id: str) -> None:
    """As if the unit's worker had been silent for a lease, of which the database answered all the time."""
    await change(db, tables.units, unit_id, lease_until=1.0)
    dialect = sqlite if db.is_sqlite else postgresql
    swept = dialect.insert(tables.locks).values(name="sweep", until=await db.now(), since=1.0)
    async with db.write() as connection:
        await connection.execute(swept.on_conflict_do_update(index_elements=["name"], set_={"since": 1.0}))


async def change(db: Database, table: Table, row_id: str | int, **values: Any) -> None:
    """Set columns of one row, as time or a fault would."""
    async with db.write() as connection:
        result = await connection.execute(update(table).where(table.c.id == row_id).values(**values))
    assert result.rowcount == 1


async def all_rows(db: Database, query: Select[Any]) -> Sequence[Any]:
    """What a query finds."""
    async with db.read() as connection:
        return (await connection.execute(query)).all()


async def unit_row(db: Database, unit_id: str) -> Any:
    """A unit's row."""
    (row,) = await all_rows(db, select(tables.units).where(tables.units.c.id == unit_id))
    return row


async def job_row(db: Database, job_id: str) -> Any:
    """A job's row."""
    (row,) = await all_rows(db, select(tables.jobs).where(tables.jobs.c.id == job_id))
    return row


async def count(db: Database, table: Table, *conditions: Any) -> int:
    """How many rows there are."""
    (row,) = await all_rows(db, select(func.count().label("number")).select_from(table).where(*conditions))
    return int(row.number)


def candidates(number: int, *, first: int = 0, source: str = "list", **values: Any) -> list[tuple[str, Candidate]]:
    """Candidates with their normalised URLs."""
    urls = [f"https://example.org/{index}.jpg" for index in range(first, first + number)]
    return [(url, Candidate(url=url, source=source, rank=rank, **values)) for rank, url in enumerate(urls)]


async def add_images(
    db: Database, job_id: str, number: int = 1, *, first: int = 0, chunk_id: str = "chunk_a", changes: dict[str, Any] | None = None
) -> list[int]:
    """Images of a job, by id; with ``changes`` to all of them."""
    dataset_id = (await job_row(db, job_id)).dataset_id
    chunks = [(chunk_id, candidates(number, first=first))]
    async with db.write() as connection:
        await images.add_candidates(connection, dataset_id=dataset_id, job_id=job_id, search_id="srch_a", chunks=chunks)
    columns = tables.images.c
    query = select(columns.id).where(columns.job_id == job_id, columns.chunk_id == chunk_id).order_by(columns.id.desc()).limit(number)
    ids = sorted(row.id for row in await all_rows(db, query))
    if changes:
        async with db.write() as connection:
            await images.update_many(connection, [{"id": image_id} | changes for image_id in ids])
    return ids


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """The statements that the body sends, in order."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(db.engine.sync_engine, "before_cursor_execute", note)


async def explained(db: Database, statement: str) -> str:
    """SQLite's plan of a statement that was sent, a step a line."""
    async with db.read() as connection:
        parameters = (None,) * statement.count("?")
        rows = await connection.run_sync(lambda sync: sync.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all())
    return "\n".join(row.detail for row in rows)


async def pages_of(fetch: Any, **arguments: Any) -> AsyncIterator[Any]:
    """Every page of a list, in order."""
    cursor = None
    while True:
        page = await fetch(cursor=cursor, **arguments)
        yield page
        cursor = page.next_cursor
        if cursor is None:
            return


async def take_back_expired(db: Database, *, max_crashes: int = 3) -> tuple[int, list[str]]:
    """Take back what expired; how many units wait again, and which are in quarantine."""
    async with db.write() as connection:
        returned = await outbox.return_expired(connection, lease_s=LEASE_S, max_crashes=max_crashes)
    return len(returned.pending), [unit.id for unit in returned.quarantined]


async def finish(db: Database, unit: Unit, **options: Any) -> list[str]:
    async with db.write() as connection:
        return await units.finish(connection, unit, **options)


async def finalizers(db: Database, job_id: str) -> int:
    return await count(db, tables.units, tables.units.c.job_id == job_id, tables.units.c.kind == UnitKind.FINALIZE)


async def beat(db: Database, worker_id: str, *, age_s: float) -> None:
    """A worker whose last sign of life is so old."""
    await fleet.beat(db, WorkerRow(worker_id, "builder", "host", 1, "0.1.0", 8, 0, 0.0, 0.0, 0.0))
    await change(db, tables.workers, worker_id, beat_at=await db.now() - age_s)


async def end_job(db: Database, job_id: str, state: JobState, **options: Any) -> None:
    async with db.write() as connection:
        await jobs.end(connection, job_id, state, **options)


async def dataset_of(db: Database, job_id: str) -> str:
    return str((await job_row(db, job_id)).dataset_id)
