"""The spans of a URL: every request with its status and its error, the waits between them, and not a word to the origin."""

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from downloader import FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader
from tests.images.samples import encode, photo
from tests.origin import Origin, Step, image, redirect, reply, stall
from tests.receiver import recording

LIMITS = FetchLimits(allow_networks=("127.0.0.0/8",), ports=(), read_timeout_s=0.2, attempt_timeout_s=0.4)
PICTURE = encode(photo(seed=1))
SECRET = "s3cr3t-canary"


async def no_sleep(_seconds: float) -> None:
    """Waits, skipped."""


async def fetch(*urls: str, robots: bool = False) -> None:
    """Fetch inside a chunk's span."""
    limits = FetchLimits(**{name: getattr(LIMITS, name) for name in LIMITS.__slots__} | {"robots": robots})
    async with Downloader(limits, RetryRules(jitter=0), sleep=no_sleep) as downloader:
        with trace.get_tracer(__name__).start_as_current_span("chunk"):
            async for _ in downloader.fetch_many([FetchRequest(url) for url in urls]):
                pass


def ids(span: ReadableSpan) -> tuple[int, int]:
    """Trace and span above."""
    return (span.context.trace_id, span.parent.span_id if span.parent else 0)


async def test_every_attempt_is_a_span_below_its_urls() -> None:
    """503 and then the picture: two requests, numbered, and between them a wait with its cause."""
    async with Origin() as origin, recording(url_ratio=1.0) as told:
        origin.script("/a.jpg", reply(503), image(PICTURE))
        await fetch(origin.url("/a.jpg"))
    chunk, url, first, second = told()
    assert [span.name for span in (chunk, url, first, second)] == ["chunk", "fetch", "GET", "GET"]
    assert ids(url) == (chunk.context.trace_id, chunk.context.span_id)
    assert ids(first) == ids(second) == (chunk.context.trace_id, url.context.span_id)
    assert {span.kind.name for span in (first, second)} == {"CLIENT"}
    before, after = first.attributes or {}, second.attributes or {}
    assert (before["http.response.status_code"], before["error.type"]) == (503, "ServiceUnavailableError")
    assert (after["http.response.status_code"], after["http.request.resend_count"]) == (200, 1)
    assert "http.request.resend_count" not in before
    assert "error.type" not in after
    assert (before["http.request.method"], before["server.address"], before["url.scheme"]) == ("GET", "127.0.0.1", "http")
    (wait,) = url.events
    assert (wait.name, dict(wait.attributes or {})) == ("retry.wait", {"wait_s": 2.0, "wait_cause": "backoff"})
    assert ((url.attributes or {})["outcome"], (url.attributes or {})["attempts"]) == ("ok", 2)


@pytest.mark.parametrize(
    ("step", "outcome", "error", "requests"),
    [
        (reply(404), "failed", "NotFoundError", 1),
        (reply(429, headers={"Retry-After": "600"}), "deferred", "RateLimitError", 1),
        (stall(), "failed", "TimeoutException", 3),
    ],
)
async def test_a_url_that_fails_says_of_what(step: Step, outcome: str, error: str, requests: int) -> None:
    """On its own span the outcome and the reason; on each request's the error."""
    async with Origin() as origin, recording(url_ratio=1.0) as told:
        origin.script("/a.jpg", step)
        await fetch(origin.url("/a.jpg"))
    (url,) = [span for span in told() if span.name == "fetch"]
    sent = [span for span in told() if span.name == "GET"]
    assert (url.attributes or {})["outcome"] == outcome
    assert (url.attributes or {})["reason"]
    assert [(span.attributes or {})["error.type"] for span in sent] == [error] * requests
    assert all(span.status.status_code.name == "ERROR" for span in sent)


async def test_redirects_and_robots_are_requests_too() -> None:
    """Each hop is sent, so each is a span; the files of the site stand below the URL that asked for them first."""
    async with Origin() as origin, recording(url_ratio=1.0) as told:
        origin.script("/robots.txt", reply(404))
        origin.script("/a.jpg", redirect("/b.jpg"))
        origin.script("/b.jpg", image(PICTURE))
        await fetch(origin.url("/a.jpg"), robots=True)
    said = [span.attributes or {} for span in told()[2:]]
    sent = [(str(one["url.full"]).rpartition("/")[2], one["http.response.status_code"]) for one in said]
    assert sent == [("robots.txt", 404), ("tdmrep.json", 404), ("a.jpg", 302), ("b.jpg", 200)]


async def test_no_origin_hears_of_a_trace_and_no_span_of_a_secret() -> None:
    """No traceparent, tracestate or baggage goes out; user and query of a URL stay here."""
    async with Origin() as origin, recording(url_ratio=1.0) as told:
        origin.script("/a.jpg", redirect(f"/b.jpg?key={SECRET}"))
        origin.script("/b.jpg", reply(503), image(PICTURE))
        await fetch(origin.url("/a.jpg") + f"?token={SECRET}", robots=True)
        heard = {name for hit in origin.log for name in hit.headers}
    assert heard
    assert not {"traceparent", "tracestate", "baggage", "b3", "x-request-id"} & heard
    assert SECRET not in "".join(span.to_json() for span in told())
