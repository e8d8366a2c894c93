import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

import errors
from app.db import jobs, outbox
from app.jobs.dispatch import envelope
from app.resources import Resources
from app.web.metrics import Metrics
from app.web.middleware import Frame, traceparent_of
from logging_setup.config import add_sink, remove_sink
from tests.web import seeds
from tests.web.conftest import Connect

Lines = list[Mapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Every record from DEBUG upwards, as sinks get it."""
    taken: Lines = []
    sink = add_sink(taken.append, level="DEBUG")
    yield taken
    remove_sink(sink)


def of(lines: Lines, event: str) -> Lines:
    return [line for line in lines if line["event"] == event]


async def test_a_request_has_one_line_with_its_template_and_its_ids(
    app: FastAPI, connect: Connect, resources: Resources, lines: Lines
) -> None:
    """INFO, once, and the route's template instead of the path."""
    client = connect(app, await seeds.key_of(resources, "ann"))
    job = await seeds.build(resources, "ann")
    lines.clear()
    answer = await client.get(f"/v1/jobs/{job.id}", headers={"X-Request-ID": "trace-1"})
    (line,) = of(lines, "http.request")
    wanted = {"level": "INFO", "method": "GET", "route": "/v1/jobs/{job_id}", "status": 200, "request_id": "trace-1", "user_id": "ann"}
    assert {name: line[name] for name in wanted} == wanted
    assert line["duration_ms"] >= 0
    assert "job_id" not in line, "or every look at a job would be an event of its life"
    assert answer.headers["x-request-id"] == "trace-1"


async def test_lines_of_thumbnails_and_parts_of_pages_are_for_debugging(
    client: httpx.AsyncClient, resources: Resources, lines: Lines
) -> None:
    """One page asks for hundreds of thumbnails, and for its parts each second."""
    image_id = await seeds.image(resources, await seeds.build(resources))
    lines.clear()
    for path in (f"/v1/images/{image_id}/thumbnail", f"/v1/images/{image_id}"):
        await client.get(path)
    await client.get("/jobs", headers={"Accept": "text/html"})
    await client.get("/jobs", headers={"Accept": "text/html", "HX-Request": "true"})
    assert [line["level"] for line in of(lines, "http.request")] == ["DEBUG", "INFO", "INFO", "DEBUG"]


async def test_what_is_logged_on_the_way_carries_both_ids(app: FastAPI, connect: Connect, resources: Resources, lines: Lines) -> None:
    """One grep on a request id shows what the request did."""
    client = connect(app, await seeds.key_of(resources, "ann"))
    await client.post("/v1/jobs", json={"urls": ["http://origin.example/a.jpg"]}, headers={"X-Request-ID": "trace-2"})
    (line,) = of(lines, "job.accepted")
    assert (line["request_id"], line["user_id"]) == ("trace-2", "ann")


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_the_callers_trace_goes_with_the_job(app: FastAPI, connect: Connect, resources: Resources, lines: Lines) -> None:
    """The line of its acceptance has it, and the row, from which every unit's message gets it."""
    client = connect(app, await seeds.key_of(resources, "ann"))
    answer = await client.post("/v1/jobs", json={"urls": ["http://origin.example/a.jpg"]}, headers={"traceparent": TRACE})
    (line,) = of(lines, "job.accepted")
    assert line["traceparent"] == TRACE
    job = await jobs.get(resources.db, answer.json()["id"])
    assert job.traced == {"request_id": line["request_id"], "traceparent": TRACE}
    (message,) = [envelope(delivery) for delivery in await outbox.queued(resources.db, older_than_s=-1)]
    assert dict(message.ids).items() >= job.traced.items()


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ([TRACE], TRACE),
        ([TRACE.replace("00-", "cc-", 1) + "-what-comes-later"], TRACE.replace("00-", "cc-", 1)),
        ([], None),
        ([TRACE, TRACE], None),
        ([TRACE.upper()], None),
        ([TRACE + "-more"], None),
        ([TRACE + "0"], None),
        ([TRACE.replace("00-", "ff-", 1)], None),
        (["00-" + "0" * 32 + "-b7ad6b7169203331-01"], None),
        (["00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01"], None),
        (["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"], None),
        ([TRACE + "\u00e9"], None),
    ],
)
def test_a_trace_is_taken_where_it_is_well_formed(given: list[str], taken: str | None) -> None:
    """W3C Trace Context 3.2: lower case, no zero ids, nothing behind version 00, one header; of a later version its first four fields."""
    headers = Headers(raw=[(b"traceparent", value.encode("latin-1")) for value in given])
    assert traceparent_of(headers) == ({"traceparent": taken} if taken else {})


@pytest.mark.parametrize("given", ["", "-x", "a b", "x" * 65, "a\u00e9", "a/b"])
async def test_a_request_id_unfit_for_a_log_line_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    """What goes into headers and lines is letters, digits, dots and dashes."""
    answer = await client.get("/healthz", headers=[(b"X-Request-ID", given.encode())])
    assert answer.headers["x-request-id"].startswith("req_")


async def test_every_answer_says_nosniff_and_no_store(client: httpx.AsyncClient) -> None:
    """Problems too."""
    for path in ("/healthz", "/nope"):
        headers = (await client.get(path)).headers
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


async def test_probes_are_logged_at_debug(client: httpx.AsyncClient, lines: Lines) -> None:
    """They come every few seconds."""
    await client.get("/healthz")
    assert [line["level"] for line in of(lines, "http.request")] == ["DEBUG"]


async def test_a_bug_is_500_without_its_words(app: FastAPI, client: httpx.AsyncClient, lines: Lines) -> None:
    """The log has the cause under the request id; the client has the id."""

    async def broken() -> None:
        raise RuntimeError("canary-51")

    app.add_api_route("/broken", broken)
    answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "canary-51" not in answer.text
    (line,) = of(lines, "http.failed")
    assert (line["request_id"], line["error"]) == (answer.json()["request_id"], "canary-51")
    assert of(lines, "http.request")[0]["status"] == 500


async def test_a_bug_after_the_first_byte_only_ends_the_answer(lines: Lines) -> None:
    """A second start would be nonsense; the end that is missing tells the client."""
    sent: list[str] = []

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("canary-52")

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def receive() -> Message:
        raise AssertionError

    await Frame(broken, metrics=Metrics())({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    assert sent == ["http.response.start"]
    assert [line["error"] for line in of(lines, "http.failed")] == ["canary-52"]


async def test_a_store_that_fails_after_the_first_byte_is_one_line(app: FastAPI, client: httpx.AsyncClient, lines: Lines) -> None:
    """No traceback: it is no bug; and the answer does not end as if it were whole."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        raise errors.StorageError("get k: canary-53")

    async def download() -> StreamingResponse:
        return StreamingResponse(pieces())

    app.add_api_route("/download", download)
    with pytest.raises(AssertionError, match=r"^$"):  # of httpx's transport: the answer did not end
        await client.get("/download")
    (line,) = of(lines, "http.broken_off")
    assert (line["error_type"], line["error"]) == ("StorageError", "get k: canary-53")
    assert not of(lines, "http.failed")


async def test_a_client_that_leaves_is_counted_as_such(app: FastAPI, client: httpx.AsyncClient, lines: Lines) -> None:
    """499, and the cancellation goes on."""
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.Event().wait()

    app.add_api_route("/slow", slow)
    asking = asyncio.create_task(client.get("/slow"))
    await began.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert of(lines, "http.request")[0]["status"] == 499


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_above_the_limit_is_413_however_it_comes(client: httpx.AsyncClient, resources: Resources, is_chunked: bool) -> None:
    """Where the length is announced, and where it only shows while it is read."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 1_000

    content: Any = pieces() if is_chunked else b" " * 200_000
    answer = await client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload-too-large")


async def test_a_body_at_the_limit_is_taken(client: httpx.AsyncClient) -> None:
    """The limit is the largest body, not the smallest refused."""
    head = b'{"urls": ["http://origin.example/a.jpg"]'
    body = head + b" " * (100_000 - len(head) - 1) + b"}"
    assert (await client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})).status_code == 202


async def test_head_answers_with_the_headers_of_get(client: httpx.AsyncClient) -> None:
    """RFC 9110 9.3.2."""
    got, asked = await client.get("/v1/jobs"), await client.head("/v1/jobs")
    assert asked.status_code == 200
    assert asked.headers["content-length"] == got.headers["content-length"]


async def test_other_protocols_pass_through(app: FastAPI) -> None:
    """Lifespan messages are nobody's request."""
    seen: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.shutdown" if seen else "lifespan.startup"}

    async def send(message: Any) -> None:
        seen.append(message["type"])

    await app({"type": "lifespan", "state": {}}, receive, send)
    assert seen == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
