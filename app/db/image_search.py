"""Ways to find images: filtered pages, lookups by URL or digest, and scans of a whole dataset.

Every page is read from index ranges by key, so it costs the same at the start and at the end of any dataset.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, bindparam, case, or_, select

import errors
from app.db import paging, tables
from app.db.engine import Connection, Database
from app.db.images import STORED, as_image, of_user
from app.db.paging import Place
from app.db.rows import PageOf
from app.domain import ImageState, Reason, StoredImage
from app.images.placeholders import Link
from app.review_actions import Reviewed

__all__ = [
    "LAST_ID",
    "MOST",
    "PAGE",
    "Choice",
    "Fingerprint",
    "ImageFilter",
    "Likeness",
    "by_digest",
    "by_url_keys",
    "by_url_prefix",
    "choices",
    "choices_of",
    "fingerprints",
    "get_digest",
    "likenesses",
    "links",
    "newest",
    "page",
    "pages_of_state",
]

LAST_ID = 2**63 - 1
"""The largest id of an image."""

BATCH = 500
"""Ids that one statement names."""

PLACES = 64
"""Index ranges in one statement; SQLite takes at most 500."""


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Filter of a page of images. ``None`` matches any."""

    job_id: str | None = None
    dataset_id: str | None = None
    state: ImageState | None = None
    reason: Reason | None = None
    source: str | None = None
    label: str | None = None
    split: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as SQL."""
        return [tables.images.c[field.name] == value for field in fields(self) if (value := getattr(self, field.name)) is not None]


async def page(
    db: Database, wanted: ImageFilter, *, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> PageOf[StoredImage]:
    """Return images by id, oldest first."""
    limit = max(1, min(limit, paging.MAX_LIMIT))
    last_id = paging.decode(cursor, int)[0] if cursor is not None else None
    rows: list[StoredImage] = []
    async with db.read() as connection:
        places = await _places(connection, wanted, user_id)
        for start in range(0, len(places), PLACES):
            query = paging.first_of(STORED, places[start : start + PLACES], last_id=last_id, limit=limit + 1)
            rows += [as_image(row) for row in (await connection.execute(query)).all()]
    rows = sorted(rows, key=lambda image: image.id)[: limit + 1]
    return PageOf(rows[:limit], paging.encode(rows[limit - 1].id) if len(rows) > limit else None)


_WITH_BYTES: Final = (ImageState.FETCHED, ImageState.VALID, ImageState.KEPT, ImageState.REJECTED, ImageState.DUPLICATE)


async def newest(db: Database, job_id: str, *, limit: int = 50, cursor: str | None = None) -> PageOf[StoredImage]:
    """Return the images of a job whose bytes were fetched, the last of its candidates first: they are fetched about in their order."""
    columns = tables.images.c
    places: list[Place] = [
        [columns.job_id == job_id, columns.state == state, *([columns.sha256.is_not(None)] if state is ImageState.REJECTED else [])]
        for state in _WITH_BYTES
    ]
    last_id = paging.decode(cursor, int)[0] if cursor is not None else None
    query = paging.first_of(STORED, places, last_id=last_id, limit=limit + 1, descending=True)
    async with db.read() as connection:
        rows = [as_image(row) for row in (await connection.execute(query)).all()]
    return PageOf(rows[:limit], paging.encode(rows[limit - 1].id) if len(rows) > limit else None)


async def _places(connection: Connection, wanted: ImageFilter, user_id: str | None) -> list[Place]:
    """Return disjoint ranges of one index each that hold the matching images in the order of their ids."""
    columns = tables.images.c
    narrowed = (replace(wanted, dataset_id=None) if wanted.job_id else wanted).conditions()
    if (user_id, wanted.dataset_id, wanted.job_id, wanted.state, wanted.reason) == (None,) * 5:
        return [narrowed]  # the primary key: without a filter every row matches
    datasets = await _datasets(connection, wanted, user_id)
    if wanted.reason is not None or (wanted.source is not None and wanted.state is None):
        return [[columns.dataset_id == dataset, *narrowed] for dataset in datasets]
    states = [wanted.state] if wanted.state is not None else list(ImageState)
    scopes = [[columns.dataset_id == dataset] for dataset in datasets] if wanted.job_id is None else [[]] * len(datasets)
    return [[*scope, columns.state == state, *narrowed] for scope in scopes for state in states]


async def _datasets(connection: Connection, wanted: ImageFilter, user_id: str | None) -> Sequence[str]:
    """Return the datasets that may hold matching images; none if they belong to another user."""
    columns = tables.datasets.c
    query = select(columns.id)
    if wanted.job_id is not None:
        query = query.join(tables.jobs).where(tables.jobs.c.id == wanted.job_id)
    if wanted.dataset_id is not None:
        query = query.where(columns.id == wanted.dataset_id)
    if user_id is not None:
        query = query.where(columns.user_id == user_id)
    return [row.id for row in (await connection.execute(query)).all()]


MOST = 20
"""Images that a lookup returns at most."""


async def by_url_keys(db: Database, url_keys: Sequence[str], *, user_id: str | None = None) -> list[StoredImage]:
    """Return images by the digests of their normalised URLs, newest first."""
    return await _newest(db, tables.images.c.url_key.in_(list(url_keys)), user_id)


async def by_digest(db: Database, sha256: str, *, user_id: str | None = None) -> list[StoredImage]:
    """Return images whose fetched or compressed bytes have this digest, newest first."""
    columns = tables.images.c
    return await _newest(db, or_(columns.sha256 == sha256, columns.out_sha256 == sha256), user_id)


async def by_url_prefix(db: Database, url: str, *, user_id: str | None = None) -> list[StoredImage]:
    """Return images whose URL is this one with a query, or that were redirected to it, newest first. Reads every row."""
    columns = tables.images.c
    return await _newest(db, or_(columns.url.startswith(f"{url}?", autoescape=True), columns.final_url == url), user_id)


async def _newest(db: Database, condition: Any, user_id: str | None) -> list[StoredImage]:
    query = select(*STORED).where(condition, *of_user(user_id)).order_by(tables.images.c.id.desc()).limit(MOST)
    async with db.read() as connection:
        return [as_image(row) for row in (await connection.execute(query)).all()]


PAGE = 10_000
"""Rows of one statement. A million rows at once would take a gigabyte, and a minute without progress."""


SEVERAL_LABELS = "several labels"
"""Stands for the label of an image that was rejected because its own URL has several."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What duplicates, placeholders and label conflicts are found by.

    Attributes:
        colours: the colour grid; None for an image that was validated before there was one.
        label: with which it would be kept.
        redirected_to: a number for the address that its URL was redirected to; None without a redirect. It differs between processes.
        is_settled: whether it was rejected for its labels before it was compared with others; that stays.
        was_kept: whether it is kept, and came so from the version before.
        decided: 2 where a person keeps it, 1 where a person took it out, else 0.
    """

    id: int
    state: ImageState
    sha256: str
    phash: str | None
    pixels: int
    size_bytes: int
    colours: bytes | None = None
    label: str | None = None
    redirected_to: int | None = None
    is_settled: bool = False
    was_kept: bool = False
    decided: int = 0

    @property
    def is_labelled(self) -> bool:
        """Whether it has a label."""
        return self.label is not None


@dataclass(frozen=True, slots=True)
class Choice:
    """What decides whether an image is kept, with which label, and in which split.

    Attributes:
        group: images with the same group stay in one split; the group that the source gave (``has_group``), else the digest.
        rank: position in the order of its search, 0 first.
        sha256: digest of the fetched bytes.
        split: the one that its list names, or that it was given before: by this dataset where it ``is_kept``.
        reviewed_label: the label that a person gave it; ``is_decided`` says that a person keeps it.
    """

    id: int
    group: str
    label: str | None
    search_id: str | None
    rank: int
    split: str | None = None
    is_kept: bool = False
    has_group: bool = False
    sha256: str = ""
    reviewed_label: str | None = None
    is_decided: bool = False


COMPARED = (Reason.PLACEHOLDER, Reason.LABEL_CONFLICT, Reason.REJECTED_BY_REVIEWER)
"""Reasons of rejected images that are compared with the others again: what is decided on a picture holds for its later copies."""


DECIDED: Final = {Reviewed.KEEP.value: 2, Reviewed.REJECT.value: 1}
"""How what a person decided ranks an image, see `app.images.ranking.Rankable`."""


async def fingerprints(
    connection: Connection,
    dataset_id: str,
    states: Iterable[ImageState],
    *,
    label: str | None = None,
    search_labels: Mapping[str, str | None] | None = None,
) -> list[Fingerprint]:
    """Return the fingerprints of a dataset's images with bytes in these states, by id; of rejected ones those in `COMPARED`.

    Args:
        label: of every image, instead of their own.
        search_labels: by search id, for images without a label of their own.
    """
    c = tables.images.c
    of_bytes = (c.sha256, c.phash, c.width, c.height, c.size_bytes, c.colour_grid)
    columns = (*of_bytes, c.label, c.search_id, c.reason, c.duplicate_of, c.copied_from, c.reviewed, c.reviewed_label)
    moved_to = case((c.final_url != c.url, c.final_url), else_=None).label("moved_to")
    known, found = search_labels or {}, []
    same: dict[str | None, str | None] = {}  # strings that many images share are stored once
    for state in states:
        reasons = COMPARED if state is ImageState.REJECTED else ()
        async for rows in _pages(connection, dataset_id, state, (*columns, moved_to), reasons):
            for row in rows:
                class_name = row.reviewed_label or label or row.label or known.get(row.search_id) or None
                found.append(_fingerprint(row, state, same.setdefault(class_name, class_name)))
    found.sort(key=lambda item: item.id)
    return found


def _fingerprint(row: Any, state: ImageState, label: str | None) -> Fingerprint:
    decided = DECIDED.get(row.reviewed, 0)
    is_settled = not decided and state is ImageState.REJECTED and row.reason == Reason.LABEL_CONFLICT and row.duplicate_of is None
    return Fingerprint(
        id=row.id,
        state=state,
        sha256=row.sha256,
        phash=row.phash,
        pixels=(row.width or 0) * (row.height or 0),
        size_bytes=row.size_bytes or 0,
        colours=bytes.fromhex(row.colour_grid) if row.colour_grid else None,
        label=SEVERAL_LABELS if is_settled else label,
        redirected_to=hash(row.moved_to) if row.moved_to else None,
        is_settled=is_settled,
        was_kept=state is ImageState.KEPT and row.copied_from is not None,
        decided=decided,
    )


async def links(connection: Connection, image_ids: Sequence[int]) -> list[Link]:
    """Return the URLs of images, with what is known of them before their bytes, in no order."""
    c = tables.images.c
    found: list[Link] = []
    for start in range(0, len(image_ids), PAGE):
        query = select(c.id, c.url, c.final_url, c.caption, c.label).where(c.id.in_(image_ids[start : start + PAGE]))
        found += [Link(row.id, row.url, row.final_url, row.caption, row.label) for row in (await connection.execute(query)).all()]
    return found


_OF_CHOICE = ("sha256", "group_id", "label", "search_id", "reviewed_label", "rank", "split", "reviewed")


async def choices(connection: Connection, dataset_id: str, states: Iterable[ImageState]) -> list[Choice]:
    """Return the choices among a dataset's images with bytes in these states, by id."""
    columns = [tables.images.c[name] for name in _OF_CHOICE]
    found: list[Choice] = []
    same: dict[str | None, str | None] = {}  # strings that many images share are stored once
    for state in states:
        async for rows in _pages(connection, dataset_id, state, columns):
            found += [_as_choice(row, same, is_kept=state is ImageState.KEPT) for row in rows]
    found.sort(key=lambda item: item.id)
    return found


async def choices_of(connection: Connection, image_ids: Sequence[int]) -> list[Choice]:
    """Return these images as choices that are not kept, by id."""
    c = tables.images.c
    query = select(c.id, *(c[name] for name in _OF_CHOICE)).order_by(c.id)
    found: list[Choice] = []
    for start in range(0, len(image_ids), BATCH):
        rows = (await connection.execute(query.where(c.id.in_(image_ids[start : start + BATCH])))).all()
        found += [_as_choice(row, {}, is_kept=False) for row in rows]
    return found


def _as_choice(row: Any, same: dict[str | None, str | None], *, is_kept: bool) -> Choice:
    image_id, sha256, *texts, rank, split, reviewed = row
    group_id, label, search_id, reviewed_label, split = (same.setdefault(text, text) for text in (*texts, split))
    has_group, is_decided = group_id is not None, reviewed == Reviewed.KEEP
    return Choice(image_id, group_id or sha256, label, search_id, rank, split, is_kept, has_group, sha256, reviewed_label, is_decided)


@dataclass(frozen=True, slots=True)
class Likeness:
    """What a tombstone recognises an image by, and the bytes of it that the store has."""

    id: int
    dataset_id: str
    url_key: str
    sha256: str | None
    phash: str | None
    out_sha256: str | None
    state: str


async def likenesses(connection: Connection, *, user_id: str | None, dataset_id: str | None = None) -> AsyncIterator[list[Likeness]]:
    """Yield pages of images, of one user and one dataset or of all, but for those that were removed on request."""
    c = tables.images.c
    columns = [c[field.name] for field in fields(Likeness)]
    query = select(*columns).where(*of_user(user_id), c.state != ImageState.TOMBSTONED)
    if dataset_id is not None:
        query = query.where(c.dataset_id == dataset_id)
    async for rows in paging.pages_by_key(connection, query, c.id, PAGE):
        yield [Likeness(**row._mapping) for row in rows]


async def pages_of_state(connection: Connection, dataset_id: str, state: ImageState, size: int = 1_000) -> AsyncIterator[list[StoredImage]]:
    """Yield a dataset's images with bytes in one state, by id, in pages."""
    async for rows in _pages(connection, dataset_id, state, STORED[1:], size=size):
        yield [as_image(row) for row in rows]


def _pages(
    connection: Connection, dataset_id: str, state: ImageState, columns: Sequence[Any], reasons: Sequence[Reason] = (), size: int = PAGE
) -> AsyncIterator[Sequence[Any]]:
    """Read pages by key for one state, in the order of an index, so nothing is sorted."""
    c = tables.images.c
    is_wanted = [c.reason.in_(reasons)] if reasons else []
    query = select(c.id, *columns).where(c.dataset_id == dataset_id, c.state == state, c.sha256.is_not(None), *is_wanted)
    return paging.pages_by_key(connection, query, c.id, size)


_OWN_DIGEST: Final = select(tables.images.c.sha256, tables.images.c.state).where(
    tables.images.c.id == bindparam("image_id"),
    tables.images.c.dataset_id.in_(select(tables.datasets.c.id).where(tables.datasets.c.user_id == bindparam("user_id"))),
)
"""Built once: a page of thumbnails runs it 200 times, and to build it takes as long as to run it."""


async def get_digest(db: Database, image_id: int, *, user_id: str) -> tuple[str | None, ImageState]:
    """Return the digest of the fetched bytes of an image, if there are any, and its state; the image of another user is not found."""
    async with db.read() as connection:
        row = (await connection.execute(_OWN_DIGEST, {"image_id": image_id, "user_id": user_id})).first()
    if row is None:
        raise errors.NotFoundError(f"no image {image_id}")
    return row.sha256, ImageState(row.state)
