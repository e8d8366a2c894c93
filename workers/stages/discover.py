"""Turns the candidates of a source or a list into image rows and chunks. A page is stored with its cursor, so a crash repeats no page.

Retry: the downloader retries requests. A source that still fails with a TransientError pauses the unit: one that refuses up to 5 times, one
that cannot be reached for ``retry.dead_host_s`` in all. A PermanentError ends the search with a note, and the job goes on without it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import errors
from app.db import Connection, candidates, images, jobs, lifecycle, new_id, units
from app.db.rows import Job, NewUnit, Search
from app.discovery import Query, SearchPage, url_list
from app.discovery.licences import gate as licence_gate
from app.discovery.licences.policy import LicencePolicy
from app.discovery.offers import Found
from app.domain import FOLDER_SOURCE, LIST_SOURCE, LISTED_SOURCES, PAGES_SOURCE, Candidate, ListProblem, Reason
from app.formatting import count, duration
from app.job_states import UnitKind
from app.jobs.source_client import SourceClient, is_unreachable, make_source_client
from app.observability import metrics
from app.resources import make_source
from app.settings import RetrySettings
from app.spec import ListSpec
from app.storage import Store
from downloader.url_guard import normalise
from logging_setup import get_logger
from workers.stages import rebuild
from workers.stages.crawl import AllPagesWait, CrawlStep, crawl, pause
from workers.stages.offers import divide_known, name_candidate, record_offers
from workers.stages.read_folder import PAGE, folder_pages
from workers.unit import ClaimedUnit

__all__ = ["CandidateWriter", "discover_candidates", "list_pages"]

log = get_logger(__name__)

FIRST_LIST_PAGE, LIST_PAGE = 200, 2_000
"""Rows of a list in one page and one transaction. Pages grow from the first size to the second, so that the first requests start early:
on SQLite a long transaction blocks every other writer."""

LOGGED_PROBLEMS = 100
"""Invalid lines of a list, or results of a source, that are logged; all are counted."""

SOURCE_PAUSES = 5
"""Times a search waits for a source that refuses its requests for now before it ends without it."""

SOURCE_PAUSE_S = 60.0
"""Seconds of such a wait if the source sends no Retry-After."""

SEE_DOCTOR = "see `pictrawl doctor --only network`"

FIRST_REFUSAL = 400
"""The smallest status that says by itself what is wrong."""

UNREACHABLE_PAUSE_S = 15.0
"""Seconds of the first wait for a source that cannot be reached; each further one is twice as long."""


async def discover_candidates(unit: ClaimedUnit) -> None:
    """Release spare candidates of a search, then store pages, until what the unit wants is being fetched or the search is exhausted."""
    search = await jobs.get_search(unit.ctx.db, str(unit.row.payload["search_id"]))
    if unit.finishes_early:
        await _give_up(unit, search, "finished early, as asked")
        return
    if unit.is_unneeded:
        return
    if unit.spec.lock is not None:
        await rebuild.list_images(unit, search, unit.spec.lock)
        return
    client = _client(unit, search.source)
    writer = CandidateWriter(unit, unit.job, search, client)
    if await writer.release_spare():
        await unit.ctx.dispatch_next()
    if search.is_exhausted or writer.want == 0:
        return
    try:
        async with aclosing(_pages(unit, search, writer.want, client)) as pages:
            async for page in pages:
                if await writer.add(page):
                    await unit.ctx.dispatch_next()
                if client is not None:
                    client.unreached_since = None
                if unit.stop.is_set() or writer.want == 0:
                    break
    except AllPagesWait as waits:
        await pause(unit, waits)
        return
    except (errors.TransientError, errors.PermanentError) as error:
        await _after_source_error(unit, search, client, error)
        return
    if unit.stop.is_set():
        await unit.release()


def _client(unit: ClaimedUnit, source: str) -> SourceClient | None:
    """Return the client of a search's source; a list or a folder has none, and pages are of many hosts."""
    if source in (*LISTED_SOURCES, PAGES_SOURCE):
        return None
    ctx, payload = unit.ctx, unit.row.payload
    is_repeat, since = bool(payload.get("pauses")), payload.get("unreached_since")
    return make_source_client(ctx.settings, source, ctx.downloader, ctx.db, is_repeat=is_repeat, unreached_since=since)


async def _pages(unit: ClaimedUnit, search: Search, want: int | None, client: SourceClient | None) -> AsyncGenerator[SearchPage, None]:
    spec, ctx = unit.spec, unit.ctx
    if client is None and spec.url_list is not None:
        async with aclosing(list_pages(ctx.store, spec.url_list, search.cursor, size=min(LIST_PAGE, want or LIST_PAGE))) as pages:
            async for page in pages:
                yield page
        return
    if search.source == PAGES_SOURCE and spec.pages is not None:
        async with aclosing(crawl(unit, search, spec.pages)) as steps:
            async for step in steps:
                yield step
        return
    if search.source == FOLDER_SOURCE and spec.folder is not None:
        tars = ctx.worker_resources.tars
        async with aclosing(folder_pages(spec.folder, tars, search.cursor, size=min(PAGE, want or PAGE))) as pages:
            async for page in pages:
                yield page
        return
    assert client is not None
    source = make_source(ctx.settings, search.source, client, side_px=spec.side_px)
    query = Query(search.keyword, licences=licence_gate.policy_of(spec), wanted=want)
    if search.root_keyword in (None, search.keyword):  # its synonyms would find the same by item and category
        query = replace(query, qid=search.qid, category=search.category)
    async for page in source.pages(query, search.cursor):
        labelled = tuple(replace(candidate, label=candidate.label or search.label) for candidate in page.candidates)
        yield replace(page, candidates=labelled)


async def _after_source_error(unit: ClaimedUnit, search: Search, client: SourceClient | None, error: errors.PictrawlError) -> None:
    """Release the unit for a later try after a temporary error; after other errors end the search with a note."""
    if client is not None and client.waits_for_limit and isinstance(error, errors.RateLimitError):
        limited_s = error.retry_after_s or 0.0
        log.info("source.limit_reached", source=search.source, limit=str(error), wait_s=round(limited_s, 3))
        await _pause(unit, search, client, limited_s, f"{error}; the next is in {duration(limited_s)}")
        return
    pauses = int(unit.row.payload.get("pauses", 0))
    wait_s, since, words = _source_pause(error, pauses, client, unit.ctx.settings.retry)
    name = type(error).__name__
    if wait_s is not None:
        log.warning("source.pauses", source=search.source, error_type=name, error=words, wait_s=wait_s)
        if client is not None and isinstance(error, errors.RateLimitError):
            await client.close(wait_s)
        await _pause(unit, search, client, wait_s, f"{words}; the next try is in {wait_s:.0f} s", pauses=pauses + 1, unreached_since=since)
        return
    log.warning("source.gave_up", source=search.source, error_type=name, error=words)
    await _give_up(unit, search, words if since else f"{words}, {_so_far(search.found)}", client)


async def _pause(unit: ClaimedUnit, search: Search, client: SourceClient | None, wait_s: float, words: str, **payload: Any) -> None:
    """Release the unit until a later try, and show what it waits for."""
    async with unit.transaction() as connection:
        await _count_requests(connection, search, client)
        if payload:
            await unit.change_payload(connection, **payload)
        await units.release_in(connection, unit.row, delay_s=wait_s)
        unit.is_settled = True
    await jobs.wait_for(unit.ctx.db, unit.job.id, f"{search.source}: {words}")


async def _count_requests(connection: Connection, search: Search, client: SourceClient | None) -> None:
    """Add the requests since the last call to the search's row."""
    if client is not None and client.requests:
        await jobs.count_search_requests(connection, search.id, requests=client.requests, retries=client.retries)
        client.requests = client.retries = 0


def _source_pause(
    error: errors.PictrawlError, pauses: int, client: SourceClient | None, rules: RetrySettings
) -> tuple[float | None, float | None, str]:
    """Decide about a search whose source failed.

    Returns:
        Seconds until the next try, or None to give up; since when the source cannot be reached, None where it can; and why, in words.
    """
    host = client.host if client is not None else "the list"
    if not isinstance(error, errors.TransientError):
        return None, None, _problem(error, host)
    if not is_unreachable(error):
        wait_s = min(error.retry_after_s or SOURCE_PAUSE_S, rules.retry_after_max_s)
        return (wait_s if pauses < SOURCE_PAUSES else None), None, _problem(error, host)
    now = time.time()
    since = (client.unreached_since if client is not None else None) or now
    left_s = since + rules.dead_host_s - now
    problem = f"{host} does not answer" if isinstance(error, errors.TimeoutException) else f"Cannot connect to {host}"
    if left_s <= 0 or (error.retry_after_s or 0.0) > left_s:
        return None, since, f"{problem}; gave up after {_in_words(now - since)}, {SEE_DOCTOR}"
    wait_s = max(error.retry_after_s or 0.0, min(UNREACHABLE_PAUSE_S * 2**pauses, left_s))
    return wait_s, since, problem


def _problem(error: errors.PictrawlError, host: str) -> str:
    """``refused the search (429)``: what a source did, as it follows on its name."""
    match error:
        case errors.HostNotFoundError():
            return f"the name {host} cannot be resolved, {SEE_DOCTOR}"
        case errors.TLSError():
            return f"{error}, {SEE_DOCTOR}"
        case _ if error.status is None or error.status < FIRST_REFUSAL:  # the source's own words, or what came in the place of an answer
            return str(error)
        case errors.RateLimitError() | errors.AuthenticationError():
            return f"refused the search ({error.status})"
        case errors.ServiceUnavailableError():
            return f"is overloaded or down ({error.status})"
    return f"answered the search with {error.status}"


def _so_far(found: int) -> str:
    return f"after {count(found, 'result')}" if found else "so nothing was searched"


def _in_words(seconds: float) -> str:
    return count(round(seconds / 60), "minute") if seconds >= 90 else count(round(seconds), "second")


async def _give_up(unit: ClaimedUnit, search: Search, note: str, client: SourceClient | None = None) -> None:
    """End a search that may have more."""
    async with unit.transaction() as connection:
        await jobs.advance_search(connection, search.id, cursor=search.cursor, is_exhausted=True, found=0, new=0, bad=0, note=note)
        await _count_requests(connection, search, client)
        await unit.finish_in(connection)


async def list_pages(store: Store, spec: ListSpec, cursor: str | None, *, size: int = LIST_PAGE) -> AsyncGenerator[SearchPage, None]:
    """Read a stored URL list as pages; the cursor is the number of rows read. One page is in memory."""
    async with store.as_local_file(spec.key) as path:
        first = skip = int(cursor or 0)
        rows = url_list.read(path, spec, skip=skip)
        while True:
            page_size = min(size, FIRST_LIST_PAGE + skip - first)
            read = await asyncio.to_thread(_read, rows, page_size)
            skip += len(read)
            yield SearchPage(
                candidates=tuple(row for row in read if isinstance(row, Candidate)),
                cursor=str(skip) if len(read) == page_size else None,
                problems=tuple(row for row in read if isinstance(row, ListProblem)),
            )
            if len(read) < page_size:
                return


def _read(rows: Iterator[Candidate | ListProblem], count: int) -> list[Candidate | ListProblem]:
    return list(islice(rows, count))


@dataclass(slots=True)
class CandidateWriter:
    """Writes the pages of one search to the database, fenced by the unit that runs it.

    The unit's payload says how many candidates are still wanted. It is lowered in the transaction that has them fetched, so that a run
    that dies has none fetched twice. Candidates beyond it are spare.
    """

    unit: ClaimedUnit
    job: Job
    search: Search
    client: SourceClient | None = None
    logged: int = 0
    policy: LicencePolicy = field(init=False)

    def __post_init__(self) -> None:
        self.policy = licence_gate.policy_of(self.unit.spec)

    @property
    def want(self) -> int | None:
        """How many more candidates are to be fetched; None for all."""
        want = self.unit.row.payload.get("want")
        return None if want is None else int(want)

    async def release_spare(self) -> int:
        """Have spare candidates of earlier pages fetched, as many as are wanted; return how many."""
        if not self.want:
            return 0
        async with self.unit.transaction() as connection:
            released = await self._release(connection)
        if released:
            log.info("search.released", source=self.search.source, candidates=released)
        return released

    async def add(self, page: SearchPage) -> int:
        """Insert a page's new candidates, with chunks and fetch units, and advance the cursor; return how many are to be fetched.

        Those whose licences the job does not take are rows that are never fetched, and count towards nothing that is wanted.
        """
        valid, bad = _normalise_all(page.candidates)
        problems = [*page.problems, *bad]
        self._log_problems(problems)
        async with self.unit.transaction() as connection:
            fresh, again = await divide_known(connection, self.job.dataset_id, valid)
            found = licence_gate.sort(self.policy, ((item.url, item.candidate) for item in fresh))
            refused = await self._insert_refused(connection, found.refused)  # before: of two statements on a URL the stricter holds
            new, to_fetch = await self._insert(connection, found.taken)
            await record_offers(connection, self.job.dataset_id, again, self.policy)
            await jobs.advance_search(
                connection,
                self.search.id,
                cursor=page.cursor,
                is_exhausted=page.cursor is None,
                found=len(page.candidates) + len(page.problems),
                new=new + refused,
                bad=len(problems),
                note=page.note or None,
            )
            if isinstance(page, CrawlStep):
                await page.record(connection, self.search.id)
            await _count_requests(connection, self.search, self.client)
            if self.unit.row.payload.get("pauses"):  # those in a row count
                await self.unit.change_payload(connection, pauses=0, unreached_since=None)
            await self.unit.record_progress(connection)
        counts = {"found": len(page.candidates), "new": new + refused, "bad": len(problems), "refused": refused, "spare": new - to_fetch}
        log.info("search.page", source=self.search.source, **counts)
        if refused:
            metrics.downloads.labels("refused", Reason.LICENCE).inc(refused)
        return to_fetch

    async def _insert_refused(self, connection: Connection, refused: Sequence[tuple[str, Candidate, str]]) -> int:
        ids = {"dataset_id": self.job.dataset_id, "job_id": self.job.id, "search_id": self.search.id}
        return await images.add_refused(connection, **ids, refused=refused) if refused else 0

    async def _insert(self, connection: Connection, valid: Sequence[tuple[str, Candidate]]) -> tuple[int, int]:
        """Insert candidates; return how many are new, and how many of them are to be fetched."""
        room = len(valid) if self.want is None else min(self.want, len(valid))
        chunks = [(new_id("chunk"), valid[start : min(start + self._size, room)]) for start in range(0, room, self._size)]
        sizes = await images.add_candidates(
            connection,
            dataset_id=self.job.dataset_id,
            job_id=self.job.id,
            search_id=self.search.id,
            chunks=[*chunks, (None, valid[room:])],
        )
        spare = sizes.pop(None, 0)
        to_fetch = await self._start(connection, {str(chunk_id): size for chunk_id, size in sizes.items()})
        if spare and self.want:  # some of the first candidates were known already
            to_fetch += await self._release(connection)
        return sum(sizes.values()) + spare, to_fetch

    @property
    def _size(self) -> int:
        return self.unit.ctx.settings.jobs.chunk_size

    async def _release(self, connection: Connection) -> int:
        limit = self.want or 0
        return await self._start(
            connection, await candidates.release_spare(connection, self.job, self.search.id, limit=limit, size=self._size)
        )

    async def _start(self, connection: Connection, sizes: Mapping[str, int]) -> int:
        """Add chunks with their fetch units, and lower the number that is wanted; return how many images they hold."""
        started = sum(sizes.values())
        await images.add_chunks(connection, self.job.id, sizes)
        await lifecycle.add_units(connection, self.job.id, [NewUnit(UnitKind.FETCH, {"chunk_id": chunk_id}) for chunk_id in sizes])
        if started and self.want is not None:
            await self.unit.change_payload(connection, want=self.want - started)
        return started

    def _log_problems(self, problems: Sequence[ListProblem]) -> None:
        source = self.search.source
        for problem in problems[: max(0, LOGGED_PROBLEMS - self.logged)]:
            if source == LIST_SOURCE:
                log.warning("list.bad_line", line=problem.line, problem=problem.message, text=problem.text)
            else:
                log.warning("search.bad_result", source=source, place=problem.line, problem=problem.message, text=problem.text)
        self.logged += len(problems)


def _normalise_all(candidates: Sequence[Candidate]) -> tuple[list[Found], list[ListProblem]]:
    valid: list[Found] = []
    bad: list[ListProblem] = []
    for candidate in candidates:
        try:
            key = candidate.url if candidate.source == FOLDER_SOURCE else normalise(candidate.url)
            valid.append(name_candidate(key, candidate))
        except errors.InvalidURLError as error:
            bad.append(ListProblem(candidate.line or 0, str(error)))
    return valid, bad
