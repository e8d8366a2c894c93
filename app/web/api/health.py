"""``/healthz``, ``/readyz``, ``/metrics``: for machines that watch machines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

import errors
from app.resources import Resources, product_version
from app.web import metrics
from app.web.api import problems
from app.web.api.conventions import Here, NoQuery, View
from logging_setup import get_logger

__all__ = ["Readiness", "router"]

log = get_logger(__name__)

router = APIRouter(tags=["operations"])

CHECK_S = 3.0
"""Seconds that one part has to answer."""

KEPT_S = 2.0
"""Seconds for which an answer is given again: anyone may ask, and the store's check writes."""


class Health(View):
    """This process answers."""

    status: Literal["ok"] = "ok"
    version: str


class Ready(View):
    """The dependencies of this server and their state."""

    status: Literal["ok", "degraded"] = Field(description="degraded: the queue is unavailable; jobs are accepted and begin later.")
    checks: dict[str, Literal["ok", "away"]]


class Readiness:
    """Caches the result of probing each dependency; one probe runs at a time."""

    def __init__(self, check_s: float = CHECK_S) -> None:
        self._check_s = check_s
        self._lock = asyncio.Lock()
        self._fresh_until = 0.0
        self._checks: dict[str, Literal["ok", "away"]] = {}

    async def look(self, resources: Resources) -> dict[str, Literal["ok", "away"]]:
        """Probe each dependency."""
        async with self._lock:
            if time.monotonic() >= self._fresh_until:
                parts = {"database": resources.db.ping, "queue": resources.queue.ping, "storage": resources.store.check}
                found = await asyncio.gather(*(_answers(name, check, self._check_s) for name, check in parts.items()))
                self._checks = dict(zip(parts, found, strict=True))
                self._fresh_until = time.monotonic() + KEPT_S
            return self._checks


async def _answers(name: str, check: Callable[[], Awaitable[None]], within_s: float) -> Literal["ok", "away"]:
    try:
        async with asyncio.timeout(within_s):
            await check()
    except (errors.DatabaseConnectionError, errors.QueueUnavailableError, errors.StorageError, TimeoutError) as error:
        why = str(error) or f"no answer in {within_s:g} s"
        log.warning("ready.part_away", part=name, error_type=type(error).__name__, error=why)
        return "away"
    return "ok"


@router.get("/healthz", operation_id="health_live", summary="Whether this process lives")
async def healthz(_: Annotated[NoQuery, Query()]) -> Health:
    """Checks no dependency: an unavailable database is no reason to restart the API."""
    return Health(version=product_version())


@router.get("/readyz", operation_id="health_ready", summary="Whether this server can do its work")
async def readyz(request: Request, _: Annotated[NoQuery, Query()]) -> Ready:
    """503 while the database or the store is unavailable. Without the queue jobs are still accepted."""
    checks = await request.app.state.readiness.look(request.app.state.resources)
    away = [name for name, found in checks.items() if found == "away"]
    if set(away) - {"queue"}:
        headers = {"Retry-After": str(problems.RETRY_DATABASE_S)}
        raise problems.Refusal("not-ready", f"Away: {', '.join(away)}.", headers=headers)
    return Ready(status="degraded" if away else "ok", checks=checks)


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"description": "The text exposition format.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def get_metrics(call: Here, request: Request, _: Annotated[NoQuery, Query()]) -> Response:
    """Requires a key where the API does."""
    body = await request.app.state.metrics.render(call.resources)
    return Response(body, media_type=metrics.CONTENT_TYPE)
