"""Queries on the rows of lists that name a URL more than once: what each of them says about the image."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from app.db import tables
from app.db.engine import Connection, Database
from app.domain import Candidate, ImageState
from app.review_actions import Reviewed

__all__ = ["ListRow", "add", "of_dataset"]

BATCH = 500
PAGE = 1_000
"""Rows of one statement."""


@dataclass(frozen=True, slots=True)
class ListRow:
    """One row of a list that names a URL which another row names as well."""

    image_id: int
    state: ImageState
    line: int
    captions: Sequence[str]
    labels: Sequence[str]
    extra: dict[str, Any]
    boxes: Sequence[dict[str, Any]] = ()


async def add(connection: Connection, *, dataset_id: str, search_id: str, rows: Sequence[tuple[str, Candidate]]) -> None:
    """Insert rows whose URLs the dataset has, by their URL keys, and beside each the row that its image was made of.

    A row that says nothing but its URL is left out, and one whose image came from an earlier version, which has its texts and labels. A
    row is known by its search and its number, so it is inserted once.
    """
    telling = [(key, candidate) for key, candidate in rows if candidate.line is not None and _says_something(candidate)]
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.list_rows).on_conflict_do_nothing(index_elements=["image_id", "search_id", "row"])
    for start in range(0, len(telling), BATCH):
        batch = telling[start : start + BATCH]
        own = await _own_rows(connection, dataset_id, {key for key, _ in batch})
        more = [_as_row(candidate) | {"image_id": own[key]["image_id"], "search_id": search_id} for key, candidate in batch if key in own]
        if own:
            await connection.execute(statement, [*own.values(), *more])


def _says_something(candidate: Candidate) -> bool:
    return bool(candidate.caption or candidate.label or candidate.extra or candidate.boxes)


def _as_row(candidate: Candidate) -> dict[str, Any]:
    return {
        "row": candidate.rank,
        "line": candidate.line,
        "captions": _all(candidate.captions, candidate.caption),
        "labels": _all(candidate.labels, candidate.label),
        "extra": candidate.extra or None,
        "boxes": [asdict(box) for box in candidate.boxes] or None,
    }


def _all(several: Sequence[str] | None, one: str | None) -> list[str] | None:
    return list(several or ()) or ([one] if one else None)


async def _own_rows(connection: Connection, dataset_id: str, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the rows that the images with these URL keys were made of, by key."""
    c = tables.images.c
    query = select(c.id, c.url_key, c.search_id, c.rank, c.line, c.caption, c.captions, c.label, c.labels, c.extra, c.boxes)
    is_of_list = (c.dataset_id == dataset_id, c.url_key.in_(list(keys)), c.copied_from.is_(None))
    found = (await connection.execute(query.where(*is_of_list))).all()
    return {
        row.url_key: {
            "image_id": row.id,
            "search_id": row.search_id or "",
            "row": row.rank,
            "line": row.line or 0,
            "captions": _all(row.captions, row.caption),
            "labels": _all(row.labels, row.label),
            "extra": row.extra,
            "boxes": row.boxes,
        }
        for row in found
    }


async def of_dataset(db: Database, dataset_id: str, states: Iterable[ImageState]) -> AsyncIterator[Sequence[ListRow]]:
    """Yield the rows of a dataset's images in these states, in pages, those of one image together and in the order of the list.

    The label of an image whose label a person decided, or which a person keeps, is its own in all of its rows.
    """
    c, i = tables.list_rows.c, tables.images.c
    key = (c.image_id, c.search_id, c.row)
    query = select(*key, i.state, c.line, c.captions, c.labels, c.extra, c.boxes, i.label, i.reviewed)
    query = query.join(tables.images, i.id == c.image_id).where(i.dataset_id == dataset_id, i.state.in_(list(states)))
    query = query.order_by(*key).limit(PAGE)
    last: tuple[int, str, int] = (0, "", 0)
    while True:
        async with db.read() as connection:
            rows = (await connection.execute(query.where(tuple_(*key) > tuple_(*last)))).all()
        yield [
            ListRow(row.image_id, ImageState(row.state), row.line, row.captions or (), _labels(row), row.extra or {}, row.boxes or ())
            for row in rows
        ]
        if len(rows) < PAGE:
            return
        last = rows[-1].image_id, rows[-1].search_id, rows[-1].row


def _labels(row: Any) -> Sequence[str]:
    if row.reviewed in (Reviewed.KEEP, Reviewed.RELABEL):
        return [row.label] if row.label else []
    return row.labels or ()
