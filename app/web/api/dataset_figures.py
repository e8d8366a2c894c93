"""``/v1/datasets/{id}/labels`` and ``/usage``: how the images of a dataset are divided, and what its removal would free."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.db import datasets, usage
from app.db.usage import LabelSplits
from app.web.api.conventions import DatasetId, Here, NoQuery, View

__all__ = ["router"]

router = APIRouter(tags=["datasets"])

NO_SPLIT = ""
"""Name of the images that are in no split."""


class LabelsQuery(NoQuery):
    """How many labels."""

    limit: int = Field(100, ge=1, le=10_000, description="Labels that are listed, the most frequent first; all are counted.")


class Label(View):
    """The kept images of one label."""

    label: str | None = Field(description="null for images without a label.")
    kept: int
    splits: dict[str, int] = Field(description="By split; the empty name stands for images in no split.")


class Labels(View):
    """How the kept images of a dataset are divided."""

    dataset_id: str
    kept: int
    splits: dict[str, int] = Field(description="Kept images by split; the empty name stands for images in no split.")
    labels: list[Label]
    labels_in_all: int
    largest: int = Field(description="Images of the most frequent label.")
    smallest: int = Field(description="Images of the least frequent label.")


class Usage(View):
    """What a dataset takes."""

    dataset_id: str
    rows: int = Field(description="Candidates, kept or not.")
    images: int = Field(description="Stored images of all of them.")
    size_bytes: int
    shared_bytes: int = Field(description="The part of it that other datasets need too.")
    own_bytes: int = Field(description="What its removal frees.")


@router.get("/v1/datasets/{dataset_id}/labels", operation_id="datasets_labels", summary="The labels and splits of a dataset")
async def get_labels(call: Here, dataset_id: DatasetId, query: Annotated[LabelsQuery, Query()]) -> Labels:
    """Kept images by label and by split. Counted from the rows."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    found = await usage.labels_and_splits(call.resources.db, dataset_id)
    splits: dict[str, int] = {}
    for item in found:
        for split, number in item.splits.items():
            splits[split or NO_SPLIT] = splits.get(split or NO_SPLIT, 0) + number
    return Labels(
        dataset_id=dataset_id,
        kept=sum(splits.values()),
        splits=dict(sorted(splits.items())),
        labels=[_label(item) for item in found[: query.limit]],
        labels_in_all=len(found),
        largest=found[0].kept if found else 0,
        smallest=found[-1].kept if found else 0,
    )


def _label(item: LabelSplits) -> Label:
    return Label(label=item.label, kept=item.kept, splits={split or NO_SPLIT: number for split, number in item.splits.items()})


@router.get("/v1/datasets/{dataset_id}/usage", operation_id="datasets_usage", summary="What a dataset takes")
async def get_usage(call: Here, dataset_id: DatasetId, _: Annotated[NoQuery, Query()]) -> Usage:
    """Measured by its rows; the store is not listed."""
    await datasets.get_dataset(call.resources.db, dataset_id, user_id=call.user_id)
    taken = await usage.of_dataset(call.resources.db, dataset_id)
    return Usage(dataset_id=dataset_id, own_bytes=taken.own_bytes, **asdict(taken))
