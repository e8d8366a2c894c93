"""Queries on what datasets hold and take: labels and splits, the bytes that only one of them needs, versions that later ones replace, and
logs of jobs that ended.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, delete, exists, func, or_, select, union

from app.db import datasets, tables
from app.db.engine import Database
from app.db.rows import Dataset
from app.domain import ImageState
from app.job_states import FINAL_JOB_STATES

__all__ = ["DatasetUsage", "LabelSplits", "count_log_lines", "delete_log_lines", "labels_and_splits", "of_dataset", "replaced_versions"]

_LINES_IN_ONE_STATEMENT = 10_000


@dataclass(frozen=True, slots=True)
class DatasetUsage:
    """What a dataset takes.

    Attributes:
        rows: candidates, kept or not.
        images: stored images of all of them.
        size_bytes: of the stored images, and of their exported forms where those differ.
        shared_bytes: the part of it that other datasets need too.
    """

    rows: int
    images: int
    size_bytes: int
    shared_bytes: int

    @property
    def own_bytes(self) -> int:
        """What its removal frees."""
        return self.size_bytes - self.shared_bytes


async def of_dataset(db: Database, dataset_id: str) -> DatasetUsage:
    """Measure a dataset by its rows; the store is not listed."""
    c, other = tables.images.c, tables.images.alias("other")
    mine = c.dataset_id == dataset_id
    stored = union(
        select(c.sha256.label("digest"), c.size_bytes.label("size_bytes")).where(mine, c.sha256.is_not(None)),
        select(c.out_sha256, c.out_size_bytes).where(mine, c.sha256.is_not(None), c.out_sha256.is_not(None)),
    ).subquery()
    same = or_(other.c.sha256 == stored.c.digest, other.c.out_sha256 == stored.c.digest)
    is_shared = exists(select(1).where(and_(other.c.dataset_id != dataset_id, same)))
    total = func.coalesce(func.sum(stored.c.size_bytes), 0)
    async with db.read() as connection:
        rows = (await connection.execute(select(func.count()).where(mine))).scalar_one()
        whole = (await connection.execute(select(func.count().label("images"), total.label("size_bytes")).select_from(stored))).one()
        shared = (await connection.execute(select(total).select_from(stored).where(is_shared))).scalar_one()
    return DatasetUsage(int(rows), int(whole.images), int(whole.size_bytes), int(shared))


@dataclass(frozen=True, slots=True)
class LabelSplits:
    """The kept images of one label, by split; those without a split have none."""

    label: str | None
    splits: Mapping[str | None, int]

    @property
    def kept(self) -> int:
        """Images of all splits."""
        return sum(self.splits.values())


async def labels_and_splits(db: Database, dataset_id: str) -> list[LabelSplits]:
    """Count the kept images of a dataset by label and split, the most frequent label first."""
    c = tables.images.c
    query = select(c.label, c.split, func.count().label("number")).where(c.dataset_id == dataset_id, c.state == ImageState.KEPT)
    async with db.read() as connection:
        rows = (await connection.execute(query.group_by(c.label, c.split).order_by(c.split))).all()
    by_label: dict[str | None, dict[str | None, int]] = {}
    for row in rows:
        by_label.setdefault(row.label, {})[row.split] = row.number
    return sorted((LabelSplits(*item) for item in by_label.items()), key=lambda item: (-item.kept, item.label or ""))


async def replaced_versions(db: Database, keep: int) -> list[Dataset]:
    """Return the datasets that ``keep`` newer ones of their lineage replace, the oldest first; none that a job needs.

    Only finished versions replace an older one, so that an update which died takes nothing away.
    """
    d, v = tables.datasets.c, tables.versions.c
    is_finished = exists(select(1).where(v.dataset_id == d.id))
    is_busy = exists(select(1).select_from(tables.jobs).where(datasets.is_needed_by_job(d.id)))
    query = select(tables.datasets).where(is_finished, d.lineage_id.is_not(None)).order_by(d.created_at.desc(), d.id.desc())
    async with db.read() as connection:
        found = (await connection.execute(query)).all()
        busy = {row.id for row in (await connection.execute(select(d.id).where(is_busy))).all()}
    seen: dict[str, int] = {}
    old: list[Dataset] = []
    for row in found:
        seen[row.lineage_id] = seen.get(row.lineage_id, 0) + 1
        if seen[row.lineage_id] > keep and row.id not in busy:
            old.append(Dataset(**row._mapping))
    return old[::-1]


async def count_log_lines(db: Database, before: float) -> int:
    """Count the log lines of jobs that ended before this Unix time."""
    query = select(func.count()).where(tables.events.c.job_id.in_(_ended(before)))
    async with db.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def delete_log_lines(db: Database, before: float) -> int:
    """Delete the log lines of jobs that ended before this Unix time, some thousand in one transaction; return how many."""
    c, deleted = tables.events.c, 0
    some = select(c.id).where(c.job_id.in_(_ended(before))).order_by(c.id).limit(_LINES_IN_ONE_STATEMENT)
    while True:
        async with db.write() as connection:
            ids: Sequence[int] = [row.id for row in (await connection.execute(some)).all()]
            if ids:
                await connection.execute(delete(tables.events).where(c.id.in_(some)))
        deleted += len(ids)
        if len(ids) < _LINES_IN_ONE_STATEMENT:
            return deleted


def _ended(before: float) -> Any:
    return select(tables.jobs.c.id).where(tables.jobs.c.state.in_(FINAL_JOB_STATES), tables.jobs.c.finished_at < before)
