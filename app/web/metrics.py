"""Figures for Prometheus: what the database and the queue hold, and what this process has answered.

Labels come from closed lists and route templates; no text of a user ever becomes one.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import errors
from app.db import attempts, fleet, jobs, units
from app.dispatch import BEAT_FRESH_S
from app.queue import QUEUES
from app.records import JobState
from app.resources import Resources, product_version
from logging_setup import dropped_lines

__all__ = ["CONTENT_TYPE", "Metrics", "collect", "queue_depths"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MIN_AGE_S = 2.0
COST_FACTOR = 20.0
"""Figures are kept for 2 s, or for 20 times what it took to count them: asking often costs at most 5 % of a connection."""

QUEUE_S = 2.0
"""Seconds that the queue has to answer."""

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MAX_ATTEMPT = 4
"""Attempts beyond are counted with this one: the label stays bounded whatever the settings say."""


class Metrics(Collector):
    """One application's registry; two applications in one process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter("pictrawl_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry)
        self.seconds = Histogram(
            "pictrawl_http_request_duration_seconds",
            "Time to answer, streams left out.",
            ["method", "route"],
            buckets=BUCKETS_S,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        self.registry.register(self)
        self._families: list[Metric] = []
        self._fresh_until = 0.0
        self._lock = asyncio.Lock()

    def collect(self) -> Iterable[Metric]:
        """What the last refresh found."""
        return list(self._families)

    def note_request(self, method: str, route: str, status: int, seconds: float, *, is_stream: bool) -> None:
        """Count a request."""
        method = method if method in METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        if not is_stream:
            self.seconds.labels(method, route).observe(seconds)

    async def render(self, resources: Resources) -> bytes:
        """The exposition text, counted anew where the last count is old."""
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                began = time.monotonic()
                self._families = await collect(resources)
                ended = time.monotonic()
                self._fresh_until = ended + max(MIN_AGE_S, COST_FACTOR * (ended - began))
        return generate_latest(self.registry)


async def collect(resources: Resources) -> list[Metric]:
    """Every family that needs the database or the queue. What is away is said by its ``up``, and its families are left out."""
    families: list[Metric] = [_info(), _plain("pictrawl_log_lines_dropped", "Log lines no sink would take.", dropped_lines())]
    is_db_up = True
    try:
        families += await _from_database(resources)
    except (errors.DatabaseConnectionError, errors.StorageError):
        is_db_up = False
    depths = await queue_depths(resources)
    rows = [((name,), number) for name, number in (depths or {}).items()]
    families.append(_table("pictrawl_queue_depth", "Messages waiting in the queue.", ["queue"], rows))
    up = [(("database",), int(is_db_up)), (("queue",), int(depths is not None))]
    return [*families, _table("pictrawl_up", "Whether a part answers.", ["part"], up)]


async def queue_depths(resources: Resources, *, within_s: float = QUEUE_S) -> dict[str, int] | None:
    """Messages on each queue; ``None`` while the queue is away, or does not answer in time."""
    try:
        async with asyncio.timeout(within_s):
            return await resources.queue.depths()
    except (errors.QueueUnavailableError, TimeoutError):
        return None


async def _from_database(resources: Resources) -> list[Metric]:
    db = resources.db
    by_state = dict.fromkeys(JobState, 0) | await jobs.counts_by_state(db)
    alive = dict.fromkeys(QUEUES, 0)
    for worker in await fleet.workers(db, fresh_s=BEAT_FRESH_S):
        alive[worker.kind] = alive.get(worker.kind, 0) + 1
    return [
        _table("pictrawl_jobs", "Jobs by state.", ["state"], [((state.value,), n) for state, n in by_state.items()]),
        _table("pictrawl_units", "Units of work by kind and state.", ["kind", "state"], (await units.counts(db)).items()),
        _table("pictrawl_workers_alive", "Workers with a fresh sign of life.", ["kind"], [((kind,), n) for kind, n in alive.items()]),
        _table("pictrawl_attempts", "Requests to origins by number and outcome.", ["attempt", "outcome"], await _attempts(resources)),
    ]


async def _attempts(resources: Resources) -> Iterator[tuple[tuple[str, str], float]]:
    table: dict[tuple[str, str], float] = {}
    for (number, outcome), count in (await attempts.totals(resources.db)).items():
        label = (str(number) if number < MAX_ATTEMPT else f"{MAX_ATTEMPT}+", outcome)
        table[label] = table.get(label, 0) + count
    return iter(table.items())


def _table(name: str, words: str, labels: list[str], rows: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for values, number in rows:
        family.add_metric(list(values), number)
    return family


def _plain(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _info() -> Metric:
    return _table("pictrawl_build", "The version that runs.", ["version"], [((product_version(),), 1)])
