"""The builder's 9 jobs: plan, expand, discover, fetch, compress, label, export, publish, finalize.

Each claims a unit of its kind and runs one stage. :func:`workers.job.job` retries and settles, by the rule in each docstring.
"""

from app.discovery import expand
from logging_setup import get_logger
from workers.job import INFRASTRUCTURE, claim, job
from workers.stages import compress, discover, export, fetch, finalize, label, plan, publish, rounds
from workers.unit import JobContext

__all__ = [
    "compress_chunk",
    "create_crawl_job",
    "discover_images",
    "export_dataset",
    "finalize_crawl_job",
    "generate_keywords",
    "generate_labels",
    "process_chunk",
    "publish_export",
]

log = get_logger(__name__)


@job(retry_on=INFRASTRUCTURE)
async def create_crawl_job(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Plan a job: a build's searches, or the units of any other kind of job.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. No network call is made here.
    """
    async with claim(ctx, unit_id) as unit:
        await plan.plan_job(unit)


@job(retry_on=INFRASTRUCTURE)
async def generate_keywords(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Add a keyword's aliases and translations from Wikidata, and the searches for them.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. Requests to Wikidata are retried by the downloader.
    """
    async with claim(ctx, unit_id) as unit:
        await plan.expand_keyword(unit, expand)


@job(retry_on=INFRASTRUCTURE)
async def discover_images(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Page through one source for one keyword, or through one list, into image rows and chunks.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. Requests to the source are retried by the downloader.
    """
    async with claim(ctx, unit_id) as unit:
        await discover.discover_candidates(unit)


@job(retry_on=INFRASTRUCTURE)
async def process_chunk(ctx: JobContext, *, job_id: str, chunk_id: str, unit_id: str) -> None:
    """Fetch what is still missing of one chunk and store the bytes; bytes that are stored already are used. Safe to run twice.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. URLs are retried by the downloader alone.
    """
    async with claim(ctx, unit_id) as unit:
        counts = await fetch.fetch_chunk(ctx, unit, chunk_id)
        await rounds.steer(unit)
        await fetch.settle_chunk(unit, chunk_id)
        log.info(
            "chunk.fetched",
            ok=counts["ok"],
            reused=counts["reused"],
            not_modified=counts["not_modified"],
            failed=counts["failed"],
            deferred=counts["deferred"],
        )


@job(retry_on=INFRASTRUCTURE)
async def compress_chunk(ctx: JobContext, *, job_id: str, chunk_id: str, unit_id: str) -> None:
    """Resize and re-encode the kept images of one chunk.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. An image that cannot be compressed is rejected, never retried.
    """
    async with claim(ctx, unit_id) as unit:
        await compress.compress_chunk(ctx, unit, chunk_id)


@job(retry_on=INFRASTRUCTURE)
async def generate_labels(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Choose the images to keep, up to the target, and give each its label and its split.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. No network call is made here.
    """
    async with claim(ctx, unit_id) as unit:
        await label.label_images(unit)


@job(retry_on=INFRASTRUCTURE)
async def export_dataset(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Write a dataset in the wanted format; it is ready once ``verify_export`` has read it back.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. A repeated run writes the whole export again.
    """
    async with claim(ctx, unit_id) as unit:
        await export.write_export(ctx, unit)


@job(retry_on=INFRASTRUCTURE)
async def publish_export(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Send a verified export to its destination. A repeated run sends only what is not there yet.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. Requests are retried by the client library alone.
    """
    async with claim(ctx, unit_id) as unit:
        await publish.publish_export(ctx, unit)


@job(retry_on=INFRASTRUCTURE)
async def finalize_crawl_job(ctx: JobContext, *, job_id: str, unit_id: str) -> None:
    """Decide what follows the last open unit: more candidates, the next stage, or the end.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. No network call is made here.
    """
    async with claim(ctx, unit_id) as unit:
        await finalize.finalize_job(ctx, unit)
