"""Queries on what people decided about images. A decision is a row that stays; the newest one that holds is also on the image."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, bindparam, func, insert, or_, select, update

from app.db import images, paging, tables
from app.db.engine import Connection, Database, db_now
from app.db.image_search import ImageFilter
from app.db.rows import PageOf, Review
from app.domain import ImageState, Reason, StoredImage
from app.review_actions import ReviewAction, Reviewed

__all__ = [
    "DECIDED",
    "NewReview",
    "add",
    "adopt",
    "are_since",
    "before",
    "count",
    "lock_dataset",
    "lock_images",
    "matching",
    "of_batch",
    "of_image",
    "page",
    "queue",
    "read_images",
    "redact",
    "reviewed_in_batch",
    "size_of_batch",
    "void",
]

DECIDED: Final = (
    *("state", "reason", "detail", "evidence", "label", "labels", "split", "duplicate_of"),
    *("reviewed", "reviewed_by", "reviewed_at", "reviewed_label", "review_id"),
)
"""Columns of an image that a decision may change."""


@dataclass(frozen=True, slots=True)
class NewReview:
    """A decision about an image.

    Attributes:
        changes: columns among `DECIDED`, without those that say when and by which row it was reviewed.
        undoes: the decision that it takes back, whose columns it restores as they are.
        is_decision: whether the image itself was decided about; it may only follow another one.
    """

    image: StoredImage
    changes: Mapping[str, Any]
    undoes: int | None = None
    is_decision: bool = True


async def lock_dataset(connection: Connection, dataset_id: str) -> None:
    """Lock the row of a dataset, so that no job on it is created before the end of this transaction."""
    await connection.execute(select(tables.datasets.c.id).where(tables.datasets.c.id == dataset_id).with_for_update())


async def lock_images(connection: Connection, dataset_id: str, ids: Sequence[int]) -> list[StoredImage]:
    """Return those of these images that the dataset has, by id; nobody changes them before the end of this transaction."""
    c = tables.images.c
    query = select(*images.STORED).where(c.id.in_(ids), c.dataset_id == dataset_id).order_by(c.id).with_for_update()
    return [images.as_image(row) for row in (await connection.execute(query)).all()]


async def read_images(connection: Connection, dataset_id: str, ids: Sequence[int]) -> list[StoredImage]:
    """Return those of these images that the dataset has, by id, without a lock."""
    c = tables.images.c
    query = select(*images.STORED).where(c.id.in_(ids), c.dataset_id == dataset_id).order_by(c.id)
    return [images.as_image(row) for row in (await connection.execute(query)).all()]


async def matching(
    db: Database, dataset_id: str, wanted: ImageFilter, states: Iterable[ImageState], *, only_open: bool = False, page: int = 1_000
) -> AsyncIterator[list[StoredImage]]:
    """Yield pages of the images of a dataset that match a filter and have bytes, by state and id.

    Args:
        only_open: only those about which nobody has decided, or whose bytes are others since.
    """
    c = tables.images.c
    async with db.read() as connection:
        for place in _places(dataset_id, wanted, states, only_open):
            query = select(*images.STORED).where(*place)
            async for rows in paging.pages_by_key(connection, query, c.id, page):
                yield [images.as_image(row) for row in rows]


def _places(dataset_id: str, wanted: ImageFilter, states: Iterable[ImageState], only_open: bool) -> list[list[ColumnElement[bool]]]:
    """The conditions of the images that match, those of one state each, so that an index has them in the order of their ids."""
    c = tables.images.c
    conditions = [c.dataset_id == dataset_id, c.sha256.is_not(None), *replace(wanted, dataset_id=None, state=None).conditions()]
    if only_open:
        conditions.append(or_(c.reviewed.is_(None), c.reviewed == Reviewed.CHANGED))
    return [[c.state == state, *conditions] for state in states if wanted.state in (None, state)]


async def queue(
    db: Database, dataset_id: str, wanted: ImageFilter, states: Iterable[ImageState], *, only_open: bool, from_id: int, limit: int
) -> list[StoredImage]:
    """Return the next images that match, by id from one on."""
    c = tables.images.c
    found: list[StoredImage] = []
    async with db.read() as connection:
        for place in _places(dataset_id, wanted, states, only_open):
            query = select(*images.STORED).where(*place, c.id >= from_id).order_by(c.id).limit(limit)
            found += [images.as_image(row) for row in (await connection.execute(query)).all()]
    return sorted(found, key=lambda image: image.id)[:limit]


async def before(db: Database, dataset_id: str, wanted: ImageFilter, states: Iterable[ImageState], image_id: int) -> int | None:
    """Return the image that matches and comes before another, decided or not."""
    c = tables.images.c
    places = _places(dataset_id, wanted, states, only_open=False)
    async with db.read() as connection:
        queries = [select(func.max(c.id)).where(*place, c.id < image_id) for place in places]
        found = [(await connection.execute(query)).scalar_one() for query in queries]
    return max(filter(None, found), default=None)


async def count(db: Database, dataset_id: str, wanted: ImageFilter, states: Iterable[ImageState], *, only_open: bool) -> int:
    """Count the images that match."""
    places = _places(dataset_id, wanted, states, only_open)
    async with db.read() as connection:
        counts = [await connection.execute(select(func.count()).select_from(tables.images).where(*place)) for place in places]
        return sum(int(found.scalar_one()) for found in counts)


async def size_of_batch(connection: Connection, batch_id: str) -> int:
    """Count the decisions of a batch."""
    query = select(func.count()).select_from(tables.reviews).where(tables.reviews.c.batch_id == batch_id)
    return int((await connection.execute(query)).scalar_one())


async def add(
    connection: Connection, decided: Sequence[NewReview], *, user_id: str, batch_id: str, action: ReviewAction, note: str | None = None
) -> None:
    """Insert decisions about images that are locked, and change their rows."""
    if not decided:
        return
    now = float((await connection.execute(select(db_now().label("now")))).scalar_one())
    common = {"user_id": user_id, "batch_id": batch_id, "action": action.value, "note": note, "created_at": now}
    own = {"reviewed_by": user_id, "reviewed_at": now}
    rows: list[dict[str, Any]] = []
    for new in decided:
        before = _columns(new.image)
        after = before | (own if new.is_decision and not new.undoes else {}) | dict(new.changes)
        ids = {"dataset_id": new.image.dataset_id, "image_id": new.image.id, "undoes": new.undoes}
        rows.append(common | ids | {"before": before | {"sha256": new.image.sha256}, "after": after})
    made = (await connection.execute(insert(tables.reviews).returning(tables.reviews.c.id, tables.reviews.c.image_id), rows)).all()
    review_ids = {row.image_id: row.id for row in made}
    changes = [row["after"] | {"id": row["image_id"]} for row in rows]
    newest = {new.image.id: review_ids[new.image.id] for new in decided if new.is_decision and not new.undoes}
    await images.update_many(connection, [change | {"review_id": newest.get(change["id"], change["review_id"])} for change in changes])
    taken_back = [{"undone": row["undoes"], "by": review_ids[row["image_id"]]} for row in rows if row["undoes"]]
    if taken_back:
        of_undone = update(tables.reviews).where(tables.reviews.c.id == bindparam("undone"))
        await connection.execute(of_undone.values(undone_by=bindparam("by")), taken_back)


def _columns(image: StoredImage) -> dict[str, Any]:
    return {name: getattr(image, name) for name in DECIDED}


async def of_batch(connection: Connection, batch_id: str, *, after: int = 0, limit: int = 1000) -> list[Review]:
    """Return decisions of a batch by id, those after one; call it repeatedly to read a batch of any size."""
    c = tables.reviews.c
    query = select(tables.reviews).where(c.batch_id == batch_id, c.id > after).order_by(c.id).limit(limit)
    return [Review(**row._mapping) for row in (await connection.execute(query)).all()]


async def reviewed_in_batch(connection: Connection, batch_id: str, image_ids: Sequence[int]) -> set[int]:
    """Return those of these images that a batch has decided already."""
    c = tables.reviews.c
    query = select(c.image_id).where(c.batch_id == batch_id, c.image_id.in_(image_ids))
    return {row.image_id for row in (await connection.execute(query)).all()}


async def of_image(db: Database, image_id: int) -> list[Review]:
    """Return all decisions about an image, the oldest first."""
    c = tables.reviews.c
    async with db.read() as connection:
        rows = (await connection.execute(select(tables.reviews).where(c.image_id == image_id).order_by(c.id))).all()
    return [Review(**row._mapping) for row in rows]


async def page(db: Database, dataset_id: str, *, limit: int = 50, cursor: str | None = None) -> PageOf[Review]:
    """Return the decisions about the images of a dataset, newest first."""
    limit = max(1, min(limit, paging.MAX_LIMIT))
    c = tables.reviews.c
    query = select(tables.reviews).where(c.dataset_id == dataset_id).order_by(c.id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(c.id < paging.decode(cursor, int)[0])
    async with db.read() as connection:
        found = [Review(**row._mapping) for row in (await connection.execute(query)).all()]
    return PageOf(found[:limit], paging.encode(found[limit - 1].id) if len(found) > limit else None)


async def are_since(connection: Connection, dataset_id: str, at: float) -> bool:
    """Whether a person decided about an image of a dataset after a time."""
    c = tables.reviews.c
    query = select(c.id).where(c.dataset_id == dataset_id, c.batch_id.is_not(None)).order_by(c.id.desc()).limit(1)
    return (await connection.execute(query.where(c.created_at > at))).first() is not None


async def void(connection: Connection, image_ids: Sequence[int]) -> None:
    """Mark images to be reviewed again: they have other bytes than those that a person saw."""
    c = tables.images.c
    seen = update(tables.images).where(c.id.in_(image_ids), c.reviewed.is_not(None))
    await connection.execute(seen.values(reviewed=Reviewed.CHANGED, reviewed_label=None))


_TOLD: Final = ("detail", "evidence", "sha256")


async def redact(connection: Connection, image_ids: Sequence[int]) -> None:
    """Take notes, words and digests out of decisions about images that are removed on request. Who decided what, and when, stays."""
    c = tables.reviews.c
    found = (await connection.execute(select(c.id, c.before, c.after).where(c.image_id.in_(image_ids)))).all()
    rows = [{"of": row.id, "was": _redacted(row.before), "became": _redacted(row.after)} for row in found]
    if rows:
        redacted = update(tables.reviews).where(c.id == bindparam("of"))
        await connection.execute(redacted.values(note=None, before=bindparam("was"), after=bindparam("became")), rows)


def _redacted(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if name in _TOLD else value for name, value in columns.items()}


async def adopt(connection: Connection, target_id: str, source_ids: Sequence[str]) -> int:
    """Let the newest decision about a picture hold in a dataset that was made of others; return how many images took one over.

    A picture is the same where URL and bytes are. What is kept came from the dataset that keeps it; here the others have their say.
    """
    new, old = tables.images.alias("new"), tables.images.alias("old")
    query = (
        select(new.c.id, old.c.id.label("old_id"), old.c.label, *(old.c[name] for name in _OF_REVIEW))
        .join_from(new, old, and_(old.c.url_key == new.c.url_key, old.c.sha256 == new.c.sha256, old.c.id != new.c.copied_from))
        .where(new.c.dataset_id == target_id, old.c.dataset_id.in_(list(source_ids)), old.c.reviewed.in_(_CARRIED))
        .where(old.c.reviewed_at > func.coalesce(new.c.reviewed_at, 0.0))
        .order_by(old.c.reviewed_at)
    )
    newest = {row.id: row for row in (await connection.execute(query)).all()}
    for row in newest.values():
        await images.update_many(connection, [{"id": row.id} | adopted_columns(row)])
    await _copy_history(connection, target_id, {row.old_id: row.id for row in newest.values()})
    return len(newest)


_OF_REVIEW: Final = ("reviewed", "reviewed_by", "reviewed_at", "reviewed_label", "review_id")
_CARRIED: Final = (Reviewed.KEEP, Reviewed.REJECT, Reviewed.RELABEL)


def adopted_columns(row: Any) -> dict[str, Any]:
    """The columns of an image that takes over the decision of another row."""
    columns = {name: getattr(row, name) for name in _OF_REVIEW}
    if row.reviewed == Reviewed.REJECT:
        columns |= {"state": ImageState.REJECTED, "reason": Reason.REJECTED_BY_REVIEWER, "detail": None, "duplicate_of": None}
    if row.reviewed_label:
        columns |= {"label": row.reviewed_label, "labels": None}
    return columns


async def _copy_history(connection: Connection, dataset_id: str, image_ids: Mapping[int, int]) -> None:
    c, olds = tables.reviews.c, list(image_ids)
    for start in range(0, len(olds), images.BATCH):
        query = select(tables.reviews).where(c.image_id.in_(olds[start : start + images.BATCH]), c.undone_by.is_(None), c.undoes.is_(None))
        rows = [dict(row._mapping) for row in (await connection.execute(query.order_by(c.id))).all()]
        own = {"dataset_id": dataset_id, "batch_id": None}
        copies = [row | own | {"image_id": image_ids[row["image_id"]]} for row in rows]
        if copies:
            await connection.execute(insert(tables.reviews), [{name: row[name] for name in row if name != "id"} for row in copies])
