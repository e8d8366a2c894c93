"""``/v1/datasets/{id}/versions``, ``/diff`` and ``/updates``: how a dataset has changed, and another version of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from app.datasets import diff as diffs
from app.datasets.diff import Changes, Difference
from app.datasets.update import Update, submit_update
from app.db import datasets, jobs, rows, versions
from app.db.kept_records import KeptRecord
from app.web.api.conventions import ACCEPTED, DatasetId, Here, IdempotencyKey, NoQuery, Text, View, accepted, at, may_fail
from app.web.api.job_views import Job, load_job

__all__ = ["router"]

router = APIRouter(tags=["datasets"])


class Version(View):
    """What a dataset was once its images were decided."""

    version: str = Field(description="As in `1.2.0`: major after images were removed or changed, minor after some were added.")
    dataset_id: str = Field(description="The dataset that holds it; versions that a job has changed in place share one.")
    kind: str = Field(description="What made it: build, update, into, merge, rebuild, retry, validation ...")
    digest: str
    images: int
    size_bytes: int
    changes: dict[str, int] | None = Field(description="Images by how they differ from the version before; null for the first.")
    merged: list[str] = Field(description="Names and versions of the datasets that a merge made it of.")
    created_at: datetime


class Versions(View):
    """The versions of a dataset, the newest first."""

    lineage_id: str
    items: list[Version]


class DiffQuery(NoQuery):
    """What to compare a dataset with."""

    against: Text = Field(min_length=4, max_length=40, description="Id of the dataset to compare with, the older one.")
    limit: int = Field(20, ge=0, le=1000, description="Images of each kind that are listed; all are counted.")


class Record(View):
    """A kept image as its dataset has it."""

    image_id: int
    sha256: str
    label: str | None
    labels: list[str]
    split: str | None


class DiffItem(View):
    """An image that differs, by its URL; `old` or `new` is null where a dataset does not keep it."""

    url: str
    kinds: list[str]
    texts: list[str] = Field(description="Further fields that differ, such as `caption` or `license`.")
    old: Record | None
    new: Record | None


class Diff(View):
    """What differs from one dataset to another."""

    old: str
    new: str
    changes: dict[str, int]
    items: list[DiffItem]


class NewUpdate(BaseModel):
    """What an update may do besides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_images: int | None = Field(None, ge=1, description="A larger target.")
    retry_failed: bool = Field(False, description="Ask again for images that failed for reasons that may have passed.")


@router.get("/v1/datasets/{dataset_id}/versions", operation_id="datasets_versions", summary="The versions of a dataset")
async def list_versions(call: Here, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> Versions:
    """All that were recorded in its lineage and whose datasets are still there."""
    dataset = await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    found = await versions.of_lineage(call.resources.db, dataset.lineage_id)
    return Versions(lineage_id=dataset.lineage_id, items=[_view(version) for version in found])


def _view(version: rows.Version) -> Version:
    names = ("dataset_id", "kind", "digest", "images", "size_bytes", "merged")
    values: Mapping[str, Any] = {name: getattr(version, name) for name in names}
    return Version(version=version.number, changes=version.counts, created_at=at(version.created_at), **values)


@router.get("/v1/datasets/{dataset_id}/diff", operation_id="datasets_diff", summary="What differs from another dataset")
async def get_diff(call: Here, dataset_id: DatasetId, query: Annotated[DiffQuery, Query()]) -> Diff:
    """Images are compared by URL: what was added, removed, changed, relabelled or put into another split since `against`."""
    for each in (query.against, dataset_id):
        await datasets.get_dataset(call.resources.db, each, user_id=call.user_id)
    changes, listed = Changes(), dict.fromkeys(Changes().as_json(), 0)
    items: list[DiffItem] = []
    async for difference in diffs.differences(call.resources.db, query.against, dataset_id):
        changes = diffs.with_difference(changes, difference)
        if any(listed[kind] < query.limit for kind in difference.kinds):
            items.append(_item(difference))
        for kind in difference.kinds:
            listed[kind] += 1
    return Diff(old=query.against, new=dataset_id, changes=changes.as_json(), items=items)


def _item(difference: Difference) -> DiffItem:
    old, new = (record and _record(record) for record in (difference.old, difference.new))
    return DiffItem(url=difference.url, kinds=list(difference.kinds), texts=list(difference.texts), old=old, new=new)


def _record(record: KeptRecord) -> Record:
    return Record(image_id=record.image_id, sha256=record.sha256, label=record.label, labels=list(record.labels), split=record.split)


@router.post(
    "/v1/datasets/{dataset_id}/updates",
    operation_id="datasets_update",
    summary="Make another version, of what the origins have now",
    status_code=202,
    responses=ACCEPTED | may_fail(409),
)
async def create_update(
    call: Here,
    dataset_id: DatasetId,
    response: Response,
    _: Annotated[NoQuery, Query()],
    body: NewUpdate | None = None,
    key: IdempotencyKey = None,
) -> Job:
    """Images are requested on condition that they have changed, sources are asked again, and only what is new is downloaded. The dataset
    stays as it is. Where nothing has changed, no version is made, and the job is one of this dataset.
    """
    wanted = body or NewUpdate(max_images=None, retry_failed=False)
    made = await submit_update(
        call.resources,
        dataset_id,
        Update(max_images=wanted.max_images, retry_failed=wanted.retry_failed),
        caller=call.caller(key, body),
    )
    accepted(response, f"/v1/jobs/{made.job_id}")
    return await load_job(call.resources.db, await jobs.get(call.resources.db, made.job_id, user_id=call.user_id), call.meters)
