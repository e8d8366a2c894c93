"""Queries on tombstones: what was removed on request, by URL, by digest and by the hash of its picture. No picture is kept."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, delete, func, insert, select

import errors
from app.db import paging, tables
from app.db.engine import Connection, Database, db_now, new_id
from app.db.rows import PageOf
from app.domain import ImageState, Reason

__all__ = [
    "EVERYBODY",
    "NewTombstone",
    "Tombstone",
    "add",
    "are_any",
    "by_digest",
    "by_url",
    "count_removed",
    "get",
    "of_chunk",
    "of_user",
    "page",
    "remove",
]

EVERYBODY: Final = "*"
"""Stands for every user: what an operator removes, nobody gets again."""

_IN_ONE_STATEMENT: Final = 500

_COLUMNS: Final = [column.name for column in tables.tombstones.c]


@dataclass(frozen=True, slots=True)
class NewTombstone:
    """What must not return; at least one of its URL and its digest is known.

    Attributes:
        url_key: of the normalised URL, see `app.db.images.url_digest`.
        sha256: of the bytes as they were fetched.
        phash: of the picture; None where near copies may return.
        reason: in the words of whoever asked.
        image_id: the image that was removed, if there was one.
    """

    url: str | None = None
    url_key: str | None = None
    sha256: str | None = None
    phash: str | None = None
    reason: str | None = None
    image_id: int | None = None


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A tombstone of one user."""

    id: str
    user_id: str
    url: str | None
    url_key: str | None
    sha256: str | None
    phash: str | None
    reason: str | None
    image_id: int | None
    created_at: float

    @property
    def change(self) -> dict[str, Any]:
        """The columns of an image that it names: the reason, and nothing of the picture or its texts."""
        detail = f"removed on request ({self.id})" + (f": {self.reason}" if self.reason else "")
        return _CLEARED | {"state": ImageState.TOMBSTONED, "reason": Reason.TOMBSTONED, "detail": detail}


_CLEARED: Final[dict[str, Any]] = dict.fromkeys(
    (
        *("evidence", "not_before", "deferred_at", "duplicate_of", "split", "phash", "colour_grid", "measures", "etag", "last_modified"),
        *("sha256", "size_bytes", "media_type", "expected_sha256", "changes"),
        *("out_sha256", "out_media_type", "out_size_bytes", "out_width", "out_height"),
        *("title", "caption", "captions", "extra", "boxes"),
    )
)
"""Columns of an image that say what it shows or where its bytes are."""


async def add(connection: Connection, user_id: str, new: Sequence[NewTombstone]) -> list[Tombstone]:
    """Insert tombstones of a user, or of everybody; return all that name these things, old ones included."""
    known = {_names(found): found for found in await _alike(connection, user_id, new)}
    fresh = {_names(item): item for item in new if _names(item) not in known}
    rows = [asdict(item) | {"id": new_id("tomb"), "user_id": user_id} for item in fresh.values()]
    for start in range(0, len(rows), _IN_ONE_STATEMENT):
        await connection.execute(insert(tables.tombstones).values(created_at=db_now()), rows[start : start + _IN_ONE_STATEMENT])
    known |= {_names(found): found for found in await _alike(connection, user_id, new)} if rows else {}
    return [known[name] for name in dict.fromkeys(map(_names, new))]


def _names(item: NewTombstone | Tombstone) -> tuple[str | None, str | None, str | None]:
    return item.url_key, item.sha256, item.phash


async def _alike(connection: Connection, user_id: str, new: Sequence[NewTombstone]) -> list[Tombstone]:
    """The user's tombstones that share a URL or a digest with these."""
    urls = await by_url(connection, user_id, (item.url_key for item in new if item.url_key))
    digests = await by_digest(connection, user_id, (item.sha256 for item in new if item.sha256))
    return list({found.id: found for found in [*urls, *digests]}.values())


def _hold_for(user_id: str) -> ColumnElement[bool]:
    return tables.tombstones.c.user_id.in_({user_id, EVERYBODY})


async def by_url(connection: Connection, user_id: str, url_keys: Iterable[str]) -> list[Tombstone]:
    """Return the tombstones of these URLs that hold for a user, in no order."""
    return await _with(connection, user_id, "url_key", url_keys)


async def by_digest(connection: Connection, user_id: str, digests: Iterable[str]) -> list[Tombstone]:
    """Return the tombstones of bytes with these digests that hold for a user, in no order."""
    return await _with(connection, user_id, "sha256", digests)


async def _with(connection: Connection, user_id: str, column: str, values: Iterable[str]) -> list[Tombstone]:
    wanted, c, found = sorted(set(values)), tables.tombstones.c, list[Tombstone]()
    for start in range(0, len(wanted), _IN_ONE_STATEMENT):
        part = wanted[start : start + _IN_ONE_STATEMENT]
        query = select(tables.tombstones).where(_hold_for(user_id), c[column].in_(part))
        found += [Tombstone(**row._mapping) for row in (await connection.execute(query)).all()]
    return found


async def are_any(connection: Connection, user_id: str) -> bool:
    """Whether a tombstone holds for the user."""
    query = select(tables.tombstones.c.id).where(_hold_for(user_id)).limit(1)
    return (await connection.execute(query)).first() is not None


async def count_removed(connection: Connection, dataset_id: str) -> int:
    """How many images of a dataset were removed on request."""
    c = tables.images.c
    query = select(func.count()).select_from(tables.images).where(c.dataset_id == dataset_id, c.state == ImageState.TOMBSTONED)
    return int((await connection.execute(query)).scalar_one())


async def of_chunk(connection: Connection, chunk_id: str, user_id: str) -> dict[int, Tombstone]:
    """Return by image id the tombstones of the URLs of a chunk."""
    images, c = tables.images.c, tables.tombstones.c
    query = select(images.id.label("named"), tables.tombstones).join_from(
        tables.images, tables.tombstones, (c.url_key == images.url_key) & _hold_for(user_id)
    )
    rows = (await connection.execute(query.where(images.chunk_id == chunk_id))).all()
    return {row.named: Tombstone(**{name: getattr(row, name) for name in _COLUMNS}) for row in rows}


async def of_user(db: Database, user_id: str) -> list[Tombstone]:
    """Return all tombstones that hold for a user, the oldest first."""
    c = tables.tombstones.c
    query = select(tables.tombstones).where(_hold_for(user_id)).order_by(c.created_at, c.id)
    async with db.read() as connection:
        return [Tombstone(**row._mapping) for row in (await connection.execute(query)).all()]


async def get(db: Database, tombstone_id: str, *, user_id: str | None = None) -> Tombstone:
    """Return one tombstone.

    Raises:
        errors.NotFoundError: there is no such tombstone, or it belongs to another user.
    """
    query = select(tables.tombstones).where(tables.tombstones.c.id == tombstone_id)
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    if row is None or user_id not in (None, row.user_id):
        raise errors.NotFoundError(f"no tombstone {tombstone_id}")
    return Tombstone(**row._mapping)


async def page(db: Database, *, user_id: str | None = None, limit: int = 50, cursor: str | None = None) -> PageOf[Tombstone]:
    """Return tombstones, newest first."""
    c = tables.tombstones.c
    query = select(tables.tombstones) if user_id is None else select(tables.tombstones).where(c.user_id == user_id)
    rows, next_cursor = await paging.newest_first(db, query, [c.created_at, c.id], limit=limit, cursor=cursor)
    return PageOf([Tombstone(**row._mapping) for row in rows], next_cursor)


async def remove(db: Database, tombstone_id: str) -> None:
    """Take a tombstone back: what it names may be downloaded again."""
    async with db.write() as connection:
        await connection.execute(delete(tables.tombstones).where(tables.tombstones.c.id == tombstone_id))
