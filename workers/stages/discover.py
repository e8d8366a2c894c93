"""From what a source offers to rows and chunks. A page goes in with its cursor in one transaction, so a crash repeats no page."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import errors
from app.db import Connection, images, jobs, new_id, units
from app.db.rows import Job, NewUnit, Search
from app.discovery import Page, url_list
from app.domain import Candidate, Problem, UnitKind
from app.spec import ListSpec
from app.storage import Store
from downloader.url_guard import normalise
from logging_setup import get_logger
from workers.unit import Work, pass_on

__all__ = ["LIST_SOURCE", "Intake", "discover", "list_pages"]

log = get_logger(__name__)

LIST_SOURCE = "list"
"""The source name of URL lists."""

FIRST_LIST_PAGE, LIST_PAGE = 200, 2_000
"""Rows of a list in one page, and in one transaction. Pages grow from the first to the second, so that first requests do not wait for long
ones: on SQLite nobody else writes meanwhile."""

LOGGED_PROBLEMS = 100
"""Bad lines of a list that get a log line each; all are counted."""

SOURCE_PAUSES = 5
"""Times a search waits for a source that asks for patience before it goes on without it."""

SOURCE_PAUSE_S = 60.0
"""Seconds of such a wait where the source names none."""


async def discover(work: Work) -> None:
    """Take pages from a search until it has brought what this round wants, or has no more."""
    search = await jobs.get_search(work.ctx.db, str(work.unit.payload["search_id"]))
    want = work.unit.payload.get("want")
    intake = Intake(work, work.job, search)
    try:
        async with aclosing(_pages(work, search, want)) as pages:
            async for page in pages:
                if await intake.add(page):
                    await pass_on(work.ctx)
                if work.stop.is_set() or (want is not None and intake.taken >= want):
                    break
    except (errors.TransientError, errors.PermanentError) as error:
        await _after_source_error(work, search, error)
        return
    if work.stop.is_set():
        await work.release()


async def _pages(work: Work, search: Search, want: int | None) -> AsyncGenerator[Page, None]:
    spec, ctx = work.spec, work.ctx
    if search.source == LIST_SOURCE and spec.url_list is not None:
        async with aclosing(list_pages(ctx.store, spec.url_list, search.cursor, size=min(LIST_PAGE, want or LIST_PAGE))) as pages:
            async for page in pages:
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


async def list_pages(store: Store, spec: ListSpec, cursor: str | None, *, size: int = LIST_PAGE) -> AsyncGenerator[Page, None]:
    """A stored URL list as pages; the cursor is the count of rows read. Memory is bounded by one page."""
    async with _on_disk(store, spec.key) as path:
        first = skip = int(cursor or 0)
        rows = url_list.read(path, spec, skip=skip)
        while True:
            wanted = min(size, FIRST_LIST_PAGE + skip - first)
            taken = await asyncio.to_thread(_take, rows, wanted)
            skip += len(taken)
            yield Page(
                candidates=tuple(row for row in taken if isinstance(row, Candidate)),
                cursor=str(skip) if len(taken) == wanted else None,
                problems=tuple(row for row in taken if isinstance(row, Problem)),
            )
            if len(taken) < wanted:
                return


def _take(rows: Iterator[Candidate | Problem], count: int) -> list[Candidate | Problem]:
    return list(islice(rows, count))


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
        size = self.work.ctx.settings.jobs.chunk_size
        groups = [(new_id("chunk"), good[start : start + size]) for start in range(0, len(good), size)]
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
