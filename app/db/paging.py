"""Keyset pagination: a cursor is the sort key of the last row, so every page costs the same."""

import base64
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Select, TextClause, literal, select, tuple_, union_all

import errors
from app.db.engine import Connection, Database

__all__ = ["MAX_LIMIT", "Place", "after", "decode", "encode", "first_of", "newest_first", "pages_by_key"]

MAX_LIMIT = 200
"""Rows in one page at most."""

Place = Sequence[ColumnElement[bool] | TextClause]
"""Conditions that select one range of one index, in which the rows are ordered by their keys."""


def encode(*values: Any) -> str:
    """Return an opaque cursor for these values."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the values in a cursor.

    Raises:
        errors.ValidationError: :func:`encode` did not make this cursor.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(values, list) or not _are_keys(values, kinds) or encode(*values) != cursor:
            raise ValueError("not an encoded cursor")
    except (ValueError, RecursionError) as error:
        raise errors.ValidationError("cursor is not one that this list returned; omit it to start at the beginning") from error
    return tuple(values)


def _are_keys(values: list[Any], kinds: tuple[type, ...]) -> bool:
    """Whether every database can compare these values: right types, 64-bit numbers, printable ASCII text."""
    return [type(value) for value in values] == list(kinds) and all(
        value.isascii() and value.isprintable() if isinstance(value, str) else -(2**63) <= value < 2**63 for value in values
    )


def after(columns: list[Any], values: tuple[Any, ...], *, descending: bool) -> ColumnElement[bool]:
    """Return the condition for the rows after a cursor."""
    row = tuple_(*columns)
    edge = tuple_(*(literal(value) for value in values))
    return row < edge if descending else row > edge


async def newest_first(
    db: Database, query: Select[Any], keys: Sequence[ColumnElement[Any]], *, limit: int, cursor: str | None
) -> tuple[list[Row[Any]], str | None]:
    """Run a query for one page of rows, newest first; return the rows and the cursor of the next page, ``None`` on the last page.

    Args:
        keys: a time in Unix seconds and an id; both are among the columns of the query.
        limit: rows wanted; clamped to 1 to :data:`MAX_LIMIT`.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    query = query.order_by(*(key.desc() for key in keys)).limit(limit + 1)
    if cursor is not None:
        query = query.where(after(list(keys), decode(cursor, float, str), descending=True))
    async with db.read() as connection:
        rows = list((await connection.execute(query)).all())
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    return rows[:limit], encode(*(getattr(last, key.name) for key in keys))


async def pages_by_key(connection: Connection, query: Select[Any], key: Column[Any], size: int) -> AsyncIterator[Sequence[Row[Any]]]:
    """Yield all rows of a query in pages, by a key that grows from 1, so that no statement holds the connection for long.

    Args:
        key: one of the columns of the query.
        size: rows in a page.
    """
    query = query.order_by(key).limit(size)
    last = 0
    while True:
        rows = (await connection.execute(query.where(key > last))).all()
        yield rows
        if len(rows) < size:
            return
        last = getattr(rows[-1], key.name)


def first_of(
    columns: Sequence[Column[Any]], places: Sequence[Place], *, last_id: int | None, limit: int, descending: bool = False
) -> Select[Any]:
    """Return a query for the first rows after ``last_id`` in several index ranges, ordered by id, or the other way round.

    In one condition over all ranges, a database would read every row of every range and sort them. Here each range yields at most
    ``limit`` ids, and only those are sorted.

    Args:
        columns: the columns of one table, its id first.
    """
    key = columns[0]
    order = key.desc() if descending else key
    beyond = [] if last_id is None else [key < last_id if descending else key > last_id]
    each = [select(key).where(*place, *beyond).order_by(order).limit(limit) for place in places]
    if len(each) == 1:
        return each[0].with_only_columns(*columns)
    ids = union_all(*(select(query.subquery().c.id) for query in each))
    return select(*columns).where(key.in_(ids)).order_by(order).limit(limit)
