"""The end of a build, whoever began it: deliver, report, exit code."""

from app.cli.delivery import Destination, deliver
from app.cli.report import gather
from app.cli.working import Desk
from app.db import jobs

__all__ = ["close_build"]


async def close_build(desk: Desk, job_id: str, where: Destination | None) -> int:
    """Put the dataset where it belongs, say what came of the job, return the exit code."""
    db = desk.resources.db
    job = await jobs.get(db, job_id)
    delivered = await deliver(desk.resources, job, where) if job.is_final else None
    report = await gather(db, job_id, delivered=delivered, interrupted=desk.interrupts.code)
    desk.cli.result(report.summary(again=desk.cli.again), report.document(), brief=str(delivered) if delivered else job_id)
    return report.code
