from app.db import Database, events
from app.db.rows import Event
from app.journal import _Recording, recording
from app.resources import Resources, open_resources
from app.settings import Settings
from logging_setup import get_logger
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
