"""The disk: what a workspace takes, and the removal of what nothing refers to."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from app.db import Database, api_keys, datasets, derived_images, fleet, images, jobs, usage
from app.db.exceptions import StateConflict
from app.db.rows import Dataset
from app.storage import ObjectInfo, Store, paths

__all__ = ["GRACE_S", "Choice", "Cleaned", "Plan", "Usage", "clean", "measure", "plan", "remove_chosen"]

GRACE_S = 24 * 3600.0
"""Age below which a working fleet's objects are not removed, seconds: their rows may not be written yet."""

_IDEMPOTENCY_S = 24 * 3600.0
"""Seconds an Idempotency-Key is kept."""

_WORKER_FORGOTTEN_S = 3600.0
"""Seconds without a heartbeat after which a worker's row is removed."""

_BATCH = 500
_THUMBS = "thumbs/"
_DAY_S = 24 * 3600.0


@dataclass(slots=True)
class Cleaned:
    """What was removed.

    Attributes:
        blobs: images' bytes, with their thumbnails.
        thumbnails: those beyond the bytes that thumbnails may take.
        trees: exports and URL lists.
        files: files that were not finished, and scratch folders.
        size_bytes: size of blobs, thumbnails beyond the bound, and trees.
    """

    blobs: int = 0
    thumbnails: int = 0
    trees: int = 0
    files: int = 0
    size_bytes: int = 0
    idempotency_keys: int = 0
    workers: int = 0


@dataclass(slots=True)
class Usage:
    """Bytes and objects in the store, by kind: ``blobs``, ``thumbs``, ``exports``, ``lists``, ``other``; and what nothing refers to."""

    size_bytes: Counter[str] = field(default_factory=Counter)
    objects: Counter[str] = field(default_factory=Counter)
    unused_bytes: int = 0
    unused_objects: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes besides what nothing refers to.

    Attributes:
        keep_versions: datasets that so many newer versions replace.
        log_days: logs of jobs that ended so many days ago.
        thumbnail_bytes: the oldest thumbnails, until the others take no more than that.
    """

    keep_versions: int | None = None
    log_days: float | None = None
    thumbnail_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go, or went: objects that nothing refers to with their size, surplus thumbnails, old versions, and lines of job logs."""

    size_bytes: int = 0
    objects: int = 0
    thumbnails: int = 0
    thumbnail_bytes: int = 0
    versions: Sequence[Dataset] = ()
    log_lines: int = 0


async def plan(db: Database, store: Store, choice: Choice, *, min_age_s: float = GRACE_S) -> Plan:
    """Find what `remove_chosen` and `clean` would remove; nothing is changed."""
    now = await db.now()
    unused = Usage()
    await _count_unused(db, store, now - min_age_s, unused)
    old = await usage.replaced_versions(db, choice.keep_versions) if choice.keep_versions is not None else []
    lines = await usage.count_log_lines(db, now - choice.log_days * _DAY_S) if choice.log_days is not None else 0
    surplus = [item.size async for batch in _surplus_thumbnails(store, choice.thumbnail_bytes) for item in batch]
    return Plan(unused.unused_bytes, unused.unused_objects, len(surplus), sum(surplus), old, lines)


async def remove_chosen(db: Database, choice: Choice) -> Plan:
    """Remove the rows of old versions and logs. The next `clean` deletes the bytes that only they needed."""
    removed: list[Dataset] = []
    for old in await usage.replaced_versions(db, choice.keep_versions) if choice.keep_versions is not None else ():
        with suppress(StateConflict):  # a job began on it
            await datasets.delete_dataset(db, old.id)
            removed.append(old)
    before = await db.now() - (choice.log_days or 0) * _DAY_S
    lines = await usage.delete_log_lines(db, before) if choice.log_days is not None else 0
    return Plan(versions=removed, log_lines=lines)


async def clean(db: Database, store: Store, *, min_age_s: float = GRACE_S, thumbnail_bytes: int | None = None) -> Cleaned:
    """Remove blobs, exports and lists that no row refers to, surplus thumbnails, unfinished files, old idempotency keys and rows of workers
    that ended.

    Args:
        min_age_s: younger objects are spared, but for thumbnails; 0 only where no job can be at work.
        thumbnail_bytes: what thumbnails may take.
    """
    cleaned = Cleaned()
    now = await db.now()

    async def remove_blobs(unused: dict[str, ObjectInfo]) -> None:
        await derived_images.drop(db, list(unused))
        await store.delete([item.key for item in unused.values()] + [paths.thumb(digest) for digest in unused])
        cleaned.blobs += len(unused)
        cleaned.size_bytes += sum(item.size for item in unused.values())

    await _for_unused_blobs(db, store, now - min_age_s, remove_blobs)
    for prefix, tree in (await _unused_trees(db, store, now - min_age_s)).items():
        await (store.delete_tree(prefix) if prefix.startswith("exports/") else store.delete([prefix]))
        cleaned.trees += 1
        cleaned.size_bytes += tree.size_bytes
    async for batch in _surplus_thumbnails(store, thumbnail_bytes):
        await store.delete([item.key for item in batch])
        cleaned.thumbnails += len(batch)
        cleaned.size_bytes += sum(item.size for item in batch)
    cleaned.files = await store.clear_leftovers(min_age_s)
    cleaned.idempotency_keys = await api_keys.expire_idempotency(db, older_than_s=_IDEMPOTENCY_S)
    cleaned.workers = await fleet.forget_workers(db, older_than_s=_WORKER_FORGOTTEN_S)
    return cleaned


async def measure(db: Database, store: Store) -> Usage:
    """Measure the store: every object is listed."""
    found = Usage()
    async for item in store.list():
        kind = item.key.partition("/")[0]
        kind = kind if kind in ("blobs", "thumbs", "exports", "lists") else "other"
        found.size_bytes[kind] += item.size
        found.objects[kind] += 1

    await _count_unused(db, store, float("inf"), found)
    return found


async def _count_unused(db: Database, store: Store, before: float, found: Usage) -> None:
    async def count(unused: dict[str, ObjectInfo]) -> None:
        found.unused_objects += len(unused)
        found.unused_bytes += sum(item.size for item in unused.values())

    await _for_unused_blobs(db, store, before, count)
    trees = await _unused_trees(db, store, before)
    found.unused_objects += sum(tree.objects for tree in trees.values())
    found.unused_bytes += sum(tree.size_bytes for tree in trees.values())


async def _for_unused_blobs(db: Database, store: Store, before: float, use: Callable[[dict[str, ObjectInfo]], Awaitable[None]]) -> None:
    """Call ``use`` with batches of blobs, by digest, that no image refers to and that were last used before this Unix time.

    A blob is used when it is written or linked, or an export derives an image that it holds.
    """
    batch: dict[str, ObjectInfo] = {}

    async def flush() -> None:
        used = await _in_use(db, list(batch), before) if batch else set()
        unused = {digest: item for digest, item in batch.items() if digest not in used}
        if unused := {digest: item for digest, item in unused.items() if await store.linked_at(item.key) <= before}:
            await use(unused)
        batch.clear()

    async for item in store.list("blobs/"):
        digest = paths.blob_digest(item.key)
        if digest is not None and item.modified <= before:
            batch[digest] = item
            if len(batch) >= _BATCH:
                await flush()
    await flush()


async def _in_use(db: Database, digests: Sequence[str], before: float) -> set[str]:
    return await images.referenced_blobs(db, digests) | await derived_images.in_use(db, digests, since=before)


@dataclass(slots=True)
class _Tree:
    size_bytes: int = 0
    objects: int = 0
    modified: float = 0.0


async def _unused_trees(db: Database, store: Store, before: float) -> dict[str, _Tree]:
    """Exports and URL lists, by prefix, that have no row and were last written before this Unix time."""
    trees: dict[str, _Tree] = {}
    for root in ("exports/", "lists/"):
        async for item in store.list(root):
            tree = trees.setdefault("/".join(item.key.split("/")[:2]), _Tree())
            tree.size_bytes += item.size
            tree.objects += 1
            tree.modified = max(tree.modified, item.modified)
    old = {prefix: tree for prefix, tree in trees.items() if tree.modified <= before}
    used = await datasets.prefixes(db) | await jobs.list_keys(db) if old else set()
    return {prefix: tree for prefix, tree in old.items() if prefix not in used}


async def _surplus_thumbnails(store: Store, max_bytes: int | None) -> AsyncIterator[list[ObjectInfo]]:
    """Yield the oldest thumbnails, in batches, until the others take at most ``max_bytes``; those of one second go together."""
    if max_bytes is None:
        return
    by_second: Counter[int] = Counter()
    async for item in store.list(_THUMBS):
        by_second[int(item.modified)] += item.size
    last = _last_surplus(by_second, max_bytes)
    batch: list[ObjectInfo] = []
    async for item in store.list(_THUMBS):
        if int(item.modified) <= last:
            batch.append(item)
            if len(batch) >= _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _last_surplus(by_second: Mapping[int, int], max_bytes: int) -> int:
    """The second up to which thumbnails must go so that those made later take at most ``max_bytes``; -1 where none must."""
    kept = 0
    for second in sorted(by_second, reverse=True):
        kept += by_second[second]
        if kept > max_bytes:
            return second
    return -1
