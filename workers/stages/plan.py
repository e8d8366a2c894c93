"""Plans a job as units: the searches of a build, or the units of any other kind of job.

Retry: none here. A keyword whose expansion fails is searched for without synonyms.
"""

import math
from collections.abc import Awaitable, Callable, Sequence

import errors
from app.datasets import versions
from app.db import Connection, crawl_pages, datasets, images, jobs, new_id
from app.db.rows import NewUnit
from app.discovery import Expansion
from app.discovery.keywords import fold, slug
from app.domain import FOLDER_SOURCE, LIST_SOURCE, LOCK_SOURCE, PAGES_SOURCE, ImageState, Reason
from app.job_states import JobKind, JobState, UnitKind
from app.quotas import Quota, Supply, plan_searches
from app.spec import JobSpec
from logging_setup import get_logger
from workers.stages.merge_datasets import copy_merged
from workers.stages.rounds import next_wants, search_units
from workers.stages.update import copy_base, plan_update
from workers.unit import ClaimedUnit

__all__ = ["expand_keyword", "plan_job"]

log = get_logger(__name__)

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
        Reason.NOT_SELECTED,
        Reason.OVER_TARGET,
        Reason.PLACEHOLDER,
        Reason.LABEL_CONFLICT,
    }
)
"""Reasons that another validation, at another level, may lift."""

ExpandKeyword = Callable[..., Awaitable[Sequence[Expansion]]]


async def plan_job(unit: ClaimedUnit) -> None:
    """Finish a job's first unit with the units that carry the job out."""
    job = unit.job
    state = await versions.read_state(unit.ctx.resources, job.dataset_id) if job.kind is JobKind.EXPORT else None
    if job.kind is JobKind.BUILD and not unit.finishes_early:
        await _copy(unit)
    async with unit.transaction() as connection:
        await jobs.set_stage(connection, job.id, state=JobState.RUNNING, stage=None)
        if state is not None and state.images:
            version = await versions.record(connection, state)
            for export_id in await datasets.export_ids_of_job(connection, job.id):
                await datasets.set_export(connection, export_id, version=version.number)
        await unit.finish_in(connection, await _PLANS[job.kind](connection, unit))


async def _copy(unit: ClaimedUnit) -> None:
    """Copy the images of the datasets that a build begins with, in transactions of their own."""
    if unit.spec.base_id is not None:
        await copy_base(unit)
    elif unit.spec.merge_of and unit.spec.retry_reasons is None:
        await copy_merged(unit)


async def _plan_build(connection: Connection, unit: ClaimedUnit) -> list[NewUnit]:
    spec, job = unit.spec, unit.job
    log.info("job.planning", keywords=spec.keywords, max_images=spec.max_images, user_id=job.user_id)
    if unit.finishes_early:
        return []
    if spec.retry_reasons is not None:
        return await _plan_retry(connection, unit)
    if spec.update_of is not None:
        return await plan_update(connection, unit)
    if spec.merge_of:
        return []
    if spec.keywords and spec.expand:
        return [NewUnit(UnitKind.KEYWORDS, {"keyword": keyword}) for keyword in spec.keywords]
    if spec.lock is not None:
        searches: list[tuple[str, str, str | None]] = [(LOCK_SOURCE, spec.lock.digest, None)]
    elif spec.url_list is not None:
        searches = [(LIST_SOURCE, spec.url_list.name, spec.label)]
    elif spec.pages is not None:
        searches = [(PAGES_SOURCE, spec.pages.name, spec.label)]
    elif spec.folder is not None:
        searches = [(FOLDER_SOURCE, spec.folder.name, spec.label)]
    else:
        searches = [(source, keyword, _label(spec, keyword)) for keyword in spec.keywords for source in spec.sources]
    return await _first_round(connection, unit, searches)


async def _plan_retry(connection: Connection, unit: ClaimedUnit) -> list[NewUnit]:
    """Fetch again what failed: all of it, or as much as the target lacks. The searches of pages that failed go on with them."""
    size, job = unit.ctx.settings.jobs.chunk_size, unit.job
    reasons = unit.spec.retry_reasons or []
    reopened = await crawl_pages.reopen(connection, job.dataset_id, reasons) if unit.spec.pages is not None else []
    await jobs.reopen_searches(connection, reopened)
    if unit.spec.max_images is not None:
        return search_units(await next_wants(connection, unit))
    count = await images.count_failed(connection, job.dataset_id, reasons)
    chunk_ids = [new_id("chunk") for _ in range(math.ceil(count / size))]
    await images.add_chunks(connection, job.id, dict.fromkeys(chunk_ids, size))
    await images.reassign(connection, job.dataset_id, job_id=job.id, chunk_ids=chunk_ids, size=size, reasons=reasons)
    return [*(NewUnit(UnitKind.FETCH, {"chunk_id": chunk_id}) for chunk_id in chunk_ids), *search_units(dict.fromkeys(reopened))]


async def _plan_export(connection: Connection, unit: ClaimedUnit) -> list[NewUnit]:
    return [NewUnit(UnitKind.EXPORT, {"export_id": export_id}) for export_id in await datasets.export_ids_of_job(connection, unit.job.id)]


async def _plan_verify(_: Connection, unit: ClaimedUnit) -> list[NewUnit]:
    return [NewUnit(UnitKind.VERIFY, {"export_id": unit.job.spec["export_id"]})]


async def _plan_integrity(_: Connection, __: ClaimedUnit) -> list[NewUnit]:
    return [NewUnit(UnitKind.INTEGRITY)]


async def _plan_duplicates(_: Connection, __: ClaimedUnit) -> list[NewUnit]:
    return [NewUnit(UnitKind.DUPLICATES)]


async def _plan_validation(connection: Connection, unit: ClaimedUnit) -> list[NewUnit]:
    states = [ImageState.FETCHED, ImageState.VALID, ImageState.KEPT, ImageState.DUPLICATE]
    chunk_ids = await images.reset_for_validation(connection, unit.job.dataset_id, states, sorted(JUDGED_BY_LEVEL))
    return [NewUnit(UnitKind.VALIDATE, {"chunk_id": chunk_id}) for chunk_id in chunk_ids]


_PLANS: dict[JobKind, Callable[[Connection, ClaimedUnit], Awaitable[list[NewUnit]]]] = {
    JobKind.BUILD: _plan_build,
    JobKind.EXPORT: _plan_export,
    JobKind.VERIFY: _plan_verify,
    JobKind.INTEGRITY: _plan_integrity,
    JobKind.DUPLICATES: _plan_duplicates,
    JobKind.VALIDATION: _plan_validation,
}


def _label(spec: JobSpec, keyword: str) -> str:
    return spec.label or spec.keyword_labels.get(keyword) or slug(keyword)


async def _first_round(
    connection: Connection,
    unit: ClaimedUnit,
    searches: Sequence[tuple[str, str, str | None]],
    *,
    keyword: str | None = None,
    **known: str | None,
) -> list[NewUnit]:
    """Add searches (source, keyword, label), all of them for ``keyword`` and with what is known of it if given, as of `jobs.add_searches`;
    return the units of their first round."""
    ids = await jobs.add_searches(connection, unit.job.id, searches, root_keyword=keyword, **known)
    if unit.spec.quota is None:
        return search_units(dict.fromkeys(ids))
    if keyword is not None:
        return search_units(_share_of(unit.spec.quota, unit.spec.keywords.index(keyword), ids))
    wants = await next_wants(connection, unit)
    return search_units({search_id: wants[search_id] for search_id in ids if search_id in wants})


def _share_of(quota: Quota, at: int, ids: Sequence[str]) -> dict[str, int]:
    """What the searches of one keyword find first. The searches of the others are not looked at: there may be a thousand times as many."""
    share = quota.shares([None] * max(1, len(quota.labels)))[at]
    return plan_searches(Quota(share), [Supply(searches=dict.fromkeys(ids))])


async def expand_keyword(unit: ClaimedUnit, look_up: ExpandKeyword) -> None:
    """Plan searches for a keyword and its aliases and translations from Wikidata, all under the keyword's label."""
    spec, keyword = unit.spec, str(unit.row.payload["keyword"])
    known: dict[str, str | None] = {}
    terms: list[str] = []
    if unit.finishes_early:
        await unit.finish()
        return
    try:
        base_url = unit.ctx.settings.sources.wikidata.base_url
        expansions = await look_up(unit.ctx.downloader, keyword, spec.expand, spec.lang, base_url=base_url)
        own = {fold(other) for other in spec.keywords}  # each has searches of its own
        terms = [expansion.term for expansion in expansions if fold(expansion.term) not in own]
        known = {"qid": expansions[0].qid, "category": expansions[0].category} if expansions else {}
        log.info("keywords.expanded", keyword=keyword, terms=terms)
    except (errors.TransientError, errors.PermanentError) as error:  # without Wikidata the job has fewer synonyms, and goes on
        log.warning("keywords.not_expanded", keyword=keyword, error_type=type(error).__name__, error=str(error))
        known = {"not_expanded": f"its other names could not be looked up: {error}"}
    label = _label(spec, keyword)
    async with unit.transaction() as connection:
        searches = [(source, term, label) for term in [keyword, *terms] for source in spec.sources]
        await unit.finish_in(connection, await _first_round(connection, unit, searches, keyword=keyword, **known))
