"""Queries on the pages of a crawl: which are known, which are to be read next, and what became of the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import jobs, tables
from app.db.engine import Connection, Database, db_now
from app.formatting import count, listing, number

__all__ = [
    "ALIAS",
    "FAILED",
    "NO_FACTS",
    "READ",
    "WAITING",
    "CrawlPage",
    "PageCounts",
    "PageFacts",
    "PageState",
    "StoredPage",
    "add",
    "by_key",
    "count_failed",
    "count_known",
    "count_pages",
    "defer",
    "find",
    "finish",
    "load_due",
    "reopen",
    "seconds_until_due",
]

MOST = 20
"""Pages of one address that are returned."""

BATCH = 500
"""Rows of one statement."""

WAITING, READ, FAILED, ALIAS = "waiting", "read", "failed", "alias"
PageState = str
"""``waiting``: to be read. ``read``, ``failed``: it was requested. ``alias``: another URL of a page that was read."""


@dataclass(frozen=True, slots=True)
class CrawlPage:
    """A page that is to be read.

    Attributes:
        depth: links between it and a page that was named; 0 for that one.
        tries: how often it was tried in vain.
    """

    id: int
    url: str
    depth: int
    tries: int


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What the requests for a page told.

    Attributes:
        requests: for it, redirects included, since it was last recorded.
        robots, opt_out: the decisions, as of an image; ``evidence`` is what a refusal rests on.
        kind: of the document, None where none was read.
        images, links: that were taken and followed.
    """

    requests: int = 0
    robots: str | None = None
    opt_out: str | None = None
    evidence: str | None = None
    kind: str | None = None
    images: int | None = None
    links: int | None = None


NO_FACTS = PageFacts()


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A page with all that is recorded of it; see `CrawlPage` and `PageFacts`."""

    id: int
    job_id: str
    url: str
    depth: int
    tries: int
    state: PageState
    not_before: float
    reason: str | None
    detail: str | None
    parent_id: int | None
    requests: int
    robots: str | None
    opt_out: str | None
    evidence: str | None
    kind: str | None
    images: int | None
    links: int | None


@dataclass(frozen=True, slots=True)
class PageCounts:
    """Pages of a dataset: read, waiting to be read, and not read by reason.

    Attributes:
        notes: remarks on pages that were read, with their numbers.
    """

    read: int = 0
    waiting: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.read or self.waiting or self.failed)

    @property
    def words(self) -> str:
        """The numbers for people."""
        failed = sum(self.failed.values())
        words = [f"{count(self.read, 'page')} read"] + ([f"{number(failed)} not read: {listing(self.failed)}"] if failed else [])
        return "; ".join([*words, *(f"{count(pages, 'page')}: {note}" for note, pages in self.notes.items())])


async def add(
    connection: Connection, search_id: str, pages: Sequence[tuple[str, str]], *, depth: int, room: int, parent_id: int | None = None
) -> int:
    """Insert pages (key, URL) that the crawl does not know yet, at most ``room`` of them; return how many were left out.

    Args:
        depth: of all of them; ``parent_id`` is the page that led to them.
    """
    c = tables.crawl_pages.c
    rows = {_digest(key): url for key, url in pages}
    known: set[str] = set()
    for batch in _batches(list(rows)):
        known |= {row.key for row in (await connection.execute(select(c.key).where(c.search_id == search_id, c.key.in_(batch)))).all()}
    new = [
        {"search_id": search_id, "key": key, "url": url, "depth": depth, "state": WAITING, "parent_id": parent_id}
        for key, url in rows.items()
        if key not in known
    ]
    for start in range(0, min(len(new), room), BATCH):
        await connection.execute(_insert(connection), new[start : min(start + BATCH, room)])
    return max(0, len(new) - room)


async def finish(
    connection: Connection,
    page: CrawlPage,
    *,
    search_id: str,
    reason: str | None = None,
    detail: str | None = None,
    aliases: Sequence[str] = (),
    facts: PageFacts = NO_FACTS,
) -> None:
    """Record that a page was read, or for which reason it was not; keys of its other URLs are not read again."""
    c = tables.crawl_pages.c
    state = READ if reason is None else FAILED
    await connection.execute(
        update(tables.crawl_pages).where(c.id == page.id).values(state=state, reason=reason, detail=detail, **_told(facts))
    )
    digests = [_digest(key) for key in aliases]
    if not digests:
        return
    same = (c.search_id == search_id, c.key.in_(digests), c.state == WAITING)
    await connection.execute(update(tables.crawl_pages).where(*same).values(state=ALIAS, parent_id=page.id))
    rows = [
        {"search_id": search_id, "key": key, "url": page.url, "depth": page.depth, "state": ALIAS, "parent_id": page.id} for key in digests
    ]
    await connection.execute(_insert(connection), rows)


async def defer(connection: Connection, page: CrawlPage, wait_s: float, facts: PageFacts = NO_FACTS) -> None:
    """Count a try in vain; the page is read again after ``wait_s`` seconds."""
    c = tables.crawl_pages.c
    values = {"tries": page.tries + 1, "not_before": db_now() + wait_s, **_told(facts)}
    await connection.execute(update(tables.crawl_pages).where(c.id == page.id).values(values))


def _told(facts: PageFacts) -> dict[str, Any]:
    return asdict(facts) | {"requests": tables.crawl_pages.c.requests + facts.requests}


async def by_key(db: Database, key: str, *, user_id: str | None = None) -> list[StoredPage]:
    """Return the pages of one address in all crawls of a user, newest first."""
    c = tables.crawl_pages.c
    return await _stored(db, [c.key == _digest(key), *([tables.jobs.c.user_id == user_id] if user_id is not None else [])])


async def find(db: Database, page_id: int) -> StoredPage | None:
    """Return one page, or ``None``."""
    found = await _stored(db, [tables.crawl_pages.c.id == page_id])
    return found[0] if found else None


async def _stored(db: Database, conditions: Sequence[Any]) -> list[StoredPage]:
    c = tables.crawl_pages.c
    columns = [c[item.name] for item in fields(StoredPage) if item.name != "job_id"]
    query = select(*columns, tables.searches.c.job_id).select_from(tables.crawl_pages).join(tables.searches).join(tables.jobs)
    async with db.read() as connection:
        rows = (await connection.execute(query.where(*conditions).order_by(c.id.desc()).limit(MOST))).all()
    return [StoredPage(**row._mapping) for row in rows]


async def load_due(db: Database, search_id: str, limit: int) -> list[CrawlPage]:
    """Return pages that may be read now, the nearest to the named ones first, then in the order in which they were found."""
    c = tables.crawl_pages.c
    query = select(c.id, c.url, c.depth, c.tries).where(c.search_id == search_id, c.state == WAITING, c.not_before <= db_now())
    async with db.read() as connection:
        return [CrawlPage(**row._mapping) for row in (await connection.execute(query.order_by(c.depth, c.id).limit(limit))).all()]


async def seconds_until_due(db: Database, search_id: str) -> float | None:
    """Return how long the next page has to wait; None where none is left."""
    c = tables.crawl_pages.c
    query = select(func.min(c.not_before) - db_now()).where(c.search_id == search_id, c.state == WAITING)
    async with db.read() as connection:
        found = (await connection.execute(query)).scalar()
    return None if found is None else max(0.0, float(found))


async def count_known(connection: Connection, search_id: str) -> int:
    """Return how many pages a crawl has read or will read."""
    c = tables.crawl_pages.c
    query = select(func.count()).where(c.search_id == search_id, c.state != ALIAS)
    return int((await connection.execute(query)).scalar_one())


async def count_failed(connection: Connection, dataset_id: str, reasons: Sequence[str]) -> int:
    """Count the pages of a dataset that were not read for one of these reasons."""
    failed = _failed(dataset_id, reasons)
    return int((await connection.execute(select(func.count()).select_from(tables.crawl_pages).where(*failed))).scalar_one())


async def reopen(connection: Connection, dataset_id: str, reasons: Sequence[str]) -> list[str]:
    """Have the pages that were not read for one of these reasons read again, with all their tries; return the ids of their searches."""
    c, failed = tables.crawl_pages.c, _failed(dataset_id, reasons)
    found = (await connection.execute(select(c.search_id).where(*failed).distinct().order_by(c.search_id))).all()
    again = {"state": WAITING, "tries": 0, "not_before": 0.0, "reason": None, "detail": None}
    await connection.execute(update(tables.crawl_pages).where(*failed).values(again))
    return [row.search_id for row in found]


def _failed(dataset_id: str, reasons: Sequence[str]) -> list[ColumnElement[bool]]:
    c = tables.crawl_pages.c
    searches = select(tables.searches.c.id).where(tables.searches.c.job_id.in_(jobs.on_dataset(dataset_id)))
    return [c.search_id.in_(searches), c.state == FAILED, c.reason.in_(list(reasons))]


async def count_pages(db: Database, dataset_id: str) -> PageCounts:
    """Count the pages of a dataset's crawls, failures by reason, most frequent first."""
    c = tables.crawl_pages.c
    of_dataset = tables.searches.c.job_id.in_(jobs.on_dataset(dataset_id))
    note = case((c.state == READ, c.detail)).label("note")
    query = select(c.state, c.reason, note, func.count().label("number")).join(tables.searches).where(of_dataset)
    async with db.read() as connection:
        rows = (await connection.execute(query.group_by(c.state, c.reason, note))).all()
    states: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for row in rows:
        states[row.state] += row.number
        failed.update({row.reason: row.number} if row.state == FAILED else {})
        notes.update({row.note: row.number} if row.note else {})
    return PageCounts(states[READ], states[WAITING], dict(failed.most_common()), dict(notes.most_common()))


def _insert(connection: Connection) -> Any:
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    return dialect.insert(tables.crawl_pages).on_conflict_do_nothing(index_elements=["search_id", "key"])


def _digest(key: str) -> str:
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _batches(keys: list[str]) -> list[list[str]]:
    return [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
