"""Takes images out of everything on request, and remembers what must not return.

The tombstones are written first, so that a run which is cut off loses none of them; asked again, it goes on. Builds at work apply them
themselves: before a URL is requested, before bytes are stored, and before a dataset is compared with itself.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

import errors
from app.datasets import versions
from app.db import Connection, Database, datasets, derived_images, image_search, images, reviews, tombstones
from app.db.exceptions import StateConflict
from app.db.image_search import Likeness
from app.db.rows import Export
from app.db.tombstones import NewTombstone, Tombstone
from app.db.versions import newest_of_each
from app.discovery import urls
from app.domain import ImageState, StoredImage
from app.images.hamming_index import Hashes, find_within
from app.resources import Resources
from app.storage import Store, paths
from downloader import url_guard
from logging_setup import get_logger

__all__ = ["MAX_ASKED", "Forgotten", "Match", "TombstoneIndex", "forget", "mark_removed", "release_blobs", "withdraw"]

log = get_logger(__name__)

MAX_ASKED: Final = 100_000
"""URLs, digests and images of one request."""

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_BATCH: Final = 500

WITHDRAWN: Final = "it held an image that was removed on request; export the dataset again"
"""Error of an export that left the store."""


@dataclass(frozen=True, slots=True)
class Match:
    """An image that a tombstone names. ``how``: by its ``url``, its ``digest``, or as a ``near`` copy."""

    image: Likeness
    tombstone: Tombstone
    how: str

    @property
    def change(self) -> dict[str, Any]:
        """The change of the image's row."""
        change = self.tombstone.change | {"id": self.image.id}
        return change | {"detail": f"a near copy of what was {change['detail']}"} if self.how == "near" else change

    @property
    def digests(self) -> set[str]:
        """The bytes that the store has of it."""
        return {digest for digest in (self.image.sha256, self.image.out_sha256) if digest}


class TombstoneIndex:
    """Finds images that tombstones name.

    Args:
        named: tombstones of one user.
        distance: bits in which the hash of a near copy may differ, 0 to 63.
    """

    def __init__(self, named: Iterable[Tombstone], distance: int) -> None:
        self._distance = distance
        self._by_url: dict[str, Tombstone] = {}
        self._by_digest: dict[str, Tombstone] = {}
        self._pictured: list[Tombstone] = []
        for tombstone in named:
            if tombstone.url_key:
                self._by_url.setdefault(tombstone.url_key, tombstone)
            if tombstone.sha256:
                self._by_digest.setdefault(tombstone.sha256, tombstone)
            if tombstone.phash:
                self._pictured.append(tombstone)
        self._hashes = _as_hashes(tombstone.phash for tombstone in self._pictured)

    def find(self, found: Sequence[Likeness]) -> list[Match]:
        """Return the images that a tombstone names: by its URL, else by its digest, else as a near copy."""
        hashed = [item for item in found if item.phash]
        nearest = find_within(_as_hashes(item.phash for item in hashed), self._hashes, self._distance)
        near = {item.id: self._pictured[at] for item, at in zip(hashed, nearest.tolist(), strict=True) if at >= 0}
        matches: list[Match] = []
        for item in found:
            if tombstone := self._by_url.get(item.url_key):
                matches.append(Match(item, tombstone, "url"))
            elif tombstone := self._by_digest.get(item.sha256 or "") or self._by_digest.get(item.out_sha256 or ""):
                matches.append(Match(item, tombstone, "digest"))
            elif tombstone := near.get(item.id):
                matches.append(Match(item, tombstone, "near"))
        return matches


def _as_hashes(texts: Iterable[str | None]) -> Hashes:
    return np.array([int(text, 16) for text in texts if text], dtype=np.uint64)


@dataclass(slots=True)
class Forgotten:
    """What was removed, or would be.

    Attributes:
        tombstones: how many hold for what was asked, old ones included.
        images: number of images by how they were found: ``url``, ``digest``, ``near``.
        datasets: ids of the datasets that lost any.
        exports: of these datasets, in the store or delivered, where they still hold what was removed.
        blobs: objects that left the store.
    """

    tombstones: int = 0
    images: Counter[str] = field(default_factory=Counter)
    datasets: Sequence[str] = ()
    exports: Sequence[Export] = ()
    blobs: int = 0


async def forget(
    resources: Resources, asked: Sequence[str], *, user_id: str, reason: str | None = None, is_exact: bool = False, dry_run: bool = False
) -> Forgotten:
    """Remove images by URL, by digest or by the id of a row, with everything that shows the same picture; they do not return.

    Near copies are found by the hash alone: an edit may change every colour. So a picture may go that only resembles one that was meant.

    Args:
        asked: URLs, SHA-256 digests in hex, and ids of images.
        user_id: whose images; `tombstones.EVERYBODY` for those of all.
        is_exact: whether near copies may stay, and return: for pictures without detail, which others resemble.
        dry_run: find what would go; nothing is written.

    Raises:
        errors.ValidationError: one of them is none of the three, or there are too many.
        errors.NotFoundError: the user has no image with an id.
    """
    if len(asked) > MAX_ASKED:
        raise errors.ValidationError(f"{len(asked):,} images to forget, at most {MAX_ASKED:,} at once; divide the list")
    wanted = [item for text in asked for item in await _resolve(resources.db, text.strip(), user_id, reason)]
    if is_exact:
        wanted = [replace(item, phash=None) for item in wanted]
    named = _unstored(wanted, user_id) if dry_run else await _store_tombstones(resources.db, wanted, user_id)
    found = Forgotten(len(named))
    kept, digests = await _remove(resources, named, found.images, user_id, dry_run=dry_run)
    found.datasets = sorted(kept)
    found.exports = await _exports_with(resources.db, kept)
    if not dry_run:
        await withdraw(resources, found.exports)
        found.blobs = await release_blobs(resources.db, resources.store, digests)
        for dataset_id in found.datasets:
            with suppress(StateConflict):  # a job that works on it records what it then is; one without images has no version
                await versions.ensure(resources, dataset_id, kind="forget")
        log.info("images.forgotten", tombstones=len(named), images=found.images.total(), datasets=len(kept), blobs=found.blobs)
    return found


async def _resolve(db: Database, text: str, user_id: str, reason: str | None) -> list[NewTombstone]:
    """The tombstones for what a user named: for the name itself, and for each picture that is known under it."""
    owner = _owner(user_id)
    given: list[NewTombstone] = []
    if _DIGEST.fullmatch(text):
        given = [NewTombstone(sha256=text.lower(), reason=reason)]
        known = await image_search.by_digest(db, text.lower(), user_id=owner)
    elif text.isascii() and text.isdigit():
        known = [await images.get(db, min(int(text[:19]), image_search.LAST_ID), user_id=owner)]
    else:
        key = _url_key(text)
        given = [NewTombstone(url=text, url_key=key, reason=reason)]
        known = await image_search.by_url_keys(db, [key], user_id=owner)
    pictures = {(item.url_key, item.sha256): item for item in (_of_image(image, reason) for image in known)}
    rest = [item for item in given if not any(_covers(picture, item) for picture in pictures.values())]
    return [*pictures.values(), *rest]


def _owner(user_id: str) -> str | None:
    return None if user_id == tombstones.EVERYBODY else user_id


def _of_image(image: StoredImage, reason: str | None) -> NewTombstone:
    return NewTombstone(image.url, _url_key(image.url), image.sha256, image.phash, reason, image.id)


def _covers(picture: NewTombstone, name: NewTombstone) -> bool:
    return name.sha256 in (None, picture.sha256) and name.url_key in (None, picture.url_key)


def _url_key(text: str) -> str:
    """The key of a URL, however it is spelled.

    Raises:
        errors.ValidationError: it is none.
    """
    if text.startswith("file://"):
        return images.url_digest(text)
    try:
        return images.url_digest(url_guard.normalise(urls.read(text)))
    except errors.InvalidURLError as error:
        raise errors.ValidationError(
            f"{text[:80]!r} is no URL, digest or image: {error}; write https://img.example/a.jpg, 64 hex digits, or an image's id"
        ) from error


async def _store_tombstones(db: Database, wanted: Sequence[NewTombstone], user_id: str) -> list[Tombstone]:
    stored: list[Tombstone] = []
    for start in range(0, len(wanted), _BATCH):
        async with db.write() as connection:
            stored += await tombstones.add(connection, user_id, wanted[start : start + _BATCH])
    return stored


def _unstored(wanted: Sequence[NewTombstone], user_id: str) -> list[Tombstone]:
    """The tombstones as they would be, for a dry run."""
    distinct = dict.fromkeys(replace(item, reason=None, image_id=None) for item in wanted)
    return [Tombstone("", user_id, item.url, item.url_key, item.sha256, item.phash, None, None, 0.0) for item in distinct]


async def _remove(
    resources: Resources, named: Sequence[Tombstone], counts: Counter[str], user_id: str, *, dry_run: bool
) -> tuple[Counter[str], set[str]]:
    """Mark the images that tombstones name; return the datasets that have them with how many each kept, and the digests of their bytes."""
    kept: Counter[str] = Counter()
    digests: set[str] = set()
    index = TombstoneIndex(named, resources.settings.validate_.near_distance)
    async with resources.db.read() as reading:
        async for page in image_search.likenesses(reading, user_id=_owner(user_id)):
            matches = index.find(page)
            counts.update(found.how for found in matches)
            for found in matches:
                kept[found.image.dataset_id] += found.image.state == ImageState.KEPT
            digests.update(*(found.digests for found in matches))
            for start in range(0, 0 if dry_run else len(matches), _BATCH):
                async with resources.db.write() as connection:
                    await mark_removed(connection, matches[start : start + _BATCH])
    return kept, digests


async def mark_removed(connection: Connection, matches: Sequence[Match]) -> None:
    """Leave nothing on the rows of images, nor in what people decided about them, that says what they show."""
    await images.update_many(connection, [found.change for found in matches], always=True)
    await reviews.redact(connection, [found.image.id for found in matches])


async def _exports_with(db: Database, kept: Mapping[str, int]) -> list[Export]:
    """The exports that may hold what goes.

    Args:
        kept: by dataset, its images of those that go which it keeps. Where it keeps none its exports of this version have none; what
            earlier versions of it kept is not known any more.
    """
    current = await newest_of_each(db, list(kept))
    found: list[Export] = []
    for dataset_id in sorted(kept):
        number = current[dataset_id].number if dataset_id in current else None
        made = await _exports_of(db, dataset_id)
        found += made if kept[dataset_id] or number is None else [export for export in made if export.version != number]
    return found


async def _exports_of(db: Database, dataset_id: str) -> list[Export]:
    """The exports of a dataset that somebody may have, newest first."""
    made: list[Export] = []
    cursor: str | None = None
    while True:
        page = await datasets.page_exports(db, dataset_id=dataset_id, limit=100, cursor=cursor)
        made += [export for export in page.items if export.state in ("written", "ready")]
        if (cursor := page.next_cursor) is None:
            return made


async def withdraw(resources: Resources, exports: Sequence[Export]) -> None:
    """Take exports out of the store, since they hold what was removed. Delivered copies are not ours to change."""
    for made in exports:
        async with resources.db.write() as connection:
            await datasets.set_export(connection, made.id, state="withdrawn", prefix=None, error=WITHDRAWN)
        if made.prefix:
            await resources.store.delete_tree(made.prefix)


async def release_blobs(db: Database, store: Store, digests: Iterable[str]) -> int:
    """Delete the bytes with these digests that no row needs, with their thumbnails and the forms made from them; return how many."""
    wanted, released = sorted(set(digests)), 0
    for start in range(0, len(wanted), _BATCH):
        part = wanted[start : start + _BATCH]
        used = await images.referenced_blobs(db, part)
        unused = [digest for digest in part if digest not in used]
        async with db.write() as connection:
            forms = await derived_images.drop_sources(connection, unused)
        unused += sorted(set(forms) - await images.referenced_blobs(db, forms))
        await store.delete([key for digest in unused for key in (paths.blob(digest), paths.thumb(digest))])
        released += len(unused)
    return released
