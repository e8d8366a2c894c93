import re

import httpx
from sqlalchemy import update

from app.db import attempts, fleet, tables
from app.db.rows import Unit, WorkerRow
from app.domain import Reason
from app.job_states import JobState, UnitKind, UnitState
from app.resources import Resources
from app.web import create_app
from app.web.metrics import ATTEMPTS_FACTOR, FAMILIES, REQUESTS, Metrics, collect, queue_depths
from downloader.models import Attempt
from tests.clocks import FakeTime
from tests.figures import parsed as values
from tests.web import seeds
from tests.web.api.test_openapi import DOCUMENT
from tests.web.conftest import Connect


async def test_figures_are_those_of_the_database_and_the_queue(client: httpx.AsyncClient, resources: Resources) -> None:
    """Jobs by state, units, workers alive, what waits."""
    await seeds.build(resources)
    await seeds.build(resources, ended=JobState.FAILED)
    await fleet.beat(resources.db, WorkerRow("wrk_1-builder", "builder", "h", 1, "0", 8, 0, 0.0, 0.0, 0.0))
    found = values((await client.get("/metrics")).text)
    assert found["pictrawl_jobs", ("pending",)] == 1
    assert found["pictrawl_jobs", ("failed",)] == 1
    assert found["pictrawl_jobs", ("running",)] == 0
    assert found["pictrawl_units", ("plan", "queued")] == 2
    assert found["pictrawl_queue_depth", ("builder",)] == 2
    assert found["pictrawl_queue_units", ("builder", "queued")] == 2
    assert found["pictrawl_queue_units", ("validator", "dead")] == 0
    assert found["pictrawl_queue_oldest_due_seconds", ("builder",)] >= 0
    assert found["pictrawl_queue_slots", ("builder",)] == 8
    assert found["pictrawl_workers_alive", ("builder",)] == 1
    assert found["pictrawl_workers_alive", ("validator",)] == 0
    assert found["pictrawl_up", ("database",)] == found["pictrawl_up", ("queue",)] == 1


async def test_requests_are_counted_by_route_template(client: httpx.AsyncClient, resources: Resources) -> None:
    """No id, no path of a client's invention and no method of one becomes a label."""
    job = await seeds.build(resources)
    for path in (f"/v1/jobs/{job.id}", "/v1/jobs/job_1", "/invented/path"):
        await client.get(path)
    await client.request("INVENTED", "/v1/jobs")
    text = (await client.get("/metrics")).text
    found = values(text)
    assert found["pictrawl_http_requests_total", ("GET", "/v1/jobs/{job_id}", "200")] == 1
    assert found["pictrawl_http_requests_total", ("GET", "/v1/jobs/{job_id}", "404")] == 1
    assert found["pictrawl_http_requests_total", ("GET", "unmatched", "404")] == 1
    assert found["pictrawl_http_requests_total", ("other", "/v1/jobs", "405")] == 1
    assert found["pictrawl_http_request_duration_seconds_count", ("GET", "/v1/jobs/{job_id}")] == 2
    assert "invented" not in text.lower()
    assert job.id not in text


async def test_a_part_that_is_away_is_said_and_its_figures_are_left_out(connect: Connect, resources: Resources) -> None:
    """What answers is still told."""
    away = seeds.without_queue(seeds.without_database(resources))
    names = {family.name: family for family in await collect(away)}
    await away.db.close()
    assert "pictrawl_jobs" not in names
    assert {tuple(sample.labels.values()): sample.value for sample in names["pictrawl_up"].samples} == {("database",): 0, ("queue",): 0}


async def test_a_queue_that_does_not_answer_is_away(resources: Resources) -> None:
    """A Redis that hangs holds nobody up."""
    assert await queue_depths(seeds.without_queue(resources, seeds.SilentQueue()), within_s=0.01) is None
    assert await queue_depths(resources) == {"builder": 0, "validator": 0}


async def test_counting_is_kept_for_a_while(resources: Resources) -> None:
    """Asking often does not count often."""
    metrics = Metrics()
    first = await metrics.render(resources)
    await seeds.build(resources)
    assert values((await metrics.render(resources)).decode())["pictrawl_jobs", ("pending",)] == 0
    assert b"pictrawl_build" in first


async def test_attempts_beyond_the_last_label_are_counted_together(resources: Resources) -> None:
    """The label stays bounded whatever the settings allow."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job)
    unit = Unit("unit_1", job.id, UnitKind.FETCH, UnitState.RUNNING, {}, 1, 0)
    async with resources.db.write() as connection:
        await attempts.reserve(connection, unit, [(image_id, number) for number in range(1, 7)])
        done = [(image_id, 1, Attempt(1, 1.0, 0.1, status=503, error="ServiceUnavailableError", reason=Reason.SERVICE_UNAVAILABLE))]
        done += [(image_id, number, Attempt(number, 1.0, 0.1, status=200)) for number in range(2, 6)]
        await attempts.record(connection, unit, done)
    found = values((await Metrics().render(resources)).decode())
    assert found["pictrawl_attempts", ("1", "service_unavailable")] == 1
    assert found["pictrawl_attempts", ("2", "ok")] == 1
    assert found["pictrawl_attempts", ("4+", "ok")] == 2
    assert found["pictrawl_attempts", ("4+", "unknown")] == 1


async def test_two_applications_do_not_share_figures(resources: Resources, connect: Connect) -> None:
    """No registry is global."""
    one, other = connect(create_app(resources)), connect(create_app(resources))
    await one.get("/healthz")
    assert ("pictrawl_http_requests_total", ("GET", "/healthz", "200")) not in values((await other.get("/metrics")).text)


async def test_finished_units_are_not_counted(resources: Resources) -> None:
    """There may be millions; those that matter are few."""
    job = await seeds.build(resources)
    async with resources.db.write() as connection:
        await connection.execute(update(tables.units).where(tables.units.c.job_id == job.id).values(state=UnitState.DONE))
    found = values((await Metrics().render(resources)).decode())
    assert [key for key in found if key[0] == "pictrawl_units"] == []


async def test_a_worker_of_a_kind_that_nobody_knows_is_other(resources: Resources) -> None:
    """Its row was written by another version; its words become no label."""
    await fleet.beat(resources.db, WorkerRow("wrk_1-x", "stranger", "h", 1, "9", 8, 0, 0.0, 0.0, 0.0))
    found = values((await Metrics().render(resources)).decode())
    assert found["pictrawl_workers_alive", ("other",)] == 1


async def test_attempts_are_counted_more_seldom_than_the_rest(resources: Resources) -> None:
    """Their count grows with the database, and nobody is woken by them."""
    time = FakeTime()

    def slow_clock() -> float:
        time.now += 0.1  # each look at the clock takes as long as a large count
        return time.now

    metrics = Metrics(slow_clock)
    seen = []
    for pause_s in (0.0, 0.1 * ATTEMPTS_FACTOR / 2, 0.1 * ATTEMPTS_FACTOR):
        time.now += pause_s
        await seeds.build(resources)
        await _attempt(resources)
        found = values((await metrics.render(resources)).decode())
        seen.append((found["pictrawl_jobs", ("pending",)], found["pictrawl_attempts", ("1", "ok")]))
    assert seen == [(2, 1), (4, 1), (6, 3)]


async def _attempt(resources: Resources) -> None:
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job)
    unit = Unit("unit_1", job.id, UnitKind.FETCH, UnitState.RUNNING, {}, 1, 0)
    async with resources.db.write() as connection:
        await attempts.reserve(connection, unit, [(image_id, 1)])
        await attempts.record(connection, unit, [(image_id, 1, Attempt(1, 1.0, 0.1, status=200))])


async def test_the_api_tells_its_process_as_well(client: httpx.AsyncClient) -> None:
    """In one text: its own requests, the fleet, and what this process counts; every family with its type, once."""
    await client.get("/healthz")
    text = (await client.get("/metrics")).text
    names = re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {family.sample for family in FAMILIES} <= set(names)
    assert {"pictrawl_database_errors_total", "pictrawl_log_lines_dropped", "process_resident_memory_bytes"} <= set(names)


def test_route_templates_are_as_many_as_was_said() -> None:
    """The bound in the reference holds for the routes that there are, and for a few to come."""
    assert len(DOCUMENT["paths"]) + 3 <= REQUESTS.labels[1].limit
