"""Builds the FastAPI application: routes, middleware, shared state. One for each set of resources; there is no global."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from starlette.responses import JSONResponse

from app.gallery.gallery import open_gallery
from app.jobs.event_log import recording
from app.jobs.pace import PaceMeters
from app.observability.event_loop import measure_lag
from app.resources import Resources, product_version
from app.thumbnails import Thumbnails
from app.web import pages, ui
from app.web.api import (
    checks,
    dataset_figures,
    datasets,
    dead,
    explain,
    exports,
    fleet,
    gallery,
    health,
    images,
    job_events,
    jobs,
    locks,
    openapi,
    plans,
    problems,
    reports,
    reviews,
    tombstones,
    versions,
)
from app.web.api.conventions import json_only
from app.web.identity import KeyAuthentication
from app.web.metrics import Metrics
from app.web.middleware import BodyLimit, Frame

__all__ = ["create_app", "openapi_document"]

TAGS = [
    {"name": "jobs", "description": "Builds, exports and checks as jobs."},
    {"name": "images", "description": "Candidates and images."},
    {"name": "datasets", "description": "Datasets."},
    {"name": "exports", "description": "Datasets in a format."},
    {"name": "reviews", "description": "Decisions of people about images."},
    {"name": "checks", "description": "Integrity, duplicates, validation."},
    {"name": "fleet", "description": "Sources, workers, queues."},
    {"name": "operations", "description": "Health, readiness, metrics."},
]


def create_app(resources: Resources, *, keys_required: bool = False) -> FastAPI:
    """The API over these resources.

    Args:
        keys_required: require a key even while none is in force, so that revoking the last key locks the API. A server
            that others can reach needs this.
    """
    app = _routes()
    metrics = Metrics()
    app.state.resources = resources
    app.state.metrics = metrics
    app.state.gallery = open_gallery(resources.db, resources.settings)
    app.state.readiness = health.Readiness()
    app.state.stopping = asyncio.Event()
    app.state.meters = PaceMeters()
    app.state.thumbnails = Thumbnails.from_settings(resources.settings, resources.store)
    app.add_middleware(BodyLimit, max_bytes=resources.settings.serve.max_body_bytes)  # innermost first
    app.add_middleware(KeyAuthentication, db=resources.db, keys_required=keys_required)
    app.add_middleware(Frame, metrics=metrics)
    app.state.answer_error = ui.answer_error
    problems.install(app)
    return app


def openapi_document() -> dict[str, Any]:
    """The OpenAPI document. Needs no database."""
    return openapi.build(_routes())


def _routes() -> FastAPI:
    app = FastAPI(
        title="pictrawl",
        version=product_version(),
        openapi_url=None,  # ours is below
        docs_url=None,  # both would load their scripts from elsewhere; app.web.pages has ours
        redoc_url=None,
        redirect_slashes=False,
        openapi_tags=TAGS,
        lifespan=_lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # its spans would hold query strings
    )
    of_datasets = (datasets, gallery, dataset_figures, versions, locks, reports, exports, checks, reviews, tombstones)
    for module in (jobs, plans, job_events, images, explain, *of_datasets, fleet, dead, health):
        app.include_router(module.router, dependencies=[Depends(json_only)])
    app.include_router(pages.router)
    app.include_router(ui.router)
    app.add_api_route(openapi.DOCUMENT_PATH, _document, include_in_schema=False)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Record log lines with a job's context into the job log, as workers do; end the decoder processes and the gallery at the end."""
    async with recording(app.state.resources.db), measure_lag(), aclosing(app.state.thumbnails), app.state.gallery:
        yield


async def _document(request: Request) -> JSONResponse:
    state = request.app.state
    if not hasattr(state, "document"):
        state.document = openapi.build(request.app)
    return JSONResponse(state.document)
