"""Control of existing jobs: run, pause, cancel, revive; retry and discard dead units.

Each change is logged with the context of its job. Nothing here wakes a worker; :func:`app.jobs.submit.wake` does.
"""

from app.db import Database, dead_units, jobs, lifecycle
from app.db.dead_units import DeadUnit
from app.db.rows import Job
from app.job_states import DesiredState
from logging_setup import get_logger

__all__ = ["discard_dead", "retry_dead", "revive", "set_desired_state"]

log = get_logger(__name__)


async def set_desired_state(db: Database, job_id: str, desired: DesiredState, *, user_id: str | None = None) -> Job:
    """Run, pause, cancel or finish a job."""
    job = await lifecycle.set_desired_state(db, job_id, desired, user_id=user_id)
    with log.contextualize(job_id=job.id, user_id=job.user_id):
        log.info("job.steered", desired_state=desired.value)
    return job


async def revive(db: Database, job_id: str) -> int:
    """Let a failed job run again with all its dead units; return how many there were."""
    revived = await lifecycle.revive(db, job_id)
    with log.contextualize(job_id=job_id, user_id=(await jobs.get(db, job_id)).user_id):
        log.info("job.revived", units=revived)
    return revived


async def retry_dead(db: Database, which: dead_units.Which, *, user_id: str | None = None) -> list[DeadUnit]:
    """Retry dead units; see :func:`app.db.dead_units.retry`."""
    revived = await dead_units.retry(db, which, user_id=user_id)
    for unit in revived:
        with log.contextualize(**_context(unit)):
            log.info("unit.retried", kind=unit.kind.value, error=unit.error)
    return revived


async def discard_dead(
    db: Database, which: dead_units.Which, *, user_id: str | None = None, resume: bool = False
) -> list[dead_units.Discarded]:
    """Discard dead units; see :func:`app.db.dead_units.discard`."""
    given_up = await dead_units.discard(db, which, user_id=user_id, resume=resume)
    for discarded in given_up:
        with log.contextualize(**_context(discarded.unit)):
            log.warning("unit.discarded", kind=discarded.unit.kind.value, error=discarded.unit.error, images=discarded.images)
    return given_up


def _context(unit: DeadUnit) -> dict[str, str]:
    ids = {"job_id": unit.job_id, "unit_id": unit.id, "user_id": unit.user_id}
    return ids | ({"chunk_id": unit.chunk_id} if unit.chunk_id else {})
