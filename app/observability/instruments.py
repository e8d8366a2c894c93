"""Counters, histograms and readings of this process, in one registry. Knows how to count, not what is counted.

A counter costs under a microsecond: what its label values lead to is looked up once. Gauges that follow from what a part of the process
holds anyway are read at the moment of a scrape, on the event loop that owns them.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from app.observability.labels import OTHER

__all__ = ["REGISTRY", "Family", "Label", "Reading", "Tally", "Timer", "as_metric", "being_read", "exposition", "read_always"]

BORN = 64
"""Counters with at most so many series have all of them from the start, so that a first event is a rise from 0 and not out of nothing."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which nothing here asks for

REGISTRY = CollectorRegistry(auto_describe=False)
"""This process's own; libraries that register with the client's default one do not meet it."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label and the values that it may take, besides ``other``.

    Attributes:
        limit: how many values there can be where they are no list of ours.
        words: what they are, where a list would be long or is none.
    """

    name: str
    values: tuple[str, ...] = ()
    limit: int = 0
    words: str = ""

    @property
    def bound(self) -> int:
        """How many values there can be."""
        return self.limit or len(self.values) + 1


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as it is documented: its name without ``_total``, what it is, what it says, and its labels."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    words: str
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
        """How many series there can be; a histogram has one for each bucket, its sum and its count."""
        return math.prod(label.bound for label in self.labels) * (len(self.buckets) + 3 if self.kind == "histogram" else 1)

    def bounded(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """Label values with those that are in no list replaced."""
        return tuple(value if label.limit or value in label.values else OTHER for label, value in zip(self.labels, values, strict=True))

    def born(self) -> Iterator[tuple[str, ...]]:
        """Label values to begin with."""
        if math.prod(len(label.values) for label in self.labels) <= BORN:
            yield from product(*(label.values for label in self.labels))


class _Instrument:
    """A metric of prometheus_client's whose series are looked up once."""

    def __init__(self, family: Family, metric: Any) -> None:
        self.family = family
        self._metric = metric
        self._children: dict[tuple[str, ...], Any] = {}

    def _of(self, values: tuple[str, ...]) -> Any:
        child = self._children.get(values)
        return self._child(values) if child is None else child

    def _child(self, values: tuple[str, ...]) -> Any:
        known = self.family.bounded(values)
        if known not in self._children:
            self._children[known] = self._metric.labels(*known) if known else self._metric
        return self._children[known]


class Tally(_Instrument):
    """A counter; it only grows."""

    def __init__(self, family: Family, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(family, Counter(family.name, family.words, family.label_names, registry=registry))
        for values in family.born():
            self._child(values)

    def add(self, *values: str, by: float = 1.0) -> None:
        """Count ``by`` more."""
        self._of(values).inc(by)


class Timer(_Instrument):
    """A histogram of seconds."""

    def __init__(self, family: Family, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__(family, Histogram(family.name, family.words, family.label_names, buckets=family.buckets, registry=registry))

    def observe(self, seconds: float, *values: str) -> None:
        """Take note of one duration."""
        self._of(values).observe(seconds)


Reading = tuple[Family, tuple[str, ...], float]
"""A family, label values, and what they stand at now."""

Reader = Callable[[], Iterable[Reading]]


class _Readings(Collector):
    """What is read at the moment of a scrape. What several readers say of one series is added up."""

    def __init__(self) -> None:
        self.readers: list[Reader] = []

    def collect(self) -> Iterable[Metric]:
        tables: dict[str, tuple[Family, dict[tuple[str, ...], float]]] = {}
        for reader in self.readers:
            for family, values, number in reader():
                rows = tables.setdefault(family.name, (family, {}))[1]
                values = family.bounded(values)
                rows[values] = rows.get(values, 0.0) + number
        return [as_metric(family, rows.items()) for family, rows in tables.values()]


_readings = _Readings()
REGISTRY.register(_readings)
ProcessCollector(registry=REGISTRY)


def read_always(reader: Reader) -> None:
    """Have ``reader`` asked at each scrape, for as long as this process lives."""
    _readings.readers.append(reader)


@contextmanager
def being_read(reader: Reader) -> Iterator[None]:
    """Have ``reader`` asked at each scrape, for the body's time."""
    _readings.readers.append(reader)
    try:
        yield
    finally:
        _readings.readers.remove(reader)


def as_metric(family: Family, rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """A gauge or counter that is computed at the moment of a scrape."""
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.words, labels=family.label_names)
    for values, number in rows:
        metric.add_metric(list(values), number)
    return metric


def exposition() -> bytes:
    """What this process has to tell, in the text format."""
    return generate_latest(REGISTRY)
