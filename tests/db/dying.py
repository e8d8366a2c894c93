"""Units that die and jobs that fail of it, as tests begin with them."""

from typing import Any

from app.db import Database, jobs, units
from app.db.rows import NewUnit
from app.job_states import JobState, UnitKind, UnitState
from tests.db.builders import add_job, claimed, job_row, unit_ids, unit_row

__all__ = ["end_if_over", "failed_job", "kill"]


async def kill(db: Database, unit_id: str, error: str = "MemoryError: too much") -> str:
    """Let a unit die in a worker's hands."""
    unit = await claimed(db, unit_id)
    async with db.write() as connection:
        await units.finish(connection, unit, state=UnitState.DEAD, error=error)
    return unit_id


async def end_if_over(db: Database, job_id: str) -> None:
    """What the finalize unit does for a job with dead units: it fails."""
    for unit_id in await unit_ids(db, job_id):
        row = await unit_row(db, unit_id)
        if row.kind == "finalize" and row.state == "pending":
            unit = await claimed(db, unit_id)
            async with db.write() as connection:
                await jobs.end(connection, job_id, JobState.FAILED, error="1 unit(s) of work failed; the first: MemoryError: too much")
                await units.finish(connection, unit)


async def failed_job(db: Database, *first: NewUnit, **values: Any) -> tuple[str, list[str]]:
    """A job that failed since all its units died; its id and theirs."""
    job_id = await add_job(db, list(first) or [NewUnit(UnitKind.FETCH)], **values)
    ids = [await kill(db, unit_id) for unit_id in await unit_ids(db, job_id)]
    await end_if_over(db, job_id)
    assert (await job_row(db, job_id)).state == "failed"
    return job_id, ids
