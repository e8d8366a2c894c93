"""The seam: what it costs while nobody makes spans is nothing, and what it does then is nothing."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from logging_setup import spans

ROOT = Path(__file__).parents[2]


class Noted(spans.Span):
    """A span that carries a traceparent."""

    def carried(self) -> Mapping[str, str]:
        return {"traceparent": "00-here"}


class Notes:
    """A tracer that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def span(self, *asked: Any) -> spans.Span:
        self.asked.append(asked)
        return Noted()

    def current(self) -> spans.Span:
        return Noted()


@pytest.fixture
def notes() -> Iterator[Notes]:
    """A tracer, installed."""
    tracer = Notes()
    spans.install(tracer)
    yield tracer
    spans.install(None)


def test_every_span_is_the_same_nothing_while_tracing_is_off() -> None:
    """None is made, whatever is said to it, and errors pass through."""
    assert not spans.is_on()
    with spans.span("anything", kind="client", parent="00-x", share_by="y", some=1) as span:
        assert span is spans.NOTHING is spans.current()
        span.set(a=1)
        span.rename("b")
        span.event("c", d=2)
        span.fail(ValueError("e"))
    with pytest.raises(ZeroDivisionError), spans.span("another"):
        raise ZeroDivisionError
    assert not hasattr(spans.NOTHING, "__dict__")


def test_off_a_message_carries_what_came() -> None:
    """The caller's traceparent, or none."""
    assert spans.carried("00-there") == {"traceparent": "00-there"}
    assert spans.carried() == {}
    assert spans.NOTHING.carried() == {}


def test_on_the_tracer_makes_them(notes: Notes) -> None:
    """It gets everything that is known, and its current span is what a message carries."""
    assert spans.is_on()
    with spans.span("fetch", kind="client", parent="00-up", share_by="url", job_id="job_1") as span:
        assert isinstance(span, Noted)
    assert notes.asked == [("fetch", "client", "00-up", "url", {"job_id": "job_1"})]
    assert spans.carried("00-there") == {"traceparent": "00-here"}


def test_nothing_of_opentelemetry_is_imported_while_it_is_off() -> None:
    """Not by a worker with all its jobs, nor by the command line: the SDK costs 0.4 s of every start."""
    code = (
        "import asyncio, sys; import workers.worker_pool, workers.isolated_process, app.cli.build, app.jobs.submit;"
        "from app.settings import load_settings;"
        "from app.tracing import started\n"
        "async def main():\n    async with started(load_settings().trace): pass\n"
        "asyncio.run(main()); print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
