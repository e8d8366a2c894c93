"""Figures for Prometheus: what the database and the queue hold, what this API has answered, and what its process counts itself.

Labels come from closed lists and route templates; no text of a user ever becomes one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

import errors
from app.db import attempts, fleet, jobs
from app.domain import JobState
from app.jobs.dispatch import BEAT_FRESH_S
from app.observability import CONTENT_TYPE, Family, Label, as_metric, exposition, labels
from app.queue import QUEUES
from app.resources import Resources, product_version

__all__ = ["CONTENT_TYPE", "FAMILIES", "Metrics", "collect", "queue_depths"]

MIN_AGE_S = 2.0
COST_FACTOR = 20.0
"""Figures are kept for 2 s, or for 20 times what it took to count them: asking often costs at most 5 % of a connection."""

ATTEMPTS_FACTOR = 200.0
"""Attempts are counted over all of them that there ever were, so they are kept ten times as long as the rest."""

QUEUE_S = 2.0
"""Seconds that the queue has to answer."""

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_queue = Label("queue", labels.QUEUES)
_method = Label("method", tuple(sorted(METHODS)))
_route = Label("route", limit=64, words="route templates of the API, or `unmatched`")
_status = Label("status", limit=40, words="HTTP statuses that the API gives; 499 where the client left before the answer")

UP = Family("pictrawl_up", "gauge", "Whether a part answers.", (Label("part", labels.PARTS),))
BUILD = Family("pictrawl_build", "gauge", "The version that runs.", (Label("version", limit=1, words="the version"),))
JOBS = Family("pictrawl_jobs", "gauge", "Jobs by state.", (Label("state", labels.JOB_STATES),))
UNITS = Family(
    "pictrawl_units",
    "gauge",
    "Units of work that are not done, by kind and state; deferred ones are pending, but not due yet.",
    (Label("kind", labels.UNIT_KINDS), Label("state", fleet.STATES)),
)
DEPTH = Family("pictrawl_queue_depth", "gauge", "Messages waiting in the queue.", (_queue,))
QUEUE_UNITS = Family(
    "pictrawl_queue_units", "gauge", "Units of each queue that are not done, by state.", (_queue, Label("state", fleet.STATES))
)
OLDEST = Family(
    "pictrawl_queue_oldest_due_seconds", "gauge", "How long the oldest unit that may run has waited; 0 where none waits.", (_queue,)
)
SLOTS = Family("pictrawl_queue_slots", "gauge", "Units that the living workers of a queue run at once.", (_queue,))
ALIVE = Family("pictrawl_workers_alive", "gauge", "Workers with a fresh sign of life.", (Label("kind", labels.QUEUES),))
ATTEMPTS = Family(
    "pictrawl_attempts",
    "gauge",
    "Requests to origins that the database remembers, by number and outcome; it is kept for minutes.",
    (
        Label("attempt", labels.ATTEMPTS),
        Label("outcome", ("ok", "unknown", *labels.REASONS), words="`ok`, one of the [reasons](reasons.md), or `unknown`"),
    ),
)
REQUESTS = Family("pictrawl_http_requests", "counter", "Requests answered.", (_method, _route, _status))
REQUEST_SECONDS = Family(
    "pictrawl_http_request_duration_seconds", "histogram", "Time to answer, streams left out.", (_method, _route), BUCKETS_S
)

FAMILIES = (UP, BUILD, JOBS, UNITS, DEPTH, QUEUE_UNITS, OLDEST, SLOTS, ALIVE, ATTEMPTS, REQUESTS, REQUEST_SECONDS)
"""In the order of the reference; what the process counts itself comes besides."""

Rows = Mapping[tuple[str, ...], float]
CountAttempts = Callable[[Resources], Awaitable[Rows]]


class Metrics(Collector):
    """One application's registry; two applications in one process do not meet in it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter(REQUESTS.name, REQUESTS.words, REQUESTS.label_names, registry=self.registry)
        self.seconds = Histogram(
            REQUEST_SECONDS.name, REQUEST_SECONDS.words, REQUEST_SECONDS.label_names, buckets=BUCKETS_S, registry=self.registry
        )
        self.registry.register(self)
        self._clock = clock
        self._families: list[Metric] = []
        self._fresh_until = 0.0
        self._attempts: Rows = {}
        self._attempts_until = 0.0
        self._lock = asyncio.Lock()

    def collect(self) -> Iterable[Metric]:
        """What the last refresh found."""
        return list(self._families)

    def note_request(self, method: str, route: str, status: int, seconds: float, *, is_stream: bool) -> None:
        """Count a request."""
        method = method if method in METHODS else labels.OTHER
        self.requests.labels(method, route, str(status)).inc()
        if not is_stream:
            self.seconds.labels(method, route).observe(seconds)

    async def render(self, resources: Resources) -> bytes:
        """The exposition text, counted anew where the last count is old."""
        async with self._lock:
            if self._clock() >= self._fresh_until:
                began = self._clock()
                self._families = await collect(resources, self._remembered)
                self._fresh_until = self._until(began, COST_FACTOR)
        return generate_latest(self.registry) + exposition()

    async def _remembered(self, resources: Resources) -> Rows:
        if self._clock() >= self._attempts_until:
            began = self._clock()
            self._attempts = await count_attempts(resources)
            self._attempts_until = self._until(began, ATTEMPTS_FACTOR)
        return self._attempts

    def _until(self, began: float, factor: float) -> float:
        now = self._clock()
        return now + max(MIN_AGE_S, factor * (now - began))


async def count_attempts(resources: Resources) -> Rows:
    """Attempts by label."""
    table: dict[tuple[str, ...], float] = {}
    for (number, outcome), count in (await attempts.totals(resources.db)).items():
        values = ATTEMPTS.bounded((labels.number_of(number), outcome))
        table[values] = table.get(values, 0) + count
    return table


async def collect(resources: Resources, attempts_of: CountAttempts = count_attempts) -> list[Metric]:
    """Every family that needs the database or the queue. What is away is said by its ``up``, and its families are left out."""
    families = [as_metric(BUILD, [((product_version(),), 1)])]
    is_db_up = True
    try:
        families += await _from_database(resources)
        families.append(as_metric(ATTEMPTS, (await attempts_of(resources)).items()))
    except (errors.DatabaseConnectionError, errors.StorageError):
        is_db_up = False
    depths = await queue_depths(resources)
    families.append(as_metric(DEPTH, [((name,), number) for name, number in (depths or {}).items()]))
    return [*families, as_metric(UP, [(("database",), int(is_db_up)), (("queue",), int(depths is not None))])]


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
    alive: dict[tuple[str, ...], float] = {(kind,): 0 for kind in QUEUES}
    for worker in await fleet.workers(db, fresh_s=BEAT_FRESH_S):
        kind = ALIVE.bounded((worker.kind,))
        alive[kind] = alive.get(kind, 0) + 1
    return [
        as_metric(JOBS, [((state.value,), number) for state, number in by_state.items()]),
        as_metric(UNITS, (await fleet.count_by_kind(db)).items()),
        as_metric(ALIVE, alive.items()),
        *_of_queues(await fleet.backlogs(db, tuple(QUEUES), fresh_s=BEAT_FRESH_S)),
    ]


def _of_queues(found: Iterable[fleet.Backlog]) -> list[Metric]:
    found = list(found)
    return [
        as_metric(QUEUE_UNITS, [((queue.name, state), number) for queue in found for state, number in queue.units.items()]),
        as_metric(OLDEST, [((queue.name,), queue.oldest_due_s or 0.0) for queue in found]),
        as_metric(SLOTS, [((queue.name,), queue.slots) for queue in found]),
    ]
