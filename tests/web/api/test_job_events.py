import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.db import datasets, events, jobs
from app.db.rows import Job
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.resources import Resources
from app.web.api.job_events import EventQuery, EventStream, wants_stream
from tests.web import seeds
from tests.web.sockets import messages, served

JSON = {"Accept": "application/json"}


async def write(resources: Resources, job: Job, *names: str, level: str = "INFO", **data: Any) -> None:
    """Lines in a job's journal."""
    await events.add(resources.db, [{"job_id": job.id, "at": 1.0, "level": level, "event": name, "data": data} for name in names])


async def test_a_page_may_begin_with_the_newest_line(client: httpx.AsyncClient, resources: Resources) -> None:
    """And go on to older ones; a text narrows it, whatever value holds it."""
    job = await seeds.build(resources)
    await write(resources, job, "job.planning", "chunk.fetched", "job.over", host="Img.example")
    path = f"/v1/jobs/{job.id}/events"
    newest = (await client.get(path, params={"newest": True, "limit": 2}, headers=JSON)).json()
    assert [line["event"] for line in newest["items"]] == ["job.over", "chunk.fetched"]
    older = (await client.get(path, params={"before": newest["next_before"]}, headers=JSON)).json()
    assert ([line["event"] for line in older["items"]], older["next_before"], older["next_after"]) == (["job.planning"], None, None)
    for query, expected in (({"text": "img.EXAMPLE", "event": "job."}, ["job.over", "job.planning"]), ({"text": "nothing"}, [])):
        assert [line["event"] for line in (await client.get(path, params=query, headers=JSON)).json()["items"]] == expected


async def test_as_json_lines_are_paged_and_filtered(client: httpx.AsyncClient, resources: Resources) -> None:
    """Oldest first, beyond an id, of a level at least, whose name begins so."""
    job, other = await seeds.build(resources), await seeds.build(resources)
    await write(resources, job, "job.planning", "chunk.fetched", ok=3)
    await write(resources, job, "chunk.failed", level="WARNING")
    await write(resources, other, "job.other")
    path = f"/v1/jobs/{job.id}/events"
    first = (await client.get(f"{path}?limit=2", headers=JSON)).json()
    assert [(line["event"], line["level"], line["at"], line["data"]) for line in first["items"]] == [
        ("job.planning", "INFO", "1970-01-01T00:00:01Z", {"ok": 3}),
        ("chunk.fetched", "INFO", "1970-01-01T00:00:01Z", {"ok": 3}),
    ]
    rest = (await client.get(path, params={"after": first["next_after"]}, headers=JSON)).json()
    assert ([line["event"] for line in rest["items"]], rest["next_after"]) == (["chunk.failed"], None)
    for query, expected in (({"level": "warning"}, ["chunk.failed"]), ({"event": "chunk."}, ["chunk.fetched", "chunk.failed"])):
        assert [line["event"] for line in (await client.get(path, params=query, headers=JSON)).json()["items"]] == expected


async def test_lines_tell_of_the_job_and_not_of_the_server(client: httpx.AsyncClient, resources: Resources) -> None:
    """A traceback names files of the server's."""
    job = await seeds.build(resources)
    await write(resources, job, "unit.dead", level="ERROR", traceback='File "/srv/secret"', logger="workers.job", error="broken")
    answer = await client.get(f"/v1/jobs/{job.id}/events", headers=JSON)
    assert answer.json()["items"][0]["data"] == {"error": "broken"}


async def test_lines_are_filtered_by_what_they_are_about(client: httpx.AsyncClient, resources: Resources) -> None:
    """URL, host, chunk, and a level beside them; a stream is filtered alike."""
    job = await seeds.build(resources)
    await write(resources, job, "download.retry", level="WARNING", url="http://h.test/a.jpg?***", host="h.test:80", chunk_id="chunk_a")
    await write(resources, job, "chunk.fetched", chunk_id="chunk_a")
    path = f"/v1/jobs/{job.id}/events"
    for query, expected in (
        ({"url": "http://h.test/a.jpg?token=x"}, ["download.retry"]),
        ({"url": "http://h.test/a.jpg"}, []),
        ({"host": "H.test"}, ["download.retry"]),
        ({"chunk_id": "chunk_a"}, ["download.retry", "chunk.fetched"]),
        ({"chunk_id": "chunk_a", "level": "error"}, []),
    ):
        assert [line["event"] for line in (await client.get(path, params=query, headers=JSON)).json()["items"]] == expected
    await seeds.end(resources, job.id, JobState.CANCELLED)
    stream = EventStream(resources, await jobs.get(resources.db, job.id), EventQuery(host="h.test"), asyncio.Event())
    assert [line.event async for line in _events_of(stream)] == ["download.retry"]


async def _events_of(stream: EventStream) -> AsyncIterator[Any]:
    for event in await events.after(stream.db, stream.job.id, stream.wanted):
        yield event


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "level=LOUD", "limit=201", f"after={2**63}", "bogus=1", "url=ftp://h", "host=http://h", "host=", "chunk_id=x"],
)
async def test_a_query_it_does_not_know_is_refused(client: httpx.AsyncClient, resources: Resources, query: str) -> None:
    """In words, before a stream begins."""
    job = await seeds.build(resources)
    assert (await client.get(f"/v1/jobs/{job.id}/events?{query}")).status_code == 422


@pytest.mark.parametrize(
    ("accept", "is_stream"),
    [
        ("*/*", True),
        ("text/event-stream", True),
        ("application/json", False),
        ("application/json, text/plain, */*", False),
        ("application/json;q=0.5, text/event-stream", True),
        ("text/event-stream;q=0.1, application/*;q=0.9", False),
        ("application/json;q=0", True),
        ("application/json;q=x", True),
        ("text/html", True),
        ("", True),
    ],
)
def test_wants_stream_reads_accept(accept: str, is_stream: bool) -> None:
    """RFC 9110 12.5.1: quality first, then how exactly it was named; who does not care gets a stream."""
    assert wants_stream(accept) is is_stream


async def test_a_stream_follows_a_job_to_its_end(resources: Resources) -> None:
    """snapshot, every line with its id, progress, and bye after the final state."""
    job = await seeds.build(resources)
    await write(resources, job, "job.planning")
    seen: list[str] = []
    async with served(resources) as client, client.stream("GET", f"/v1/jobs/{job.id}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
        async for message in messages(response):
            seen.append(message.event)
            if message.event == "snapshot":
                assert message.data == (await client.get(f"/v1/jobs/{job.id}")).json()
            if message.event == "event" and message.data["event"] == "job.planning":
                assert message.id == str(message.data["id"])
                await seeds.image(resources, job, state=ImageState.FAILED, reason=Reason.HTTP_404)
            if message.event == "progress" and message.data["reasons"] == {"http_404": 1} and message.data["status"] == "pending":
                await seeds.end(resources, job.id, JobState.FAILED)
                await write(resources, job, "job.finished")
            last = message
    assert (last.event, last.data) == ("bye", {"status": "failed"})
    assert seen[:2] == ["snapshot", "event"]
    assert seen.count("snapshot") == seen.count("bye") == 1
    assert seen.count("progress") >= 2


async def test_a_stream_resumes_after_the_last_id(resources: Resources) -> None:
    """What was brought is not brought again; Last-Event-ID goes before `after`."""
    job = await seeds.build(resources)
    await write(resources, job, "one", "two", "three")
    known = await events.after(resources.db, job.id)
    await end_long_ago(resources, job)
    path = f"/v1/jobs/{job.id}/events"
    async with served(resources) as client:
        for headers, query in (({"Last-Event-ID": str(known[1].id)}, "?after=0"), ({}, f"?after={known[1].id}")):
            async with client.stream("GET", path + query, headers=headers) as response:
                brought = [message.data["event"] async for message in messages(response) if message.event == "event"]
            assert brought == ["three"]
        refused = await client.get(path, headers={"Last-Event-ID": "-1"})
        assert refused.json()["errors"][0]["parameter"] == "Last-Event-ID"


async def end_long_ago(resources: Resources, job: Job) -> None:
    """End a job; its journal has been quiet since."""
    await seeds.end(resources, job.id, JobState.SUCCEEDED)
    deadline = time.monotonic() + 10
    stream = EventStream(resources, await jobs.get(resources.db, job.id), EventQuery(), asyncio.Event())
    while not stream._is_settled():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_stream_of_many_lines_brings_each_once(resources: Resources) -> None:
    """Pages of the journal do not show in a stream."""
    job = await seeds.build(resources)
    await write(resources, job, *[f"line.{number}" for number in range(1200)])
    await end_long_ago(resources, job)
    stream = EventStream(resources, await jobs.get(resources.db, job.id), EventQuery(), asyncio.Event())
    text = b"".join([message async for message in stream.run()]).decode()
    assert text.count("event: event\n") == 1200
    assert text.endswith('event: bye\ndata: {"status":"succeeded"}\n\n')


async def test_a_stream_ends_when_the_server_stops(resources: Resources) -> None:
    """No listener holds a shutdown up; without `bye` it comes back."""
    job = await seeds.build(resources)
    stop = asyncio.Event()
    async with served(resources, stop) as client, client.stream("GET", f"/v1/jobs/{job.id}/events") as response:
        seen = []
        async for message in messages(response):
            seen.append(message.event)
            stop.set()
    assert "bye" not in seen
    # Had uvicorn cut it off after its own 10 s, the reply would have ended without its last chunk, and `messages` with an error.


async def test_a_stream_ends_when_its_listener_leaves(resources: Resources) -> None:
    """A connection that is gone polls no database."""
    job = await seeds.build(resources)
    async with served(resources) as client:
        async with client.stream("GET", f"/v1/jobs/{job.id}/events") as response:
            async for _ in messages(response):
                break
        deadline = time.monotonic() + 10
        while any("StreamingResponse" in repr(task.get_coro()) for task in asyncio.all_tasks()):
            assert time.monotonic() < deadline, "the stream goes on"
            await asyncio.sleep(0.05)
        text = (await client.get("/metrics")).text
    assert 'pictrawl_http_requests_total{method="GET",route="/v1/jobs/{job_id}/events",status="200"} 1.0' in text
    assert 'duration_seconds_count{method="GET",route="/v1/jobs/{job_id}/events"}' not in text


async def test_a_stream_of_a_deleted_job_says_so(resources: Resources) -> None:
    """The job is gone while somebody listens."""
    job = await seeds.build(resources)
    stream = EventStream(resources, job, EventQuery(), asyncio.Event()).run()
    assert (await anext(stream)).startswith(b"event: snapshot\n")
    await seeds.end(resources, job.id, JobState.CANCELLED)
    await datasets.delete_dataset(resources.db, job.dataset_id)
    rest = b"".join([message async for message in stream])
    assert rest.endswith(b'event: bye\ndata: {"status":"deleted"}\n\n')


async def test_a_stream_ends_when_the_database_goes_away(resources: Resources) -> None:
    """Without an error in its middle: the client comes back with its last id."""
    job = await seeds.build(resources)
    away = seeds.without_database(resources)
    stream = EventStream(away, job, EventQuery(), asyncio.Event())
    assert [message async for message in stream.run()] == []
    await away.db.close()


async def test_a_quiet_stream_sends_comments(resources: Resources) -> None:
    """Proxies close what is silent."""
    job = await seeds.build(resources)
    stopping = asyncio.Event()
    stream = EventStream(resources, job, EventQuery(), stopping)
    taken: list[bytes] = []
    async for message in stream.run():
        taken.append(message)
        stream.sent_at -= 60
        if message.startswith(b":"):
            stopping.set()
    assert taken[-1] == b": ping\n\n"


async def test_head_of_a_stream_ends_at_once(client: httpx.AsyncClient, resources: Resources) -> None:
    """The headers, and no waiting for a job."""
    job = await seeds.build(resources)
    answer = await client.head(f"/v1/jobs/{job.id}/events")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
