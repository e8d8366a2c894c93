"""The validator's 4 jobs: validate images, find duplicates, check stored objects, verify exports.

Each claims a unit of its kind and runs one stage. :func:`workers.job.job` retries and settles, by the rule in each docstring.
"""

from workers.job import INFRASTRUCTURE, claim, job
from workers.stages import deduplicate, export, integrity, rounds, validate
from workers.unit import JobContext

__all__ = ["check_duplicates", "check_integrity", "validate_chunk", "verify_export"]


@job(retry_on=INFRASTRUCTURE)
async def validate_chunk(ctx: JobContext, *, job_id: str, chunk_id: str, unit_id: str) -> None:
    """Decode and judge the fetched images of one chunk at the job's level.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. An image that cannot be judged is rejected, never retried.
    """
    async with claim(ctx, unit_id) as unit:
        await validate.validate_chunk(ctx, unit, chunk_id)
        await rounds.steer(unit)


@job(retry_on=INFRASTRUCTURE)
async def check_duplicates(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Find exact and near duplicates over the whole dataset; keep the best image of each group.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. No network call is made here.
    """
    async with claim(ctx, unit_id) as unit:
        await deduplicate.find_duplicates(ctx, unit)


@job(retry_on=INFRASTRUCTURE)
async def check_integrity(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Re-read a dataset's stored objects against their recorded digests.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. A repeated run starts again from the first object.
    """
    async with claim(ctx, unit_id) as unit:
        await integrity.check_objects(ctx, unit)


@job(retry_on=INFRASTRUCTURE)
async def verify_export(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Read an export back with its format's own reader and publish it.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. An export with problems fails, never retried.
    """
    async with claim(ctx, unit_id) as unit:
        await export.verify_export(ctx, unit)
