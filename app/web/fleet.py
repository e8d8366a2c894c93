"""``/v1/sources``, ``/v1/workers``, ``/v1/queues``: where images come from, and who works."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.db import fleet, units
from app.discovery import SOURCES
from app.dispatch import BEAT_FRESH_S
from app.queue import QUEUES
from app.records import UnitKind
from app.web.calls import Here
from app.web.metrics import queue_depths
from app.web.queries import NoQuery, View, at

__all__ = ["router"]

router = APIRouter(tags=["fleet"])


class Source(View):
    """A place that is searched by keyword."""

    name: str
    title: str
    needs_contact: bool
    needs_key: bool
    is_ready: bool = Field(description="Whether this server has what the source asks for.")
    terms_url: str
    licences: str = Field(description="How a licence comes with an image.")
    depth: int | None = Field(description="Results a search can reach; null for no limit.")


class Sources(View):
    """Every source."""

    items: list[Source]


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
    is_alive: bool = Field(description="Whether it showed a sign of life within 30 seconds.")
    started_at: datetime
    beat_at: datetime


class Workers(View):
    """Every worker that did not end in order."""

    items: list[Worker]


class Queue(View):
    """A queue and the units that pass through it."""

    name: str
    depth: int | None = Field(description="Messages waiting; null while the queue is away.")
    units: dict[str, int] = Field(description="Units by state, as the database has them.")


class Queues(View):
    """Every queue."""

    items: list[Queue]


@router.get("/v1/sources", operation_id="sources_list", summary="List the sources")
async def list_sources(call: Here, _: Annotated[NoQuery, Query()]) -> Sources:
    """Their names are what a job's `sources` takes."""
    has_contact = bool(call.resources.settings.fetch.contact.strip())
    names = ("name", "title", "needs_contact", "needs_key", "terms_url", "licences", "depth")
    return Sources(
        items=[
            Source(**{name: getattr(info, name) for name in names}, is_ready=not info.needs_key and (has_contact or not info.needs_contact))
            for info in SOURCES.values()
        ]
    )


@router.get("/v1/workers", operation_id="workers_list", summary="List the workers")
async def list_workers(call: Here, _: Annotated[NoQuery, Query()]) -> Workers:
    """With their last signs of life."""
    db = call.resources.db
    alive = {worker.id for worker in await fleet.workers(db, fresh_s=BEAT_FRESH_S)}
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
    """A queue that is away loses nothing: what waits in it is in the database too."""
    depths = await queue_depths(call.resources) or {}
    table: dict[str, dict[str, int]] = {name: {} for name in QUEUES}
    for (kind, state), count in (await units.counts(call.resources.db)).items():
        states = table[UnitKind(kind).queue]
        states[state] = states.get(state, 0) + count
    return Queues(items=[Queue(name=name, depth=depths.get(name), units=states) for name, states in table.items()])
