import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.db import fleet
from app.db.rows import WorkerRow
from app.records import JobState
from app.resources import Resources
from app.web import create_app
from app.web.metrics import Metrics, collect, queue_depths
from tests.web import seeds
from tests.web.conftest import Connect


def values(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Sample values by name and label values."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


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
    from app.db import attempts
    from app.db.rows import Unit
    from app.records import Reason, UnitKind, UnitState
    from downloader.records import Attempt

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
