"""Queries for splits: which images belong together as copies of one picture, and in which split an earlier dataset had them."""

import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, select

from app.db import paging, tables
from app.db.engine import Connection, Database
from app.db.funnel import PASSED_CHECKS
from app.domain import FOLDER_SOURCE, ImageState
from app.images.split_groups import SplitKeys
from app.job_states import JobKind

__all__ = ["ClusterMember", "find_earlier", "left_out", "own_splits", "split_keys", "split_sizes", "splits_in"]

MOST_BUILDS = 50
"""Builds of the same name that are looked through for one with the same shares."""

PAGE = 10_000
"""Rows of one statement, as in :mod:`app.db.image_search`."""

IN_ONE_STATEMENT = 500
"""Ids that one statement names."""


@dataclass(frozen=True, slots=True)
class ClusterMember:
    """An image that was left out as a duplicate of another; ``group`` is the one that its source gave, else its digest."""

    id: int
    kept_id: int
    group: str


async def left_out(connection: Connection, dataset_id: str, *, page: int = PAGE) -> list[ClusterMember]:
    """Return the duplicates of a dataset by id."""
    c = tables.images.c
    query = select(c.id, c.duplicate_of, c.group_id, c.sha256).where(
        c.dataset_id == dataset_id, c.state == ImageState.DUPLICATE, c.duplicate_of.is_not(None)
    )
    rows = await _all_rows(connection, query, c.id, page)
    return [ClusterMember(row.id, row.duplicate_of, row.group_id or row.sha256) for row in rows]


async def split_keys(
    connection: Connection, dataset_id: str, states: Iterable[ImageState], *, further: Sequence[int] = (), page: int = PAGE
) -> AsyncIterator[list[tuple[int, str | None, SplitKeys]]]:
    """Yield the ids, splits and keys of a dataset's images in these states, in pages; of an image in a folder the URL that it came from.

    Args:
        further: ids of images in other states, which come last.
    """
    c = tables.images.c
    url = case((c.source == FOLDER_SOURCE, func.coalesce(c.stated["url"].as_string(), c.url)), else_=c.url).label("stated_url")
    places = [[c.dataset_id == dataset_id, c.state == state, c.sha256.is_not(None)] for state in states]
    places += [[c.id.in_(further[start : start + IN_ONE_STATEMENT])] for start in range(0, len(further), IN_ONE_STATEMENT)]
    for place in places:
        query = select(c.id, c.split, c.phash, c.group_id, c.creator, c.page_url, url).where(*place)
        async for rows in paging.pages_by_key(connection, query, c.id, page):
            yield [(row.id, row.split, SplitKeys(row.phash, row.group_id, row.creator, row.page_url, row.stated_url)) for row in rows]


async def split_sizes(db: Database, dataset_ids: Sequence[str]) -> dict[str, int]:
    """Count the kept images of several datasets by split."""
    c = tables.images.c
    query = select(c.split, func.count().label("number")).where(c.dataset_id.in_(list(dataset_ids)), c.state == ImageState.KEPT)
    async with db.read() as connection:
        return {row.split: row.number for row in (await connection.execute(query.group_by(c.split))).all() if row.split}


async def own_splits(connection: Connection, dataset_id: str) -> dict[int, str]:
    """Return by image id the split that an image of this dataset was given, kept or left out as a duplicate: where it was copied from."""
    c = tables.images.c
    found: dict[int, str] = {}
    for state in PASSED_CHECKS:
        query = select(c.id, c.split).where(c.dataset_id == dataset_id, c.state == state, c.split.is_not(None))
        found |= {row.id: row.split for row in await _all_rows(connection, query, c.id)}
    return found


async def find_earlier(connection: Connection, dataset_id: str, shares: Mapping[str, float], seed: int) -> str | None:
    """Return the newest earlier dataset of the same user and name that was built with the same shares and seed and has images."""
    this, other, jobs = tables.datasets.alias("this"), tables.datasets.alias("other"), tables.jobs
    is_earlier = and_(other.c.user_id == this.c.user_id, other.c.name == this.c.name, other.c.created_at < this.c.created_at)
    query = (
        select(other.c.id, jobs.c.spec)
        .join_from(this, other, is_earlier)
        .join(jobs, and_(jobs.c.dataset_id == other.c.id, jobs.c.kind == JobKind.BUILD))
        .where(this.c.id == dataset_id)
        .order_by(other.c.created_at.desc(), other.c.id.desc())
        .limit(MOST_BUILDS)
    )
    for row in (await connection.execute(query)).all():
        if row.spec.get("seed") == seed and _are_equal(row.spec.get("splits") or {}, shares) and await _has_images(connection, row.id):
            return str(row.id)
    return None


def _are_equal(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(math.isclose(one[name], other[name]) for name in one)


async def _has_images(connection: Connection, dataset_id: str) -> bool:
    c = tables.images.c
    query = select(c.id).where(c.dataset_id == dataset_id, c.state == ImageState.KEPT).limit(1)
    return (await connection.execute(query)).first() is not None


async def splits_in(connection: Connection, dataset_id: str, earlier_id: str) -> dict[int, str]:
    """Return by image id the split in which an earlier dataset had the image's URL; a copy was in the split of the image that was kept."""
    this, old, kept = (tables.images.alias(name) for name in ("this", "old", "kept"))
    split = case((old.c.state == ImageState.KEPT, old.c.split), else_=kept.c.split).label("split")
    query = (
        select(this.c.id, split)
        .join_from(this, old, and_(old.c.dataset_id == earlier_id, old.c.url_key == this.c.url_key))
        .outerjoin(kept, and_(kept.c.id == old.c.duplicate_of, kept.c.state == ImageState.KEPT))
        .where(this.c.dataset_id == dataset_id, old.c.state.in_([ImageState.KEPT, ImageState.DUPLICATE]))
    )
    found: dict[int, str] = {}
    for state in PASSED_CHECKS:
        rows = await _all_rows(connection, query.where(this.c.state == state), this.c.id)
        found |= {row.id: row.split for row in rows if row.split}
    return found


async def _all_rows(connection: Connection, query: Any, key: Any, page: int = PAGE) -> Sequence[Any]:
    return [row async for rows in paging.pages_by_key(connection, query, key, page) for row in rows]
