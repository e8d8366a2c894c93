"""workers ls, queues, dead ls|retry|discard: what an operator looks at and mends; and the lines that this leaves in a job's log."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import select, update

from app.db import Database, fleet, schema, tables
from app.db.rows import WorkerRow
from app.domain import ImageState, JobState, UnitState
from app.settings import load_settings
from tests.cli.conftest import LOOPBACK, OPEN, Invoke, Site
from tests.services import RedisServer

T = TypeVar("T")
STATES = ("pending", "deferred", "queued", "running", "quarantined", "dead")


def in_database(body: Callable[[Database], Awaitable[T]]) -> T:
    """Do something to this workspace's database, which is made if there is none."""

    async def run() -> T:
        db = Database(load_settings().database_url)
        try:
            await schema.upgrade(db)
            return await body(db)
        finally:
            await db.close()

    return asyncio.run(run())


async def employ(db: Database) -> None:
    """A builder that lives and a validator that has been silent for a minute."""
    await fleet.beat(db, WorkerRow("wrk_1-builder", "builder", "box", 7, "0.1.0", 8, 2, 0.0123, 0.0, 0.0))
    await fleet.beat(db, WorkerRow("wrk_2-validator", "validator", "box", 8, "0.1.0", 4, 0, 0.0, 0.0, 0.0))
    silent = update(tables.workers).where(tables.workers.c.id == "wrk_2-validator")
    async with db.write() as connection:
        await connection.execute(silent.values(beat_at=tables.workers.c.beat_at - 61))


def test_workers_are_listed_with_their_signs_of_life(invoke: Invoke) -> None:
    """Every figure in the table and in the document; ids alone; none is said."""
    in_database(schema.current)
    assert invoke("workers", "ls").err == "no workers\n"
    in_database(employ)
    lines = invoke("workers", "ls").out.splitlines()
    assert lines[0].split() == ["id", "kind", "host", "pid", "version", "slots", "running", "lag", "seen", "status"]
    assert lines[1].split()[:8] == ["wrk_1-builder", "builder", "box", "7", "0.1.0", "8", "2", "12"]
    assert (lines[1].split()[-1], lines[2].split()[-1]) == ("alive", "silent")
    assert "1m0" in lines[2]
    alive, silent = invoke("workers", "ls", "--json").json["items"]
    assert (alive["id"], alive["is_alive"], alive["loop_lag_s"], alive["slots"]) == ("wrk_1-builder", True, 0.0123, 8)
    assert (silent["is_alive"], silent["beat_age_s"] > 60) == (False, True)
    assert invoke("workers", "ls", "-q").out == "wrk_1-builder\nwrk_2-validator\n"


def test_queues_of_an_embedded_workspace(invoke: Invoke, tmp_path: Path) -> None:
    """Its messages are inside another process, so their number is unknown; units and slots are not."""
    in_database(employ)
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    invoke("build", "--urls", "list.txt", "--detach")
    builder, validator = invoke("queues", "--json").json["items"]
    assert 0 <= builder.pop("oldest_due_s") < 60
    assert builder == {"name": "builder", "depth": None, "units": dict.fromkeys(STATES, 0) | {"queued": 1}, "slots": 8}
    assert (validator["oldest_due_s"], validator["slots"]) == (None, 0)
    head, first, second = invoke("queues").out.splitlines()
    assert head.split() == ["queue", "messages", *STATES, "oldest", "due", "slots"]
    assert first.split()[:8] == ["builder", "-", "0", "0", "1", "0", "0", "0"]
    assert second.split() == ["validator", "-", "0", "0", "0", "0", "0", "0", "-", "0"]
    assert invoke("queues", "-q").out == "builder\nvalidator\n"


def test_queues_of_a_fleet_with_and_without_redis(invoke: Invoke, redis_url: str) -> None:
    """What Redis holds; where it is away that is said, and the rest shown all the same."""
    in_database(employ)
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    there = ["--set", "queue.backend=redis", "--set", f"queue.url={redis_url}"]
    assert invoke("build", "--urls", "list.txt", "--detach", *there).code == 0
    assert [item["depth"] for item in invoke("queues", "--json", *there).json["items"]] == [1, 0]
    assert invoke("queues", *there).out.splitlines()[1].split()[:2] == ["builder", "1"]
    away = invoke("queues", "--set", "queue.backend=redis", "--set", "queue.url=redis://127.0.0.1:1/0")
    assert away.code == 0
    assert away.out.splitlines()[1].split()[:2] == ["builder", "-"]
    assert "warning: Redis cannot be used" in away.err


# dead


@pytest.fixture
def failed(gallery: Site, invoke: Invoke) -> tuple[str, str]:
    """A build of ten images whose second chunk died before it fetched anything; ids of the job and of the dead unit."""
    gallery.urls = gallery.urls[:10]
    gallery.write_list(Path("list.txt"))
    built = invoke("build", "--urls", "list.txt", "--json", "--set", "jobs.chunk_size=5", *LOOPBACK)
    assert built.code == 0, built.err
    return built.json["job_id"], in_database(lambda db: kill_a_fetch(db, built.json["job_id"]))


async def kill_a_fetch(db: Database, job_id: str) -> str:
    """As it would be had a worker met a bug."""
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
    assert (document["id"], document["status"], document["kind"], document["died_at"]) == (unit_id, "dead", "fetch", 1_700_000_000.0)
    assert invoke("dead", "ls", "--error", "MemoryError").err == "no dead units\n"
    assert invoke("dead", "ls", "--kind", "fly").code == 2
    assert invoke("dead", "ls", "-q").out == f"{unit_id}\n"


def test_a_retried_unit_is_done_by_whoever_resumes(failed: tuple[str, str], invoke: Invoke) -> None:
    """The job runs again, and ends with all its images; what was done is in its log. A second retry is refused."""
    job_id, unit_id = failed
    retried = invoke("dead", "retry", unit_id)
    assert retried.code == 0
    assert retried.out == f"{unit_id}: fetch of {job_id} is pending\n"
    assert f"pictrawl resume {job_id}" in retried.err
    again = invoke("dead", "retry", unit_id)
    assert (again.code, again.err.splitlines()[0]) == (2, f"error: unit {unit_id} is pending, not dead")
    (line,) = invoke("jobs", "logs", job_id, "--event", "unit.retried", "--json").json["items"]
    assert (line["data"]["unit_id"], line["data"]["user_id"], line["data"]["error"]) == (unit_id, "local", "ValueError: a bug")
    resumed = invoke("resume", job_id, "--json", *OPEN)
    assert (resumed.code, resumed.json["status"], resumed.json["funnel"]["kept"]) == (0, "succeeded", 10)


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


def test_discard_may_let_the_job_go_on(failed: tuple[str, str], invoke: Invoke) -> None:
    """It is finalizing, and whoever resumes it sees its end; words and bare ids."""
    job_id, unit_id = failed
    discarded = invoke("dead", "discard", unit_id, "--resume")
    assert discarded.out == f"{unit_id}: fetch of {job_id} given up, 5 images closed\n"
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
    assert "not sent yet, a worker does that: Redis cannot be used" in retried.err
    assert invoke("queues", "--json").json["items"][0]["units"]["pending"] == 1


def test_steering_leaves_a_line_in_the_jobs_log(invoke: Invoke) -> None:
    """From the command line as from the API: what was wanted, and whose job it is."""
    Path("list.txt").write_text("http://127.0.0.1:9/a.jpg\n")
    job_id = invoke("build", "--urls", "list.txt", "--detach", "-q").out.strip()
    for verb in ("pause", "resume", "cancel"):
        assert invoke("jobs", verb, job_id).code == 0
    (accepted,) = invoke("jobs", "logs", job_id, "--event", "job.accepted", "--json").json["items"]
    assert accepted["data"]["user_id"] == "local"
    lines: list[Any] = invoke("jobs", "logs", job_id, "--event", "job.steered", "--json").json["items"]
    assert [line["data"]["desired_state"] for line in lines] == ["paused", "running", "cancelled"]
    assert {line["data"]["user_id"] for line in lines} == {"local"}
