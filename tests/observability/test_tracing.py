"""Tracing turned on: what is refused at the start, where spans go, and that a collector that is away or hangs costs lines, not time."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import errors
import logging_setup.config
from app.observability.tracing import FLUSH_S, exporting, traces_url
from app.settings import TraceSettings, load_settings
from tests.receiver import receiving
from tests.services import free_port

ROOT = Path(__file__).parents[2]
ON = TraceSettings(enabled=True)

tracer = trace.get_tracer(__name__)

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def to(url: str) -> TraceSettings:
    """Settings that send everything there."""
    return TraceSettings(enabled=True, endpoint=url, url_ratio=1.0)


def without_the_extra(code: str) -> subprocess.CompletedProcess[str]:
    """Python where the SDK cannot be imported."""
    return subprocess.run([sys.executable, "-c", BLOCKED + code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(autouse=True)
def _flush_ends() -> Iterator[None]:
    """A flush that nobody waits for would go on beside later tests: its random waits are no part of their examples."""
    yield
    for thread in threading.enumerate():
        if thread.name == "trace-flush":
            thread.join(60)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("", None),
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("https://collector/otlp/v1/traces", "https://collector/otlp/v1/traces"),
    ],
)
def test_an_endpoint_without_a_path_is_a_collectors_root(endpoint: str, url: str | None) -> None:
    """As OTEL_EXPORTER_OTLP_ENDPOINT is; one with a path is taken as it stands, and none leaves it to the environment."""
    assert traces_url(endpoint) == url


@pytest.mark.parametrize(
    "endpoint",
    ["collector:4318", "ftp://collector", "http://", "http://c:99999", "http://[::1", "http://u:p@c", "http://c/?key=1", "http://c/#x"],
)
def test_a_malformed_endpoint_is_refused_by_name(endpoint: str) -> None:
    """With the settings, before anything is opened."""
    with pytest.raises(errors.ConfigurationError, match=r"trace\.endpoint"):
        load_settings({"trace.enabled": True, "trace.endpoint": endpoint})


def test_without_the_extra_everything_else_works() -> None:
    """A workspace is opened, and closed, where OpenTelemetry's SDK is not there."""
    code = (
        "import asyncio\nfrom app.resources import open_resources\nfrom app.settings import load_settings\n"
        "import tempfile\nfolder = tempfile.TemporaryDirectory()\n"
        "async def main():\n    async with open_resources(load_settings({'workspace.path': folder.name})): print('open')\n"
        "asyncio.run(main())"
    )
    done = without_the_extra(code)
    assert (done.stdout.strip(), done.returncode) == ("open", 0), done.stderr


def test_without_the_extra_enabling_it_names_the_extra() -> None:
    """One line, exit code 2."""
    code = "import sys; sys.argv[1:] = ['serve', '--port', '0']\nfrom app.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code], cwd=Path.cwd(), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(ROOT), "PICTRAWL_TRACE__ENABLED": "true", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "pictrawl[otel]" in done.stderr
    assert "Traceback" not in done.stderr


async def test_an_otel_variable_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK raises ValueError for it; that is a setting's fault, and says so."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(errors.ConfigurationError, match=r"max_queue_size"):
        async with exporting(ON, exporter=InMemorySpanExporter()):
            pass


async def test_off_makes_nothing() -> None:
    """The default."""
    async with exporting(TraceSettings()):
        with tracer.start_as_current_span("one") as span:
            assert not span.is_recording()


async def test_the_outermost_call_of_a_process_decides() -> None:
    """A server with a worker beside it opens resources twice; spans go to one place, once."""
    outer, inner = InMemorySpanExporter(), InMemorySpanExporter()
    async with exporting(ON, exporter=outer):
        async with exporting(ON, exporter=inner):
            with tracer.start_as_current_span("one"):
                pass
        with tracer.start_as_current_span("two") as span:
            assert span.is_recording()
    with tracer.start_as_current_span("three") as span:
        assert not span.is_recording()
    assert [span.name for span in outer.get_finished_spans()] == ["one", "two"]
    assert inner.get_finished_spans() == ()


async def test_spans_reach_a_collector_with_who_sent_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over OTLP/HTTP; the last ones are sent before the body's end is over."""
    with receiving() as receiver:
        async with exporting(to(receiver.url), version="1.2.3"):
            with tracer.start_as_current_span("one", attributes={"job_id": "job_1", "count": 3, "ratio": 0.5}):
                pass
    (told,) = receiver.spans
    assert (told.name, told.service, told.parent_id) == ("one", "pictrawl", "")
    assert told.attributes == {"job_id": "job_1", "count": 3, "ratio": 0.5}


async def test_standard_variables_hold_where_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoint, service name and sampler of OpenTelemetry's own names; a setting of ours beats them."""
    with receiving() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
        async with exporting(ON):
            with tracer.start_as_current_span("one"):
                pass
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        async with exporting(ON):
            with tracer.start_as_current_span("two"):
                pass
        async with exporting(TraceSettings(enabled=True, sample_ratio=1.0, service_name="mine")):
            with tracer.start_as_current_span("three"):
                pass
    assert [(span.name, span.service) for span in receiver.spans] == [("one", "ours"), ("three", "mine")]


def test_a_disabled_sdk_makes_no_spans_and_breaks_nothing() -> None:
    """OTEL_SDK_DISABLED: what came in is carried on. In a process of its own, because the provider reads it once."""
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    code = (
        "import asyncio, sys\nfrom opentelemetry import trace\nfrom app.observability.tracing import carried, exporting, parent_context\n"
        "from app.settings import TraceSettings\n"
        "async def main():\n    async with exporting(TraceSettings(enabled=True)):\n"
        "        with trace.get_tracer('x').start_as_current_span('one', parent_context(sys.argv[1])) as span:\n"
        "            print(span.is_recording(), carried()['traceparent'])\n"
        "asyncio.run(main())"
    )
    environment = os.environ | {"OTEL_SDK_DISABLED": "true"}
    done = subprocess.run([sys.executable, "-c", code, parent], cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"False {parent}\n"


def test_a_start_without_tracing_imports_no_sdk() -> None:
    """The API is all that spans need; the SDK and its exporter take 0.4 s to import."""
    code = (
        "import sys, app.resources, workers.job, app.web\nfrom app.observability.tracing import carried, exporting\n"
        "sdk = [name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))]\n"
        "print(sdk, carried('00-there'), carried())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[] {'traceparent': '00-there'} {}\n"


async def test_a_collector_that_is_away_costs_one_line_and_its_return_another() -> None:
    """Not one for each batch, none of the SDK's own, and no traceback."""
    stream, exporter = StringIO(), Flaky()
    logging_setup.config.configure("INFO", "json", None, stream=stream)
    try:
        async with exporting(ON, exporter=exporter):
            for _ in range(3 * 512):  # three batches
                with tracer.start_as_current_span("lost"):
                    pass
            await asyncio.to_thread(exporter.lost.wait, 10)
            exporter.works = True
            for _ in range(512):
                with tracer.start_as_current_span("sent"):
                    pass
    finally:
        logging_setup.config.configure("WARNING", "json", None)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [("WARNING", "trace.not_exported"), ("INFO", "trace.exported_again")]
    assert lines[1]["lost"] >= 512


class Flaky(SpanExporter):
    """Fails until it works."""

    def __init__(self) -> None:
        self.works = False
        self.lost = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.lost.set()
        return SpanExportResult.SUCCESS if self.works else SpanExportResult.FAILURE


async def test_nobody_at_the_endpoint_costs_no_time_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection: the work goes on, the end comes within its limit, and the log says it once."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")  # seconds in which the exporter tries again
    stream = StringIO()
    logging_setup.config.configure("INFO", "json", None, stream=stream)
    try:
        async with exporting(to(f"http://127.0.0.1:{free_port()}")):
            for _ in range(5_000):  # more than the queue takes
                with tracer.start_as_current_span("one"):
                    pass
    finally:
        logging_setup.config.configure("WARNING", "json", None)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {line["event"] for line in lines} <= {
        "trace.not_exported", "trace.lost", "trace.not_flushed", "Queue full, dropping Span."
    }  # fmt: skip
    assert len(lines) <= 6
    assert "traceback" not in stream.getvalue().lower()


async def test_a_collector_that_hangs_does_not_hold_the_end() -> None:
    """Its last spans get FLUSH_S seconds, the event loop runs meanwhile, and the log says that they are lost."""
    stream, turned = StringIO(), asyncio.Event()
    logging_setup.config.configure("INFO", "json", None, stream=stream)
    try:
        with receiving(hangs=True) as receiver:
            async with exporting(to(receiver.url)):
                with tracer.start_as_current_span("one"):
                    pass
                asyncio.get_running_loop().call_later(0.1, turned.set)
    finally:
        logging_setup.config.configure("WARNING", "json", None)
    assert turned.is_set()
    assert "trace.not_flushed" in stream.getvalue()


def test_a_process_ends_although_its_collector_hangs() -> None:
    """The thread that sends is nobody's to wait for."""
    code = (
        "import asyncio, sys\nfrom opentelemetry import trace\nfrom app.settings import TraceSettings\n"
        "from app.observability.tracing import exporting\n"
        "async def main():\n    async with exporting(TraceSettings(enabled=True, endpoint=sys.argv[1])):\n"
        "        with trace.get_tracer('x').start_as_current_span('one'): pass\n"
        "asyncio.run(main())"
    )
    with receiving(hangs=True) as receiver:
        done = subprocess.run([sys.executable, "-c", code, receiver.url], cwd=ROOT, timeout=FLUSH_S + 30, check=False)
    assert done.returncode == 0
