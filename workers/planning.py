"""From what a source offers to rows and chunks. A page goes in with its cursor in one transaction, so a crash repeats no page."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import errors
from app.db import Connection, exports, images, jobs, new_id, units
from app.db.rows import Funnel, Job, NewUnit, Search
from app.discovery import Expansion, Page, url_list
from app.discovery.chunks import batches
from app.discovery.keywords import slug
from app.records import Candidate, ImageState, JobKind, JobState, Problem, Reason, UnitKind
from app.spec import ListSpec
from app.storage import Store
from downloader import normalise
from logging_setup import get_logger
from workers.work import Work

__all__ = ["Intake", "ask_for_more", "discover", "expand_keyword", "list_pages", "plan", "wanted_candidates"]

log = get_logger(__name__)

OVERFETCH = 1.5
"""Candidates asked for at first for each image wanted; later rounds go by what was kept so far."""

LIST_PAGE = 2_000
"""Rows of a list in one page, and in one transaction."""

LOGGED_PROBLEMS = 100
"""Bad lines of a list that get a log line each; all are counted."""


LIST_SOURCE = "list"
"""The source name of URL lists."""

SOURCE_PAUSES = 5
"""Times a search waits for a source that asks for patience before it goes on without it."""

SOURCE_PAUSE_S = 60.0
"""Seconds of such a wait where the source names none."""

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


async def list_pages(store: Store, spec: ListSpec, cursor: str | None, *, size: int = LIST_PAGE) -> AsyncIterator[Page]:
    """A stored URL list as pages; the cursor is the count of rows read. Memory is bounded by one page."""
    async with _on_disk(store, spec.key) as path:
        skip = int(cursor or 0)
        rows = url_list.read(path, spec, skip=skip)
        while True:
            taken = await asyncio.to_thread(lambda: list(islice(rows, size)))
            skip += len(taken)
            yield Page(
                candidates=tuple(row for row in taken if isinstance(row, Candidate)),
                cursor=str(skip) if len(taken) == size else None,
                problems=tuple(row for row in taken if isinstance(row, Problem)),
            )
            if len(taken) < size:
                return


@asynccontextmanager
async def _on_disk(store: Store, key: str) -> AsyncIterator[Path]:
    path = store.local_path(key)
    if path is not None:
        yield path
        return
    async with store.scratch() as folder:
        copy = folder / Path(key).name
        await store.fetch_to(key, copy)
        yield copy


@dataclass(slots=True)
class Intake:
    """Puts one search's pages into the database, fenced by the unit that runs it."""

    work: Work
    job: Job
    search: Search
    label: str | None = None
    logged: int = 0
    taken: int = 0

    async def add(self, page: Page) -> int:
        """Insert what is new of a page, with chunks and their fetch units, and move the cursor; return how many were new."""
        good, bad = _normalised(page.candidates)
        problems = [*page.problems, *bad]
        self._report(problems)
        groups = [(new_id("chunk"), group) for group in batches(good, self.work.ctx.settings.jobs.chunk_size)]
        async with self.work.transaction() as connection:
            sizes = await self._insert(connection, groups)
            new = sum(sizes.values())
            await jobs.advance_search(
                connection,
                self.search.id,
                cursor=page.cursor,
                is_exhausted=page.cursor is None,
                found=len(page.candidates) + len(page.problems),
                new=new,
                bad=len(problems),
                note=page.note or None,
            )
        self.taken += new
        log.info("search.page", source=self.search.source, found=len(page.candidates), new=new, bad=len(problems))
        return new

    async def _insert(self, connection: Connection, groups: Sequence[tuple[str, Sequence[tuple[str, Candidate]]]]) -> dict[str, int]:
        sizes = await images.add_candidates(
            connection, dataset_id=self.job.dataset_id, job_id=self.job.id, search_id=self.search.id, chunks=groups
        )
        await images.add_chunk(connection, self.job.id, sizes)
        children = [NewUnit(UnitKind.FETCH, {"chunk_id": chunk_id}) for chunk_id in sizes]
        await units.add(connection, self.job.id, children)
        return sizes

    def _report(self, problems: Sequence[Problem]) -> None:
        for problem in problems[: max(0, LOGGED_PROBLEMS - self.logged)]:
            log.warning("list.bad_line", line=problem.line, problem=problem.message, text=problem.text)
        self.logged += len(problems)


def _normalised(candidates: Sequence[Candidate]) -> tuple[list[tuple[str, Candidate]], list[Problem]]:
    good: list[tuple[str, Candidate]] = []
    bad: list[Problem] = []
    for candidate in candidates:
        try:
            good.append((normalise(candidate.url), candidate))
        except errors.InvalidURLError as error:
            bad.append(Problem(candidate.line or 0, str(error)))
    return good, bad


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


async def discover(work: Work) -> None:
    """Take pages from a search until it has brought what this round wants, or has no more."""
    search = await jobs.get_search(work.ctx.db, str(work.unit.payload["search_id"]))
    want = work.unit.payload.get("want")
    intake = Intake(work, work.job, search)
    try:
        async for page in _pages(work, search, want):
            await intake.add(page)
            if work.stop.is_set() or (want is not None and intake.taken >= want):
                break
    except (errors.TransientError, errors.PermanentError) as error:
        await _after_source_error(work, search, error)
        return
    if work.stop.is_set():
        await work.release()


async def _pages(work: Work, search: Search, want: int | None) -> AsyncIterator[Page]:
    spec, ctx = work.spec, work.ctx
    if search.source == LIST_SOURCE and spec.url_list is not None:
        async for page in list_pages(ctx.store, spec.url_list, search.cursor, size=min(LIST_PAGE, want or LIST_PAGE)):
            yield page
        return
    source = ctx.workshop.source(ctx.settings, search.source)
    async for page in source.pages(search.keyword, search.cursor):
        labelled = tuple(replace(candidate, label=candidate.label or search.label) for candidate in page.candidates)
        yield replace(page, candidates=labelled)


async def _after_source_error(work: Work, search: Search, error: errors.PictrawlError) -> None:
    """A source that asks for patience is asked again later, a few times; one that refuses is noted, and the job goes on without it."""
    pauses = int(work.unit.payload.get("pauses", 0))
    name = type(error).__name__
    if isinstance(error, errors.TransientError) and pauses < SOURCE_PAUSES:
        wait_s = min(error.retry_after_s or SOURCE_PAUSE_S, work.ctx.settings.retry.retry_after_max_s)
        log.warning("source.pauses", source=search.source, error_type=name, error=str(error), wait_s=wait_s)
        async with work.transaction() as connection:
            await units.set_payload(connection, work.unit, dict(work.unit.payload) | {"pauses": pauses + 1})
            await units.release_in(connection, work.unit, delay_s=wait_s)
            work.is_settled = True
        return
    log.warning("source.gave_up", source=search.source, error_type=name, error=str(error))
    async with work.transaction() as connection:
        await jobs.advance_search(
            connection, search.id, cursor=search.cursor, is_exhausted=True, found=0, new=0, bad=0, note=f"{name}: {error}"
        )
        await work.finish_in(connection)


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
