"""Runs a function over a stream of items with bounded concurrency and yields the results as they finish. Knows no URLs."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Hashable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

__all__ = ["map_unordered"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_END: Final = object()

_LANE_DEPTH: Final = 2
"""Started items of one lane that may wait at once: one to go next, one behind it."""

_READ_AHEAD: Final = 1000
"""Items read ahead at most while the lanes of earlier ones are full."""


async def map_unordered(
    items: AsyncIterable[_Item] | Iterable[_Item],
    work: Callable[[_Item, Callable[[], None]], Coroutine[Any, Any, _Result]],
    *,
    limit: int,
    lane: Callable[[_Item], Hashable] | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[_Result, None]:
    """Yield the results of ``work`` over ``items`` in the order they finish, at most ``limit`` in progress, unyielded ones included.

    Once ``stop`` is set no item is started, and items that still wait in their lane are cancelled without a result; the others are
    finished and yielded. However the iteration ends, no task outlives it.

    Args:
        work: takes an item, and a function to call once the item no longer waits for others of its lane; its end counts as well.
        lane: the queue that an item shares with others. While a lane does not move, items of other lanes are started first, so that it
            takes few of the places.

    Raises:
        Exception: what ``work`` or ``items`` raises, after the results that were ready with it.
    """
    tasks: _Tasks[_Item, _Result] = _Tasks(work, _Lanes(lane, _LANE_DEPTH if lane else limit))
    feed = _Feed(items, tasks.lanes, tasks.wake, stop)
    try:
        while True:
            while tasks.in_progress < limit and (item := feed.take()) is not _END:
                tasks.start(item)
            if not tasks.in_progress and feed.has_ended:
                return
            feed.pull(may_pull=tasks.in_progress < limit)
            await tasks.wake.wait()
            tasks.wake.clear()
            if stop is not None and stop.is_set():
                tasks.cancel_waiting()
            ready = tasks.take_finished()
            while ready:  # popped, so that a result that was yielded is not kept here
                yield ready.pop().result()
    finally:
        await _cancel(tasks.all | feed.tasks)


class _Lanes(Generic[_Item]):
    """The items that may not start yet, by lane; lanes with room take turns."""

    def __init__(self, lane: Callable[[_Item], Hashable] | None, depth: int) -> None:
        self._lane = lane
        self._depth = depth
        self._queued: dict[Hashable, deque[_Item]] = {}
        self._open: deque[Hashable] = deque()
        self._waiting: Counter[Hashable] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def of(self, item: _Item) -> Hashable:
        return self._lane(item) if self._lane else None

    def put(self, item: _Item) -> None:
        lane = self.of(item)
        queued = self._queued.setdefault(lane, deque())
        queued.append(item)
        self._size += 1
        if len(queued) == 1 and self._waiting[lane] < self._depth:
            self._open.append(lane)

    def take(self) -> Any:
        """Return the next item that may start, else the end mark."""
        if not self._open:
            return _END
        lane = self._open.popleft()
        queued = self._queued[lane]
        item = queued.popleft()
        self._size -= 1
        self._waiting[lane] += 1
        if not queued:
            del self._queued[lane]
        elif self._waiting[lane] < self._depth:
            self._open.append(lane)
        return item

    def advance(self, lane: Hashable) -> bool:
        """One started item of the lane waits no longer; return True where another one may start now."""
        self._waiting[lane] -= 1
        if not self._waiting[lane]:
            del self._waiting[lane]
        if lane not in self._queued or self._waiting[lane] + 1 != self._depth:
            return False
        self._open.append(lane)
        return True


class _Tasks(Generic[_Item, _Result]):
    """The tasks in progress: running, or finished and not yet yielded."""

    def __init__(self, work: Callable[[_Item, Callable[[], None]], Coroutine[Any, Any, _Result]], lanes: _Lanes[_Item]) -> None:
        self.lanes = lanes
        self.wake = asyncio.Event()
        self._work = work
        self._running: set[asyncio.Task[_Result]] = set()
        self._waiting: set[asyncio.Task[_Result]] = set()
        self._finished: list[asyncio.Task[_Result]] = []

    @property
    def in_progress(self) -> int:
        return len(self._running) + len(self._finished)

    @property
    def all(self) -> set[asyncio.Task[Any]]:
        return {*self._running, *self._finished}

    def start(self, item: _Item) -> None:
        lane = self.lanes.of(item)

        def advance() -> None:
            if task in self._waiting and self.lanes.advance(lane):
                self.wake.set()
            self._waiting.discard(task)

        def finish(task: asyncio.Task[_Result]) -> None:
            was_cancelled_waiting = task in self._waiting and task.cancelled()
            advance()
            self._running.discard(task)
            if not was_cancelled_waiting:
                self._finished.append(task)
            self.wake.set()

        task = asyncio.create_task(self._work(item, advance))
        self._running.add(task)
        self._waiting.add(task)
        task.add_done_callback(finish)

    def cancel_waiting(self) -> None:
        """Cancel the tasks that still wait in their lane."""
        for task in self._waiting:
            task.cancel()

    def take_finished(self) -> list[asyncio.Task[_Result]]:
        """Return what has finished, failures first: the caller pops from the end."""
        finished, self._finished = self._finished, []
        finished.reverse()
        return sorted(finished, key=_has_succeeded)


class _Feed:
    """The source of items: a plain iterable is read at once, an asynchronous one by a task."""

    def __init__(
        self, items: AsyncIterable[Any] | Iterable[Any], lanes: _Lanes[Any], wake: asyncio.Event, stop: asyncio.Event | None
    ) -> None:
        self._iterator: Iterator[Any] | None = None
        self._async_iterator: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._async_iterator = aiter(items)
        else:
            self._iterator = iter(items)
        self._lanes = lanes
        self._wake = wake
        self._stop = stop
        self._pulling: asyncio.Task[Any] | None = None
        self._stopping = self._create_task(stop.wait()) if stop is not None else None
        self._is_exhausted = False

    @property
    def has_ended(self) -> bool:
        return self._is_stopped or (self._is_exhausted and not len(self._lanes))

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        return {task for task in (self._pulling, self._stopping) if task is not None}

    def take(self) -> Any:
        """Return the next item that may start, where there is one now, else the end mark."""
        if self._is_stopped:
            return _END
        while (item := self._lanes.take()) is _END and len(self._lanes) < _READ_AHEAD and (pulled := self._next()) is not _END:
            self._lanes.put(pulled)
        return item

    def pull(self, *, may_pull: bool) -> None:
        """Request the next item of an asynchronous iterable where there is room for it."""
        if self._async_iterator is not None and self._pulling is None and may_pull and not self._is_exhausted and not self._is_stopped:
            self._pulling = self._create_task(_anext(self._async_iterator))

    @property
    def _is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _next(self) -> Any:
        """Return the next item where it is available now, else the end mark."""
        if self._is_exhausted:
            return _END
        if self._iterator is not None:
            item = next(self._iterator, _END)
        elif self._pulling is not None and self._pulling.done():
            item, self._pulling = self._pulling.result(), None
        else:
            return _END
        self._is_exhausted = item is _END
        return item

    def _create_task(self, waiting: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(waiting)
        task.add_done_callback(lambda _: self._wake.set())
        return task


async def _anext(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)


def _has_succeeded(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
