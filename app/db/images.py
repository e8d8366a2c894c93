"""Queries on images: insert candidates, read and update the images of a chunk in bulk, count them.

:mod:`app.db.image_search` reads pages of images and finds images by URL or digest.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

import errors
from app.db import jobs, list_rows, offers, tables
from app.db.engine import Connection, Database, db_now
from app.db.funnel import LabelCount, SourceCount
from app.domain import Candidate, ImageState, Reason, StoredImage
from errors import as_evidence

__all__ = [
    "STORED",
    "add_candidates",
    "add_chunks",
    "add_refused",
    "as_image",
    "chunk_images",
    "chunk_states",
    "count_deep",
    "count_failed",
    "counts",
    "counts_by_label",
    "fail_open",
    "get",
    "insert_new",
    "kept_after",
    "labels_of",
    "of_user",
    "one_at_a_time",
    "reassign",
    "referenced_blobs",
    "reset_for_validation",
    "uncompressed_chunks",
    "update_alike",
    "update_many",
    "url_digest",
]

BATCH = 500
"""Rows in one statement; 500 times our columns stays below SQLite's 32,766 parameters."""

_PENDING: Final = {"state": ImageState.PENDING, "reason": None}
_SPARE: Final = {"state": ImageState.SPARE, "reason": Reason.NOT_REQUESTED}

_REFUSED: Final = {"state": ImageState.REJECTED, "reason": Reason.LICENCE}

_CLEARED: Mapping[str, None] = dict.fromkeys(("reason", "detail", "evidence"))
"""Columns that are cleared when an image is fetched or validated again."""


def url_digest(normalised_url: str) -> str:
    """Return the key that makes a URL unique in its dataset: SHA-256 of its normalised form, hex."""
    return hashlib.sha256(normalised_url.encode("utf-8", "surrogatepass")).hexdigest()


async def add_candidates(
    connection: Connection,
    *,
    dataset_id: str,
    job_id: str,
    search_id: str,
    chunks: Sequence[tuple[str | None, Sequence[tuple[str, Candidate]]]],
) -> dict[str | None, int]:
    """Insert the candidates that the dataset does not have yet; the rows of a list that name one of its URLs again go to ``list_rows``.

    Args:
        chunks: (chunk id, candidates with their normalised URLs); those without a chunk are spare.

    Returns:
        How many rows each chunk got.
    """
    await one_at_a_time(connection, dataset_id)
    rows: dict[str, dict[str, Any]] = {}
    again: list[tuple[str, Candidate]] = []
    first: dict[str, Candidate] = {}
    for chunk_id, candidates in chunks:
        for normalised, candidate in candidates:
            key = url_digest(normalised)
            if first.setdefault(key, candidate) is candidate:
                rows[key] = _as_row(candidate) | {"url_key": key, "chunk_id": chunk_id} | (_PENDING if chunk_id else _SPARE)
            else:
                again.append((key, candidate))
    common = {"dataset_id": dataset_id, "job_id": job_id, "search_id": search_id}
    sizes: dict[str | None, int] = {}
    values = [row | common for row in rows.values()]
    statement = insert_new(connection)
    named: list[tuple[int, Sequence[str]]] = []
    for start in range(0, len(values), BATCH):
        for row in (await connection.execute(statement, values[start : start + BATCH])).all():
            sizes[row.chunk_id] = sizes.get(row.chunk_id, 0) + 1
            named.append((row.id, first.pop(row.url_key).identities))
    await offers.add_identities(connection, dataset_id, named)
    await list_rows.add(connection, dataset_id=dataset_id, search_id=search_id, rows=[*first.items(), *again])
    return sizes


async def add_refused(
    connection: Connection, *, dataset_id: str, job_id: str, search_id: str, refused: Sequence[tuple[str, Candidate, str]]
) -> int:
    """Insert candidates that are never fetched because of their licences, but for URLs that the dataset has; return how many.

    Args:
        refused: normalised URLs, candidates, and for each of them why, in words.
    """
    await one_at_a_time(connection, dataset_id)
    common = {"dataset_id": dataset_id, "job_id": job_id, "search_id": search_id, "chunk_id": None} | _REFUSED
    rows = [
        _as_row(candidate) | common | {"url_key": url_digest(normalised), "detail": detail, "evidence": _statement(candidate)}
        for normalised, candidate, detail in refused
    ]
    statement = insert_new(connection)
    identities = {url_digest(normalised): candidate.identities for normalised, candidate, _ in refused}
    inserted = [row for at in range(0, len(rows), BATCH) for row in (await connection.execute(statement, rows[at : at + BATCH])).all()]
    await offers.add_identities(connection, dataset_id, [(row.id, identities[row.url_key]) for row in inserted])
    return len(inserted)


def _statement(candidate: Candidate) -> str | None:
    stated = candidate.license_raw or candidate.license or candidate.license_url
    return as_evidence(stated) if stated else None


async def one_at_a_time(connection: Connection, dataset_id: str) -> None:
    """Lock the row of the dataset: two searches that insert the same URLs in different orders would deadlock."""
    await connection.execute(select(tables.datasets.c.id).where(tables.datasets.c.id == dataset_id).with_for_update(key_share=True))


def insert_new(connection: Connection) -> Any:
    """Return the statement that inserts rows of URLs that their dataset does not have yet, and returns their ids."""
    dialect = sqlite if connection.dialect_name == "sqlite" else postgresql
    statement = dialect.insert(tables.images).on_conflict_do_nothing(index_elements=["dataset_id", "url_key"])
    return statement.returning(tables.images.c.id, tables.images.c.chunk_id, tables.images.c.url_key)


_PLAIN_FIELDS = (
    *("url", "source", "rank", "line", "page_url", "title", "caption", "label", "group_id", "split", "expected_sha256"),
    *("license", "license_url", "license_raw", "license_confidence", "license_note", "creator", "creator_url", "attribution"),
)
"""Fields of a candidate that are columns of the same name."""


def _as_row(candidate: Candidate) -> dict[str, Any]:
    row = {name: getattr(candidate, name) for name in _PLAIN_FIELDS}
    row |= {name: list(getattr(candidate, name)) or None for name in ("captions", "labels")}
    boxes = [asdict(box) for box in candidate.boxes] or None
    return row | {"extra": candidate.extra or None, "stated": _stated(candidate) or None, "boxes": boxes}


def _stated(candidate: Candidate) -> dict[str, Any]:
    """What else a source says of a candidate; what it does not say is left out."""
    said = {
        "tags": list(candidate.tags),
        "bytes": candidate.stated_bytes,
        "identities": list(candidate.identities),
        "renditions": [asdict(one) for one in candidate.renditions],
        "url": candidate.origin_url,
        "source": candidate.origin,
    }
    return {name: value for name, value in said.items() if value}


async def chunk_images(connection: Connection, chunk_id: str, states: Iterable[ImageState], *, due_only: bool = False) -> list[StoredImage]:
    """Return a chunk's images in these states, by id; with ``due_only`` only those whose not-before time has passed."""
    columns = tables.images.c
    query = select(*STORED).where(columns.chunk_id == chunk_id, columns.state.in_(list(states))).order_by(columns.id)
    if due_only:
        query = query.where(or_(columns.not_before.is_(None), columns.not_before <= db_now()))
    return [as_image(row) for row in (await connection.execute(query)).all()]


async def chunk_states(connection: Connection, chunk_id: str) -> dict[ImageState, float]:
    """Return the states of a chunk's images, each with the earliest time at which one of them is due, Unix seconds."""
    columns = tables.images.c
    due = func.min(func.coalesce(columns.not_before, 0.0)).label("due")
    query = select(columns.state, due).where(columns.chunk_id == chunk_id).group_by(columns.state)
    return {ImageState(row.state): float(row.due) for row in (await connection.execute(query)).all()}


async def fail_open(connection: Connection, chunk_id: str, detail: str) -> int:
    """Give the images of a chunk that are not fetched yet the reason ``cancelled``; return how many."""
    columns = tables.images.c
    left = (columns.chunk_id == chunk_id, columns.state.in_([ImageState.PENDING, ImageState.DEFERRED]))
    values = {"state": ImageState.FAILED, "reason": Reason.CANCELLED, "detail": detail, "evidence": None, "not_before": None}
    return (await connection.execute(update(tables.images).where(*left).values(**values, updated_at=db_now()))).rowcount


async def update_many(connection: Connection, changes: Sequence[Mapping[str, Any]], *, always: bool = False) -> None:
    """Update images in bulk with one prepared statement, but for those that `offers.UNDECIDED` leaves out.

    Each change has an ``id``; all changes have the same columns. Rows are locked in the order of their ids, as `offers.load` does.

    Args:
        always: leave none out: for what is removed on request.
    """
    if not changes:
        return
    names = tuple(name for name in changes[0] if name != "id")
    pairs = [(name, _NEW.format(name)) for name in names]
    rows = [{"row_id": change["id"]} | {new: change[name] for name, new in pairs} for change in sorted(changes, key=itemgetter("id"))]
    await connection.execute(_update(names, always), rows)


async def update_alike(connection: Connection, ids: Sequence[int], values: Mapping[str, Any]) -> None:
    """As `update_many`, with the same values for at most a few thousand images in one statement; three times as fast as one for each."""
    alike = update(tables.images).where(tables.images.c.id.in_(ids), offers.UNDECIDED)
    await connection.execute(alike.values(**values, updated_at=db_now()))


_NEW = "new_{}"


@functools.lru_cache(maxsize=64)
def _update(names: tuple[str, ...], always: bool) -> Any:
    """Built once for each set of columns, of which there are about a dozen."""
    values: dict[str, Any] = {name: bindparam(_NEW.format(name)) for name in names} | {"updated_at": db_now()}
    changed = update(tables.images).where(tables.images.c.id == bindparam("row_id")).values(values)
    return changed if always else changed.where(offers.UNDECIDED)


async def counts(db: Database, *, dataset_id: str | None = None, job_id: str | None = None) -> tuple[SourceCount, ...]:
    """Count the images of a dataset or of a job by source, state and reason."""
    columns = tables.images.c
    keys = (columns.job_id, columns.state, columns.reason, columns.source)
    query = select(*keys, func.count().label("number")).group_by(*keys)
    if dataset_id is not None:
        query = query.where(columns.job_id.in_(jobs.on_dataset(dataset_id)))
    if job_id is not None:
        query = query.where(columns.job_id == job_id)
    found: dict[tuple[str, ImageState, Reason | None], int] = {}
    async with db.read() as connection:
        for row in (await connection.execute(query)).all():
            key = (row.source, ImageState(row.state), Reason(row.reason) if row.reason else None)
            found[key] = found.get(key, 0) + row.number
    return tuple(SourceCount(*key, number) for key, number in found.items())


async def count_deep(db: Database, dataset_id: str) -> int:
    """Count the images with `StoredImage.warning`: kept as they came, of more than 8 bits. Reads the row of every kept image."""
    columns = tables.images.c
    is_unchanged = columns.out_sha256.is_(None) | columns.changes.is_not(None)
    query = select(func.count()).where(
        columns.dataset_id == dataset_id, columns.state == ImageState.KEPT, columns.measures["bits"].as_float() > 8, is_unchanged
    )
    async with db.read() as connection:
        return int((await connection.execute(query)).scalar_one())


async def counts_by_label(db: Database, dataset_id: str) -> list[LabelCount]:
    """Count the images of a dataset by label, search, state and reason. Reads every row of the dataset."""
    columns = tables.images.c
    keys = (columns.label, columns.search_id, columns.state, columns.reason)
    query = select(*keys, func.count().label("number")).where(columns.dataset_id == dataset_id).group_by(*keys)
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    return [
        LabelCount(row.label, row.search_id, ImageState(row.state), Reason(row.reason) if row.reason else None, row.number) for row in rows
    ]


def of_user(user_id: str | None) -> list[ColumnElement[bool]]:
    """Return the condition that an image belongs to a user; only for queries that find few rows by another condition."""
    if user_id is None:
        return []
    return [tables.images.c.dataset_id.in_(select(tables.datasets.c.id).where(tables.datasets.c.user_id == user_id))]


async def get(db: Database, image_id: int, *, user_id: str | None = None) -> StoredImage:
    """Return one image; the image of another user is not found."""
    query = select(*STORED).where(tables.images.c.id == image_id, *of_user(user_id))
    async with db.read() as connection:
        row = (await connection.execute(query)).first()
    if row is None:
        raise errors.NotFoundError(f"no image {image_id}")
    return as_image(row)


async def kept_after(
    connection: Connection, dataset_id: str, *, last_id: int = 0, limit: int = 1000, chunk_id: str | None = None
) -> list[StoredImage]:
    """Return kept images with an id above ``last_id``, by id; call it repeatedly to read a dataset of any size."""
    columns = tables.images.c
    # with both conditions SQLite would read every kept image of the dataset; a chunk belongs to one dataset
    where = columns.dataset_id == dataset_id if chunk_id is None else columns.chunk_id == chunk_id
    query = select(*STORED).where(where, columns.state == ImageState.KEPT, columns.id > last_id).order_by(columns.id).limit(limit)
    return [as_image(row) for row in (await connection.execute(query)).all()]


async def uncompressed_chunks(connection: Connection, dataset_id: str) -> list[str]:
    """Return the chunks with kept images that are not compressed yet."""
    columns = tables.images.c
    is_left = and_(columns.state == ImageState.KEPT, columns.out_sha256.is_(None))
    query = select(columns.chunk_id).where(columns.dataset_id == dataset_id, is_left).distinct()
    return [row.chunk_id for row in (await connection.execute(query.order_by(columns.chunk_id))).all()]


async def labels_of(connection: Connection, dataset_id: str) -> dict[str | None, int]:
    """Count kept images by label."""
    columns = tables.images.c
    query = select(columns.label, func.count().label("number")).where(columns.dataset_id == dataset_id, columns.state == ImageState.KEPT)
    return {row.label: row.number for row in (await connection.execute(query.group_by(columns.label))).all()}


async def reassign(
    connection: Connection, dataset_id: str, *, job_id: str, chunk_ids: Sequence[str], size: int, reasons: Sequence[Reason]
) -> int:
    """Move failed images to another job as pending images, chunk by chunk; return how many."""
    columns = tables.images.c
    moved = 0
    for chunk_id in chunk_ids:
        batch = (
            select(columns.id)
            .where(columns.dataset_id == dataset_id, columns.state == ImageState.FAILED, columns.reason.in_(list(reasons)))
            .order_by(columns.id)
            .limit(size)
        )
        ids = [row.id for row in (await connection.execute(batch)).all()]
        result = await connection.execute(
            update(tables.images)
            .where(columns.id.in_(ids))
            .values(job_id=job_id, chunk_id=chunk_id, state=ImageState.PENDING, **_CLEARED, not_before=None, deferred_at=None)
        )
        moved += result.rowcount
    return moved


async def count_failed(connection: Connection, dataset_id: str, reasons: Sequence[Reason]) -> int:
    """Count failed images with one of these reasons."""
    columns = tables.images.c
    query = select(func.count()).where(
        columns.dataset_id == dataset_id, columns.state == ImageState.FAILED, columns.reason.in_(list(reasons))
    )
    return int((await connection.execute(query)).scalar_one())


async def referenced_blobs(db: Database, digests: Sequence[str]) -> set[str]:
    """Return those of these digests that an image still refers to."""
    columns = tables.images.c
    query = select(columns.sha256, columns.out_sha256).where(or_(columns.sha256.in_(list(digests)), columns.out_sha256.in_(list(digests))))
    async with db.read() as connection:
        rows = (await connection.execute(query)).all()
    return {digest for row in rows for digest in row if digest}


async def add_chunks(connection: Connection, job_id: str, sizes: Mapping[str, int]) -> None:
    """Insert chunks with their sizes."""
    if sizes:
        rows = [{"id": chunk_id, "job_id": job_id, "size": size} for chunk_id, size in sizes.items()]
        await connection.execute(insert(tables.chunks).values(created_at=db_now()), rows)


async def reset_for_validation(
    connection: Connection, dataset_id: str, states: Sequence[ImageState], reasons: Sequence[Reason]
) -> list[str]:
    """Set images with bytes to ``fetched`` again, to be validated once more; return their chunks."""
    columns = tables.images.c
    rejected = and_(columns.state == ImageState.REJECTED, columns.reason.in_(list(reasons)))
    wanted = and_(columns.dataset_id == dataset_id, columns.sha256.is_not(None), or_(columns.state.in_(list(states)), rejected))
    chunks = [row.chunk_id for row in (await connection.execute(select(columns.chunk_id).where(wanted).distinct())).all()]
    await connection.execute(
        update(tables.images).where(wanted).values(state=ImageState.FETCHED, **_CLEARED, duplicate_of=None, updated_at=db_now())
    )
    return sorted(chunks)


STORED = [tables.images.c[field.name] for field in fields(StoredImage)]
"""Columns of an image in the order of the fields of StoredImage, so that a row is its arguments."""

_STATES: Final = {state.value: state for state in ImageState}
_REASONS: Final[dict[str | None, Reason | None]] = {None: None} | {reason.value: reason for reason in Reason}
"""A dict lookup costs a fifth of the constructor of an enum, and a build reads every row several times."""

_STATE = STORED.index(tables.images.c.state)


def as_image(row: Row[Any]) -> StoredImage:
    """Convert a row of the columns :data:`STORED`.

    Raises:
        KeyError: this version does not know the state or the reason.
    """
    values: tuple[Any, ...] = (*row[:_STATE], _STATES[row[_STATE]], _REASONS[row[_STATE + 1]], *row[_STATE + 2 :])
    return StoredImage(*values)
