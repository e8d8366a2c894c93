"""What a job is to do, as units: its searches at first, another round of them later, or the one thing it was made for."""

import math
from collections.abc import Awaitable, Callable, Sequence

import errors
from app.db import Connection, exports, images, jobs, new_id
from app.db.rows import Funnel, NewUnit, Search
from app.discovery import Expansion
from app.discovery.keywords import slug
from app.domain import ImageState, JobKind, JobState, Reason, UnitKind
from logging_setup import get_logger
from workers.stages.discover import LIST_SOURCE
from workers.unit import Work

__all__ = ["ask_for_more", "expand_keyword", "plan", "wanted_candidates"]

log = get_logger(__name__)

OVERFETCH = 1.5
"""Candidates asked for at first for each image wanted; later rounds go by what was kept so far."""

JUDGED_BY_LEVEL = frozenset(
    {
        Reason.CORRUPT,
        Reason.TOO_SMALL,
        Reason.TOO_MANY_PIXELS,
        Reason.ASPECT,
        Reason.LOW_INFORMATION,
        Reason.BLURRY,
        Reason.EXPOSURE,
        Reason.ANIMATED,
        Reason.FORMAT,
        Reason.OVER_TARGET,
    }
)
"""Reasons that another validation may lift."""

ExpandKeyword = Callable[..., Awaitable[Sequence[Expansion]]]


def wanted_candidates(*, missing: int, candidates: int, unique: int, searches: int) -> int:
    """How many candidates each search should bring so that ``missing`` more images are kept."""
    yield_so_far = unique / candidates if candidates and unique else 1 / OVERFETCH
    factor = min(10.0, max(1.0 / yield_so_far, 1.1))
    return max(10, math.ceil(missing * factor / max(searches, 1)))


async def plan(work: Work) -> None:
    """The first unit of any job: what it was made for, as units."""
    job = work.job
    async with work.transaction() as connection:
        await jobs.set_stage(connection, job.id, state=JobState.RUNNING, stage=None)
        await work.finish_in(connection, await _PLANS[job.kind](connection, work))


async def _plan_build(connection: Connection, work: Work) -> list[NewUnit]:
    spec, job = work.spec, work.job
    log.info("job.planning", keywords=spec.keywords, max_images=spec.max_images, user_id=job.user_id)
    if spec.retry_reasons is not None:
        return await _plan_retry(connection, work)
    if spec.keywords and spec.expand:
        return [NewUnit(UnitKind.KEYWORDS, {"keyword": keyword}) for keyword in spec.keywords]
    if spec.url_list is not None:
        wanted: list[tuple[str, str, str | None]] = [(LIST_SOURCE, spec.url_list.name, spec.label)]
    else:
        wanted = [(source, keyword, spec.label or slug(keyword)) for keyword in spec.keywords for source in spec.sources]
    return await _search_units(connection, work, wanted)


async def _plan_retry(connection: Connection, work: Work) -> list[NewUnit]:
    size, job = work.ctx.settings.jobs.chunk_size, work.job
    reasons = work.spec.retry_reasons or []
    count = await images.count_failed(connection, job.dataset_id, reasons)
    chunk_ids = [new_id("chunk") for _ in range(math.ceil(count / size))]
    await images.add_chunk(connection, job.id, dict.fromkeys(chunk_ids, size))
    await images.reassign(connection, job.dataset_id, job_id=job.id, chunk_ids=chunk_ids, size=size, reasons=reasons)
    return [NewUnit(UnitKind.FETCH, {"chunk_id": chunk_id}) for chunk_id in chunk_ids]


async def _plan_export(connection: Connection, work: Work) -> list[NewUnit]:
    return [NewUnit(UnitKind.EXPORT, {"export_id": await exports.id_of_job(connection, work.job.id)})]


async def _plan_verify(_: Connection, work: Work) -> list[NewUnit]:
    return [NewUnit(UnitKind.VERIFY, {"export_id": work.job.spec["export_id"]})]


async def _plan_integrity(_: Connection, __: Work) -> list[NewUnit]:
    return [NewUnit(UnitKind.INTEGRITY)]


async def _plan_duplicates(_: Connection, __: Work) -> list[NewUnit]:
    return [NewUnit(UnitKind.DUPLICATES)]


async def _plan_validation(connection: Connection, work: Work) -> list[NewUnit]:
    states = [ImageState.FETCHED, ImageState.VALID, ImageState.KEPT, ImageState.DUPLICATE]
    chunk_ids = await images.reset_for_validation(connection, work.job.dataset_id, states, sorted(JUDGED_BY_LEVEL))
    return [NewUnit(UnitKind.VALIDATE, {"chunk_id": chunk_id}) for chunk_id in chunk_ids]


_PLANS: dict[JobKind, Callable[[Connection, Work], Awaitable[list[NewUnit]]]] = {
    JobKind.BUILD: _plan_build,
    JobKind.EXPORT: _plan_export,
    JobKind.VERIFY: _plan_verify,
    JobKind.INTEGRITY: _plan_integrity,
    JobKind.DUPLICATES: _plan_duplicates,
    JobKind.VALIDATION: _plan_validation,
}


async def _search_units(connection: Connection, work: Work, wanted: Sequence[tuple[str, str, str | None]]) -> list[NewUnit]:
    ids = await jobs.add_searches(connection, work.job.id, wanted)
    target = work.spec.max_images
    want = wanted_candidates(missing=target, candidates=0, unique=0, searches=len(ids)) if target else None
    return [NewUnit(UnitKind.SEARCH, {"search_id": search_id, "want": want}) for search_id in ids]


async def expand_keyword(work: Work, look_up: ExpandKeyword) -> None:
    """Searches for a keyword and for what Wikidata knows it as; all under the keyword's own label."""
    spec, keyword = work.spec, str(work.unit.payload["keyword"])
    found: list[str] = []
    try:
        base_url = work.ctx.settings.sources.wikidata_url
        expansions = await look_up(work.ctx.workshop.downloader, keyword, spec.expand, spec.lang, base_url=base_url)
        found = [expansion.term for expansion in expansions]
        log.info("keywords.expanded", keyword=keyword, terms=found)
    except (errors.TransientError, errors.PermanentError) as error:  # a dictionary that is away costs synonyms, not the job
        log.warning("keywords.not_expanded", keyword=keyword, error_type=type(error).__name__, error=str(error))
    label = spec.label or slug(keyword)
    async with work.transaction() as connection:
        wanted = [(source, term, label) for term in [keyword, *found] for source in spec.sources]
        await work.finish_in(connection, await _search_units(connection, work, wanted))


async def ask_for_more(work: Work, funnel: Funnel, searches: Sequence[Search]) -> None:
    """Another round: the searches that have more bring what is missing."""
    open_searches = [search for search in searches if not search.is_exhausted]
    missing = (work.spec.max_images or 0) - funnel.unique
    want = wanted_candidates(missing=missing, candidates=funnel.candidates, unique=funnel.unique, searches=len(open_searches))
    log.info("job.wants_more", missing=missing, candidates_each=want, searches=len(open_searches))
    async with work.transaction() as connection:
        await jobs.set_stage(connection, work.job.id, state=JobState.RUNNING, stage=None, another_round=True)
        children = [NewUnit(UnitKind.SEARCH, {"search_id": search.id, "want": want}) for search in open_searches]
        await work.finish_in(connection, children)
