"""What spans cost: one that nobody makes, one that is made, and an image with the two or three that it can have.

``python benchmarks/tracing.py [--spans N]`` prints a table of CPU time, all threads together, best of five. Nothing leaves this process:
spans end in the SDK's queue, whose thread hands them to an exporter that encodes them as OTLP and throws them away.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from app.settings import TraceSettings
from app.tracing import started
from downloader import tracing
from downloader.models import Fetched, FetchRequest
from downloader.url_guard import URLGuard
from logging_setup import spans
from logging_setup.config import configure

ROUNDS = 5
CASES = (("on, sampled out", 0.0, 1.0), ("on, url_ratio 0", 1.0, 0.0), ("on, url_ratio 0.1", 1.0, 0.1), ("on, all", 1.0, 1.0))
URL = "https://origin.example/pictures/{}.jpg"


class Encoded(SpanExporter):
    """Pays for the encoding, and sends nothing."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        encode_spans(spans).SerializePartialToString()
        return SpanExportResult.SUCCESS


def empty(number: int) -> None:
    """What the loop itself costs is subtracted."""


def bare(number: int) -> None:
    """A span as a job's run has it."""
    fields = {"job_id": "job_1", "unit_id": "unit_1", "chunk_id": "chunk_1", "run": 1}
    with spans.span("process_chunk", kind="consumer", job="process_chunk", **fields):
        pass


TARGET = URLGuard((), ()).check_url(URL.format(1))


def request(number: int) -> None:
    """The span of a request, with its status."""
    with tracing.request_span("GET", TARGET, sent=0, queued_s=0.0):
        tracing.set_status(200)


FETCHED = Fetched(FetchRequest(URL), b"", "", "image/jpeg", 200, URL, ())


async def image(number: int) -> None:
    """A URL and its one request, as the downloader tells them."""
    asked = FetchRequest(URL.format(number))

    async def fetch() -> Fetched:
        request(number)
        return FETCHED

    await tracing.traced_fetch(asked, fetch)


async def untold(number: int) -> None:
    """The same without a word."""
    FetchRequest(URL.format(number))

    async def fetch() -> Fetched:
        return FETCHED

    await fetch()


def best_us(call: Callable[[int], object], count: int) -> float:
    """Microseconds for one call."""

    def once() -> float:
        began = time.process_time()
        for number in range(count):
            call(number)
        return (time.process_time() - began) / count * 1e6

    return min(once() for _ in range(ROUNDS))


async def best_image_us(call: Callable[[int], Awaitable[None]], count: int) -> float:
    """Microseconds for one image, inside the span of a chunk."""

    async def once() -> float:
        with spans.span("process_chunk", kind="consumer"):
            began = time.process_time()
            for number in range(count):
                await call(number)
            return (time.process_time() - began) / count * 1e6

    return min([await once() for _ in range(ROUNDS)])


async def measure(count: int, settings: TraceSettings) -> list[float]:
    """A span, a request's span, an image."""
    async with started(settings, exporter=Encoded()):
        loop_us = best_us(empty, count)
        image_us = await best_image_us(image, count) - await best_image_us(untold, count)
        return [best_us(bare, count) - loop_us, best_us(request, count) - loop_us, image_us]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=20_000)
    count = parser.parse_args().spans
    configure("ERROR", "json", None)
    print("microseconds             a span  a request  an image")
    off = asyncio.run(measure(count, TraceSettings()))
    print(f"off                    {off[0]:8.3f} {off[1]:10.3f} {off[2]:9.3f}")
    print(f"  SDK imported: {any(name.startswith('app.tracing_sdk') for name in sys.modules)}")
    for name, ratio, share in CASES:
        on = asyncio.run(measure(count, TraceSettings(enabled=True, sample_ratio=ratio, url_ratio=share)))
        print(f"{name:<22} {on[0]:8.3f} {on[1]:10.3f} {on[2]:9.3f}")


if __name__ == "__main__":
    main()
