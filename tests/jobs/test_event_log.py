import math
from typing import Any

from app.db import Database, events
from app.db.rows import Event
from app.jobs.event_log import LineBuffer, _Recording, recording
from app.resources import Resources, open_resources
from app.settings import Settings
from logging_setup import get_logger
from logging_setup.config import add_sink, remove_sink
from tests.db.builders import add_job
from tests.web import seeds

log = get_logger(__name__)


async def lines_of(resources: Resources, job_id: str) -> list[Event]:
    return [line for line in await events.after(resources.db, job_id) if line.event.startswith("test.")]


async def test_recording_writes_what_is_logged_in_a_jobs_context(settings: Settings) -> None:
    """INFO and above, with the fields, and nothing that belongs to no job."""
    async with open_resources(settings) as resources:
        job = await seeds.build(resources)
        async with recording(resources.db):
            log.info("test.nobodys")
            with log.contextualize(job_id=job.id):
                log.debug("test.small")
                log.info("test.fetched", ok=3, url="http://u:p@h/x?token=s")
        log.bind(job_id=job.id).info("test.late")
        (line,) = await lines_of(resources, job.id)
    assert (line.event, line.level, line.data["ok"]) == ("test.fetched", "INFO", 3)
    assert "token" not in line.data["url"]
    assert "job_id" not in line.data


async def test_recording_twice_writes_once_until_the_last_ends(settings: Settings) -> None:
    """Workers and API in one process: whoever ends first leaves the other its journal."""
    async with open_resources(settings) as resources:
        job = await seeds.build(resources)
        first, second = recording(resources.db), recording(resources.db)
        await first.__aenter__()
        await second.__aenter__()
        log.bind(job_id=job.id).info("test.both")
        await first.__aexit__(None, None, None)
        log.bind(job_id=job.id).info("test.second")
        await second.__aexit__(None, None, None)
        log.bind(job_id=job.id).info("test.nobody")
        assert [line.event for line in await lines_of(resources, job.id)] == ["test.both", "test.second"]


async def test_recording_keeps_its_lines_while_the_database_is_away() -> None:
    """They wait; the log has them in any case."""
    db = Database("postgresql+asyncpg://pictrawl@127.0.0.1:1/pictrawl")
    journal = _Recording(db)
    log.bind(job_id="job_1").info("test.waits")
    await journal.close()
    await db.close()
    assert [row["event"] for _, row in journal.waiting.take()] == ["test.waits"]


async def test_recording_drops_the_lines_of_a_job_that_is_gone(settings: Settings) -> None:
    """A deleted job has no life to write."""
    async with open_resources(settings) as resources:
        async with recording(resources.db):
            log.bind(job_id="job_gone").info("test.late")
        assert await events.after(resources.db, "job_gone") == []


def row(number: int, level: str = "INFO", job_id: str = "job_1") -> dict[str, Any]:
    return {"job_id": job_id, "level": level, "event": f"test.{number}"}


def taken(waiting: LineBuffer, most: int = 100) -> list[str]:
    return [line["event"] for _, line in waiting.take(most)]


def test_lines_wait_in_the_order_in_which_they_were_logged() -> None:
    """Whatever their level, also where some of them could not be written at first."""
    waiting = LineBuffer()
    for number, level in enumerate(["INFO", "WARNING", "INFO", "ERROR"]):
        waiting.put(row(number, level))
    first = waiting.take(2)
    waiting.put(row(4, "WARNING"))
    waiting.put_back(first)
    assert len(waiting) == 5
    assert taken(waiting) == [f"test.{number}" for number in range(5)]
    assert taken(waiting) == []


def test_too_many_lines_cost_the_oldest_of_their_kind_and_are_counted() -> None:
    """A flood of INFO lines takes no warning with it."""
    waiting = LineBuffer(2)
    waiting.put(row(0, "WARNING"))
    for number in range(1, 6):
        waiting.put(row(number, job_id="job_2"))
    assert waiting.take_dropped() == {"job_2": 3}
    assert waiting.take_dropped() == {}
    assert taken(waiting) == ["test.0", "test.4", "test.5"]
    waiting.put_back([(number, row(number, "ERROR")) for number in (1, 2, 3)])
    assert waiting.take_dropped() == {"job_1": 1}


async def test_what_the_bound_cost_is_a_line_of_the_job(settings: Settings) -> None:
    """Never silently."""
    async with open_resources(settings) as resources:
        job = await seeds.build(resources)
        journal = _Recording(resources.db, kept=2)
        for number in range(5):
            log.bind(job_id=job.id).info("test.flood", number=number)
        await journal.close()
        lines = await events.after(resources.db, job.id)
    assert [line.data["number"] for line in lines if line.event == "test.flood"] == [3, 4]
    (dropped,) = [line for line in lines if line.event == "event_log.lines_dropped"]
    assert (dropped.level, dropped.data["lines"]) == ("WARNING", 3)


async def test_numbers_that_json_has_not_do_not_stop_the_journal(any_database: Database) -> None:
    """PostgreSQL takes no NaN, and one refused line would hold up all that follow."""
    job_id = await add_job(any_database)
    journal = _Recording(any_database)
    log.bind(job_id=job_id).info("test.odd", wait_s=math.nan, more={"x": [math.inf, 1.5]})
    log.bind(job_id=job_id).info("test.even")
    await journal.close()
    odd, even = await events.after(any_database, job_id)
    assert (odd.data["wait_s"], odd.data["more"], even.event) == ("nan", {"x": ["inf", 1.5]}, "test.even")


async def test_lines_that_were_never_written_are_counted_in_the_log() -> None:
    """A process that ends without its database says how much of its jobs' lives only its own log has."""
    db = Database("postgresql+asyncpg://pictrawl@127.0.0.1:1/pictrawl")
    journal = _Recording(db)
    log.bind(job_id="job_1").info("test.lost")
    said: list[Any] = []
    sink = add_sink(said.append, level="ERROR")
    await journal.close()
    remove_sink(sink)
    await db.close()
    assert [(record["event"], record["lines"]) for record in said] == [("event_log.not_written", 1)]
