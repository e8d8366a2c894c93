"""The 4 jobs of the validator: judge images, find duplicates, re-read what is stored, read exports back.

Each claims a unit of its kind. None retries and none catches: :mod:`workers.job` does, by the rule written above each.
"""

from logging_setup import get_logger
from workers.job import INFRASTRUCTURE, job
from workers.stages import deduplicate, export, validate
from workers.unit import Context, claim

__all__ = ["check_duplicates", "check_integrity", "validate_chunk", "verify_export"]

log = get_logger(__name__)


@job(retry_on=INFRASTRUCTURE)
async def validate_chunk(ctx: Context, *, job_id: str, chunk_id: str, unit_id: str) -> None:
    """Decode and judge the fetched images of one chunk at the job's level.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. An image that cannot be judged is rejected, never retried.
    """
    async with claim(ctx, unit_id) as work:
        await validate.validate(ctx, work, chunk_id)


@job(retry_on=INFRASTRUCTURE)
async def check_duplicates(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Find images that are the same, byte for byte or to the eye, over the whole dataset; keep the best of each.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await deduplicate.find_duplicates(ctx, work)


@job(retry_on=INFRASTRUCTURE)
async def check_integrity(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Re-read a dataset's stored objects against their recorded digests.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await deduplicate.reread(ctx, work)


@job(retry_on=INFRASTRUCTURE)
async def verify_export(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Read an export back with its format's own reader; only then is it published.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await export.verify(ctx, work)
