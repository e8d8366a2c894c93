"""``/datasets`` and ``/datasets/{id}``: the datasets, and one of them with its versions, exports and what may be done with it."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi import Response as ApiResponse
from pydantic import model_validator
from starlette.responses import RedirectResponse, Response

from app.db import image_search, jobs
from app.db.image_search import ImageFilter
from app.domain import ImageState
from app.formatting import count, size
from app.job_states import JobKind
from app.web.api import dataset_figures, datasets, versions
from app.web.api.conventions import Call, DatasetId, NoQuery, PageQuery, call_of
from app.web.api.datasets import DatasetQuery
from app.web.api.versions import NewUpdate
from app.web.ui.confirm import Confirmation, ask
from app.web.ui.export_form import CHOICES, Problems
from app.web.ui.forms import read_form
from app.web.ui.routes.home import cards_of
from app.web.ui.templating import render

__all__ = ["page_of_dataset", "router"]

router = APIRouter()

CARDS: Final = 60
COVER: Final = 16
"""Pictures at the top of a dataset's page."""

EXPORTS: Final = 20


class CardsQuery(DatasetQuery):
    """Which datasets are shown."""

    limit: int = CARDS

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: Any) -> Any:
        """A form sends a name that was left empty."""
        return {name: value for name, value in given.items() if value != ""} if isinstance(given, dict) else given


@router.get("/datasets")
async def show_all(request: Request, query: Annotated[CardsQuery, Query()]) -> Response:
    """All datasets, the newest first, or those with a part of a name."""
    call = call_of(request)
    found = await datasets.list_datasets(call, query)
    return render(request, "datasets.html", cards=await cards_of(call, found.items), next_cursor=found.next_cursor, query=query)


@router.get("/datasets/{dataset_id}")
async def show(request: Request, dataset_id: DatasetId) -> Response:
    """One dataset."""
    return await page_of_dataset(request, dataset_id)


async def page_of_dataset(
    request: Request, dataset_id: str, *, fields: Mapping[str, str] | None = None, problems: Problems | None = None
) -> Response:
    """Render the page, with what was typed into the form for an export and what is wrong with it."""
    call = call_of(request)
    current = await current_parts(call, dataset_id)
    return render(
        request,
        "dataset.html",
        status=422 if problems else 200,
        **current,
        cover=await _cover(call, dataset_id),
        before=next((version.dataset_id for version in current["versions"] if version.dataset_id != dataset_id), None),
        build=await jobs.newest_of_dataset(call.resources.db, dataset_id, JobKind.BUILD),
        choices=CHOICES,
        destinations=call.resources.settings.export.destinations,
        fields=fields or {},
        problems=problems or {},
    )


async def current_parts(call: Call, dataset_id: str) -> dict[str, Any]:
    """What a job on the dataset changes on its page while somebody looks: version, job at work, exports and versions."""
    return {
        "dataset": await datasets.get_dataset(call, dataset_id, NoQuery()),
        "versions": (await versions.list_versions(call, dataset_id, NoQuery())).items,
        "at_work": await jobs.active_on(call.resources.db, dataset_id, list(JobKind)),
        "exports": await datasets.list_exports(call, dataset_id, PageQuery(limit=EXPORTS)),
    }


async def _cover(call: Call, dataset_id: str) -> Sequence[int]:
    wanted = ImageFilter(dataset_id=dataset_id, state=ImageState.KEPT)
    page = await image_search.page(call.resources.db, wanted, user_id=call.user_id, limit=COVER)
    return [image.id for image in page.items]


@router.get("/datasets/{dataset_id}/delete")
async def ask_to_delete(request: Request, dataset_id: DatasetId) -> Response:
    """Name what goes, and ask."""
    call = call_of(request)
    dataset = await datasets.get_dataset(call, dataset_id, NoQuery())
    taken = await dataset_figures.get_usage(call, dataset_id, NoQuery())
    made = await datasets.list_exports(call, dataset_id, PageQuery(limit=200))
    exports = f"{count(len(made.items), 'export')}{' or more' if made.next_cursor else ''}"
    stay = f" {size(taken.shared_bytes)} more stay, since other datasets need them." if taken.shared_bytes else ""
    sent = sorted({export.destination for export in made.items if export.destination})
    what = [
        f"{dataset.name}{f', version {dataset.version}' if dataset.version else ''}: {count(dataset.progress.kept, 'kept image')} of "
        f"{count(taken.rows, 'candidate')}, with every decision about them, its jobs and their logs.",
        f"{exports} with their files; nobody can download them any more.",
        f"{size(taken.own_bytes)} that nothing else needs are freed by the next clean-up.{stay}",
        *([f"What was sent stays there: {', '.join(sent)}"] if sent else []),
        "Folders that were delivered stay. This cannot be taken back.",
    ]
    own = f"/datasets/{dataset_id}"
    twin = ("DELETE", f"/v1{own}", None)
    return ask(request, Confirmation("Delete this dataset?", what, f"{own}/delete", "Delete the dataset", own, twin=twin))


@router.post("/datasets/{dataset_id}/delete")
async def delete(request: Request, dataset_id: DatasetId) -> Response:
    """Delete a dataset, once it is sure."""
    if "sure" not in await read_form(request):
        return await ask_to_delete(request, dataset_id)
    await datasets.delete_dataset(call_of(request), request, dataset_id, NoQuery())
    return RedirectResponse("/datasets", 303)


@router.get("/datasets/{dataset_id}/update")
async def ask_to_update(request: Request, dataset_id: DatasetId) -> Response:
    """Say what an update does, and ask."""
    call = call_of(request)
    dataset = await datasets.get_dataset(call, dataset_id, NoQuery())
    what = [
        f"Another version of {dataset.name} is made, of what its origins, sources and lists have now.",
        "Images are requested only where they have changed, and only what is new is downloaded. Splits and decisions of reviewers stay.",
        "This dataset stays as it is. Where nothing has changed, no version is made.",
    ]
    own = f"/datasets/{dataset_id}"
    option = ("retry_failed", "Also ask again for images that failed for reasons that may have passed")
    twin = ("POST", f"/v1{own}/updates", None)
    asked = Confirmation(
        "Update this dataset?", what, f"{own}/update", "Start the update", own, option=option, is_dangerous=False, twin=twin
    )
    return ask(request, asked)


@router.post("/datasets/{dataset_id}/update")
async def update(request: Request, dataset_id: DatasetId) -> Response:
    """Start an update; go to its job."""
    form = await read_form(request)
    body = NewUpdate(max_images=None, retry_failed="retry_failed" in form)
    job = await versions.create_update(call_of(request), dataset_id, ApiResponse(), NoQuery(), body)
    return RedirectResponse(f"/jobs/{job.id}", 303)
