"""From what people have of an image (its id, a URL as they know it, a digest) to its rows."""

import re

import errors
from app.db import Database, image_search, images
from app.domain import StoredImage

__all__ = ["find_images"]

LAST_ID = 2**63 - 1
HIDDEN_QUERY = "?***"
"""How log lines show that a URL has a query."""


async def find_images(db: Database, what: str, *, user_id: str | None = None) -> list[StoredImage]:
    """All rows of the one image that is meant, newest first; each is of another dataset, or has the bytes that were asked for.

    Args:
        what: an image's id, 64 hex digits of SHA-256, or a URL: as the list has it, in another spelling, or without its query.

    Raises:
        errors.NotFoundError: nobody asked for it, or not this user.
        errors.ValidationError: it could be any of several images, which the message names, or it is nothing of the kind.
    """
    if re.fullmatch(r"\d+", what, re.ASCII):
        return [await _by_id(db, what, user_id)]
    if re.fullmatch(r"[0-9a-fA-F]{64}", what):
        found = await image_search.by_digest(db, what.lower(), user_id=user_id)
    else:
        found = await _by_url(db, what, user_id)
    if not found:
        raise errors.NotFoundError(f"no job asked for {what[:200]}; is it written as in the list?")
    return found


async def _by_id(db: Database, digits: str, user_id: str | None) -> StoredImage:
    if len(digits) > len(str(LAST_ID)) or int(digits) > LAST_ID:
        raise errors.NotFoundError(f"no image {digits[:40]}")
    return await images.get(db, int(digits), user_id=user_id)


async def _by_url(db: Database, url: str, user_id: str | None) -> list[StoredImage]:
    """Most are in normal form already, and found without the parser, whose import takes longer than the rest."""
    if not re.match(r"(?i)https?://[^/?#]", url):
        raise errors.ValidationError(
            f"{url[:80]!r} is no job, URL, image id or sha256; write job_…, https://img.example/a.jpg, 17, or 64 hex digits"
        )
    shown = url.removesuffix(HIDDEN_QUERY)
    found = await image_search.by_url_keys(db, [images.url_digest(url)], user_id=user_id)
    if not found and shown == url:
        found = await image_search.by_url_keys(db, [images.url_digest(_normal(url))], user_id=user_id)
    return found or _one_of(shown, await image_search.by_url_prefix(db, shown, user_id=user_id))


def _normal(url: str) -> str:
    from downloader.url_guard import normalise

    try:
        return normalise(url)
    except errors.InvalidURLError:
        return url


def _one_of(url: str, found: list[StoredImage]) -> list[StoredImage]:
    """Those of one URL; without a query a URL may stand for many."""
    if len({image.url for image in found}) < 2:
        return found
    ids = ", ".join(str(image.id) for image in found[:5]) + (" …" if len(found) > 5 else "")
    raise errors.ValidationError(f"{len(found)} images have or led to {url[:200]}; take one of them by its id: {ids}")
