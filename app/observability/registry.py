"""The registry of this process, and how a metric is described, created and read at scrape time.

Every metric has a `Family`, from which docs/reference/metrics.md is generated and by which tests check that its labels are bounded.
"""

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

__all__ = [
    "OTHER",
    "REGISTRY",
    "Family",
    "Label",
    "Reading",
    "as_metric",
    "counter",
    "documented",
    "exposition",
    "gauge",
    "histogram",
    "read_at_scrape",
    "registered",
]

OTHER = "other"
"""The value of a label for everything that is not in its list."""

MAX_INITIAL_SERIES = 64
"""Counters with at most this many series create all of them at once, so that a first event is a rise from 0."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

READ_TIMEOUT_S = 5.0
"""How long a scrape waits for the event loop before it leaves out the metrics that only the loop may read."""

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that no query of ours uses

REGISTRY = CollectorRegistry(auto_describe=False)
"""Our own registry: libraries that use the default registry of prometheus_client do not appear in it."""

ProcessCollector(registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class Label:
    """A label and the values that it may have, besides ``other``.

    Attributes:
        limit: number of values, for labels without a fixed list.
        description: replaces the list of values in the reference.
    """

    name: str
    values: tuple[str, ...] = ()
    limit: int = 0
    description: str = ""

    @property
    def bound(self) -> int:
        """How many values there can be."""
        return self.limit or len(self.values) + 1

    def known(self, value: str) -> str:
        """Return the value, or ``other`` if it is not in the list."""
        return value if self.limit or value in self.values else OTHER


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as it is documented. The name is without the ``_total`` of counters."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    documentation: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = field(default=BUCKETS_S, repr=False)

    @property
    def sample(self) -> str:
        """The name in queries."""
        return f"{self.name}_total" if self.kind == "counter" else self.name

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names, in order."""
        return tuple(label.name for label in self.labels)

    @property
    def bound(self) -> int:
        """How many series there can be. A histogram has one for each bucket, one more for +Inf, its sum and its count."""
        return math.prod(label.bound for label in self.labels) * (len(self.buckets) + 3 if self.kind == "histogram" else 1)

    def bounded(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Label values with unknown ones replaced by ``other``."""
        return tuple(label.known(value) for label, value in zip(self.labels, values, strict=True))


documented: list[Family] = []
"""Every metric created by the functions below, in this order."""


def counter(name: str, documentation: str, *labels: Label) -> Counter:
    """Create and document a counter."""
    family = _document(Family(name, "counter", documentation, labels))
    metric = Counter(name, documentation, family.label_names, registry=REGISTRY)
    if labels and math.prod(len(label.values) for label in labels) <= MAX_INITIAL_SERIES:
        for values in product(*(label.values for label in labels)):
            metric.labels(*values)
    return metric


def gauge(name: str, documentation: str) -> Gauge:
    """Create and document a gauge that this process sets itself."""
    _document(Family(name, "gauge", documentation))
    return Gauge(name, documentation, registry=REGISTRY)


def histogram(name: str, documentation: str, *labels: Label, buckets: tuple[float, ...] = BUCKETS_S) -> Histogram:
    """Create and document a histogram of seconds."""
    family = _document(Family(name, "histogram", documentation, labels, buckets))
    return Histogram(name, documentation, family.label_names, buckets=buckets, registry=REGISTRY)


def read_at_scrape(kind: Literal["counter", "gauge"], name: str, documentation: str, *labels: Label) -> Family:
    """Document a metric whose values a function passed to `registered` reads at scrape time."""
    return _document(Family(name, kind, documentation, labels))


def _document(family: Family) -> Family:
    documented.append(family)
    return family


Reading = tuple[Family, tuple[str, ...], float]
"""A metric, its label values and its value now."""

Read = Callable[[], Iterable[Reading]]


class _ReadAtScrape(Collector):
    """Calls the registered functions at each scrape and adds up what several of them report for the same series."""

    def __init__(self) -> None:
        self.functions: list[tuple[Read, asyncio.AbstractEventLoop | None]] = []

    def collect(self) -> Iterable[Metric]:
        tables: dict[str, tuple[Family, dict[tuple[str, ...], float]]] = {}
        for read, loop in tuple(self.functions):
            for family, values, number in _call_on_loop(read, loop):
                rows = tables.setdefault(family.name, (family, {}))[1]
                values = family.bounded(values)
                rows[values] = rows.get(values, 0.0) + number
        return [as_metric(family, rows.items()) for family, rows in tables.values()]


def _call_on_loop(read: Read, loop: asyncio.AbstractEventLoop | None) -> list[Reading]:
    """Call ``read`` on the event loop that owns what it reads: a scrape is answered in a thread. No readings if the loop is stuck."""
    if loop is None or loop is _running_loop():
        return list(read())

    async def call() -> list[Reading]:
        return list(read())

    coroutine = call()
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:  # the loop is closed
        coroutine.close()
        return []
    try:
        return future.result(READ_TIMEOUT_S)
    except TimeoutError:
        future.cancel()
        return []


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_read_at_scrape = _ReadAtScrape()
REGISTRY.register(_read_at_scrape)


@contextmanager
def registered(read: Read) -> Iterator[None]:
    """Call ``read`` at each scrape while the body runs, on the event loop that is running now."""
    entry = (read, _running_loop())
    _read_at_scrape.functions.append(entry)
    try:
        yield
    finally:
        _read_at_scrape.functions.remove(entry)


def as_metric(family: Family, rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """Return a gauge or counter with these values, computed at scrape time."""
    metric_type = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = metric_type(family.name, family.documentation, labels=family.label_names)
    for values, number in rows:
        metric.add_metric(list(values), number)
    return metric


def exposition() -> bytes:
    """Return this process's metrics in the text format."""
    return generate_latest(REGISTRY)
