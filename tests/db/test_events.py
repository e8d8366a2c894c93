"""Tests of app.db.events: a job's lines in the order they were written, read on from any of them."""

import asyncio
from typing import Any

import pytest
from alembic import command

from app.db import Database, events, jobs, schema, tables
from app.job_states import JobState
from tests.db.builders import add_job, count, explained, job_row, statements
from tests.db.test_schema import alembic_config


def line(job_id: str, name: str = "chunk.fetched", level: str = "INFO", **data: Any) -> dict[str, Any]:
    return {"job_id": job_id, "at": 1_700_000_000.25, "level": level, "event": name, "data": data}


async def test_lines_are_read_back_in_order(any_database: Database) -> None:
    """With everything in them, and only those of the job."""
    job_id, other = await add_job(any_database), await add_job(any_database)
    await events.add(any_database, [line(job_id, "a", ok=97, text="50 % \u0000 🐈"), line(other, "x"), line(job_id, "b", level="ERROR")])
    await events.add(any_database, [])
    await events.add(any_database, [line(job_id, "c")])
    found = await events.after(any_database, job_id)
    assert [event.event for event in found] == ["a", "b", "c"]
    assert (found[0].job_id, found[0].at, found[0].level) == (job_id, 1_700_000_000.25, "INFO")
    assert found[0].data == {"ok": 97, "text": "50 % \u0000 🐈"}
    assert [event.id for event in found] == sorted(event.id for event in found)


async def test_reading_goes_on_behind_the_last_line(any_database: Database) -> None:
    """Pages by id: all lines once, no gap."""
    job_id = await add_job(any_database)
    await events.add(any_database, [line(job_id, f"event {number:03}") for number in range(25)])
    seen, last_id = [], 0
    while page := await events.after(any_database, job_id, last_id=last_id, limit=7):
        seen += [event.event for event in page]
        last_id = page[-1].id
    assert seen == [f"event {number:03}" for number in range(25)]


@pytest.mark.parametrize(("level", "expected"), [(None, 5), ("DEBUG", 5), ("info", 4), ("WARNING", 3), ("ERROR", 2), ("CRITICAL", 1)])
async def test_lines_of_at_least_a_level(any_database: Database, level: str | None, expected: int) -> None:
    """In any spelling; without a level all."""
    job_id = await add_job(any_database)
    await events.add(any_database, [line(job_id, level=known) for known in events.LEVELS])
    assert len(await events.after(any_database, job_id, events.EventFilter(level=level))) == expected


async def test_lines_whose_event_begins_like_this(any_database: Database) -> None:
    """The prefix is taken literally: no character of it is a pattern."""
    job_id = await add_job(any_database)
    await events.add(any_database, [line(job_id, name) for name in ("job.retry", "job_retry", "jobs.done", "url.failed")])
    for prefix, expected in {"job.": ["job.retry"], "job_": ["job_retry"], "job": ["job.retry", "job_retry", "jobs.done"], "%": []}.items():
        assert [event.event for event in await events.after(any_database, job_id, events.EventFilter(event=prefix))] == expected


async def test_lines_of_a_job_that_is_gone_are_dropped(any_database: Database) -> None:
    """The others of the batch are kept."""
    job_id = await add_job(any_database)
    await events.add(any_database, [line("job_gone", "a"), line(job_id, "b")])
    await events.add(any_database, [line("job_gone", "c")])
    assert [event.event for event in await events.after(any_database, job_id)] == ["b"]
    assert await count(any_database, tables.events) == 1


async def test_a_job_that_is_being_deleted_drops_its_lines(any_database: Database) -> None:
    """A deletion under way is waited for: no line refers to a job that is not there, and no error reaches the journal."""
    job_id, other = await add_job(any_database), await add_job(any_database)
    dataset_id = (await job_row(any_database, job_id)).dataset_id
    async with any_database.write() as connection:
        await jobs.end(connection, job_id, JobState.SUCCEEDED)
    async with any_database.write() as connection:
        await connection.execute(tables.datasets.delete().where(tables.datasets.c.id == dataset_id))
        writing = asyncio.create_task(events.add(any_database, [line(job_id, "a"), line(other, "b")]))
        for _ in range(10):
            await any_database.ping()
    await writing
    assert [event.event for event in await events.after(any_database, other)] == ["b"]
    assert await count(any_database, tables.events) == 1


async def found(db: Database, job_id: str, **wanted: str) -> list[str]:
    return [event.event for event in await events.after(db, job_id, events.EventFilter(**wanted))]


async def add_subjects(db: Database, job_id: str) -> None:
    """Lines about one host, one URL, one chunk, and about nothing that a column takes."""
    await events.add(
        db,
        [
            line(job_id, "by.url", url="http://H.test:81/a.jpg?***", chunk_id="chunk_a", level="WARNING"),
            line(job_id, "by.host", host="h.test:80", level="ERROR"),
            line(job_id, "by.chunk", chunk_id="chunk_b"),
            line(job_id, "by.six", host="[::1]:80"),
            line(job_id, "by.none", host="h\u0000", chunk_id=7, url="http://[x"),
            line(job_id, "by.long", host="h" * 300, chunk_id="c" * 41, url=None),
        ],
    )


async def test_lines_about_one_thing(any_database: Database) -> None:
    """By host whatever its port, by URL as lines show it, by chunk; filters narrow each other down, and no odd value costs a line."""
    job_id = await add_job(any_database)
    await add_subjects(any_database, job_id)
    assert await found(any_database, job_id, host="H.TEST") == ["by.url", "by.host"]
    assert await found(any_database, job_id, host="h.test:9") == ["by.url", "by.host"]
    assert await found(any_database, job_id, host="[::1]") == ["by.six"]
    assert await found(any_database, job_id, url="http://H.test:81/a.jpg?***") == ["by.url"]
    assert await found(any_database, job_id, url="http://H.test:81/a.jpg") == []
    assert await found(any_database, job_id, chunk_id="chunk_b") == ["by.chunk"]
    assert await found(any_database, job_id, host="h.test", level="error") == ["by.host"]
    assert await found(any_database, job_id, chunk_id="chunk_a", level="warning", event="by.", host="h.test") == ["by.url"]
    assert len(await found(any_database, job_id)) == 6


async def test_lines_by_name_of_a_chunk_and_its_units(any_database: Database) -> None:
    """A sweeper knows the unit, not the chunk."""
    job_id = await add_job(any_database)
    rows = [
        line(job_id, "a", chunk_id="chunk_a"),
        line(job_id, "a", unit_id="unit_1"),
        line(job_id, "a", unit_id="unit_2"),
        line(job_id, "b"),
    ]
    await events.add(any_database, rows)
    assert len(await events.named(any_database, job_id, ["a"])) == 3
    assert len(await events.named(any_database, job_id, ["a"], chunk_id="chunk_a")) == 1
    both = await events.named(any_database, job_id, ["a"], chunk_id="chunk_a", unit_ids=["unit_1"])
    assert [event.data for event in both] == [{"chunk_id": "chunk_a"}, {"unit_id": "unit_1"}]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({"level": "warning"}, "ix_events_warned"),
        ({"level": "error"}, "ix_events_warned"),
        ({"host": "h.test"}, "ix_events_host"),
        ({"url": "http://h.test/"}, "ix_events_url_key"),
        ({"chunk_id": "chunk_a"}, "ix_events_chunk_id"),
    ],
)
@pytest.mark.parametrize(("read", "bound"), [(events.after, "id>?)"), (events.before, "id<?)")])
async def test_each_filter_has_its_index(database: Database, wanted: dict[str, str], index: str, read: Any, bound: str) -> None:
    """Among a hundred thousand lines a few are found without reading the rest, from either end."""
    with statements(database) as seen:
        await read(database, "job_1", events.EventFilter(**wanted))
    asked = next(statement for statement in seen if "FROM events" in statement)
    async with database.read() as connection:
        parameters = (None,) * asked.count("?")
        plan = (await connection.run_sync(lambda sync: sync.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", parameters))).all()
    searched = [row.detail for row in plan if row.detail.startswith("SEARCH events USING") and " INDEX " in row.detail]
    assert searched, plan
    assert all(f" INDEX {index} " in step and step.endswith(bound) for step in searched), plan


@pytest.mark.parametrize("name", ["by.host", "none.such"])
async def test_lines_of_a_name_are_found_by_it(database: Database, name: str) -> None:
    """Names are stepped through, not lines; then each name's lines are read in the order they were written."""
    job_id = await add_job(database)
    await add_subjects(database, job_id)
    with statements(database) as seen:
        await events.after(database, job_id, events.EventFilter(event=name))
    plans = [await explained(database, statement) for statement in seen if "FROM events" in statement]
    assert plans[0].count("SEARCH events USING COVERING INDEX ix_events_name (job_id=?") == 2
    assert plans[1:] == (["SEARCH events USING INDEX ix_events_name (job_id=? AND event=? AND id>?)"] if name == "by.host" else [])
    assert not any("SCAN events" in plan or "TEMP B-TREE" in plan for plan in plans)


async def test_lines_whose_names_begin_alike_come_in_order(any_database: Database) -> None:
    """Several names are one list, whatever their own order, and a page goes on where the last one ended."""
    job_id = await add_job(any_database)
    await events.add(any_database, [line(job_id, name) for name in ("b.two", "a.one", "b.one", "b.two", "a.one", "b.three")])
    first = await events.after(any_database, job_id, events.EventFilter(event="b."), limit=2)
    rest = await events.after(any_database, job_id, events.EventFilter(event="b."), last_id=first[-1].id, limit=5)
    assert [event.event for event in first + rest] == ["b.two", "b.one", "b.two", "b.three"]
    named = await events.named(any_database, job_id, ["b.two", "a.one", "b.two"], limit=3)
    assert [event.event for event in named] == ["b.two", "a.one", "b.two"]


async def test_lines_of_older_versions_are_found_too(any_database: Database) -> None:
    """The migration looks into them."""
    job_id = await add_job(any_database)
    await add_subjects(any_database, job_id)
    async with any_database.write() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "0004"))
    await schema.upgrade(any_database)
    assert await found(any_database, job_id, host="h.test") == ["by.url", "by.host"]
    assert await found(any_database, job_id, url="http://H.test:81/a.jpg?***") == ["by.url"]
    assert await found(any_database, job_id, chunk_id="chunk_b") == ["by.chunk"]


async def test_the_last_lines_come_first_on_the_way_back(any_database: Database) -> None:
    """Through a filter that reads several ranges too."""
    job_id = await add_job(any_database)
    await events.add(any_database, [line(job_id, f"chunk.{number % 2}", number=number) for number in range(7)])
    for wanted in (events.EventFilter(), events.EventFilter(event="chunk.")):
        last = await events.before(any_database, job_id, wanted, limit=3)
        assert [event.data["number"] for event in last] == [6, 5, 4]
        rest = await events.before(any_database, job_id, wanted, first_id=last[-1].id)
        assert [event.data["number"] for event in rest] == [3, 2, 1, 0]


async def test_a_text_is_found_in_any_value(database: Database) -> None:
    """In any case; after so many lines the search ends and says where it goes on."""
    job_id = await add_job(database)
    await events.add(database, [line(job_id, "download.retry", url="http://Straße.example/a", number="first")])
    await events.add(database, [line(job_id, "image.judged", number=number) for number in range(events.SEARCHED)])
    first = await events.search(database, job_id, text="STRASSE")
    assert (first.lines, first.goes_on_before is not None) == ([], True)
    second = await events.search(database, job_id, text="STRASSE", first_id=first.goes_on_before)
    assert ([event.data["number"] for event in second.lines], second.goes_on_before) == (["first"], None)
    assert len((await events.search(database, job_id, text="JUDGED", limit=5)).lines) == 5
