"""Requests to the APIs of sources, counted for all workers."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select, update

from app.db import Database, source_limits, tables
from app.discovery.sources.rate_limits import RateLimit, Told

API = "openverse api.openverse.org"
BURST, DAY = RateLimit(4, 60), RateLimit(10, 86_400)


@pytest.fixture
async def other(any_database: Database) -> AsyncIterator[Database]:
    """A second worker at the same database."""
    db = Database(any_database.engine.url.render_as_string(hide_password=False))
    yield db
    await db.close()


async def times(db: Database) -> list[float]:
    """When requests were sent, or will be."""
    async with db.read() as connection:
        return list((await connection.execute(select(tables.source_requests.c.at).order_by(tables.source_requests.c.number))).scalars())


async def pass_time(db: Database, seconds: float) -> None:
    """Let everything have happened earlier."""
    requests, limits = tables.source_requests, tables.source_limits
    async with db.write() as connection:
        await connection.execute(update(requests).values(at=requests.c.at - seconds))
        await connection.execute(update(limits).values(closed_until=limits.c.closed_until - seconds))


async def test_two_workers_never_exceed_a_limit(any_database: Database, other: Database) -> None:
    """Whoever asks first is first, and no span of a limit's seconds has more requests than it allows, wherever it begins."""
    limits = [BURST, DAY, RateLimit(100, 3_600)]  # the last keeps all their times
    both = (any_database, other)
    taken = await asyncio.gather(*(source_limits.take(db, API, limits, max_wait_s=1e9) for _ in range(15) for db in both))
    assert sorted(one.number or 0 for one in taken) == list(range(1, 31))
    sent = await times(other)
    assert len(sent) == 30
    for limit in limits:
        gaps = [after - first for first, after in zip(sent, sent[limit.requests :], strict=False)]
        assert min(gaps, default=limit.seconds) >= limit.seconds - 1e-3


async def test_times_are_kept_as_long_as_they_count(any_database: Database) -> None:
    """As many as the largest limit counts."""
    for _ in range(15):
        await source_limits.take(any_database, API, [BURST, DAY], max_wait_s=1e9)
    assert len(await times(any_database)) == DAY.requests


async def test_a_long_wait_takes_nothing(any_database: Database, other: Database) -> None:
    """The error names the limit, for the next worker as well: a request that is not sent does not count."""
    for _ in range(BURST.requests):
        assert (await source_limits.take(any_database, API, [BURST, DAY], max_wait_s=10)).wait_s == 0
    for db in (any_database, other, any_database):
        refused = await source_limits.take(db, API, [BURST, DAY], max_wait_s=10)
        assert (refused.number, refused.limit) == (None, BURST)
        assert 50 < refused.wait_s <= 60
    assert len(await times(any_database)) == BURST.requests
    await pass_time(any_database, 55)
    soon = await source_limits.take(other, API, [BURST, DAY], max_wait_s=10)
    assert soon.number == BURST.requests + 1
    assert 0 < soon.wait_s <= 5
    await pass_time(any_database, 60)
    for _ in range(3):
        await source_limits.take(any_database, API, [DAY], max_wait_s=0)
    assert await source_limits.count_recent(any_database, API, [BURST, DAY]) == {BURST: 4, DAY: 8}


async def test_an_api_that_asks_for_a_wait_gets_it_from_all(any_database: Database, other: Database) -> None:
    """At most a day; a shorter wait that is asked for later does not open it before."""
    await source_limits.take(any_database, API, [], max_wait_s=0)
    await source_limits.close(any_database, API, 1e12)
    await source_limits.close(any_database, API, 5)
    refused = await source_limits.take(other, API, [], max_wait_s=60)
    assert (refused.number, refused.limit) == (None, None)
    assert 86_000 < refused.wait_s <= 86_400
    assert (await source_limits.take(other, "met collectionapi.metmuseum.org", [], max_wait_s=0)).number == 1


async def test_what_a_reply_tells_is_kept_by_all(any_database: Database, other: Database) -> None:
    """What is left is used up by whichever worker, then all wait for the reset; what a later reply told before stays."""
    await source_limits.take(any_database, API, [], max_wait_s=0)
    await source_limits.take(any_database, API, [], max_wait_s=0)
    await source_limits.tell(any_database, API, 2, [Told(2, None, 300.0), Told(50)])
    await source_limits.tell(any_database, API, 1, [Told(3)])
    assert [(await source_limits.take(db, API, [], max_wait_s=0)).number for db in (other, any_database)] == [3, 4]
    refused = await source_limits.take(other, API, [], max_wait_s=60)
    assert refused.number is None
    assert 290 < refused.wait_s <= 300
    await source_limits.tell(any_database, API, 4, [Told(50, None, 300.0)])
    assert (await source_limits.take(other, API, [], max_wait_s=60)).number == 5


async def test_a_limit_that_is_told_is_kept(any_database: Database) -> None:
    """In the place of the declared one for the same span; where nothing is said of a reset, the next request is a minute later."""
    await source_limits.take(any_database, API, [BURST], max_wait_s=0)
    await source_limits.tell(any_database, API, 1, [Told(1, RateLimit(2, 60))])
    assert (await source_limits.take(any_database, API, [BURST], max_wait_s=0)).number == 2
    assert (await source_limits.take(any_database, API, [BURST], max_wait_s=0)).limit == RateLimit(2, 60)
    await pass_time(any_database, 120)
    await source_limits.tell(any_database, API, 2, [Told(0, DAY)])
    assert 50 < (await source_limits.take(any_database, API, [BURST], max_wait_s=0)).wait_s <= 60
