"""``/v1/sources``, ``/v1/workers``, ``/v1/queues``, ``/v1/hosts``: where images come from, and who works."""

import time
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

import errors
from app.db import fleet
from app.explain.hosts_at_work import HostAtWork, hosts_at_work
from app.jobs.sources import SourceStatus, SourceUse, status_of, statuses, try_sources, uses
from app.queue import QUEUES
from app.web.api.conventions import Here, NoQuery, Text, View, at, may_fail
from app.web.metrics import queue_depths

__all__ = ["router"]

router = APIRouter(tags=["fleet"])


class Source(View):
    """A source that is searched by keyword."""

    name: str
    title: str
    needs_contact: bool
    needs_key: bool
    is_ready: bool = Field(description="Whether the settings that the source requires are set.")
    missing: str | None = Field(description="What it needs and does not have; null where it is ready.")
    key: str = Field(description="Whether it takes an API key: none, optional or required.")
    key_url: str = Field(description="Where to get a key; empty where it takes none.")
    terms_url: str
    docs_url: str
    licences: str = Field(description="How the source states the licence of an image.")
    depth: int | None = Field(description="Results a search can reach; null for no limit.")
    is_divisible: bool = Field(description="Whether a deeper search is read in parts.")
    limits: list[str] = Field(description="Requests that all workers together send at most, such as 20/min.")
    filters: list[str] = Field(description="What the source is asked to filter by.")
    left: dict[str, int] = Field(description="Requests that are left of each limit now.")
    closed_until: datetime | None = Field(description="Until when it gets no request, because it refused one; null where it may be asked.")


class Sources(View):
    """Every source."""

    items: list[Source]


class NewSourceCheck(BaseModel):
    """What a source is asked."""

    model_config = ConfigDict(extra="forbid")

    keyword: Text = Field("cat", min_length=1, max_length=200, description="What is searched for.")


class CheckedSource(View):
    """What came of one small request to a source."""

    name: str
    ok: bool = Field(description="Whether it answered as it should.")
    problem: str | None = Field(description="Why nothing came; null where the source works.")
    keyword: str
    total: int | None = Field(description="Results of the keyword; null where the source does not say.")
    first: dict[str, Any] | None = Field(description="The first result; null where there is none, or each takes a request of its own.")
    elapsed_s: float
    left: dict[str, int] = Field(description="Requests that are left of each limit, such as 20/min.")


class Worker(View):
    """A worker process."""

    id: str
    kind: str
    host: str
    pid: int
    version: str
    slots: int = Field(description="Units it runs at once.")
    running: int
    loop_lag_s: float
    is_alive: bool = Field(description="Whether its last heartbeat is at most 30 seconds old.")
    started_at: datetime
    beat_at: datetime


class Workers(View):
    """All workers that have not stopped in order."""

    items: list[Worker]


class Queue(View):
    """A queue and its units."""

    name: str
    depth: int | None = Field(description="Messages waiting; null while the queue cannot be reached.")
    units: dict[str, int] = Field(
        description="Open units in the database: pending, deferred (pending, but not due yet), queued, running, quarantined, dead."
    )
    oldest_due_s: float | None = Field(description="Seconds that the oldest unit that may run has waited; null where none waits.")
    slots: int = Field(description="Units that the living workers of this queue run at once.")


class Queues(View):
    """Every queue."""

    items: list[Queue]


class Host(View):
    """A host that the caller's jobs ask now."""

    host: str
    images: int = Field(description="Images of this host in the chunks that are being fetched.")
    requests: int = Field(description="Requests for these images, with an outcome.")
    failed: int = Field(description="Of them, those that brought no image.")
    refused: int = Field(description="Of them, those that the host refused with 429 or 503.")
    deferred: int = Field(description="Images that wait until a later time.")
    workers: int = Field(description="Worker processes that ask it, or wait for it. The figures below are theirs, at most 5 seconds old.")
    in_flight: int = Field(description="Requests that are sent and not answered.")
    waiting: int = Field(description="URLs that wait for their turn.")
    window: int = Field(description="Requests that may be in flight at once; 0 where none was sent yet.")
    rate_per_s: float = Field(description="Requests per second that are let through; 0 for no limit.")
    closed_until: datetime | None = Field(description="Nothing is sent before; null where the host is open.")
    failures: int = Field(description="Connections that failed in a row.")


class Hosts(View):
    """The hosts that are asked now."""

    items: list[Host]


@router.get("/v1/sources", operation_id="sources_list", summary="List the sources")
async def list_sources(call: Here, _: Annotated[NoQuery, Query()]) -> Sources:
    """The names are the values of a job's `sources`."""
    resources = call.resources
    used = await uses(resources.settings, resources.db)
    return Sources(items=[_source(status, used[status.info.name]) for status in statuses(resources.settings)])


def _source(status: SourceStatus, use: SourceUse) -> Source:
    info = status.info
    names = ("name", "title", "needs_contact", "needs_key", "key", "key_url", "terms_url", "docs_url", "licences", "depth", "is_divisible")
    return Source(
        **{name: getattr(info, name) for name in names},
        is_ready=status.missing is None,
        missing=status.missing,
        limits=[str(limit) for limit in status.limits],
        filters=list(info.filters),
        left={str(limit): number for limit, number in use.left.items()},
        closed_until=at(use.closed_until or None),
    )


@router.post(
    "/v1/sources/{name}/check", operation_id="sources_check", summary="Ask a source one small question", responses=may_fail(404, 422)
)
async def check_source(
    call: Here,
    name: Annotated[str, Path(max_length=100, description="A source's name.")],
    body: NewSourceCheck,
    _: Annotated[NoQuery, Query()],
) -> CheckedSource:
    """The request counts towards the source's limits. A source that fails is an answer too: `ok` is false, and `problem` says why."""
    settings = call.resources.settings
    try:
        status_of(settings, name)
    except errors.ValidationError as error:
        raise errors.NotFoundError(str(error)) from error
    (checked,) = await try_sources(settings, call.resources.db, [name], body.keyword)
    return CheckedSource(**checked.document())


@router.get("/v1/workers", operation_id="workers_list", summary="List the workers")
async def list_workers(call: Here, _: Annotated[NoQuery, Query()]) -> Workers:
    """With their last heartbeats."""
    db = call.resources.db
    alive = {worker.id for worker in await fleet.workers(db, fresh_s=fleet.BEAT_FRESH_S)}
    names = ("id", "kind", "host", "pid", "version", "slots", "running")
    return Workers(
        items=[
            Worker(
                **{name: getattr(worker, name) for name in names},
                loop_lag_s=round(worker.loop_lag_s, 3),
                is_alive=worker.id in alive,
                started_at=at(worker.started_at),
                beat_at=at(worker.beat_at),
            )
            for worker in await fleet.workers(db)
        ]
    )


@router.get("/v1/queues", operation_id="queues_list", summary="List the queues")
async def list_queues(call: Here, _: Annotated[NoQuery, Query()]) -> Queues:
    """Counts come from the database; the depth of the queue is null while Redis is unavailable."""
    depths = await queue_depths(call.resources) or {}
    found = await fleet.backlogs(call.resources.db, tuple(QUEUES), fresh_s=fleet.BEAT_FRESH_S)
    return Queues(items=[_queue(item, depths.get(item.name)) for item in found])


def _queue(item: fleet.Backlog, depth: int | None) -> Queue:
    oldest_due_s = None if item.oldest_due_s is None else round(item.oldest_due_s, 3)
    return Queue(name=item.name, depth=depth, units=dict(item.units), oldest_due_s=oldest_due_s, slots=item.slots)


@router.get("/v1/hosts", operation_id="hosts_list", summary="List the hosts that are asked now")
async def list_hosts(call: Here, _: Annotated[NoQuery, Query()]) -> Hosts:
    """Those of the caller's own jobs, with most requests in flight first. Other users' use of such a host is in its pace."""
    return Hosts(items=[_host(host) for host in await hosts_at_work(call.resources.db, user_id=call.user_id)])


def _host(host: HostAtWork) -> Host:
    counts = host.counts
    return Host(
        **{name: getattr(counts, name) for name in ("host", "images", "requests", "failed", "refused", "deferred")},
        **{name: getattr(host, name) for name in ("workers", "in_flight", "waiting", "failures")},
        window=host.slots,
        rate_per_s=round(host.rate_per_s, 3),
        closed_until=at(host.closed_until or None) if host.closed_until > time.time() else None,
    )
