"""The 8 jobs of the builder: plan, expand, discover, fetch, compress, label, export, finalize.

Each claims a unit of its kind. None retries and none catches: :mod:`workers.job` does, by the rule written above each.
"""

from app.db import Connection, attempts, exports, images, jobs, units
from app.db.rows import Funnel, NewUnit
from app.discovery import expand
from app.domain import JobState, UnitKind
from logging_setup import get_logger
from workers.job import INFRASTRUCTURE, job
from workers.stages import compress, discover, export, fetch, label, plan
from workers.stages.finalize import end_of_build, next_step
from workers.unit import Context, Work, claim

__all__ = [
    "compress_chunk",
    "create_crawl_job",
    "discover_images",
    "export_dataset",
    "finalize_crawl_job",
    "generate_keywords",
    "generate_labels",
    "process_chunk",
]

log = get_logger(__name__)


@job(retry_on=INFRASTRUCTURE)
async def create_crawl_job(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Plan a job: its searches, or the units of the one thing it was made for.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. No network call is made here.
    """
    async with claim(ctx, unit_id) as work:
        await plan.plan(work)


@job(retry_on=INFRASTRUCTURE)
async def generate_keywords(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Add a keyword's aliases and translations from Wikidata, and the searches for them.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. The request layer alone retries Wikidata.
    """
    async with claim(ctx, unit_id) as work:
        await plan.expand_keyword(work, expand)


@job(retry_on=INFRASTRUCTURE)
async def discover_images(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Page through one source for one keyword, or through one list, into image rows and chunks.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. The request layer alone retries the source.
    """
    async with claim(ctx, unit_id) as work:
        await discover.discover(work)


@job(retry_on=INFRASTRUCTURE)
async def process_chunk(ctx: Context, *, job_id: str, chunk_id: str, unit_id: str) -> None:
    """Fetch what is still missing of one chunk and store the bytes. Safe to run twice.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart. URLs are retried by the downloader alone.
    """
    async with claim(ctx, unit_id) as work:
        tally = await fetch.fetch_chunk(ctx, work, chunk_id)
        await fetch.settle_chunk(work, chunk_id)
        log.info("chunk.fetched", ok=tally["ok"], failed=tally["failed"], deferred=tally["deferred"])


@job(retry_on=INFRASTRUCTURE)
async def compress_chunk(ctx: Context, *, job_id: str, chunk_id: str, unit_id: str) -> None:
    """Resize and re-encode the kept images of one chunk.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await compress.compress(ctx, work, chunk_id)


@job(retry_on=INFRASTRUCTURE)
async def generate_labels(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Choose what is kept up to the target, and give each image its label and its split.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await label.label(work)


@job(retry_on=INFRASTRUCTURE)
async def export_dataset(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Write a dataset in the wanted format; ``verify_export`` reads it back before it is published.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await export.export(ctx, work)


@job(retry_on=INFRASTRUCTURE)
async def finalize_crawl_job(ctx: Context, *, job_id: str, unit_id: str) -> None:
    """Decide what comes after the last open unit: more candidates, the next stage, or the end.

    Retry: MemoryError and DatabaseConnectionError, 3 times, 60 s apart.
    """
    async with claim(ctx, unit_id) as work:
        await _finalize(ctx, work)


async def _finalize(ctx: Context, work: Work) -> None:
    job = work.job
    funnel = Funnel(await images.counts(ctx.db, dataset_id=job.dataset_id), *await attempts.retry_figures(ctx.db, job.id))
    searches = await jobs.searches_of(ctx.db, job.id)
    dead = [unit.error or unit.kind.value for unit in await units.dead_of(ctx.db, job.id)]
    spec = work.spec if job.kind == "build" else None
    limit = ctx.settings.jobs.max_rounds
    step = next_step(job.kind, job.stage, spec, funnel=funnel, searches=searches, rounds=job.rounds, max_rounds=limit, has_dead=bool(dead))
    log.info("job.stage", stage=step.name, kept=funnel.kept, unique=funnel.unique, candidates=funnel.candidates)
    if step.name == "more":
        await plan.ask_for_more(work, funnel, searches)
    elif step.name == "end":
        await _end(ctx, work, funnel, dead)
    else:
        await _begin_stage(work, step.name)


async def _begin_stage(work: Work, stage: str) -> None:
    async with work.transaction() as connection:
        await jobs.set_stage(connection, work.job.id, state=JobState.FINALIZING, stage=stage)
        await work.finish_in(connection, await _units_of_stage(connection, work, stage))


async def _units_of_stage(connection: Connection, work: Work, stage: str) -> list[NewUnit]:
    if stage == "duplicates":
        return [NewUnit(UnitKind.DUPLICATES)]
    if stage == "labels":
        return [NewUnit(UnitKind.LABELS)]
    if stage == "compress":
        return [NewUnit(UnitKind.COMPRESS, {"chunk_id": chunk}) for chunk in await images.kept_chunks(connection, work.job.dataset_id)]
    spec = work.spec
    export_id = await exports.add_export(
        connection,
        user_id=work.job.user_id,
        dataset_id=work.job.dataset_id,
        job_id=work.job.id,
        export_format=spec.export_format,
        storage_tier=spec.storage_tier,
    )
    return [NewUnit(UnitKind.EXPORT, {"export_id": export_id})]


async def _end(ctx: Context, work: Work, funnel: Funnel, dead: list[str]) -> None:
    job = work.job
    searches = await jobs.searches_of(ctx.db, job.id)
    if job.kind == "build":
        ending = end_of_build(work.spec, funnel, searches, rounds=job.rounds, max_rounds=ctx.settings.jobs.max_rounds, dead=dead)
        state, shortfall, error = ending.state, ending.shortfall, ending.error
    else:
        state, shortfall, error = (JobState.FAILED if dead else JobState.SUCCEEDED), None, (dead[0] if dead else None)
    async with work.transaction() as connection:
        await jobs.end(connection, job.id, state, shortfall=shortfall, error=error)
        await work.finish_in(connection)
    log.info("job.ended", state=state.value, kept=funnel.kept, reasons=funnel.reasons, error=error)
