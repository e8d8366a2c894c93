"""Queries on what names a picture, and on the offers of an image by further sources."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from sqlalchemy import and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from app.db import tables
from app.db.engine import Connection, db_now
from app.discovery.offers import Change, Offered
from app.domain import ImageState, Reason
from errors import as_evidence

__all__ = ["UNDECIDED", "add_identities", "change", "find", "load"]

BATCH = 500
"""Names or rows in one statement."""

UNDECIDED: Final = and_(
    tables.images.c.state != ImageState.TOMBSTONED,
    or_(tables.images.c.state != ImageState.REJECTED, tables.images.c.reason.is_distinct_from(Reason.LICENCE)),
)
"""Images about which a stage may decide. What it decided from an earlier look is void, and not written, where an image was removed on
request since, or refused for a licence; a stricter licence takes out all others, since one that failed may be fetched by a retry."""


async def find(connection: Connection, dataset_id: str, names: Collection[str]) -> dict[str, int]:
    """Return the images of a dataset that have these names, by name: an identity, or the key of a URL, which has no colon."""
    images, named = tables.images.c, tables.image_identities.c
    found: dict[str, int] = {}
    for key, image_id, owner, wanted in (
        (named.identity, named.image_id, named.dataset_id, [name for name in names if ":" in name]),
        (images.url_key, images.id, images.dataset_id, [name for name in names if ":" not in name]),
    ):
        for start in range(0, len(wanted), BATCH):
            query = select(key.label("name"), image_id.label("image_id")).where(owner == dataset_id, key.in_(wanted[start : start + BATCH]))
            found |= {row.name: row.image_id for row in (await connection.execute(query)).all()}
    return found


async def add_identities(connection: Connection, dataset_id: str, named: Iterable[tuple[int, Iterable[str]]]) -> None:
    """Record what names the pictures of images; a name that another image has stays with it."""
    rows = [{"dataset_id": dataset_id, "identity": name, "image_id": image_id} for image_id, names in named for name in names]
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.image_identities).on_conflict_do_nothing(index_elements=["dataset_id", "identity"])
    if rows:
        await connection.execute(statement, rows)


async def load(connection: Connection, image_ids: Sequence[int]) -> dict[int, Offered]:
    """Return what the rows of images say of their origin, by id; in a write transaction nobody changes them before its end."""
    c = tables.images.c
    columns = (c.id, c.url, c.source, c.page_url, c.license, c.license_url, c.license_raw, c.license_confidence, c.offers)
    found: dict[int, Offered] = {}
    query = select(*columns).order_by(c.id).with_for_update(key_share=True)
    ids = sorted(image_ids)
    for start in range(0, len(ids), BATCH):
        rows = (await connection.execute(query.where(c.id.in_(ids[start : start + BATCH])))).all()
        found |= {row.id: Offered(**row._mapping) for row in rows}
    return found


async def change(connection: Connection, changes: Mapping[int, Change]) -> int:
    """Write what offers change; an image whose licence is not taken any more is out. Return how many of these there are.

    One that was out because no licence was known, and now has one that is taken, is spare.
    """
    c = tables.images.c
    refused = 0
    for image_id, item in changes.items():
        own = update(tables.images).where(c.id == image_id)
        await connection.execute(own.values(**item.values, updated_at=db_now()))
        if item.refused:
            evidence = as_evidence(item.values["license_raw"])
            out = {"state": ImageState.REJECTED, "reason": Reason.LICENCE, "detail": item.refused, "evidence": evidence}
            leaves = own.where(UNDECIDED).values(**out, split=None, duplicate_of=None)
            refused += (await connection.execute(leaves)).rowcount
        elif item.is_first_word:
            was_refused = own.where(c.state == ImageState.REJECTED, c.reason == Reason.LICENCE)
            spare = {"state": ImageState.SPARE, "reason": Reason.NOT_REQUESTED, "detail": None, "evidence": None}
            await connection.execute(was_refused.values(**spare))
    return refused
