"""Queries on jobs and their searches. :mod:`app.db.lifecycle` changes jobs together with their units."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, bindparam, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

import errors
from app.db import paging, tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.exceptions import StateConflict
from app.db.rows import Job, ListFigures, PageOf, Search
from app.domain import LISTED_SOURCES, ImageState, Reason
from app.job_states import FINAL_JOB_STATES, DesiredState, JobKind, JobState
from app.observability import metrics

__all__ = [
    "active_on",
    "add_searches",
    "advance_search",
    "count_search_requests",
    "counts_by_state",
    "delete_job",
    "end",
    "end_on_base",
    "find",
    "find_search",
    "get",
    "get_many",
    "get_search",
    "latest",
    "latest_build",
    "list_figures",
    "newest_of_dataset",
    "on_dataset",
    "page",
    "reopen_searches",
    "search_figures",
    "search_labels",
    "searches_in",
    "searches_of",
    "searches_of_dataset",
    "set_stage",
    "wait_for",
]

OPEN_IMAGES = (ImageState.PENDING, ImageState.DEFERRED, ImageState.FETCHED, ImageState.VALID)

_ONE = select(tables.jobs).where(tables.jobs.c.id == bindparam("wanted"))
"""Built once, since every claim reads its job."""


def as_job(row: Row[Any]) -> Job:
    """A row of ``jobs`` as a value."""
    values = dict(row._mapping)
    states = {"state": JobState(values["state"]), "desired_state": DesiredState(values["desired_state"]), "kind": JobKind(values["kind"])}
    return Job(**values | states)


async def get(db: Database, job_id: str, *, user_id: str | None = None) -> Job:
    """Return one job; the job of another user is not found."""
    async with db.read() as connection:
        return await find(connection, job_id, user_id=user_id)


async def find(connection: Connection, job_id: str, *, user_id: str | None = None, lock: bool = False) -> Job:
    """Return one job inside a transaction; ``lock`` locks its row until the transaction ends."""
    query = _owned(_ONE, user_id)
    row = (await connection.execute(query.with_for_update() if lock else query, {"wanted": job_id})).first()
    if row is None:
        raise errors.NotFoundError(f"no job {job_id}")
    return as_job(row)


async def get_many(db: Database, job_ids: Sequence[str]) -> dict[str, Job]:
    """Return these jobs by id, without those that do not exist."""
    async with db.read() as connection:
        rows = (await connection.execute(select(tables.jobs).where(tables.jobs.c.id.in_(list(job_ids))))).all()
    return {row.id: as_job(row) for row in rows}


def on_dataset(dataset_id: str) -> Select[Any]:
    """Return a query for the ids of all jobs on a dataset. Its images are counted through them: their index over jobs has all columns."""
    return select(tables.jobs.c.id).where(tables.jobs.c.dataset_id == dataset_id)


async def newest_of_dataset(db: Database, dataset_id: str, kind: JobKind) -> Job | None:
    """Return the newest job of one kind on a dataset."""
    columns = tables.jobs.c
    query = select(tables.jobs).where(columns.dataset_id == dataset_id, columns.kind == kind)
    async with db.read() as connection:
        row = (await connection.execute(query.order_by(columns.created_at.desc(), columns.id.desc()).limit(1))).first()
    return as_job(row) if row else None


CHANGES_WHAT_IS_KEPT = frozenset({JobKind.BUILD, JobKind.VALIDATION, JobKind.DUPLICATES})
"""Kinds of jobs that decide which images of a dataset are kept."""


async def active_on(db: Database, dataset_id: str, kinds: Collection[JobKind] = CHANGES_WHAT_IS_KEPT) -> Job | None:
    """Return a job of these kinds on a dataset that has not ended."""
    columns = tables.jobs.c
    query = select(tables.jobs).where(
        columns.dataset_id == dataset_id, columns.kind.in_(list(kinds)), columns.state.not_in(FINAL_JOB_STATES)
    )
    async with db.read() as connection:
        row = (await connection.execute(query.limit(1))).first()
    return as_job(row) if row else None


async def counts_by_state(db: Database) -> dict[JobState, int]:
    """Count the jobs in each state."""
    query = select(tables.jobs.c.state, func.count().label("number")).group_by(tables.jobs.c.state)
    async with db.read() as connection:
        return {JobState(row.state): row.number for row in (await connection.execute(query)).all()}


async def latest(db: Database, *, user_id: str | None = None, resumable: bool = False) -> Job | None:
    """Return the newest job, or the newest that can be resumed."""
    query = _owned(select(tables.jobs), user_id).order_by(tables.jobs.c.created_at.desc(), tables.jobs.c.id.desc()).limit(1)
    if resumable:
        done = [JobState.SUCCEEDED, JobState.PARTIAL, JobState.CANCELLED]
        query = query.where(tables.jobs.c.state.not_in(done))
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    return as_job(row) if row else None


async def page(
    db: Database,
    *,
    user_id: str | None = None,
    state: JobState | None = None,
    kind: JobKind | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> PageOf[Job]:
    """Return jobs, newest first."""
    columns = tables.jobs.c
    query = _owned(select(tables.jobs), user_id)
    if state is not None:
        query = query.where(columns.state == state)
    if kind is not None:
        query = query.where(columns.kind == kind)
    rows, next_cursor = await paging.newest_first(db, query, [columns.created_at, columns.id], limit=limit, cursor=cursor)
    return PageOf([as_job(row) for row in rows], next_cursor)


def _owned(query: Any, user_id: str | None) -> Any:
    return query if user_id is None else query.where(tables.jobs.c.user_id == user_id)


async def set_stage(connection: Connection, job_id: str, *, state: JobState, stage: str | None, another_round: bool = False) -> None:
    """Set state and stage of a job that has not ended and is not paused."""
    values: dict[str, Any] = {"state": state, "stage": stage, "waiting_for": None}
    if another_round:
        values["rounds"] = tables.jobs.c.rounds + 1
    values["started_at"] = func.coalesce(tables.jobs.c.started_at, db_now())
    open_states = [s for s in JobState if s not in FINAL_JOB_STATES and s is not JobState.PAUSED]
    await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id, tables.jobs.c.state.in_(open_states)).values(**values))


async def wait_for(db: Database, job_id: str, what: str | None) -> None:
    """Record what a job waits for; ``None`` for nothing."""
    async with db.write() as connection:
        await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(waiting_for=what))


async def end(
    connection: Connection,
    job_id: str,
    state: JobState,
    *,
    shortfall: Mapping[str, Any] | None = None,
    error: str | None = None,
    short_classes: Sequence[Mapping[str, Any]] | None = None,
) -> None:
    """Set the final state of a job. The open images of a cancelled job fail with the reason ``cancelled``."""
    result = await connection.execute(
        update(tables.jobs)
        .where(tables.jobs.c.id == job_id, tables.jobs.c.state.not_in(FINAL_JOB_STATES))
        .values(state=state, shortfall=shortfall, short_classes=short_classes, error=error, waiting_for=None, finished_at=db_now())
    )
    if result.rowcount == 1:
        metrics.jobs_ended.labels(state.value).inc()
    if state is JobState.CANCELLED:
        await connection.execute(
            update(tables.images)
            .where(tables.images.c.job_id == job_id, tables.images.c.state.in_(OPEN_IMAGES))
            .values(
                state=ImageState.FAILED,
                reason=Reason.CANCELLED,
                detail="the job was cancelled",
                evidence=None,
                updated_at=db_now(),
            )
        )


async def end_on_base(connection: Connection, job: Job, base_id: str) -> None:
    """End a job that changed nothing as one on another dataset, and delete its own with all images."""
    await end(connection, job.id, JobState.SUCCEEDED)
    await connection.execute(update(tables.jobs).where(tables.jobs.c.id == job.id).values(dataset_id=base_id))
    for table in (tables.searches, tables.chunks):
        await connection.execute(delete(table).where(table.c.job_id == job.id))
    await connection.execute(delete(tables.datasets).where(tables.datasets.c.id == job.dataset_id))


async def add_searches(
    connection: Connection,
    job_id: str,
    wanted: Sequence[tuple[str, str, str | None]],
    *,
    root_keyword: str | None = None,
    **known: str | None,
) -> list[str]:
    """Insert searches (source, keyword, label) that the job does not have yet; return the ids of the new ones, in order.

    Args:
        root_keyword: the keyword of the job that all of them are for.
        known: ``qid``, ``category`` and ``not_expanded`` of that keyword, as a `Search` has them.
    """
    if not wanted:
        return []
    counts = {"is_exhausted": False, "found": 0, "new": 0, "bad": 0}
    common: dict[str, Any] = {"job_id": job_id, **counts, "root_keyword": root_keyword, **known}
    rows = [{"id": new_id("srch"), "source": source, "keyword": keyword, "label": label} | common for source, keyword, label in wanted]
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.searches).on_conflict_do_nothing(index_elements=["job_id", "source", "keyword"])
    added = {row.id for row in (await connection.execute(statement.returning(tables.searches.c.id), rows)).all()}
    return [str(row["id"]) for row in rows if row["id"] in added]


async def searches_of(db: Database, job_id: str) -> list[Search]:
    """Return the searches of a job in the order in which they were planned."""
    query = select(tables.searches).where(tables.searches.c.job_id == job_id).order_by(tables.searches.c.id)
    async with db.read() as connection:
        return [Search(**row._mapping) for row in (await connection.execute(query)).all()]


async def searches_in(connection: Connection, dataset_id: str) -> list[Search]:
    """Return the searches of all jobs on a dataset in the order in which they were planned, inside a transaction."""
    c = tables.searches.c
    query = select(tables.searches).join(tables.jobs).where(tables.jobs.c.dataset_id == dataset_id).order_by(tables.jobs.c.created_at, c.id)
    return [Search(**row._mapping) for row in (await connection.execute(query)).all()]


async def searches_of_dataset(db: Database, dataset_id: str) -> list[Search]:
    """Return the searches of all jobs on a dataset in the order in which they were planned."""
    async with db.read() as connection:
        return await searches_in(connection, dataset_id)


async def delete_job(db: Database, job_id: str) -> None:
    """Delete a job with its units, events and images, and its dataset where no other job works for it.

    Raises:
        StateConflict: it has not ended.
    """
    columns = tables.jobs.c
    async with db.write() as connection:
        job = await find(connection, job_id, lock=True)
        if not job.is_final:
            raise StateConflict(f"job {job_id} is {job.state}; cancel it, or wait for its end")
        await connection.execute(delete(tables.jobs).where(columns.id == job_id))
        others = select(columns.id).where(columns.dataset_id == job.dataset_id)
        if (await connection.execute(others.limit(1))).first() is None:
            await connection.execute(delete(tables.datasets).where(tables.datasets.c.id == job.dataset_id))


async def list_keys(db: Database) -> set[str]:
    """Return the store keys of the URL lists and locks of all builds."""
    async with db.read() as connection:
        rows = (await connection.execute(select(tables.jobs.c.spec).where(tables.jobs.c.kind == JobKind.BUILD))).all()
    return {found["key"] for row in rows for name in ("url_list", "lock") if (found := row.spec.get(name))}


async def search_figures(db: Database, job_id: str) -> tuple[int, int]:
    """Return for the searches of a job (requests to the sources, those of them that were retries)."""
    columns = tables.searches.c
    query = select(
        func.coalesce(func.sum(columns.requests), 0).label("requests"), func.coalesce(func.sum(columns.retries), 0).label("retries")
    ).where(columns.job_id == job_id)
    async with db.read() as connection:
        row = (await connection.execute(query)).one()
    return int(row.requests), int(row.retries)


async def search_labels(db: Database, dataset_id: str) -> dict[str, str | None]:
    """Return the labels of all searches for a dataset, by search id."""
    query = select(tables.searches.c.id, tables.searches.c.label).join(tables.jobs).where(tables.jobs.c.dataset_id == dataset_id)
    async with db.read() as connection:
        return {row.id: row.label for row in (await connection.execute(query)).all()}


async def list_figures(db: Database, dataset_id: str) -> ListFigures:
    """Count the rows of the lists and folders of a dataset."""
    c = tables.searches.c
    sums = (func.coalesce(func.sum(column), 0) for column in (c.found, c.new, c.bad))
    query = select(*sums).join(tables.jobs).where(tables.jobs.c.dataset_id == dataset_id, c.source.in_(LISTED_SOURCES))
    async with db.read() as connection:
        return ListFigures(*map(int, (await connection.execute(query)).one()))


async def latest_build(db: Database, dataset_id: str) -> Job:
    """Return the last build of a dataset."""
    found = await newest_of_dataset(db, dataset_id, JobKind.BUILD)
    if found is None:
        raise errors.NotFoundError(f"dataset {dataset_id} was not built by a job")
    return found


async def find_search(db: Database, search_id: str) -> Search | None:
    """Return one search, or ``None``."""
    async with db.read() as connection:
        row = (await connection.execute(select(tables.searches).where(tables.searches.c.id == search_id))).first()
    return Search(**row._mapping) if row else None


async def get_search(db: Database, search_id: str) -> Search:
    """Return one search."""
    async with db.read() as connection:
        row = (await connection.execute(select(tables.searches).where(tables.searches.c.id == search_id))).one()
    return Search(**row._mapping)


async def advance_search(
    connection: Connection, search_id: str, *, cursor: str | None, is_exhausted: bool, found: int, new: int, bad: int, note: str | None
) -> None:
    """Advance the cursor of a search and add the counts of one page."""
    columns = tables.searches.c
    await connection.execute(
        update(tables.searches)
        .where(columns.id == search_id)
        .values(
            cursor=cursor, is_exhausted=is_exhausted, found=columns.found + found, new=columns.new + new, bad=columns.bad + bad, note=note
        )
    )


async def reopen_searches(connection: Connection, search_ids: Sequence[str]) -> None:
    """Let searches that ended go on at their cursors."""
    columns = tables.searches.c
    await connection.execute(update(tables.searches).where(columns.id.in_(list(search_ids))).values(is_exhausted=False, note=None))


async def count_search_requests(connection: Connection, search_id: str, *, requests: int, retries: int) -> None:
    """Add requests to a search's source, and those of them that were retries."""
    columns = tables.searches.c
    values = {"requests": columns.requests + requests, "retries": columns.retries + retries}
    await connection.execute(update(tables.searches).where(columns.id == search_id).values(values))
