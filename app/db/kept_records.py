"""Queries on the kept images of a dataset as its versions see them: by URL key, whatever the order in which they were fetched."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from app.db import tables
from app.db.engine import Connection, Database
from app.domain import ImageState

__all__ = ["PAGE", "KeptRecord", "count_of_job", "pages"]

PAGE = 2_000
"""Records read at once."""

TEXTS = (
    *("source", "title", "page_url", "caption", "captions", "group_id", "boxes", "extra"),
    *("license", "license_url", "license_raw", "license_confidence", "license_note", "creator", "creator_url", "attribution"),
)
"""Columns that leave with an image, besides its bytes, labels and split."""


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A kept image as a record of its dataset.

    Attributes:
        sha256: of the fetched bytes; ``size_bytes`` are those of its exported form.
        texts: what else leaves with it, by column; what is not known is left out.
    """

    url_key: str
    image_id: int
    url: str
    sha256: str
    size_bytes: int
    label: str | None
    labels: tuple[str, ...]
    split: str | None
    texts: Mapping[str, Any]


async def pages(db: Database, dataset_id: str, *, page: int = PAGE) -> AsyncIterator[Sequence[KeptRecord]]:
    """Yield all kept images of a dataset by URL key, in pages."""
    c = tables.images.c
    columns = (c.url_key, c.id, c.url, c.sha256, c.size_bytes, c.out_size_bytes, c.label, c.labels, c.split)
    query = select(*columns, *(c[name] for name in TEXTS)).where(c.dataset_id == dataset_id, c.state == ImageState.KEPT)
    query = query.order_by(c.url_key).limit(page)
    last = ""
    while True:
        async with db.read() as connection:
            rows = (await connection.execute(query.where(c.url_key > last))).all()
        yield [_as_record(row) for row in rows]
        if len(rows) < page:
            return
        last = rows[-1].url_key


def _as_record(row: Any) -> KeptRecord:
    url_key, image_id, url, sha256, size_bytes, out_size_bytes, label, labels, split, *texts = row
    known = {name: value for name, value in zip(TEXTS, texts, strict=True) if value is not None}
    return KeptRecord(url_key, image_id, url, sha256, out_size_bytes or size_bytes or 0, label, tuple(labels or ()), split, known)


async def count_of_job(connection: Connection, job_id: str) -> int:
    """Count the kept images that a job has fetched."""
    c = tables.images.c
    query = select(func.count()).where(c.job_id == job_id, c.state == ImageState.KEPT)
    return int((await connection.execute(query)).scalar_one())
