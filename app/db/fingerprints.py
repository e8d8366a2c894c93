"""Queries that read a whole dataset, as little of each image as a decision over all of them needs; what is read is held in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from app.db import tables
from app.db.engine import Connection
from app.domain import ImageState

__all__ = ["PAGE", "Choice", "Fingerprint", "choices", "fingerprints"]

PAGE = 10_000
"""Rows of one statement: rows of a million at once would take a gigabyte before they are made small, and a minute with no word."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What duplicates are told by."""

    id: int
    state: ImageState
    sha256: str
    phash: str | None
    pixels: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What it is decided by whether an image is kept, under which label and in which split.

    Attributes:
        group: what stays in one split: the group that its source named, else the image's digest.
        rank: place in its search's own order, 0 first.
    """

    id: int
    group: str
    label: str | None
    search_id: str | None
    rank: int


async def fingerprints(connection: Connection, dataset_id: str, states: Iterable[ImageState]) -> list[Fingerprint]:
    """The fingerprints of a dataset's images that have bytes and are in these states, by id."""
    c = tables.images.c
    found: list[Fingerprint] = []
    for state in states:
        async for rows in _pages(connection, dataset_id, state, (c.sha256, c.phash, c.width, c.height, c.size_bytes)):
            found += [
                Fingerprint(image_id, state, sha256, phash, (width or 0) * (height or 0), size_bytes or 0)
                for image_id, sha256, phash, width, height, size_bytes in rows
            ]
    found.sort(key=lambda item: item.id)
    return found


async def choices(connection: Connection, dataset_id: str, states: Iterable[ImageState]) -> list[Choice]:
    """What is to choose from: a dataset's images that have bytes and are in these states, by id."""
    c = tables.images.c
    found: list[Choice] = []
    same: dict[str | None, str | None] = {}  # names that many images share are held once
    for state in states:
        async for rows in _pages(connection, dataset_id, state, (c.sha256, c.group_id, c.label, c.search_id, c.rank)):
            for image_id, sha256, group_id, label, search_id, rank in rows:
                group = same.setdefault(group_id, group_id) or sha256
                found.append(Choice(image_id, group, same.setdefault(label, label), same.setdefault(search_id, search_id), rank))
    found.sort(key=lambda item: item.id)
    return found


async def _pages(connection: Connection, dataset_id: str, state: ImageState, columns: Sequence[Any]) -> AsyncIterator[Sequence[Any]]:
    """By key and state by state, which is an index's order: a page costs the same wherever it lies, and nothing is sorted."""
    c = tables.images.c
    query = select(c.id, *columns).where(c.dataset_id == dataset_id, c.state == state, c.sha256.is_not(None)).order_by(c.id).limit(PAGE)
    last_id = 0
    while True:
        rows = (await connection.execute(query.where(c.id > last_id))).all()
        yield rows
        if len(rows) < PAGE:
            return
        last_id = rows[-1].id
