"""Copies the images of one dataset into another: a version beside the old one, or several datasets merged into one.

Rows are copied inside the database, a batch in one transaction, so that others can write between them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, Subquery, Table, case, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from app.db import images, tables
from app.db.engine import Connection, new_id
from app.db.funnel import PASSED_CHECKS
from app.domain import ImageState, Reason, Reuse

__all__ = ["AS_THEY_ARE", "BATCH", "ImageCopy", "Original", "chunks_to_fetch", "copy_images", "originals_of_chunk"]

BATCH = 1_000
"""Images of one transaction: some 100 ms on SQLite."""

AS_THEY_ARE: Final[Mapping[ImageState, ImageState]] = {state: state for state in ImageState} | {
    ImageState.PENDING: ImageState.SPARE,
    ImageState.DEFERRED: ImageState.SPARE,
    ImageState.FETCHED: ImageState.SPARE,
}
"""States of the copies. What an earlier job left open is a spare candidate."""

TO_FETCH: Final = (ImageState.PENDING, ImageState.DEFERRED)

Transaction = Callable[[], AbstractAsyncContextManager[Connection]]

_OWN: Final = frozenset(
    {
        *("id", "dataset_id", "job_id", "chunk_id", "search_id", "state", "reason", "label", "duplicate_of", "copied_from"),
        *("not_before", "deferred_at", "reuse", "reused_from"),
    }
)
"""Columns of a copy that its original does not decide, or not alone."""

_COPIED: Final = [column.name for column in tables.images.c if column.name not in _OWN]


@dataclass(frozen=True, slots=True)
class ImageCopy:
    """What is copied where.

    Attributes:
        job_id: the job that the copies belong to, on the dataset ``target_id``.
        states: the state of a copy by that of its original; images in other states are not copied.
        reasons: the state of a copy by the reason of its original, before ``states``.
        as_they_are: sources whose images keep their states in any case.
        has_searches: whether a copy belongs to the job's search of the same source and keyword; else to none.
        chunk_size: images of one chunk of the job.
    """

    source_id: str
    target_id: str
    job_id: str
    states: Mapping[ImageState, ImageState] = field(default_factory=lambda: AS_THEY_ARE)
    reasons: Mapping[Reason, ImageState] = field(default_factory=dict)
    as_they_are: Sequence[str] = ()
    has_searches: bool = True
    chunk_size: int = 100


async def copy_images(transaction: Transaction, copy: ImageCopy, *, batch: int = BATCH) -> int:
    """Copy images with what names them besides their URLs and the rows of their lists; return how many were copied by this call.

    A URL that the target has is left out. A copy points to its original (``copied_from``); it has the label of its original's search
    where the original has none, and is a duplicate of nothing before duplicates are looked for. After a crash the next call goes on.

    Args:
        transaction: opens one for a batch, fenced by the caller's unit.
    """
    copied = 0
    async with transaction() as connection:
        after = await _last_copied(connection, copy)
    while True:
        async with transaction() as connection:
            ids = await _next_ids(connection, copy, after, batch)
            copied += await _copy_batch(connection, copy, ids) if ids else 0
        if len(ids) < batch:
            return copied
        after = ids[-1]


async def _last_copied(connection: Connection, copy: ImageCopy) -> int:
    """The highest id of the source that the target has a copy of."""
    new, old = tables.images.alias("new"), tables.images.alias("old")
    query = select(func.max(old.c.id)).join_from(new, old, old.c.id == new.c.copied_from)
    query = query.where(new.c.dataset_id == copy.target_id, old.c.dataset_id == copy.source_id)
    return int((await connection.execute(query)).scalar_one() or 0)


async def _next_ids(connection: Connection, copy: ImageCopy, after: int, batch: int) -> Sequence[int]:
    """Ids of the source in order, whatever the states: an index range of each state, merged by id."""
    c = tables.images.c
    of_state = [
        select(c.id).where(c.dataset_id == copy.source_id, c.state == state, c.id > after).order_by(c.id).limit(batch)
        for state in copy.states
    ]
    ids: list[int] = []
    for query in of_state:
        ids += [row.id for row in (await connection.execute(query)).all()]
    return sorted(ids)[:batch]


async def _copy_batch(connection: Connection, copy: ImageCopy, ids: Sequence[int]) -> int:
    c = tables.images.c
    chunks = {new_id("chunk"): ids[start : start + copy.chunk_size] for start in range(0, len(ids), copy.chunk_size)}
    await images.add_chunks(connection, copy.job_id, {chunk_id: len(members) for chunk_id, members in chunks.items()})
    values = _values(copy) | {"chunk_id": case(*((c.id <= members[-1], chunk_id) for chunk_id, members in chunks.items()))}
    rows = select(*(value.label(name) for name, value in values.items())).order_by(c.id)
    rows = rows.where(c.dataset_id == copy.source_id, c.id >= ids[0], c.id <= ids[-1], c.state.in_(list(copy.states)))
    result = await connection.execute(_insert_new(connection, tables.images, list(values), rows, ["dataset_id", "url_key"]))
    await _copy_identities(connection, copy, ids)
    await _copy_list_rows(connection, copy, ids)
    await _copy_reviews(connection, copy, ids)
    return int(result.rowcount)


def _values(copy: ImageCopy) -> dict[str, ColumnElement[Any]]:
    """The columns of a copy, each as an expression over its original."""
    c, old, new = tables.images.c, tables.searches.alias("old_search"), tables.searches.alias("new_search")
    is_same = (new.c.job_id == copy.job_id) & (new.c.source == old.c.source) & (new.c.keyword == old.c.keyword)
    state = _state(copy)
    is_changed = state != c.state
    search = select(new.c.id).join_from(old, new, is_same).where(old.c.id == c.search_id).scalar_subquery()
    return {name: c[name] for name in _COPIED} | {
        "dataset_id": literal(copy.target_id),
        "job_id": literal(copy.job_id),
        "search_id": search if copy.has_searches else literal(None, c.search_id.type),
        "state": state,
        "reason": case((state == ImageState.SPARE.value, Reason.NOT_REQUESTED.value), (is_changed, None), else_=c.reason),
        "label": func.coalesce(c.label, select(old.c.label).where(old.c.id == c.search_id).scalar_subquery()),
        "copied_from": c.id,
        "reuse": case((c.sha256.is_not(None), Reuse.STORED.value)),
        "reused_from": case((c.sha256.is_not(None), func.coalesce(c.reused_from, c.job_id))),
    }


def _state(copy: ImageCopy) -> ColumnElement[Any]:
    c = tables.images.c
    stays = [(c.source.in_(list(copy.as_they_are)), case(_by_value(AS_THEY_ARE), value=c.state))] if copy.as_they_are else []
    by_reason = [(c.reason == reason.value, literal(state.value)) for reason, state in copy.reasons.items()]
    by_state = case(_by_value(copy.states), value=c.state)
    return case(*stays, *by_reason, else_=by_state) if stays or by_reason else by_state


def _by_value(states: Mapping[ImageState, ImageState]) -> dict[str, str]:
    return {old.value: new.value for old, new in states.items()}


async def _copy_identities(connection: Connection, copy: ImageCopy, ids: Sequence[int]) -> None:
    c, new = tables.image_identities.c, _copies(copy, ids)
    rows = select(literal(copy.target_id), c.identity, new.c.id).join_from(new, tables.image_identities, c.image_id == new.c.copied_from)
    names, keys = ["dataset_id", "identity", "image_id"], ["dataset_id", "identity"]
    await _copy_rows_of(connection, tables.image_identities, names, rows.where(new.c.id > 0), keys, ids)


async def _copy_list_rows(connection: Connection, copy: ImageCopy, ids: Sequence[int]) -> None:
    c, new = tables.list_rows.c, _copies(copy, ids)
    own = [column.name for column in tables.list_rows.c if column.name != "image_id"]
    rows = select(new.c.id, *(c[name] for name in own)).join_from(new, tables.list_rows, c.image_id == new.c.copied_from)
    names, keys = ["image_id", *own], ["image_id", "search_id", "row"]
    await _copy_rows_of(connection, tables.list_rows, names, rows.where(new.c.id > 0), keys, ids)


async def _copy_reviews(connection: Connection, copy: ImageCopy, ids: Sequence[int]) -> None:
    """Copy what people decided, without the batches, which belong to the version in which it was decided."""
    c, new = tables.reviews.c, _copies(copy, ids)
    own = ["user_id", "action", "note", "before", "after", "created_at"]
    rows = select(literal(copy.target_id), new.c.id, *(c[name] for name in own))
    rows = (
        rows.join_from(new, tables.reviews, c.image_id == new.c.copied_from)
        .where(new.c.id > 0, c.undone_by.is_(None), c.undoes.is_(None))
        .order_by(c.id)
    )
    await _copy_rows_of(connection, tables.reviews, ["dataset_id", "image_id", *own], rows, ["id"], ids)


def _copies(copy: ImageCopy, ids: Sequence[int]) -> Subquery:
    """The copies of a batch, found through the URLs of their originals: no index says what was copied from where."""
    new, old = tables.images.alias("new"), tables.images.alias("old")
    is_copy = (new.c.dataset_id == copy.target_id) & (new.c.url_key == old.c.url_key) & (new.c.copied_from == old.c.id)
    query = select(new.c.id, new.c.copied_from).join_from(old, new, is_copy)
    return query.where(old.c.id >= ids[0], old.c.id <= ids[-1], old.c.dataset_id == copy.source_id).subquery("copies")


async def _copy_rows_of(
    connection: Connection, table: Table, names: Sequence[str], rows: Select[Any], keys: Sequence[str], ids: Sequence[int]
) -> None:
    """Copy rows that belong to the images of a batch, if there are any: the join costs as much as the copy of the images.

    Args:
        rows: with a condition, without which SQLite would read the upsert as a part of the join.
    """
    owner = table.c.image_id
    if (await connection.execute(select(owner).where(owner >= ids[0], owner <= ids[-1]).limit(1))).first() is not None:
        await connection.execute(_insert_new(connection, table, names, rows, keys))


@dataclass(frozen=True, slots=True)
class Original:
    """What an image was before its copy is asked for again: its state, and the columns that an outcome sets."""

    state: ImageState
    values: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return str(self.values["sha256"])


OF_OUTCOME: Final = (
    *("reason", "detail", "evidence", "sha256", "size_bytes", "media_type", "final_url", "fetched_at", "robots", "opt_out"),
    *("etag", "last_modified", "exempt_networks"),
)


async def originals_of_chunk(connection: Connection, chunk_id: str) -> dict[int, Original]:
    """Return by image id what the copies of a chunk that are to be fetched were copied from, where that has bytes and passed the checks."""
    new, old = tables.images.alias("new"), tables.images.alias("old")
    origin = func.coalesce(old.c.reused_from, old.c.job_id).label("reused_from")
    query = select(new.c.id, old.c.state, origin, *(old.c[name] for name in OF_OUTCOME)).join_from(new, old, old.c.id == new.c.copied_from)
    query = query.where(new.c.chunk_id == chunk_id, new.c.state.in_(TO_FETCH), old.c.state.in_(PASSED_CHECKS), old.c.sha256.is_not(None))
    empty = dict.fromkeys(("not_before", "deferred_at"))
    found: dict[int, Original] = {}
    for row in (await connection.execute(query)).all():
        values = {name: getattr(row, name) for name in (*OF_OUTCOME, "reused_from")}
        found[row.id] = Original(ImageState(row.state), values | empty | {"reuse": Reuse.STORED})
    return found


async def chunks_to_fetch(connection: Connection, job_id: str) -> list[str]:
    """Return the chunks of a job that hold images to be fetched, in order."""
    c = tables.images.c
    query = select(c.chunk_id).where(c.job_id == job_id, c.state == ImageState.PENDING, c.chunk_id.is_not(None)).distinct()
    return [row.chunk_id for row in (await connection.execute(query.order_by(c.chunk_id))).all()]


def _insert_new(connection: Connection, table: Any, names: Sequence[str], rows: Select[Any], keys: Sequence[str]) -> Any:
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    return dialect.insert(table).from_select(list(names), rows).on_conflict_do_nothing(index_elements=list(keys))
