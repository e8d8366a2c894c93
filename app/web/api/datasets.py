"""``/v1/datasets``: list, read and delete datasets, and export one."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

import errors
from app.datasets import leaks
from app.datasets.merge import MAX_MERGED, submit_merge
from app.db import datasets, earlier_fetches, images, jobs, rows, versions
from app.db.funnel import Funnel
from app.db.licences import count_by_licence
from app.discovery.licences.policy import LicencePolicy
from app.domain import ExportFormat, LabelConflicts
from app.explain import licences
from app.export_spec import ExportRequest
from app.exports.destination import FORMS, Delivery, is_allowed, parse_remote
from app.jobs import submit
from app.strict import Strict, Word
from app.web.api.conventions import ACCEPTED, DatasetId, Here, IdempotencyKey, NoQuery, Page, PageQuery, Text, View, accepted, at, may_fail
from app.web.api.exports import Export, ExportSummary, export_summary, export_view
from app.web.api.job_views import Job, Progress, load_job, progress_of

__all__ = ["DatasetQuery", "DatasetSummary", "LicenceQuery", "router"]

router = APIRouter(tags=["datasets"])


class DatasetSummary(View):
    """A dataset, without figures."""

    id: str
    name: str
    lineage_id: str = Field(description="Datasets that are versions of each other share it.")
    version: str | None = Field(description="Its newest version, as in `1.2.0`; null before its images are decided.")
    digest: str | None = Field(description="Of that version: equal digests mean equal images, labels, splits and texts.")
    created_at: datetime
    links: dict[str, str]


class Dataset(DatasetSummary):
    """A dataset with the figures of its candidates."""

    progress: Progress
    reasons: dict[str, int] = Field(description="Images that are out, by reason, most frequent first.")
    sources: dict[str, dict[str, int]] = Field(description="Images by source and state.")


class DatasetQuery(PageQuery):
    """Which datasets."""

    name: Text | None = Field(None, max_length=200, description="A part of the name, in whatever case.")


class LicenceQuery(NoQuery):
    """A choice of licences."""

    license: list[str] = Field(
        default_factory=list, max_length=50, description="Ids and families as in `by,by-sa`, or `open`, `commercial`, `derivatives`, `any`."
    )
    license_unknown: Literal["keep", "drop"] = Field("drop", description="What becomes of images without a known licence.")


class LicenceLine(View):
    """What is known of the images under one licence."""

    licence: str | None = Field(description="Its id, or what was stated where that is not understood; null where nothing is stated.")
    is_known: bool
    kept: int
    refused: int = Field(description="Images that were left out for this licence.")
    contradicted: int = Field(description="Kept images of which two statements disagree; the stricter holds.")
    sources: dict[str, int]
    confidence: dict[str, int] = Field(description="Kept images by how the licence is known: `asserted`, `derived`, `unknown`.")
    terms: str


class Departure(View):
    """Images that a choice of licences would not take."""

    licence: str | None
    count: int
    why: str


class LicenceAnswer(View):
    """What a choice of licences would leave of the kept images."""

    stays: int
    goes: list[Departure]


class Licences(View):
    """The licences of a dataset."""

    dataset_id: str
    kept: int
    licences: list[LicenceLine]
    answer: LicenceAnswer | None = Field(description="Where the query names licences.")


class NewExport(ExportRequest):
    """An export, and where it is sent."""

    destination: str | None = Field(None, max_length=1000, description=f"Where it is sent: {FORMS}. Allowed by export.destinations.")
    overwrite: bool = Field(False, description="Replace the dataset of pictrawl that is at the destination.")
    private: bool = Field(True, description="Whether a repository that is created on the Hub is private.")


def _summary(dataset: rows.Dataset, version: rows.Version | None) -> DatasetSummary:
    own = f"/v1/datasets/{dataset.id}"
    links = {
        "self": own,
        "exports": f"{own}/exports",
        "licences": f"{own}/licences",
        "leaks": f"{own}/leaks",
        "labels": f"{own}/labels",
        "report": f"{own}/report",
        "images": f"{own}/images",
        "checks": f"/v1/checks?dataset_id={dataset.id}",
    }
    known = {"id": dataset.id, "name": dataset.name, "lineage_id": dataset.lineage_id, "created_at": at(dataset.created_at)}
    return DatasetSummary(**known, version=version and version.number, digest=version and version.digest, links=links)


@router.get("/v1/datasets", operation_id="datasets_list", summary="List datasets, newest first")
async def list_datasets(call: Here, query: Annotated[DatasetQuery, Query()]) -> Page[DatasetSummary]:
    """Without figures: ask for one dataset to get them."""
    page = await datasets.list_datasets(call.resources.db, user_id=call.user_id, name=query.name, limit=query.limit, cursor=query.cursor)
    newest = await versions.newest_of_each(call.resources.db, [dataset.id for dataset in page.items])
    return Page(items=[_summary(dataset, newest.get(dataset.id)) for dataset in page.items], next_cursor=page.next_cursor)


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
    newest = await versions.newest_of_each(db, [dataset_id])
    summary = _summary(dataset, newest.get(dataset_id))
    return Dataset(**summary.model_dump(), progress=progress_of(funnel), reasons=funnel.reasons, sources=funnel.by_source())


@router.get("/v1/datasets/{dataset_id}/licences", operation_id="datasets_licences", summary="The licences of a dataset's images")
async def get_licences(call: Here, dataset_id: DatasetId, query: Annotated[LicenceQuery, Query()]) -> Licences:
    """How many images have which licence, how it is known, and what a choice of licences would leave of them."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    counts = await count_by_licence(call.resources.db, dataset_id)
    lines = [LicenceLine(**asdict(line)) for line in licences.ledger(counts)]
    found = licences.answer(counts, LicencePolicy.of(query.license, query.license_unknown)) if query.license else None
    answer = None if found is None else LicenceAnswer(stays=found.stays, goes=[Departure(**asdict(one)) for one in found.goes])
    return Licences(dataset_id=dataset_id, kept=sum(line.kept for line in lines), licences=lines, answer=answer)


class NewMerge(Strict):
    """Datasets whose images become one dataset."""

    datasets: list[str] = Field(min_length=2, max_length=MAX_MERGED, description="Ids, the one whose rules and labels come first at first.")
    name: Word | None = Field(None, description="Name of the new dataset; default: their names.")
    export_format: ExportFormat | None = Field(None, description="Default: that of the first dataset.")
    label_conflicts: LabelConflicts | None = Field(None, description="What is kept of a picture or a URL with several labels.")


@router.post(
    "/v1/datasets/merges",
    operation_id="datasets_merge",
    summary="Make one dataset with the images of several",
    status_code=202,
    responses=ACCEPTED | may_fail(404, 409),
)
async def create_merge(call: Here, body: NewMerge, response: Response, _: Annotated[NoQuery, Query()], key: IdempotencyKey = None) -> Job:
    """Each URL once, duplicates found over all, and splits as they were; the datasets stay as they are. Nothing is requested."""
    caller = call.caller(key, body)
    made = await call.made_before(caller) or await submit_merge(
        call.resources,
        body.datasets,
        name=body.name,
        export_format=body.export_format,
        label_conflicts=body.label_conflicts,
        caller=caller,
    )
    accepted(response, f"/v1/jobs/{made.job_id}")
    return await load_job(call.resources.db, await jobs.get(call.resources.db, made.job_id, user_id=call.user_id), call.meters)


class SplitReport(View):
    """What the splits of a dataset share."""

    dataset_id: str
    splits: dict[str, int] = Field(description="Images by split.")
    near_distance: int = Field(description="Bits in which the perceptual hashes of two images may differ that are nearly the same.")
    split_by: list[str] = Field(description="What images of one split share.")
    pairs: dict[str, int] = Field(description="Pairs of images in two splits, by what they share.")
    largest: int = Field(description="Images of the largest group that one split holds together.")
    largest_by: str | None = Field(description="What most of them share.")


@router.get("/v1/datasets/{dataset_id}/leaks", operation_id="datasets_leaks", summary="Pairs of images that share something across splits")
async def get_leaks(call: Here, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> SplitReport:
    """Counted anew from the rows of the dataset; 0 for what it was split by. Every export states its own in `manifest.json`."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    report = await leaks.split_report(call.resources.db, dataset_id)
    return SplitReport(dataset_id=dataset_id, **report.to_json())


@router.delete(
    "/v1/datasets/{dataset_id}",
    operation_id="datasets_delete",
    summary="Delete a dataset",
    status_code=204,
    response_class=Response,
    responses=may_fail(409),
)
async def delete_dataset(call: Here, request: Request, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> Response:
    """Deletes its jobs, images and exports too. Refused while a job works on it. The next clean-up deletes the bytes."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    await datasets.delete_dataset(call.resources.db, dataset_id)
    await asyncio.to_thread(request.app.state.gallery.forget, dataset_id)
    return Response(status_code=204)


def _delivery(body: NewExport, allowed: Sequence[str]) -> Delivery | None:
    """Where the export shall go.

    Raises:
        errors.ValidationError: that is no destination, or none that the operator allows.
    """
    if body.destination is None:
        return None
    delivery = Delivery(parse_remote(body.destination).url, body.overwrite, body.private)
    for destination in (delivery.destination, *(delivery.beside(name).destination for name in body.also)):
        if not is_allowed(parse_remote(destination), allowed):
            below = ", ".join(allowed) or "nothing"
            raise errors.ValidationError(f"destination {destination} is not allowed here; export.destinations allows {below}")
    return delivery


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
    """The export is verified before it is published, and then sent to its destination if it has one."""
    request = ExportRequest(**body.model_dump(include=set(ExportRequest.model_fields)))
    delivery = _delivery(body, call.resources.settings.export.destinations)
    made = await submit.submit_export(call.resources, dataset_id, request, delivery=delivery, caller=call.caller(key, body))
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
