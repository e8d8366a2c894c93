"""Reads the pages of a crawl, breadth first, as steps of a search: the images of a page, its links and its end are one transaction.

Retry: the downloader retries requests. A page that still fails with a TransientError is read again later, up to 3 times; any other failure
is that page's end. A crawl whose pages all wait pauses its unit.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Final

import errors
from app.concurrency import map_in_order
from app.db import Connection, crawl_pages, jobs, units
from app.db.crawl_pages import NO_FACTS, CrawlPage, PageFacts
from app.db.rows import Search
from app.discovery import SearchPage, pages
from app.discovery.pages import CrawlScope, ReadingRules, host_of, page_key
from app.formatting import duration
from app.pages_spec import PagesSpec
from downloader import Attempt, FetchRequest, Page
from downloader.client import Downloader
from downloader.models import Decisions
from errors import Reason
from logging_setup import get_logger
from workers.unit import ClaimedUnit

__all__ = ["AllPagesWait", "CrawlStep", "crawl", "pause"]

log = get_logger(__name__)

MAX_TRIES: Final = 3
"""Times that a page is tried whose host is overloaded or does not answer."""

FIRST_WAIT_S: Final = 60.0
"""Seconds before the second try, if the host names no time; before the third they are twice as many."""

READ_AHEAD: Final = 8
"""Pages that are requested while the one before them is stored. Their hosts' limits hold all the same."""

CURSOR: Final = "pages"
"""The cursor of a crawl that has begun; where it is, its pages say."""


@dataclass(slots=True)
class _Requests:
    """Counts the requests for one page, and those of them that repeat one, and keeps what was decided on them.

    Nothing is made durable before: pages have no such limit.
    """

    is_repeat: bool
    made: int = 0
    retries: int = 0
    decisions: Decisions = field(default_factory=Decisions)

    async def reserve(self, request: FetchRequest, number: int) -> None:
        """See :class:`downloader.AttemptLog`."""

    def record(self, request: FetchRequest, attempt: Attempt) -> None:
        """Count a request."""
        self.made += 1
        self.retries += attempt.number > 1 or self.is_repeat

    def decide(self, decisions: Decisions) -> None:
        """Keep what robots.txt and opt-outs said."""
        self.decisions = decisions

    def facts(self, told: PageFacts, evidence: str | None) -> PageFacts:
        """Return what a page is recorded with."""
        robots, opt_out = self.decisions.robots.value, self.decisions.opt_out.value
        return replace(told, requests=self.made, robots=robots, opt_out=opt_out, evidence=evidence)


class AllPagesWait(Exception):
    """No page may be read for ``wait_s`` seconds."""

    def __init__(self, wait_s: float, words: str) -> None:
        super().__init__(words)
        self.wait_s = wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class CrawlStep(SearchPage):
    """A step of a crawl, with what its transaction writes of the pages.

    Attributes:
        page: the page that was read; None for the named ones before anything was read, and at the end.
        links: pages to be read (key, URL) at ``depth``; ``parts`` of the page itself at its own depth.
        aliases: keys of other URLs of the page.
        failure: why it was not read, and in words; ``wait_s`` where it is read again.
        retries: requests that repeat one; ``facts`` has all of them, and what they told.
    """

    page: CrawlPage | None = None
    depth: int = 0
    links: tuple[tuple[str, str], ...] = ()
    parts: tuple[tuple[str, str], ...] = ()
    aliases: tuple[str, ...] = ()
    failure: tuple[Reason, str] | None = None
    wait_s: float | None = None
    max_pages: int = 0
    retries: int = 0
    facts: PageFacts = NO_FACTS

    async def record(self, connection: Connection, search_id: str) -> None:
        """Write what the step changes of the pages."""
        if self.facts.requests:
            await jobs.count_search_requests(connection, search_id, requests=self.facts.requests, retries=self.retries)
        if self.page is not None and self.wait_s is not None:
            await crawl_pages.defer(connection, self.page, self.wait_s, self.facts)
        elif self.page is not None:
            reason, detail = self.failure or (None, self.note or None)
            await crawl_pages.finish(
                connection, self.page, search_id=search_id, reason=reason, detail=detail, aliases=self.aliases, facts=self.facts
            )
        for found, depth in ((self.parts, self.depth - 1), (self.links, self.depth)):
            if found:
                room = max(0, self.max_pages - await crawl_pages.count_known(connection, search_id))
                left_out = await crawl_pages.add(
                    connection, search_id, found, depth=depth, room=room, parent_id=self.page.id if self.page else None
                )
                if left_out:
                    log.info("crawl.full", left_out=left_out, max_pages=self.max_pages)


async def crawl(unit: ClaimedUnit, search: Search, spec: PagesSpec) -> AsyncGenerator[CrawlStep, None]:
    """Yield the steps of a crawl from where it stands until every page that it knows has ended.

    Raises:
        AllPagesWait: the pages that are left are to be read later.
    """
    reader = _Reader(unit.ctx.downloader, search, spec, _rules(unit, spec))
    if search.cursor is None:  # of a crawl that a retry takes up as well: its named pages are known
        yield CrawlStep((), CURSOR, depth=0, links=_keyed(spec.urls), max_pages=_max_pages(spec))
    size = 1
    while due := await crawl_pages.load_due(unit.ctx.db, search.id, size):
        async with aclosing(map_in_order(_each(due), reader.read, READ_AHEAD)) as steps:
            async for step in steps:
                yield step
        size = min(2 * size, READ_AHEAD)
    wait_s = await crawl_pages.seconds_until_due(unit.ctx.db, search.id)
    if wait_s is not None:
        raise AllPagesWait(wait_s, f"pages of hosts that are overloaded or do not answer; the next try is in {duration(wait_s)}")
    yield CrawlStep((), None, note=await _summary(unit, spec))


async def pause(unit: ClaimedUnit, waits: AllPagesWait) -> None:
    """Release the unit until a page may be read again."""
    async with unit.transaction() as connection:
        await units.release_in(connection, unit.row, delay_s=waits.wait_s)
        unit.is_settled = True
    await jobs.wait_for(unit.ctx.db, unit.job.id, str(waits))


async def _each(due: Sequence[CrawlPage]) -> AsyncIterator[CrawlPage]:
    for page in due:
        yield page


def _rules(unit: ClaimedUnit, spec: PagesSpec) -> ReadingRules:
    fetch = unit.ctx.settings.fetch
    return ReadingRules(unit.spec.side_px, css_images=spec.css_images, robots=fetch.robots, opt_out=fetch.opt_out)


async def _summary(unit: ClaimedUnit, spec: PagesSpec) -> str:
    """Say at the end of a crawl how many pages were read, and what kept it from more."""
    counts = await crawl_pages.count_pages(unit.ctx.db, unit.job.dataset_id)
    is_full = spec.depth > 0 and counts.read + sum(counts.failed.values()) >= _max_pages(spec)
    return counts.words + (f"; it ended at max_pages {_max_pages(spec)}" if is_full else "")


def _max_pages(spec: PagesSpec) -> int:
    """The pages that may be read: all that are named, however many."""
    return max(spec.max_pages, len(spec.urls))


def _keyed(urls: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((page_key(url), url) for url in urls)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one page after the other."""

    downloader: Downloader
    search: Search
    spec: PagesSpec
    rules: ReadingRules

    async def read(self, page: CrawlPage) -> CrawlStep:
        """Request a page and read it; a failure is a step as well."""
        requests, evidence = _Requests(is_repeat=page.tries > 0), None
        try:
            step = await self._step(page, await self.downloader.fetch_page(page.url, log=requests, on_decided=requests.decide))
        except errors.TransientError as error:
            step, evidence = self._later(page, error), error.evidence
        except errors.PermanentError as error:
            step, evidence = self._failed(page, error.slug, str(error)), error.evidence
        return replace(step, retries=requests.retries, facts=requests.facts(step.facts, evidence))

    @property
    def _scope(self) -> CrawlScope:
        return CrawlScope(tuple(self.spec.follow_hosts))

    async def _step(self, page: CrawlPage, reply: Page) -> CrawlStep:
        if page.depth and not self._scope.is_followed(host_of(reply.url), host_of(page.url)):
            return self._failed(page, Reason.REDIRECT, f"it leads to another host, {host_of(reply.url)}")
        document = await asyncio.to_thread(pages.read, reply, self.rules)
        if document.problem and not document.links:
            failed = self._failed(page, Reason.OPT_OUT if document.reserved else Reason.PROTOCOL, document.problem)
            return replace(failed, facts=PageFacts(kind=document.kind or None))
        if document.note:
            log.info("page.note", url=page.url, note=document.note)
        links = self._scope.select(document.links, document.url) if page.depth < self.spec.depth else []
        parts = self._scope.select(document.parts, document.url)
        others = {page_key(url) for url in (document.url, document.canonical) if url} - {page_key(page.url)}
        return CrawlStep(
            tuple(replace(found, label=self.search.label, rank=rank) for rank, found in enumerate(document.images)),
            CURSOR,
            note=document.note,
            page=page,
            depth=page.depth + 1,
            links=_keyed(links),
            parts=_keyed(parts),
            aliases=tuple(sorted(others)),
            max_pages=_max_pages(self.spec),
            facts=PageFacts(kind=document.kind or None, images=len(document.images), links=len(links) + len(parts)),
        )

    def _later(self, page: CrawlPage, error: errors.TransientError) -> CrawlStep:
        if page.tries + 1 >= MAX_TRIES:
            return self._failed(page, error.slug, str(error))
        wait_s = error.retry_after_s or FIRST_WAIT_S * 2**page.tries
        log.info("page.deferred", url=page.url, reason=error.slug, wait_s=wait_s)
        return CrawlStep((), CURSOR, page=page, wait_s=wait_s)

    def _failed(self, page: CrawlPage, reason: Reason, words: str) -> CrawlStep:
        log.warning("page.failed", url=page.url, reason=reason, error=words)
        return CrawlStep((), CURSOR, page=page, failure=(reason, words[:500]))
