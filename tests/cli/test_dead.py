"""``pictrawl dead ls|retry|discard``, and what they write to a job's log."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.db import Database, schema, tables
from app.domain import ImageState
from app.job_states import JobState, UnitState
from tests.cli.conftest import LOOPBACK, OPEN, Hold, Invoke, Site, in_database
from tests.services import RedisServer


@pytest.fixture
def failed(gallery: Site, invoke: Invoke) -> tuple[str, str]:
    """A build of ten images whose second chunk died before it fetched anything; ids of the job and of the dead unit."""
    gallery.urls = gallery.urls[:10]
    gallery.write_list(Path("list.txt"))
    built = invoke("build", "--urls", "list.txt", "--json", "--set", "jobs.chunk_size=5", *LOOPBACK)
    assert built.code == 0, built.err
    return built.json["job_id"], in_database(lambda db: kill_a_fetch(db, built.json["job_id"]))


async def kill_a_fetch(db: Database, job_id: str) -> str:
    """Put a fetch unit in the state that a bug in a worker leaves."""
    units, jobs, images = tables.units, tables.jobs, tables.images
    async with db.write() as connection:
        query = select(units.c.id, units.c.payload).where(units.c.job_id == job_id, units.c.kind == "fetch").order_by(units.c.id.desc())
        unit = (await connection.execute(query.limit(1))).one()
        death = {"state": UnitState.DEAD, "error": "ValueError: a bug", "finished_at": 1_700_000_000.0}
        await connection.execute(update(units).where(units.c.id == unit.id).values(**death))
        lost = update(images).where(images.c.chunk_id == unit.payload["chunk_id"])
        await connection.execute(lost.values(state=ImageState.PENDING, sha256=None, split=None))
        await connection.execute(update(jobs).where(jobs.c.id == job_id).values(state=JobState.FAILED, error="1 unit(s) of work failed"))
    return str(unit.id)


def test_dead_units_are_listed(failed: tuple[str, str], invoke: Invoke) -> None:
    """With job, kind and error; filters; as data; a kind that does not exist is refused."""
    job_id, unit_id = failed
    shown = invoke("dead", "ls").out
    assert shown.splitlines()[1].split()[:3] == [unit_id, job_id, "fetch"]
    assert shown.rstrip().endswith("ValueError: a bug")
    (document,) = invoke("dead", "ls", "--error", "ValueError", "--job", job_id, "--kind", "fetch", "--json").json["items"]
    assert (document["id"], document["status"], document["kind"]) == (unit_id, "dead", "fetch")
    assert document["died_at"] == "2023-11-14T22:13:20.000Z"
    assert invoke("dead", "ls", "--error", "MemoryError").err == "no dead units\n"
    assert invoke("dead", "ls", "--kind", "fly").code == 2
    assert invoke("dead", "ls", "-q").out == f"{unit_id}\n"


def test_a_retried_unit_is_done_by_resume(failed: tuple[str, str], invoke: Invoke) -> None:
    """The job runs again, and ends with all its images; what was done is in its log. A second retry is refused."""
    job_id, unit_id = failed
    retried = invoke("dead", "retry", unit_id[:-1], unit_id)
    assert retried.code == 0
    assert retried.out == f"{unit_id}: fetch of {job_id} is pending\n"
    assert f"pictrawl resume {job_id}" in retried.err
    again = invoke("dead", "retry", unit_id)
    assert (again.code, again.err.splitlines()[0]) == (2, f"error: unit {unit_id} is pending, not dead")
    (line,) = invoke("jobs", "logs", job_id, "--event", "unit.retried", "--json").json["items"]
    assert (line["data"]["unit_id"], line["data"]["user_id"], line["data"]["error"]) == (unit_id, "local", "ValueError: a bug")
    resumed = invoke("resume", job_id, "--json", *OPEN)
    assert (resumed.code, resumed.json["status"], resumed.json["funnel"]["kept"]) == (0, "succeeded", 10)


def test_a_retried_unit_goes_to_the_process_that_works(failed: tuple[str, str], invoke: Invoke, hold: Hold) -> None:
    """It gets the job, and is named."""
    _, unit_id = failed
    hold("serve")
    assert invoke("dead", "retry", unit_id).err == "`pictrawl serve` (process 4711) takes it\n"


def test_a_failed_job_finishes_with_what_it_has(failed: tuple[str, str], invoke: Invoke) -> None:
    """Discarded and resumed: five images are kept, five failed as cancelled, none is open; a retry fetches those."""
    job_id, unit_id = failed
    discarded = invoke("dead", "discard", "--job", job_id, "--json")
    assert [(item["id"], item["status"], item["images"]) for item in discarded.json["items"]] == [(unit_id, "cancelled", 5)]
    assert invoke("dead", "ls").err == "no dead units\n"
    assert invoke("jobs", "show", job_id, "-q").out == "failed\n"
    resumed = invoke("resume", job_id, "--json", *OPEN).json
    assert (resumed["status"], resumed["funnel"]["candidates"], resumed["funnel"]["kept"]) == ("succeeded", 10, 5)
    assert resumed["reasons"] == {"cancelled": 5}
    events = [item["event"] for item in invoke("jobs", "logs", job_id, "--json").json["items"]]
    assert events.index("unit.discarded") < events.index("job.revived") < len(events) - 1
    assert invoke("retry", job_id, "--json", *OPEN).json["funnel"]["kept"] == 10


def test_discard_may_let_the_job_continue(failed: tuple[str, str], invoke: Invoke) -> None:
    """The job is finalizing, and resume brings it to its end; text and bare ids."""
    job_id, unit_id = failed
    discarded = invoke("dead", "discard", unit_id[:-1], "--resume")
    assert discarded.out == f"{unit_id}: fetch of {job_id} discarded, 5 images closed\n"
    assert invoke("jobs", "show", job_id, "-q").out == "finalizing\n"
    assert invoke("resume", job_id, *OPEN).code == 0


@pytest.mark.parametrize("verb", ["retry", "discard"])
def test_units_or_a_job_are_named(invoke: Invoke, verb: str) -> None:
    """One of both; what does not exist is said; nothing is made."""
    assert "name units, or --job JOB" in invoke("dead", verb).err
    assert invoke("dead", verb, "unit_1", "--job", "job_1").code == 2
    assert "no workspace" in invoke("dead", verb, "unit_1").err
    assert list(Path.cwd().iterdir()) == []
    in_database(schema.current)
    assert (invoke("dead", verb, "unit_1").code, invoke("dead", verb, "unit_1").err.splitlines()[0]) == (2, "error: no unit unit_1")
    assert invoke("dead", verb, "--job", "job_1").code == 2


def test_a_fleet_is_sent_what_was_retried(failed: tuple[str, str], invoke: Invoke, redis_url: str) -> None:
    """At once where Redis answers, and a missing worker is said."""
    there = ["--set", "queue.backend=redis", "--set", f"queue.url={redis_url}"]
    retried = invoke("dead", "retry", failed[1], "-q", *there)
    assert (retried.code, retried.out) == (0, f"{failed[1]}\n")
    assert "no worker is alive" in retried.err
    assert [item["depth"] for item in invoke("queues", "--json", *there).json["items"]] == [1, 0]


def test_a_retry_holds_while_redis_is_away(failed: tuple[str, str], invoke: Invoke) -> None:
    """The row is what counts: a worker sends it when Redis is back."""
    with RedisServer() as server:
        url = server.url
    retried = invoke("dead", "retry", failed[1], "--set", "queue.backend=redis", "--set", f"queue.url={url}")
    assert retried.code == 0
    assert "not sent yet, a worker will send it: Redis cannot be used" in retried.err
    assert invoke("queues", "--json").json["items"][0]["units"]["pending"] == 1
