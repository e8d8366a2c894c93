"""Tests of app.jobs.attendance: which jobs a process works on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.db import Database, fleet, jobs, tables
from app.db.rows import WorkerRow
from app.job_states import NO_WORKER, JobState
from app.jobs.attendance import is_unattended, mark_unattended
from app.workspace import Holder, Workspace
from tests.db.builders import add_job, change


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Workspace]:
    """A workspace of a build, which works on what it is asked for; not taken yet."""
    opened = Workspace(tmp_path, Holder(1, "build", job_ids=frozenset()))
    yield opened
    opened.release()


async def waiting(db: Database, workspace: Workspace | None, *job_ids: str) -> list[str | None]:
    """What each of the jobs waits for."""
    return [job.waiting_for for job in await mark_unattended(db, workspace, [await jobs.get(db, job_id) for job_id in job_ids])]


async def test_without_a_holder_no_job_of_a_workspace_is_worked_on(any_database: Database, held: Workspace) -> None:
    """With one, those that it works on; a server works on all."""
    one, two = await add_job(any_database), await add_job(any_database)
    seen = Workspace(held.folder, Holder(2, ""))
    assert await waiting(any_database, seen, one, two) == [NO_WORKER, NO_WORKER]
    assert held.take()
    held.request(one)
    assert await waiting(any_database, seen, one, two) == [None, NO_WORKER]
    held.release()
    service = Workspace(held.folder, Holder(3, "serve"))
    assert service.take()
    assert await waiting(any_database, seen, one, two) == [None, None]
    service.release()


async def test_a_job_of_a_fleet_is_worked_on_while_a_worker_lives(any_database: Database) -> None:
    """By its heartbeat, at most 30 seconds ago."""
    job_id = await add_job(any_database)
    assert await waiting(any_database, None, job_id) == [NO_WORKER]
    await fleet.beat(any_database, WorkerRow("wrk_1", "builder", "box", 1, "1", 8, 0, 0.0, 0.0, 0.0))
    assert await waiting(any_database, None, job_id) == [None]
    await change(any_database, tables.workers, "wrk_1", beat_at=await any_database.now() - 31)
    assert await waiting(any_database, None, job_id) == [NO_WORKER]


async def test_a_job_that_has_ended_or_is_paused_waits_for_no_worker(any_database: Database, held: Workspace) -> None:
    """What it waits for else stays as it is; no worker goes before it."""
    ended, paused, full = await add_job(any_database), await add_job(any_database), await add_job(any_database)
    async with any_database.write() as connection:
        await jobs.end(connection, ended, JobState.SUCCEEDED)
    await change(any_database, tables.jobs, paused, desired_state="paused")
    await change(any_database, tables.jobs, full, waiting_for="the disk")
    assert await waiting(any_database, held, ended, paused) == [None, None]
    assert await waiting(any_database, held, full) == [NO_WORKER]
    assert held.take()
    held.request(full)
    assert await waiting(any_database, held, full) == ["the disk"]
    assert not is_unattended(await jobs.get(any_database, full))
