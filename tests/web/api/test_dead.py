"""Tests of /v1/dead: dead units in the API, of their owner alone."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.db import events, jobs, lifecycle, units
from app.db.rows import Job, NewUnit
from app.job_states import JobState, UnitKind, UnitState
from app.jobs.event_log import recording
from app.resources import Resources
from app.web import create_app
from tests.web import seeds
from tests.web.conftest import Connect


async def died(
    resources: Resources, user_id: str = "local", *, number: int = 1, error: str = "MemoryError: too much"
) -> tuple[Job, list[str]]:
    """A job that failed with so many dead fetches; its row and their ids, the last that died first."""
    job = await seeds.build(resources, user_id)
    async with resources.db.write() as connection:
        ids = await lifecycle.add_units(connection, job.id, [NewUnit(UnitKind.FETCH, {"chunk_id": f"chunk_{at}"}) for at in range(number)])
    plan, *_ = [unit_id for unit_id in await all_units(resources, job.id) if unit_id not in ids]
    for unit_id, state in [(plan, UnitState.DONE), *((unit_id, UnitState.DEAD) for unit_id in ids)]:
        await finish(resources, unit_id, state, error if state is UnitState.DEAD else None)
    (finalize,) = set(await all_units(resources, job.id)) - {plan, *ids}
    await seeds.end(resources, job.id, JobState.FAILED, error="its units died")
    await finish(resources, finalize, UnitState.DONE)
    return await jobs.get(resources.db, job.id), ids[::-1]


async def all_units(resources: Resources, job_id: str) -> list[str]:
    from sqlalchemy import select

    from app.db import tables

    async with resources.db.read() as connection:
        rows = (await connection.execute(select(tables.units.c.id).where(tables.units.c.job_id == job_id))).all()
    return [row.id for row in rows]


async def finish(resources: Resources, unit_id: str, state: UnitState, error: str | None = None) -> None:
    """Claim a unit and end it."""
    unit = await units.claim(resources.db, unit_id, owner="wrk_1", lease_s=30)
    assert unit is not None
    async with resources.db.write() as connection:
        await units.finish(connection, unit, state=state, error=error)


async def status_of(resources: Resources, job_id: str) -> tuple[str, int]:
    job = await jobs.get(resources.db, job_id)
    return job.state.value, job.open_units


async def test_dead_units_are_listed_page_by_page(client: httpx.AsyncClient, resources: Resources) -> None:
    """The last that died first, with what it died of."""
    job, ids = await died(resources, number=3)
    first = (await client.get("/v1/dead", params={"limit": 2})).json()
    assert [unit["id"] for unit in first["items"]] == ids[:2]
    unit = first["items"][0]
    assert set(unit) == {"id", "job_id", "kind", "status", "error", "crashes", "chunk_id", "search_id", "created_at", "died_at"}
    assert (unit["job_id"], unit["kind"], unit["status"], unit["error"]) == (job.id, "fetch", "dead", "MemoryError: too much")
    assert (unit["chunk_id"], unit["search_id"], unit["died_at"][-1]) == ("chunk_2", None, "Z")
    rest = (await client.get("/v1/dead", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert ([unit["id"] for unit in rest["items"]], rest["next_cursor"]) == (ids[2:], None)


async def test_dead_units_are_filtered(client: httpx.AsyncClient, resources: Resources) -> None:
    """By job, kind and the beginning of the error; a word that is no kind is refused."""
    job, _ = await died(resources)
    other, _ = await died(resources, error="ValueError: x")

    async def found(**query: str) -> list[str]:
        return [unit["job_id"] for unit in (await client.get("/v1/dead", params=query)).json()["items"]]

    assert await found(job_id=job.id) == await found(error="MemoryError") == [job.id]
    assert await found(error="ValueError", kind="fetch") == [other.id]
    assert await found(kind="plan") == []
    assert (await client.get("/v1/dead", params={"kind": "nothing"})).status_code == 422
    assert (await client.get("/v1/dead", params={"cursor": "???"})).status_code == 422


async def test_a_retried_unit_is_sent_at_once(client: httpx.AsyncClient, resources: Resources) -> None:
    """The job goes on; a second time is a conflict."""
    job, ids = await died(resources)
    answer = await client.post("/v1/dead/retry", json={"unit_ids": ids})
    assert answer.status_code == 200
    assert [(unit["id"], unit["status"]) for unit in answer.json()["items"]] == [(ids[0], "pending")]
    assert await status_of(resources, job.id) == ("running", 1)
    assert (await units.counts(resources.db, job.id))["fetch", "queued"] == 1
    again = await client.post("/v1/dead/retry", json={"unit_ids": ids})
    assert (again.status_code, again.json()["code"]) == (409, "state-conflict")
    assert again.json()["detail"] == f"unit {ids[0]} is queued, not dead"


async def test_all_dead_units_of_a_job_are_retried_while_the_queue_is_away(connect: Connect, resources: Resources) -> None:
    """They wait in the database; the sweeper sends them."""
    job, _ = await died(resources, number=2)
    client = connect(create_app(seeds.without_queue(resources)))
    answer = await client.post("/v1/dead/retry", json={"job_id": job.id})
    assert (answer.status_code, len(answer.json()["items"])) == (200, 2)
    assert (await units.counts(resources.db, job.id))["fetch", "pending"] == 2


async def test_a_discarded_unit_closes_its_images(client: httpx.AsyncClient, resources: Resources) -> None:
    """The job stays failed; its retry may fetch them again."""
    job, ids = await died(resources)
    image_id = await seeds.image(resources, job, "a.jpg", chunk_id="chunk_0")
    answer = await client.post("/v1/dead/discard", json={"unit_ids": [ids[0], ids[0]]})
    assert [(unit["id"], unit["status"], unit["images"]) for unit in answer.json()["items"]] == [(ids[0], "cancelled", 1)]
    image = (await client.get(f"/v1/images/{image_id}")).json()
    assert (image["status"], image["reason"], image["detail"]) == (
        "failed",
        "cancelled",
        "its fetch unit was discarded: MemoryError: too much",
    )
    assert await status_of(resources, job.id) == ("failed", 0)
    assert (await client.get("/v1/dead")).json()["items"] == []
    assert (await client.post(f"/v1/jobs/{job.id}/retries")).status_code == 202


async def test_a_job_may_go_on_without_what_was_discarded(client: httpx.AsyncClient, resources: Resources) -> None:
    """It looks for its end at once."""
    job, _ = await died(resources, number=2)
    answer = await client.post("/v1/dead/discard", json={"job_id": job.id, "resume": True})
    assert len(answer.json()["items"]) == 2
    assert await status_of(resources, job.id) == ("finalizing", 1)
    assert (await units.counts(resources.db, job.id))["finalize", "queued"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"unit_ids": []},
        {"unit_ids": ["unit_1"]},
        {"unit_ids": ["unit_" + "0" * 32], "job_id": "job_" + "0" * 32},
        {"job_id": "job_\0"},
        {"unit_ids": ["unit_" + "0" * 32] * 201},
        {"job_id": "job_" + "0" * 32, "resumed": True},
    ],
)
@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_a_body_names_units_or_a_job(client: httpx.AsyncClient, verb: str, body: Any) -> None:
    """One of both, and nothing else."""
    answer = await client.post(f"/v1/dead/{verb}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")


@pytest.mark.parametrize("verb", ["retry", "discard"])
async def test_a_foreign_unit_is_not_found(app: FastAPI, connect: Connect, resources: Resources, verb: str) -> None:
    """Nor a foreign job, nor one that does not exist: the same answer, and no effect."""
    job, ids = await died(resources, "ann")
    ann, bob = [connect(app, await seeds.key_of(resources, user)) for user in ("ann", "bob")]
    for body in ({"unit_ids": ids}, {"job_id": job.id}, {"unit_ids": ["unit_" + "0" * 32]}, {"job_id": "job_" + "0" * 32}):
        answer = await bob.post(f"/v1/dead/{verb}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert (await bob.get("/v1/dead")).json()["items"] == (await bob.get("/v1/dead", params={"job_id": job.id})).json()["items"] == []
    assert [unit["id"] for unit in (await ann.get("/v1/dead")).json()["items"]] == ids
    assert (await ann.post(f"/v1/dead/{verb}", json={"unit_ids": ids})).status_code == 200


async def test_what_was_done_is_in_the_jobs_log(client: httpx.AsyncClient, resources: Resources) -> None:
    """Which unit, of whom, what it had died of, how many images it took along."""
    job, (later, earlier) = await died(resources, number=2)
    await seeds.image(resources, job, "a.jpg", chunk_id="chunk_0")
    async with recording(resources.db):
        await client.post("/v1/dead/discard", json={"unit_ids": [earlier]})
        await client.post("/v1/dead/retry", json={"unit_ids": [later]})
        await asyncio.sleep(0)
    discarded, retried = await events.after(resources.db, job.id, events.EventFilter(event="unit."))
    assert (discarded.event, discarded.level, discarded.data["unit_id"]) == ("unit.discarded", "WARNING", earlier)
    expected = {"user_id": "local", "kind": "fetch", "error": "MemoryError: too much", "images": 1, "chunk_id": "chunk_0"}
    assert expected.items() <= discarded.data.items()
    assert (retried.event, retried.level, retried.data["unit_id"]) == ("unit.retried", "INFO", later)


async def test_a_database_that_is_away_is_said(connect: Connect, resources: Resources) -> None:
    """503, with a time after which to ask again."""
    away = seeds.without_database(resources)
    try:
        answer = await connect(create_app(away)).post("/v1/dead/retry", json={"job_id": "job_" + "0" * 32})
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    finally:
        await away.db.close()
