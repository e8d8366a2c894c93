"""``/v1/datasets``: list, read and delete datasets, and export one."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.db import datasets, earlier_fetches, images, jobs, rows
from app.db.rows import Funnel
from app.domain import ExportFormat
from app.jobs import submit
from app.web.api.conventions import ACCEPTED, DatasetId, Here, IdempotencyKey, NoQuery, Page, PageQuery, View, accepted, at, may_fail
from app.web.api.exports import Export, ExportSummary, export_summary, export_view
from app.web.api.jobs import Progress, progress_of

__all__ = ["router"]

router = APIRouter(tags=["datasets"])


class DatasetSummary(View):
    """A dataset, without figures."""

    id: str
    name: str
    created_at: datetime
    links: dict[str, str]


class Dataset(DatasetSummary):
    """A dataset with the figures of its candidates."""

    progress: Progress
    reasons: dict[str, int] = Field(description="Images that are out, by reason, most frequent first.")
    sources: dict[str, dict[str, int]] = Field(description="Images by source and state.")


class NewExport(BaseModel):
    """The format to export in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    export_format: ExportFormat
    storage_tier: Literal["standard"] = "standard"


def _summary(dataset: rows.Dataset) -> DatasetSummary:
    own = f"/v1/datasets/{dataset.id}"
    links = {
        "self": own,
        "exports": f"{own}/exports",
        "images": f"/v1/images?dataset_id={dataset.id}",
        "checks": f"/v1/checks?dataset_id={dataset.id}",
    }
    return DatasetSummary(id=dataset.id, name=dataset.name, created_at=at(dataset.created_at), links=links)


@router.get("/v1/datasets", operation_id="datasets_list", summary="List datasets, newest first")
async def list_datasets(call: Here, query: Annotated[PageQuery, Query()]) -> Page[DatasetSummary]:
    """Without figures: ask for one dataset to get them."""
    page = await datasets.list_datasets(call.resources.db, user_id=call.user_id, limit=query.limit, cursor=query.cursor)
    return Page(items=[_summary(dataset) for dataset in page.items], next_cursor=page.next_cursor)


@router.get("/v1/datasets/{dataset_id}", operation_id="datasets_get", summary="One dataset with its figures")
async def get_dataset(call: Here, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> Dataset:
    """Every candidate is counted: kept, on the way, or out for one reason."""
    dataset = await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    db = call.resources.db
    funnel = Funnel(
        await images.counts(db, dataset_id=dataset_id),
        rows=await jobs.list_figures(db, dataset_id),
        **dict(zip(("reused", "not_modified"), await earlier_fetches.reuse_figures(db, dataset_id), strict=True)),
    )
    return Dataset(**_summary(dataset).model_dump(), progress=progress_of(funnel), reasons=funnel.reasons, sources=funnel.by_source())


@router.delete(
    "/v1/datasets/{dataset_id}",
    operation_id="datasets_delete",
    summary="Delete a dataset",
    status_code=204,
    response_class=Response,
    responses=may_fail(409),
)
async def delete_dataset(call: Here, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> Response:
    """Deletes its jobs, images and exports too. Refused while a job works on it. The next clean-up deletes the bytes."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    await datasets.delete_dataset(call.resources.db, dataset_id)
    return Response(status_code=204)


@router.post(
    "/v1/datasets/{dataset_id}/exports",
    operation_id="exports_create",
    summary="Write a dataset in a format",
    status_code=202,
    responses=ACCEPTED | may_fail(409),
)
async def create_export(
    call: Here, dataset_id: DatasetId, body: NewExport, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None
) -> Export:
    """The export is verified before it is published."""
    made = await submit.submit_export(
        call.resources, dataset_id, export_format=body.export_format, storage_tier=body.storage_tier, caller=call.caller(key, body)
    )
    accepted(response, f"/v1/exports/{made.resource}")
    return export_view(await datasets.get_export(call.resources.db, made.resource, user_id=call.user_id))


@router.get("/v1/datasets/{dataset_id}/exports", operation_id="exports_list", summary="List a dataset's exports, newest first")
async def list_exports(call: Here, dataset_id: DatasetId, query: Annotated[PageQuery, Query()]) -> Page[ExportSummary]:
    """All exports of the dataset, whatever their state."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    page = await datasets.page_exports(
        call.resources.db, dataset_id=dataset_id, user_id=call.user_id, limit=query.limit, cursor=query.cursor
    )
    return Page(items=[export_summary(export) for export in page.items], next_cursor=page.next_cursor)
