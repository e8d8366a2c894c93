"""The gallery of a dataset: pages of images by any filter and order, and counts. Columns say which images; the database says what they are.

Columns are made of all rows of a dataset, at most a tenth of the time, and may be older than the rows. Until there are any, an index
answers what it can.
"""

import asyncio
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from app.concurrency import to_thread_uncancelled
from app.db import Database, image_columns, image_search
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason, StoredImage
from app.gallery import files, folder
from app.gallery.columns import ColumnBuilder, Columns
from app.gallery.files import Stamp
from app.gallery.filters import Filter, Place, Sort
from app.gallery.matching import Matches, find_matches, page
from app.settings import Settings
from logging_setup import get_logger

__all__ = ["Gallery", "View", "open_gallery"]

log = get_logger(__name__)

SMALL: Final = 20_000
"""Images of a dataset whose columns are made while the asker waits: about half a second."""

SHARE: Final = 0.1
"""Part of the time that making columns anew may take, while a job changes the rows all the time."""

MAX_BYTES: Final = 1_000_000_000
"""Bytes of disk for all columns; a million images take about 200 MB."""

MAX_OPEN: Final = 16
"""Datasets whose columns are mapped at once."""

MAX_REMEMBERED: Final = 32
"""Answers to filters that are kept for the further pages of a list, a byte for each image."""


@dataclass(frozen=True, slots=True)
class View:
    """One page of a gallery.

    Attributes:
        images: None where only columns can find them, and these are still being made.
        matches: how many images match, and their values; None while that is being counted.
        as_of: when the counts were true, Unix seconds.
        is_current: whether nothing has changed since.
    """

    images: list[StoredImage] | None
    next_cursor: str | None = None
    matches: Matches | None = None
    as_of: float | None = None
    is_current: bool = False


@dataclass(slots=True)
class _Held:
    """Columns that are mapped, with the identity of their file, and the answers that were given from them."""

    columns: Columns
    stamp: Stamp
    file: tuple[int, int] | None
    answers: "OrderedDict[Filter, Matches]" = field(default_factory=OrderedDict)

    @property
    def rests_until(self) -> float:
        """When they may be made anew, Unix seconds."""
        return self.stamp.at + self.stamp.took_s / SHARE


class Gallery:
    """Galleries of all datasets of a database. Several processes may share a folder.

    Args:
        folder: where the columns are; None for a temporary one that goes with this gallery.
        clock: Unix seconds.
    """

    def __init__(
        self, db: Database, folder: Path | None, *, clock: Callable[[], float] = time.time, small: int = SMALL, max_bytes: int = MAX_BYTES
    ) -> None:
        self._db = db
        self._folder = folder
        self._own_folder: Path | None = None
        self._clock = clock
        self._small = small
        self._max_bytes = max_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._building: dict[str, asyncio.Task[_Held]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop making columns, and remove a temporary folder."""
        running = list(self._building.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._own_folder is not None:
            await asyncio.to_thread(shutil.rmtree, self._own_folder, ignore_errors=True)

    async def look(
        self, dataset_id: str, wanted: Filter, sort: Sort = Sort(), *, limit: int = 60, cursor: str | None = None, wait: bool = False
    ) -> View:
        """Return one page of a dataset's images.

        Args:
            wait: for columns that are not there or not current, however long it takes to make them.

        Raises:
            errors.ValidationError: the cursor is none of this order.
        """
        after = Place.decode(cursor, sort) if cursor is not None else None
        held, is_current = await self._columns(dataset_id, wait)
        if held is None:
            return await self._look_without_columns(dataset_id, wanted, sort, limit, cursor)
        matches, ids, place = await asyncio.to_thread(_answer, held, wanted, sort, after, limit)
        found = await image_columns.by_ids(self._db, dataset_id, ids)
        return View(found, None if place is None else place.encode(sort), matches, held.stamp.at, is_current)

    async def _look_without_columns(self, dataset_id: str, wanted: Filter, sort: Sort, limit: int, cursor: str | None) -> View:
        narrowed = _as_index_filter(dataset_id, wanted, sort)
        if narrowed is None:
            return View(None)
        found = await image_search.page(self._db, narrowed, limit=limit, cursor=cursor)
        return View(found.items, found.next_cursor)

    def forget(self, dataset_id: str | None = None) -> None:
        """Drop the columns of a dataset, or of all: their words must not outlive images that were removed on request."""
        for known in [dataset_id] if dataset_id is not None else list(self._held):
            self._held.pop(known, None)
        if (place := self._folder or self._own_folder) is not None:
            folder.clear(place, dataset_id)

    # --- columns, and when they are made

    async def _columns(self, dataset_id: str, wait: bool) -> tuple[_Held | None, bool]:
        """The columns of a dataset that there are, and whether they are current. If they are not, new ones are made."""
        fingerprint = await image_columns.fingerprint(self._db, dataset_id)
        held = await self._newest(dataset_id)
        if held is not None and held.stamp.fingerprint == fingerprint:
            return held, True
        may_begin = held is None or wait or self._clock() >= held.rests_until
        task = self._building.get(dataset_id) or (self._begin(dataset_id) if may_begin else None)
        if task is not None and (task.done() or wait or await self._is_small(dataset_id, held)):
            try:
                held = await asyncio.shield(task)
            finally:
                self._end(dataset_id, task)
        return held, held is not None and held.stamp.fingerprint == fingerprint

    async def _is_small(self, dataset_id: str, held: _Held | None) -> bool:
        if held is not None:
            return held.columns.size <= self._small
        return not await image_columns.has_more_than(self._db, dataset_id, self._small)

    async def _newest(self, dataset_id: str) -> _Held | None:
        """The columns that are mapped, or those that another process has put into their place."""
        held = self._held.get(dataset_id)
        path = self._path(dataset_id)
        file = folder.identity(path)
        if file is not None and (held is None or held.file != file):
            loaded = await asyncio.to_thread(files.load, path)
            if loaded is not None and (held is None or loaded[1].at > held.stamp.at):
                held = _Held(*loaded, file)
            elif held is not None:
                held.file = file
        if held is not None:
            self._keep(dataset_id, held)
            folder.touch(path)
        return held

    def _keep(self, dataset_id: str, held: _Held) -> None:
        self._held[dataset_id] = held
        self._held.move_to_end(dataset_id)
        while len(self._held) > MAX_OPEN:
            self._held.popitem(last=False)

    def _path(self, dataset_id: str) -> Path:
        place = self._folder or self._own_folder
        if place is None:
            place = self._own_folder = Path(tempfile.mkdtemp(prefix="pictrawl-columns-"))
        return folder.path_of(place, dataset_id)

    def _begin(self, dataset_id: str) -> "asyncio.Task[_Held]":
        """Make columns in a task. Its error is raised to the next one who looks, who could wait for ever otherwise."""
        task = self._building[dataset_id] = asyncio.create_task(self._make(dataset_id))
        task.add_done_callback(lambda done: self._end(dataset_id, done) if _has_result(done) else None)
        return task

    def _end(self, dataset_id: str, task: "asyncio.Task[_Held]") -> None:
        if task.done() and self._building.get(dataset_id) is task:
            del self._building[dataset_id]

    async def _make(self, dataset_id: str) -> _Held:
        """Read all rows of a dataset, one dataset at a time."""
        async with self._one_at_a_time:
            began = self._clock()
            fingerprint = await image_columns.fingerprint(self._db, dataset_id)
            builder = ColumnBuilder()
            async for rows in image_columns.pages(self._db, dataset_id):
                await to_thread_uncancelled(builder.add, rows)
            columns = await to_thread_uncancelled(builder.finish)
            stamp = Stamp(fingerprint, began, self._clock() - began)
            held = await to_thread_uncancelled(self._store, self._path(dataset_id), columns, stamp)
            self._keep(dataset_id, held)
            log.debug("columns.made", images=columns.size, elapsed_s=round(stamp.took_s, 3))
            return held

    def _store(self, path: Path, columns: Columns, stamp: Stamp) -> _Held:
        """Write columns and map the file; they stay in memory where there is no room for it."""
        try:
            files.save(path, columns, stamp)
            folder.make_room(path.parent, self._max_bytes, keep=path)
        except OSError as error:
            log.warning("columns.not_written", error_type=type(error).__name__, error=str(error))
            return _Held(columns, stamp, folder.identity(path))
        loaded = files.load(path)
        return _Held(*(loaded or (columns, stamp)), folder.identity(path))


def _has_result(task: "asyncio.Task[_Held]") -> bool:
    """Whether a task that has ended has neither failed nor been cancelled. Its exception counts as retrieved."""
    return not task.cancelled() and task.exception() is None


def _answer(held: _Held, wanted: Filter, sort: Sort, after: Place | None, limit: int) -> tuple[Matches, list[int], Place | None]:
    matches = held.answers.get(wanted)
    if matches is None:
        matches = held.answers[wanted] = find_matches(held.columns, wanted)
        while len(held.answers) > MAX_REMEMBERED:
            held.answers.popitem(last=False)
    return matches, *page(held.columns, matches.mask, sort, after=after, limit=limit)


_INDEXED: Final = frozenset({"state", "reason", "source", "label", "split"})


def _as_index_filter(dataset_id: str, wanted: Filter, sort: Sort) -> ImageFilter | None:
    """The filter as an index answers it; None where none does."""
    values = dict(wanted.chosen)
    is_indexed = sort == Sort() and not (wanted.ranges or wanted.words or wanted.where) and values.keys() <= _INDEXED
    if not is_indexed or any(len(some) != 1 or not some[0] for some in values.values()):
        return None
    chosen = {name: some[0] for name, some in values.items()}
    return ImageFilter(
        dataset_id=dataset_id,
        state=ImageState(chosen["state"]) if "state" in chosen else None,
        reason=Reason(chosen["reason"]) if "reason" in chosen else None,
        **{name: chosen.get(name) for name in ("source", "label", "split")},
    )


def open_gallery(db: Database, settings: Settings) -> Gallery:
    """The galleries of a database, with their columns where the settings say."""
    return Gallery(db, folder.columns_folder(settings))
