"""The requests that were sent to the API of each source, so that all workers together keep its limits, and a restart forgets none.

An API is named by its source and host. The time of each request is kept until no limit counts it any more: a counter for each span of time
would let twice the allowed number through where two spans meet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import tables
from app.db.engine import Connection, Database, db_now
from app.discovery.sources import rate_limits
from app.discovery.sources.rate_limits import RateLimit, Slot, Told

__all__ = ["Taken", "apis", "close", "count_recent", "take", "tell"]

_LIMITS, _REQUESTS = tables.source_limits.c, tables.source_requests.c


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that may be sent in ``wait_s`` seconds.

    Attributes:
        number: of the request; None if the wait is longer than was accepted: nothing is taken then.
        limit: the limit that it waits for; None where it waits for none, or for a time that the source named.
    """

    number: int | None
    wait_s: float
    limit: RateLimit | None = None


async def take(db: Database, api: str, declared: Sequence[RateLimit], *, max_wait_s: float) -> Taken:
    """Take the next request to an API, if it may be sent within ``max_wait_s`` seconds. All workers take in turn."""
    async with db.write() as connection:
        row = (await connection.execute(_count_one(db, api))).one()
        limits = rate_limits.merge(declared, _limits_told(row.told))
        slot = await _next_slot(connection, api, row, limits)
        wait_s = slot.at - row.now
        if wait_s > max_wait_s:
            await connection.execute(update(tables.source_limits).where(_LIMITS.api == api).values(taken=_LIMITS.taken - 1))
            return Taken(None, wait_s, slot.limit)
        kept = max((limit.requests for limit in limits), default=1)
        await connection.execute(insert(tables.source_requests).values(api=api, number=row.taken, at=slot.at))
        await connection.execute(delete(tables.source_requests).where(_REQUESTS.api == api, _REQUESTS.number <= row.taken - kept))
        return Taken(row.taken, wait_s, slot.limit)


async def tell(db: Database, api: str, number: int, told: Sequence[Told]) -> None:
    """Keep what the reply to request ``number`` says, unless a later reply was faster."""
    async with db.write() as connection:
        now = (await connection.execute(select(db_now()))).scalar_one()
        documents = [_document(one, now) for one in told]
        change = update(tables.source_limits).where(_LIMITS.api == api, _LIMITS.told_by < number).values(told=documents, told_by=number)
        await connection.execute(change)


async def close(db: Database, api: str, wait_s: float) -> None:
    """Send nothing to an API for some seconds, at most a day."""
    until = db_now() + min(wait_s, rate_limits.MAX_WAIT_S)
    async with db.write() as connection:
        later = case((_LIMITS.closed_until > until, _LIMITS.closed_until), else_=until)
        await connection.execute(update(tables.source_limits).where(_LIMITS.api == api).values(closed_until=later))


async def count_recent(db: Database, api: str, limits: Iterable[RateLimit]) -> dict[RateLimit, int]:
    """Return how many requests of each limit are used up now."""
    found: dict[RateLimit, int] = {}
    async with db.read() as connection:
        for limit in limits:
            recent = and_(_REQUESTS.api == api, _REQUESTS.at > db_now() - limit.seconds)
            found[limit] = (await connection.execute(select(func.count()).select_from(tables.source_requests).where(recent))).scalar_one()
    return found


async def apis(db: Database) -> dict[str, float]:
    """Return the APIs that were asked, each with the Unix time until which it gets no request, 0 where it may be asked."""
    until = case((_LIMITS.closed_until > db_now(), _LIMITS.closed_until), else_=0.0).label("until")
    async with db.read() as connection:
        return {row.api: row.until for row in (await connection.execute(select(_LIMITS.api, until))).all()}


def _count_one(db: Database, api: str) -> Any:
    """One statement that counts a request and locks the API's row until the transaction ends."""
    dialect = sqlite if db.is_sqlite else postgresql
    first = dialect.insert(tables.source_limits).values(api=api, taken=1, closed_until=0.0, told_by=0)
    counted = first.on_conflict_do_update(index_elements=["api"], set_={"taken": _LIMITS.taken + 1})
    return counted.returning(_LIMITS.taken, _LIMITS.closed_until, _LIMITS.told, _LIMITS.told_by, db_now().label("now"))


async def _next_slot(connection: Connection, api: str, row: Any, limits: Sequence[RateLimit]) -> Slot:
    wanted = {row.taken - 1, *(row.taken - limit.requests for limit in limits)}
    query = select(_REQUESTS.number, _REQUESTS.at).where(_REQUESTS.api == api, _REQUESTS.number.in_(wanted))
    sent = {found.number: found.at for found in (await connection.execute(query)).all()}
    not_before = [Slot(row.closed_until), *_used_up(row.told, row.taken - 1 - row.told_by)]
    return rate_limits.next_slot(row.now, row.taken, limits, sent, not_before)


def _document(told: Told, now: float) -> dict[str, Any]:
    """A limit as it is kept. Where the reply says nothing of the time, the API is asked again after a minute."""
    until_s = rate_limits.PROBE_S if told.reset_s is None else min(told.reset_s, rate_limits.MAX_WAIT_S)
    limit = [told.limit.requests, told.limit.seconds] if told.limit else None
    return {"remaining": told.remaining, "until": now + until_s, "limit": limit}


def _limits_told(told: Sequence[Mapping[str, Any]] | None) -> list[RateLimit]:
    return [limit for one in told or () if (limit := _limit(one)) is not None]


def _used_up(told: Sequence[Mapping[str, Any]] | None, sent_since: int) -> list[Slot]:
    """Return the limits of which nothing is left, by what the source said and how many requests were taken since, and until when."""
    return [Slot(one["until"], _limit(one)) for one in told or () if one["remaining"] <= sent_since]


def _limit(told: Mapping[str, Any]) -> RateLimit | None:
    return RateLimit(*told["limit"]) if told["limit"] else None
