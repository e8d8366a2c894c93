"""Queries on the event log of jobs: insert lines, and read them in the order in which they were written, filtered by subject."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, func, insert, select

from app.db import paging, tables
from app.db.columns import WARNED as IS_WARNED
from app.db.engine import Connection, Database
from app.db.rows import Event

__all__ = ["LEVELS", "SEARCHED", "EventFilter", "Found", "add", "after", "before", "named", "search"]

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
"""Least severe first."""

WARNED = LEVELS[2:]

LAST_ID = 2**63 - 1
"""Beyond every line. Without a bound on the id SQLite reads all lines of the job, and not the index of a filter."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Filter of event lines; all given conditions must hold.

    Attributes:
        level: this level or a more severe one, in any case.
        event: prefix of the event.
        url: as log lines show it, without userinfo and query.
        host: in any case, without a port; a line with a URL belongs to the host of that URL.
    """

    level: str | None = None
    event: str | None = None
    url: str | None = None
    host: str | None = None
    chunk_id: str | None = None

    def conditions(self) -> list[Any]:
        """Return the filter as SQL, without its event."""
        columns = tables.events.c
        found: list[Any] = [column == value for column, value in self._subjects() if value is not None]
        return found + ([columns.level.in_(self.levels)] if self.level is not None else [])

    @property
    def levels(self) -> tuple[str, ...]:
        """The levels that match."""
        return LEVELS[LEVELS.index(self.level.upper()) :] if self.level is not None else LEVELS

    @property
    def is_selective(self) -> bool:
        """Whether a host, chunk or URL is given, which only few lines match."""
        return any(value is not None for _, value in self._subjects())

    def _subjects(self) -> tuple[tuple[ColumnElement[Any], str | None], ...]:
        columns = tables.events.c
        host = _host_of(f"//{self.host}") if self.host is not None else None
        key = _url_key(self.url) if self.url is not None else None
        return (columns.host, host), (columns.chunk_id, self.chunk_id), (columns.url_key, key)


EVERY = EventFilter()


async def add(db: Database, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert events (job_id, at, level, event, data). Events of jobs that were deleted meanwhile are dropped."""
    if not rows:
        return
    async with db.write() as connection:
        wanted = {row["job_id"] for row in rows}
        stays = select(tables.jobs.c.id).where(tables.jobs.c.id.in_(list(wanted))).with_for_update(read=True, key_share=True)
        known = {row.id for row in (await connection.execute(stays)).all()}
        kept = [{**row, **_subject(row["data"])} for row in rows if row["job_id"] in known]
        if kept:
            await connection.execute(insert(tables.events), kept)


def _subject(data: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the indexed columns of a line. A value that does not fit its column is left out; the line itself keeps it."""
    url, host = data.get("url"), data.get("host")
    place = f"//{host}" if isinstance(host, str) and host else url
    return {
        "host": _fit(_host_of(place) if isinstance(place, str) else None, 255),
        "chunk_id": _fit(data.get("chunk_id"), 40),
        "url_key": _url_key(url) if isinstance(url, str) else None,
    }


def _fit(value: Any, length: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= length and value.isprintable() else None


def _host_of(url: str) -> str | None:
    """Return the host in lower case, without its port."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _url_key(shown: str) -> str:
    """Return the digest by which a URL is looked up, since URLs can be too long for an index."""
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()


async def after(db: Database, job_id: str, wanted: EventFilter = EVERY, *, last_id: int = 0, limit: int = 500) -> list[Event]:
    """Return a job's events after ``last_id``, oldest first."""
    async with db.read() as connection:
        return await _read(connection, await _places(connection, job_id, wanted), last_id, limit)


async def before(db: Database, job_id: str, wanted: EventFilter = EVERY, *, first_id: int = LAST_ID, limit: int = 500) -> list[Event]:
    """Return a job's last events, or those before ``first_id``, newest first."""
    async with db.read() as connection:
        return await _read(connection, await _places(connection, job_id, wanted), first_id, limit, descending=True)


SEARCHED = 20_000
"""Lines read for a text at most in one call: some 0.3 s. No index knows the words of a line."""

SEARCH_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Found:
    """Lines, newest first, and the id before which the search goes on; ``None`` at the beginning of the log."""

    lines: Sequence[Event]
    goes_on_before: int | None


async def search(
    db: Database, job_id: str, wanted: EventFilter = EVERY, *, text: str = "", first_id: int = LAST_ID, limit: int = 100
) -> Found:
    """Find a job's last events, or those before ``first_id``, whose event or values contain a text in any case.

    After `SEARCHED` lines it ends with those that it has.
    """
    found: list[Event] = []
    folded, size = text.casefold(), SEARCH_PAGE if text else limit
    for _ in range(SEARCHED // SEARCH_PAGE):
        page = await before(db, job_id, wanted, first_id=first_id, limit=size)
        for line in page:
            first_id = line.id
            if folded in _words(line):
                found.append(line)
                if len(found) == limit:
                    return Found(found, first_id)
        if len(page) < size:
            return Found(found, None)
    return Found(found, first_id)


def _words(line: Event) -> str:
    return "\n".join([line.event, *map(str, line.data.values())]).casefold()


async def _places(connection: Connection, job_id: str, wanted: EventFilter) -> list[paging.Place]:
    """Return disjoint ranges of one index each that hold the matching events in the order of their ids."""
    columns = tables.events.c
    of_job = columns.job_id == job_id
    narrowed = [of_job, *wanted.conditions()]
    if wanted.is_selective:
        begins = [columns.event.startswith(wanted.event, autoescape=True)] if wanted.event is not None else []
        return [[*narrowed, *begins]]
    if wanted.event is not None:
        names = [name for name in await _names(connection, job_id) if name.startswith(wanted.event)]
        return [[*narrowed, columns.event == name] for name in names]
    if {*wanted.levels} <= {*WARNED}:  # the condition of their partial index
        return [[of_job, IS_WARNED, columns.level == level] for level in wanted.levels]
    return [narrowed]


async def _read(
    connection: Connection, places: Sequence[paging.Place], last_id: int, limit: int, *, descending: bool = False
) -> list[Event]:
    if not places:
        return []
    query = paging.first_of(_COLUMNS, places, last_id=last_id, limit=limit, descending=descending)
    return [Event(**row._mapping) for row in (await connection.execute(query)).all()]


async def _names(connection: Connection, job_id: str) -> list[str]:
    """Return the distinct event names of a job, a few dozen: one index lookup for each name (a loose index scan)."""
    columns = tables.events.c
    names = select(func.min(columns.event).label("event")).where(columns.job_id == job_id).cte("names", recursive=True)
    following = select(func.min(columns.event)).where(columns.job_id == job_id, columns.event > names.c.event).scalar_subquery()
    names = names.union_all(select(following).where(names.c.event.is_not(None)))
    query = select(names.c.event).where(names.c.event.is_not(None))
    return [row.event for row in (await connection.execute(query)).all()]


async def named(
    db: Database, job_id: str, names: Sequence[str], *, chunk_id: str | None = None, unit_ids: Sequence[str] = (), limit: int = 500
) -> list[Event]:
    """Return a job's events with these names, oldest first.

    With a ``chunk_id``, only the events of that chunk, and those without a chunk that name one of its units.
    """
    columns = tables.events.c
    of_job = columns.job_id == job_id
    chosen = list(dict.fromkeys(names))
    places: list[paging.Place] = [[of_job, columns.event == name] for name in chosen]
    if chunk_id is not None:
        of_unit = columns.data["unit_id"].as_string().in_(list(unit_ids))
        places = [[*place, columns.chunk_id.is_(None), of_unit] for place in places if unit_ids]
        places.append([of_job, columns.chunk_id == chunk_id, columns.event.in_(chosen)])
    async with db.read() as connection:
        return await _read(connection, places, 0, limit)


_COLUMNS = [tables.events.c[name] for name in ("id", "job_id", "at", "level", "event", "data")]
