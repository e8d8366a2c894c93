"""``/``: what runs now, the newest datasets, who works, and the disk."""

import asyncio
import shutil
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.db import datasets as dataset_rows
from app.db import image_search
from app.db.image_search import ImageFilter
from app.domain import ImageState
from app.job_states import ACTIVE_JOB_STATES
from app.resources import Resources
from app.web import pages
from app.web.api import datasets, fleet, jobs
from app.web.api.conventions import Call, JobQuery, NoQuery, call_of
from app.web.api.datasets import DatasetQuery, DatasetSummary
from app.web.api.job_views import Job, JobSummary
from app.web.identity import wants_page
from app.web.ui.templating import is_fragment, render

__all__ = ["Card", "Disk", "cards_of", "disk_of", "router"]

router = APIRouter()

MOST_RUNNING = 10
MOST_ENDED = 5
MOST_DATASETS = 12
COVER = 4
"""Pictures on the cover of a dataset."""


class Card(NamedTuple):
    """A dataset with the pictures of its cover."""

    dataset: DatasetSummary
    cover: Sequence[int]


class Disk(NamedTuple):
    """The disk of the workspace, in bytes."""

    free: int
    total: int


@router.get("/")
async def home(request: Request) -> Response:
    """The page for browsers; a description of the server for everyone else."""
    if not wants_page(request.headers):
        return pages.describe()
    call = call_of(request)
    running, ended = await _jobs(call)
    values: dict[str, Any] = {
        "running": running,
        "ended": ended,
        "names": await dataset_rows.names_of(call.resources.db, {job.dataset_id for job in [*running, *ended]}),
        "workers": await fleet.list_workers(call, NoQuery()),
        "queues": await fleet.list_queues(call, NoQuery()),
        "disk": await disk_of(call.resources),
    }
    if is_fragment(request):
        return render(request, "home_live.html", **values)
    found = await datasets.list_datasets(call, DatasetQuery(limit=MOST_DATASETS))
    return render(request, "home.html", cards=await cards_of(call, found.items), has_more=found.next_cursor is not None, **values)


async def _jobs(call: Call) -> tuple[list[Job], list[JobSummary]]:
    """The jobs at work with their figures, and those that ended last."""
    newest = (await jobs.list_jobs(call, JobQuery(limit=100))).items
    active = [job for job in newest if job.status in ACTIVE_JOB_STATES][:MOST_RUNNING]
    running = [await jobs.get_job(call, job.id, NoQuery()) for job in active]
    return running, [job for job in newest if job.status not in ACTIVE_JOB_STATES][:MOST_ENDED]


async def cards_of(call: Call, found: Sequence[DatasetSummary]) -> list[Card]:
    """The datasets with their first kept images, by id."""
    return [Card(dataset, await _cover(call, dataset.id)) for dataset in found]


async def _cover(call: Call, dataset_id: str) -> list[int]:
    wanted = ImageFilter(dataset_id=dataset_id, state=ImageState.KEPT)
    page = await image_search.page(call.resources.db, wanted, user_id=call.user_id, limit=COVER)
    return [image.id for image in page.items]


async def disk_of(resources: Resources) -> Disk | None:
    """The disk of the workspace; ``None`` where there is none on this machine."""
    path = resources.settings.workspace.path
    if resources.workspace is None and not path.exists():
        return None
    usage = await asyncio.to_thread(shutil.disk_usage, path)
    return Disk(usage.free, usage.total)
