"""Images by what people have of them: a URL, part of one, a digest. Newest first, over all datasets; all but one are found by index."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select

from app.db import tables
from app.db.engine import Database
from app.db.image_pages import of_user
from app.db.stored import STORED, as_image
from app.domain import StoredImage

__all__ = ["MOST", "by_beginning", "by_digest", "by_keys"]

MOST = 20
"""Images handed out at most: more of them tell nothing new."""


async def by_keys(db: Database, url_keys: Sequence[str], *, user_id: str | None = None) -> list[StoredImage]:
    """Images whose normalised URL has one of these digests."""
    return await _newest(db, tables.images.c.url_key.in_(list(url_keys)), user_id)


async def by_digest(db: Database, sha256: str, *, user_id: str | None = None) -> list[StoredImage]:
    """Images whose bytes have this digest, as they came or as they leave."""
    columns = tables.images.c
    return await _newest(db, or_(columns.sha256 == sha256, columns.out_sha256 == sha256), user_id)


async def by_beginning(db: Database, url: str, *, user_id: str | None = None) -> list[StoredImage]:
    """Images whose URL is this one and a query, and those that a redirect led there. Reads every row: for what is found no other way."""
    columns = tables.images.c
    return await _newest(db, or_(columns.url.startswith(f"{url}?", autoescape=True), columns.final_url == url), user_id)


async def _newest(db: Database, condition: Any, user_id: str | None) -> list[StoredImage]:
    query = select(*STORED).where(condition, *of_user(user_id)).order_by(tables.images.c.id.desc()).limit(MOST)
    async with db.read() as connection:
        return [as_image(row) for row in (await connection.execute(query)).all()]
