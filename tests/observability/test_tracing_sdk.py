"""Spans of the SDK: parents, sampling, what is exported of an error, and that secrets stay out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from app.observability.tracing import carried, parent_context
from downloader.tracing import SAMPLE_BY
from tests.receiver import recording

CALLER = f"00-{'a' * 32}-{'b' * 16}-01"
UNSAMPLED = f"00-{'a' * 32}-{'b' * 16}-00"
SECRET = "s3cr3t-canary"

tracer = trace.get_tracer(__name__)


@asynccontextmanager
async def recorded(**settings: Any) -> AsyncIterator[Callable[[], dict[str, ReadableSpan]]]:
    """Tracing on, and what it recorded, by name, once the body is over."""
    async with recording(**settings) as told:
        yield lambda: {span.name: span for span in told()}


def _is_sampled(carrier: dict[str, str]) -> bool:
    return bool(int(carrier["traceparent"][-2:], 16) & 1)


def above(span: ReadableSpan) -> str:
    """The id of the span above, hex."""
    return f"{span.parent.span_id:016x}" if span.parent else ""


async def test_spans_nest_and_tasks_take_their_place_along() -> None:
    """Below the innermost one, in tasks too; after its end, below nobody."""

    async def inside() -> None:
        with tracer.start_as_current_span("task"):
            await asyncio.sleep(0)

    async with recorded() as found:
        with tracer.start_as_current_span("top"):
            with tracer.start_as_current_span("middle"):
                await asyncio.create_task(inside())
            top = carried()["traceparent"].split("-")
        with tracer.start_as_current_span("later"):
            pass
        assert carried() == {}
    told = found()
    assert above(told["middle"]) == top[2] == f"{told['top'].context.span_id:016x}"
    assert above(told["task"]) == f"{told['middle'].context.span_id:016x}"
    assert told["later"].parent is None
    assert told["later"].context.trace_id != told["top"].context.trace_id


async def test_a_parent_from_elsewhere_counts_before_the_current_span() -> None:
    """A message's sender, not whoever happens to poll."""
    async with recorded() as found:
        with tracer.start_as_current_span("poll"), tracer.start_as_current_span("run", parent_context(CALLER), SpanKind.CONSUMER):
            assert carried()["traceparent"].startswith(f"00-{'a' * 32}-")
            with tracer.start_as_current_span("below"):
                pass
    told = found()
    assert (above(told["run"]), f"{told['run'].context.trace_id:032x}", told["run"].kind.name) == ("b" * 16, "a" * 32, "CONSUMER")
    assert above(told["below"]) == f"{told['run'].context.span_id:016x}"


@pytest.mark.parametrize(
    "parent",
    ["", "nonsense", "é", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'0' * 16}-01", f"ff-{'a' * 32}-{'b' * 16}-01"],
)
async def test_a_malformed_parent_is_none(parent: str) -> None:
    """The span begins a trace of its own; nothing raises."""
    async with recorded() as found:
        with tracer.start_as_current_span("run", parent_context(parent)):
            pass
    assert found()["run"].parent is None


async def test_a_caller_who_does_not_sample_decides_for_all_below() -> None:
    """W3C's flag: nothing is recorded, and what goes on says so, under the caller's trace id."""
    async with recorded(sample_ratio=1.0) as found:
        with tracer.start_as_current_span("run", parent_context(UNSAMPLED)) as run:
            assert carried()["traceparent"].startswith(f"00-{'a' * 32}-")
            assert not _is_sampled(carried())
            with tracer.start_as_current_span("below") as below:
                assert not below.is_recording()
                assert not _is_sampled(carried())
            run.set_attribute("a", 1)
            run.add_event("b")
            run.record_exception(ValueError("c"))
    assert found() == {}


async def test_a_ratio_of_nothing_records_only_what_a_caller_samples() -> None:
    """Parent-based: the ratio is for traces begun here."""
    async with recorded(sample_ratio=0.0) as found:
        with tracer.start_as_current_span("ours"):
            assert not _is_sampled(carried())
        with tracer.start_as_current_span("theirs", parent_context(CALLER)):
            pass
    assert set(found()) == {"theirs"}


async def test_of_very_many_spans_alike_a_share_is_recorded_whole() -> None:
    """The same ones each time, with all below them; what is around them stays."""
    urls = [f"https://origin.example/{number}.jpg" for number in range(400)]
    kept: list[set[str]] = []
    for _ in range(2):
        async with recorded(url_ratio=0.25) as found:
            with tracer.start_as_current_span("chunk"):
                for url in urls:
                    secret = {SAMPLE_BY: f"{url}?token={SECRET}"}
                    with tracer.start_as_current_span(url, attributes=secret), tracer.start_as_current_span(f"request {url}") as request:
                        request.set_attribute("status", 200)
        assert not any(SECRET in span.to_json() for span in found().values())
        kept.append(set(found()))
    assert kept[0] == kept[1]
    assert 2 * 60 < len(kept[0]) - 1 < 2 * 140
    assert {name for name in kept[0] if name.startswith("request")} == {f"request {name}" for name in kept[0] & set(urls)}


async def test_an_error_is_recorded_without_its_secrets() -> None:
    """Class and message, redacted as a log line is; no traceback, which would hold every message before it."""
    error = ValueError(f"cannot reach postgresql://user:{SECRET}@host/name and https://host/a?token={SECRET}")
    async with recorded() as found:
        with pytest.raises(ValueError, match="cannot reach"):
            with tracer.start_as_current_span("run", attributes={"url": f"https://u:{SECRET}@host/?k={SECRET}", "password": SECRET}):
                raise error
    told = found()["run"]
    assert SECRET not in told.to_json()
    (event,) = told.events
    assert event.name == "exception"
    assert set(event.attributes or {}) == {"exception.type", "exception.message"}
    assert (told.status.status_code.name, (told.attributes or {})["error.type"]) == ("ERROR", "ValueError")


async def test_the_first_recorded_error_is_the_type() -> None:
    """The job layer records the error; what it raises afterwards, for arq, does not replace it."""

    def run() -> None:
        with tracer.start_as_current_span("run") as span:
            span.record_exception(ConnectionError("away"))
            raise KeyError("retry")

    async with recorded() as found:
        with pytest.raises(KeyError):
            run()
    assert (found()["run"].attributes or {})["error.type"] == "ConnectionError"


async def test_a_cancellation_is_no_failure() -> None:
    """A worker that stops interrupts what it has in hand."""
    async with recorded() as found:
        with pytest.raises(asyncio.CancelledError):
            with tracer.start_as_current_span("run"):
                raise asyncio.CancelledError
    assert found()["run"].status.status_code.name == "UNSET"
