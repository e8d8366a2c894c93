"""One trace from the API call to the request at the origin: over real processes, Redis and PostgreSQL, and into the isolated process."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from arq import Retry

import errors
from app.job_states import UnitKind
from app.observability.tracing import exporting
from tests.images.samples import encode, photo
from tests.integration.test_job_processing import deployment, environment, follow
from tests.origin import Origin, image, reply
from tests.receiver import Receiver, Told, receiving, recording
from tests.services import PostgresServer, RedisServer, free_port
from tests.workers.bench import open_bench
from tests.workers.proof import change_unit, failing_bench, one_unit
from tests.workers.test_quarantine import quarantined

TRACE_ID, CALLER_ID = "a" * 32, "b" * 16
CALLER = {"traceparent": f"00-{TRACE_ID}-{CALLER_ID}-01"}
SECRET = "s3cr3t-canary"


@dataclass(frozen=True, slots=True)
class Story:
    """A job, its spans, its log lines and the headers that the origin got."""

    job_id: str
    receiver: Receiver
    logs: list[dict[str, Any]]
    heard: set[str]

    def job_spans(self) -> list[Told]:
        """All spans of the caller's trace, without the API calls that polled the job."""
        return [span for span in self.receiver.spans if span.trace_id == TRACE_ID]


def traced(receiver_url: str, **more: str) -> dict[str, str]:
    """Environment that turns tracing on."""
    told = {"PICTRAWL_TRACE__ENABLED": "true", "PICTRAWL_TRACE__ENDPOINT": receiver_url, "PICTRAWL_TRACE__URL_RATIO": "1"}
    return told | {"OTEL_BSP_SCHEDULE_DELAY": "200", "PICTRAWL_RETRY__BACKOFF_BASE_S": "0.05"} | more


async def a_job(folder: Path, redis_url: str, postgres_url: str, receiver: Receiver, **variables: str) -> Story:
    """Run one job on a fleet: one image at once, one at the second attempt, one missing. Its processes exit in order."""
    async with Origin() as origin:
        origin.script("/a.jpg", image(encode(photo(seed=1))))
        origin.script("/b.jpg", reply(503), image(encode(photo(seed=2))))
        urls = [origin.url("/a.jpg"), origin.url("/b.jpg"), origin.url(f"/gone.jpg?token={SECRET}")]
        async with deployment(folder, environment(folder, redis_url, postgres_url, **variables), workers=1) as client:
            answer = await client.post("/v1/jobs", json={"urls": urls, "export_format": "files"}, headers=CALLER)
            assert answer.status_code == 202, answer.text
            job = await follow(client, answer.headers["location"])
            assert (job["status"], job["progress"]["kept"]) == ("succeeded", 2)
        heard = {name for hit in origin.log for name in hit.headers}
    written = [line for name in ("api.log", "worker.log") for line in (folder / name).read_text().splitlines()]
    return Story(job["id"], receiver, [json.loads(line) for line in written if line.startswith("{")], heard)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, postgres_server: PostgresServer) -> Iterator[Story]:
    """A job with tracing on in all processes."""
    redis_server.flush()
    database = postgres_server.create_database("traced")
    with receiving() as receiver:
        yield asyncio.run(a_job(tmp_path_factory.mktemp("job"), redis_server.url, database, receiver, **traced(receiver.url)))
    postgres_server.drop_database("traced")


@pytest.mark.services("redis", "postgresql")
async def test_one_trace_from_the_api_to_the_origin(story: Story) -> None:
    """Every span of the job has the caller's trace id and the right parent."""
    told = story.job_spans()
    by_id = {span.span_id: span for span in told}
    (api,) = [span for span in told if span.name == "POST /v1/jobs"]
    (submit,) = [span for span in told if span.name == "submit"]
    runs = [span for span in told if "unit_id" in span.attributes]
    assert (api.parent_id, submit.parent_id) == (CALLER_ID, api.span_id)
    assert api.attributes["http.response.status_code"] == 202
    assert {span.name for span in runs} >= {
        "create_crawl_job", "discover_images", "process_chunk", "validate_chunk", "generate_labels", "finalize_crawl_job",
        "export_dataset", "verify_export",
    }  # fmt: skip
    assert {(span.parent_id, span.attributes["job_id"]) for span in runs} == {(submit.span_id, story.job_id)}
    assert {span.attributes["outcome"] for span in runs} == {"done"}
    (chunk,) = [span for span in runs if span.name == "process_chunk"]
    urls = [span for span in told if span.name == "fetch"]
    assert {span.parent_id for span in urls} == {chunk.span_id}
    assert chunk.attributes["chunk_id"]
    sent = [span for span in told if span.name == "GET"]
    assert {by_id[span.parent_id].name for span in sent} == {"fetch"}
    answers = sorted((str(span.attributes["url.full"])[-6:], span.attributes["http.response.status_code"]) for span in sent)
    assert answers == [("/a.jpg", 200), ("/b.jpg", 200), ("/b.jpg", 503), ("ne.jpg", 404), ("p.json", 404), ("ts.txt", 404)]
    assert {span.service for span in told} == {"pictrawl"}
    stray = {span.name for span in story.receiver.spans if span.trace_id != TRACE_ID}
    assert stray <= {"GET /v1/jobs/{job_id}"}  # polling is not part of the job


@pytest.mark.services("redis", "postgresql")
async def test_log_lines_have_the_callers_trace_and_the_origin_gets_no_header(story: Story) -> None:
    """Every line of the job has its trace id; the origin gets no trace header, the collector no secret."""
    lines = [line for line in story.logs if line.get("job_id") == story.job_id]
    assert {line["traceparent"].split("-")[1] for line in lines} == {TRACE_ID}
    known = {span.span_id for span in story.job_spans()}
    assert {line["traceparent"].split("-")[2] for line in lines} <= known | {CALLER_ID}
    assert not {"traceparent", "tracestate", "baggage"} & story.heard
    assert not any(SECRET.encode() in body for body in story.receiver.bodies)


@pytest.mark.services("redis", "postgresql")
async def test_without_a_collector_the_job_ends_as_usual(tmp_path: Path, redis_url: str, postgres_url: str) -> None:
    """No span arrives, one or two log lines of each process say so, and everything else works."""
    story = await a_job(tmp_path, redis_url, postgres_url, Receiver(""), **traced(f"http://127.0.0.1:{free_port()}"))
    told = [line["event"] for line in story.logs if str(line["event"]).startswith("trace.")]
    assert told
    assert len(told) <= 2 * len({"trace.not_exported", "trace.not_flushed", "trace.lost"})
    assert not [line for line in story.logs if "opentelemetry" in str(line.get("logger"))]
    assert not [line for line in story.logs if "traceback" in line]


@pytest.mark.services("redis", "postgresql")
async def test_with_tracing_off_there_is_no_span_and_the_log_has_the_callers_trace(
    tmp_path: Path, redis_url: str, postgres_url: str
) -> None:
    """Nothing is sent to the collector in the OTEL_ variables or to the origin, and the log has no trace id of our own."""
    with receiving() as receiver:
        story = await a_job(tmp_path, redis_url, postgres_url, receiver, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
        assert receiver.requests == 0
    assert {line["traceparent"] for line in story.logs if line.get("job_id") == story.job_id} == {CALLER["traceparent"]}
    assert not {"traceparent", "tracestate"} & story.heard


async def test_a_retry_of_the_job_layer_is_another_span_of_the_same_trace(tmp_path: Path) -> None:
    """The span of the failed run has its error without secrets; the next run has a span beside it."""
    error = errors.DatabaseConnectionError(f"cannot reach postgresql://u:{SECRET}@host/db")
    async with recording() as told, failing_bench(tmp_path, error) as (bench, leases):
        delivery = await one_unit(bench, UnitKind.INTEGRITY)
        with pytest.raises(Retry):
            await bench.run(delivery)
        leases.error = None
        await change_unit(bench, delivery.unit_id, not_before=0.0)
        await bench.run(delivery, job_try=2)
        await bench.run(delivery, job_try=3)
    runs = [span for span in told() if span.name == "check_integrity"]
    failed, done, duplicate = [span.attributes or {} for span in runs]
    assert (failed["outcome"], failed["error.type"], failed["run"]) == ("retried", "DatabaseConnectionError", 1)
    assert (done["outcome"], done["run"]) == ("done", 2)
    assert "error.type" not in done
    assert duplicate["outcome"] == "not_claimed"
    assert SECRET not in runs[0].to_json()


async def test_the_isolated_process_continues_the_trace(tmp_path: Path) -> None:
    """Its span is a child of the run that started it, and its requests are children of its span."""
    with receiving() as receiver:
        flags = {"trace.enabled": True, "trace.endpoint": receiver.url, "trace.url_ratio": 1.0}
        async with Origin() as origin, open_bench(tmp_path, flags) as bench:
            origin.script("/a.jpg", image(encode(photo(seed=1))))
            async with exporting(bench.resources.settings.trace):
                await bench.submit([origin.url("/a.jpg")])
                await bench.drive(until=UnitKind.FETCH)
                await bench.run(await quarantined(bench, UnitKind.FETCH))
    (submit,) = receiver.named("submit")
    (run,) = receiver.named("process_chunk")
    (alone,) = receiver.named("process_chunk alone")
    (url,) = receiver.named("fetch")
    assert run.attributes["outcome"] == "alone"
    assert (run.parent_id, alone.parent_id, url.parent_id) == (submit.span_id, run.span_id, alone.span_id)
    assert {span.trace_id for span in receiver.spans} == {submit.trace_id}


async def test_a_job_that_is_not_sampled_leaves_nothing_anywhere(tmp_path: Path) -> None:
    """The sampling decision is made once, at submission, and is part of its messages."""
    async with recording(sample_ratio=0.0) as told, open_bench(tmp_path) as bench, Origin() as origin:
        origin.script("/a.jpg", image(encode(photo(seed=1))))
        job_id = await bench.submit([origin.url("/a.jpg")])
        await bench.drive()
        carried = (await bench.job(job_id)).traced["traceparent"]
    assert told() == []
    assert not int(carried[-2:], 16) & 1
