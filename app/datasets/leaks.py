"""How many pairs of images of a dataset share something across its splits, counted from its rows as its exports count them."""

import asyncio
from typing import Any

from app.db import Database, earlier_splits, jobs
from app.domain import ImageState
from app.exports.provenance import Asked
from app.images.split_groups import LeakReport, SplitTable
from app.job_states import JobKind
from app.rules import DEFAULT_SPLIT_BY

__all__ = ["SPLIT_BY_WORDS", "split_report"]

SPLIT_BY_WORDS = {
    "cluster": "nearly the same picture",
    "group": "the same group of the list",
    "creator": "the same creator",
    "page": "the same page",
    "host": "the same host",
}
"""What two images of a pair share, by kind."""


async def split_report(db: Database, dataset_id: str) -> LeakReport:
    """Return the report of a dataset's kept images, by the rules of its newest build."""
    build = await jobs.newest_of_dataset(db, dataset_id, JobKind.BUILD)
    spec: dict[str, Any] = dict(build.spec) if build is not None else {}
    table = SplitTable()
    async with db.read() as connection:
        async for page in earlier_splits.split_keys(connection, dataset_id, [ImageState.KEPT]):
            for _, split, keys in page:
                table.add(keys, split or "train")
    distance, split_by = spec.get("near_distance", Asked().near_distance), spec.get("split_by", DEFAULT_SPLIT_BY)
    return await asyncio.to_thread(table.report, int(distance), split_by)
