"""A bounded window over a stream of work: started as places free up, yielded as it finishes, never left behind. Knows no URLs."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Hashable, Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

__all__ = ["finish_in_window"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_END: Final = object()

_LANE_DEPTH: Final = 2
"""Items of one lane that may stand in the window without being under way: one to go next, one behind it."""

_AHEAD: Final = 1000
"""Items held back at most while others of their lane have yet to get under way."""


async def finish_in_window(
    items: AsyncIterable[_Item] | Iterable[_Item],
    work: Callable[[_Item, Callable[[], None]], Coroutine[Any, Any, _Result]],
    *,
    size: int,
    lane: Callable[[_Item], Hashable] | None = None,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[_Result, None]:
    """Yield the results of ``work`` over ``items`` in the order they finish, at most ``size`` in hand, unyielded ones included.

    Once ``stop`` is set no item is started, and those that still wait behind others of their lane are let go without a result; the ones
    under way are finished and yielded. However the iteration ends, no task outlives it.

    Args:
        work: gets an item, and a function to call once it no longer waits behind others of its lane; its end counts as well.
        lane: what items queue for together. Where a lane does not move, items of others are taken first, so that it fills few places.

    Raises:
        Exception: what ``work`` or ``items`` raises, after the results that were ready with it.
    """
    window: _Window[_Item, _Result] = _Window(work, _Lanes(lane, _LANE_DEPTH if lane else size))
    feed = _Feed(items, window.lanes, window.wake, stop)
    try:
        while True:
            while window.in_hand < size and (item := feed.take()) is not _END:
                window.start(item)
            if not window.in_hand and feed.ended:
                return
            feed.pull(may_pull=window.in_hand < size)
            await window.wake.wait()
            window.wake.clear()
            if stop is not None and stop.is_set():
                window.let_go()
            ready = window.take_finished()
            while ready:  # a result that is yielded must not be held here while the next ones grow
                yield ready.pop().result()
    finally:
        await _cancel(window.tasks | feed.tasks)


class _Lanes(Generic[_Item]):
    """The items that may not start yet, by lane; lanes that may take turns."""

    def __init__(self, lane: Callable[[_Item], Hashable] | None, depth: int) -> None:
        self._lane = lane
        self._depth = depth
        self._held: dict[Hashable, deque[_Item]] = {}
        self._open: deque[Hashable] = deque()
        self._beginning: Counter[Hashable] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def of(self, item: _Item) -> Hashable:
        return self._lane(item) if self._lane else None

    def put(self, item: _Item) -> None:
        lane = self.of(item)
        held = self._held.setdefault(lane, deque())
        held.append(item)
        self._size += 1
        if len(held) == 1 and self._beginning[lane] < self._depth:
            self._open.append(lane)

    def take(self) -> Any:
        """Return the next item that may start, else the end mark."""
        if not self._open:
            return _END
        lane = self._open.popleft()
        held = self._held[lane]
        item = held.popleft()
        self._size -= 1
        self._beginning[lane] += 1
        if not held:
            del self._held[lane]
        elif self._beginning[lane] < self._depth:
            self._open.append(lane)
        return item

    def begun(self, lane: Hashable) -> bool:
        """One item of the lane waits no longer; True where that lets another one start."""
        self._beginning[lane] -= 1
        if not self._beginning[lane]:
            del self._beginning[lane]
        if lane not in self._held or self._beginning[lane] + 1 != self._depth:
            return False
        self._open.append(lane)
        return True


class _Window(Generic[_Item, _Result]):
    """What is in hand: running, or finished and not yet yielded."""

    def __init__(self, work: Callable[[_Item, Callable[[], None]], Coroutine[Any, Any, _Result]], lanes: _Lanes[_Item]) -> None:
        self.lanes = lanes
        self.wake = asyncio.Event()
        self._work = work
        self._running: set[asyncio.Task[_Result]] = set()
        self._waiting: set[asyncio.Task[_Result]] = set()
        self._finished: list[asyncio.Task[_Result]] = []

    @property
    def in_hand(self) -> int:
        return len(self._running) + len(self._finished)

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        return {*self._running, *self._finished}

    def start(self, item: _Item) -> None:
        lane = self.lanes.of(item)

        def under_way() -> None:
            if task in self._waiting and self.lanes.begun(lane):
                self.wake.set()
            self._waiting.discard(task)

        def finish(task: asyncio.Task[_Result]) -> None:
            is_let_go = task in self._waiting and task.cancelled()
            under_way()
            self._running.discard(task)
            if not is_let_go:
                self._finished.append(task)
            self.wake.set()

        task = asyncio.create_task(self._work(item, under_way))
        self._running.add(task)
        self._waiting.add(task)
        task.add_done_callback(finish)

    def let_go(self) -> None:
        """Cancel what is not under way yet."""
        for task in self._waiting:
            task.cancel()

    def take_finished(self) -> list[asyncio.Task[_Result]]:
        """Return what has finished, failures first: to be popped from the end."""
        finished, self._finished = self._finished, []
        finished.reverse()
        return sorted(finished, key=_succeeded)


class _Feed:
    """Where items come from: a plain iterable is asked at once, an asynchronous one by a task that the window waits for."""

    def __init__(
        self, items: AsyncIterable[Any] | Iterable[Any], lanes: _Lanes[Any], wake: asyncio.Event, stop: asyncio.Event | None
    ) -> None:
        self._plain: Iterator[Any] | None = None
        self._slow: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._slow = aiter(items)
        else:
            self._plain = iter(items)
        self._lanes = lanes
        self._wake = wake
        self._stop = stop
        self._pulling: asyncio.Task[Any] | None = None
        self._stopping = self._watched(stop.wait()) if stop is not None else None
        self._exhausted = False

    @property
    def ended(self) -> bool:
        return self._is_stopped or (self._exhausted and not len(self._lanes))

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        return {task for task in (self._pulling, self._stopping) if task is not None}

    def take(self) -> Any:
        """Return the next item that may start where it takes no waiting, else the end mark."""
        if self._is_stopped:
            return _END
        while (item := self._lanes.take()) is _END and len(self._lanes) < _AHEAD and (pulled := self._next()) is not _END:
            self._lanes.put(pulled)
        return item

    def pull(self, *, may_pull: bool) -> None:
        """Ask an asynchronous feed for its next item where there would be a place for it."""
        if self._slow is not None and self._pulling is None and may_pull and not self._exhausted and not self._is_stopped:
            self._pulling = self._watched(_anext(self._slow))

    @property
    def _is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _next(self) -> Any:
        """Return the next item where it is there, else the end mark."""
        if self._exhausted:
            return _END
        if self._plain is not None:
            item = next(self._plain, _END)
        elif self._pulling is not None and self._pulling.done():
            item, self._pulling = self._pulling.result(), None
        else:
            return _END
        self._exhausted = item is _END
        return item

    def _watched(self, waiting: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(waiting)
        task.add_done_callback(lambda _: self._wake.set())
        return task


async def _anext(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)


def _succeeded(task: asyncio.Task[Any]) -> bool:
    return not task.cancelled() and task.exception() is None


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
