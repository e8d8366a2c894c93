"""Metrics of the API: what the database and the queue hold, the requests answered, and what this process counts itself.

Label values come from closed lists and route templates; no text of a user ever becomes one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

import errors
from app.db import attempts, fleet, jobs
from app.job_states import JobState
from app.observability import labels
from app.observability.registry import OTHER, REGISTRY, Family, Label, as_metric
from app.queue import QUEUES
from app.resources import Resources, product_version

__all__ = ["CONTENT_TYPE", "FAMILIES", "Metrics", "collect", "queue_depths", "refreshed_registry"]

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

MIN_AGE_S = 2.0
COST_FACTOR = 20.0
"""Counts are kept for 2 s, or for 20 times as long as the queries took: frequent scrapes use at most 5 % of a connection."""

ATTEMPTS_FACTOR = 200.0
"""The table of attempts is counted as a whole, so this count is kept ten times as long as the others."""

QUEUE_S = 2.0
"""Timeout of the queue, seconds."""

REFRESH_TIMEOUT_S = 8.0
"""How long a scrape on ``metrics.port`` waits for the counts; Prometheus waits 10 s by default."""

METHODS = frozenset({"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"})
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_queue = Label("queue", labels.QUEUES)
_method = Label("method", tuple(sorted(METHODS)))
_route = Label("route", limit=64, description="route templates of the API, or `unmatched`")
_status = Label("status", limit=40, description="HTTP statuses of the API; 499 if the client left before the answer")

UP = Family("pictrawl_up", "gauge", "Whether the database or the queue answers.", (Label("part", labels.PARTS),))
BUILD = Family("pictrawl_build", "gauge", "The running version.", (Label("version", limit=1, description="the version"),))
JOBS = Family("pictrawl_jobs", "gauge", "Jobs by state.", (Label("state", labels.JOB_STATES),))
UNITS = Family(
    "pictrawl_units",
    "gauge",
    "Units of work that are not done, by kind and state; a deferred unit is pending and not yet due.",
    (Label("kind", labels.UNIT_KINDS), Label("state", fleet.STATES)),
)
DEPTH = Family("pictrawl_queue_depth", "gauge", "Messages waiting in the queue.", (_queue,))
QUEUE_UNITS = Family(
    "pictrawl_queue_units", "gauge", "Units of each queue that are not done, by state.", (_queue, Label("state", fleet.STATES))
)
OLDEST = Family("pictrawl_queue_oldest_due_seconds", "gauge", "How long the oldest due unit has waited; 0 if none waits.", (_queue,))
SLOTS = Family("pictrawl_queue_slots", "gauge", "Units that the live workers of a queue can run at once.", (_queue,))
ALIVE = Family("pictrawl_workers_alive", "gauge", "Workers with a recent heartbeat.", (Label("kind", labels.QUEUES),))
ATTEMPTS = Family(
    "pictrawl_attempts",
    "gauge",
    "Requests to origins recorded in the database, by number and outcome; the count is refreshed every few minutes.",
    (
        Label("attempt", labels.ATTEMPTS),
        Label("outcome", ("ok", "unknown", *labels.REASONS), description="`ok`, one of the [reasons](reasons.md), or `unknown`"),
    ),
)
REQUESTS = Family("pictrawl_http_requests", "counter", "Requests answered.", (_method, _route, _status))
REQUEST_SECONDS = Family(
    "pictrawl_http_request_duration_seconds", "histogram", "Time to answer, without streams.", (_method, _route), BUCKETS_S
)

FAMILIES = (UP, BUILD, JOBS, UNITS, DEPTH, QUEUE_UNITS, OLDEST, SLOTS, ALIVE, ATTEMPTS, REQUESTS, REQUEST_SECONDS)
"""In the order of the reference. The metrics of the process itself come in addition."""

Rows = Mapping[tuple[str, ...], float]
CountAttempts = Callable[[Resources], Awaitable[Rows]]


class Metrics(Collector):
    """The registry of one application, which includes that of the process; two applications in one process share only the latter."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = Counter(REQUESTS.name, REQUESTS.documentation, REQUESTS.label_names, registry=self.registry)
        self.seconds = Histogram(
            REQUEST_SECONDS.name, REQUEST_SECONDS.documentation, REQUEST_SECONDS.label_names, buckets=BUCKETS_S, registry=self.registry
        )
        self.registry.register(self)
        self.registry.register(REGISTRY)
        self._clock = clock
        self._families: list[Metric] = []
        self._fresh_until = 0.0
        self._attempts: Rows = {}
        self._attempts_until = 0.0
        self._lock = asyncio.Lock()

    def collect(self) -> Iterable[Metric]:
        """Return what the last refresh found."""
        return list(self._families)

    def note_request(self, method: str, route: str, status: int, seconds: float, *, is_stream: bool) -> None:
        """Count a request."""
        method = method if method in METHODS else OTHER
        self.requests.labels(method, route, str(status)).inc()
        if not is_stream:
            self.seconds.labels(method, route).observe(seconds)

    async def render(self, resources: Resources) -> bytes:
        """Return the text format, refreshed if the last counts are old."""
        await self.refresh(resources)
        return generate_latest(self.registry)

    async def refresh(self, resources: Resources) -> None:
        """Count again if the last counts are old."""
        async with self._lock:
            if self._clock() >= self._fresh_until:
                began = self._clock()
                self._families = await collect(resources, self._cached_attempts)
                self._fresh_until = self._until(began, COST_FACTOR)

    async def _cached_attempts(self, resources: Resources) -> Rows:
        if self._clock() >= self._attempts_until:
            began = self._clock()
            self._attempts = await count_attempts(resources)
            self._attempts_until = self._until(began, ATTEMPTS_FACTOR)
        return self._attempts

    def _until(self, began: float, factor: float) -> float:
        now = self._clock()
        return now + max(MIN_AGE_S, factor * (now - began))


class _Refresh(Collector):
    """Refreshes the counts on the event loop of the API before a scrape that a thread answers. Collects nothing itself."""

    def __init__(self, metrics: Metrics, resources: Resources) -> None:
        self._metrics, self._resources, self._loop = metrics, resources, asyncio.get_running_loop()

    def collect(self) -> Iterable[Metric]:
        """Refresh; on a timeout the scrape reports the last counts."""
        future = asyncio.run_coroutine_threadsafe(self._metrics.refresh(self._resources), self._loop)
        try:
            future.result(REFRESH_TIMEOUT_S)
        except TimeoutError:
            future.cancel()
        return ()


def refreshed_registry(metrics: Metrics, resources: Resources) -> CollectorRegistry:
    """Return a registry for `app.observability.server`: the counts are refreshed first, then everything is collected."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Refresh(metrics, resources))
    registry.register(metrics.registry)
    return registry


async def count_attempts(resources: Resources) -> Rows:
    """Attempts by label."""
    table: dict[tuple[str, ...], float] = {}
    for (number, outcome), count in (await attempts.totals(resources.db)).items():
        values = ATTEMPTS.bounded((labels.number_of(number), outcome))
        table[values] = table.get(values, 0) + count
    return table


async def collect(resources: Resources, attempts_of: CountAttempts = count_attempts) -> list[Metric]:
    """Every family that needs the database or the queue. ``up`` is 0 for one that does not answer, and its families are left out."""
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
    """Messages on each queue, or ``None`` if the queue does not answer in time."""
    try:
        async with asyncio.timeout(within_s):
            return await resources.queue.depths()
    except (errors.QueueUnavailableError, TimeoutError):
        return None


async def _from_database(resources: Resources) -> list[Metric]:
    db = resources.db
    by_state = dict.fromkeys(JobState, 0) | await jobs.counts_by_state(db)
    alive: dict[tuple[str, ...], float] = {(kind,): 0 for kind in QUEUES}
    for worker in await fleet.workers(db, fresh_s=fleet.BEAT_FRESH_S):
        kind = ALIVE.bounded((worker.kind,))
        alive[kind] = alive.get(kind, 0) + 1
    return [
        as_metric(JOBS, [((state.value,), number) for state, number in by_state.items()]),
        as_metric(UNITS, (await fleet.count_by_kind(db)).items()),
        as_metric(ALIVE, alive.items()),
        *_of_queues(await fleet.backlogs(db, tuple(QUEUES), fresh_s=fleet.BEAT_FRESH_S)),
    ]


def _of_queues(found: Iterable[fleet.Backlog]) -> list[Metric]:
    found = list(found)
    return [
        as_metric(QUEUE_UNITS, [((queue.name, state), number) for queue in found for state, number in queue.units.items()]),
        as_metric(OLDEST, [((queue.name,), queue.oldest_due_s or 0.0) for queue in found]),
        as_metric(SLOTS, [((queue.name,), queue.slots) for queue in found]),
    ]
