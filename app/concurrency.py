"""Ways to run coroutines and threads that asyncio lacks: bounded tasks, one writer for many callers, steps that cancellation cannot cut.

Knows nothing of what it runs. The downloader's window of requests is a subject of its own, in ``downloader/concurrent_map.py``.
"""

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, ParamSpec, Self, TypeVar

__all__ = [
    "BatchWriter",
    "BoundedTasks",
    "finish_despite_cancel",
    "for_each",
    "gather_all",
    "in_batches",
    "map_in_order",
    "to_thread_uncancelled",
]

Item = TypeVar("Item")
Result = TypeVar("Result")


async def finish_despite_cancel(
    step: Coroutine[Any, Any, Result], *, undo: Callable[[Result], Coroutine[Any, Any, None]] | None = None
) -> Result:
    """Await a step to its end even if the caller is cancelled meanwhile, however often; CancelledError is raised after it.

    Args:
        step: what to finish.
        undo: called with the step's result if the caller was cancelled, and also finished.
    """
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wait_uncancelled(task)
        if undo is not None and not task.cancelled() and task.exception() is None:
            await _wait_uncancelled(asyncio.ensure_future(undo(task.result())))
        raise


async def _wait_uncancelled(task: asyncio.Future[Any]) -> None:
    """Wait for a task of a cancelled caller. Its exception is retrieved and dropped: the caller raises CancelledError."""
    while not task.done():
        with suppress(asyncio.CancelledError):  # not lost: finish_despite_cancel raises the first one
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


class BoundedTasks(Generic[Result]):
    """Tasks of which at most ``limit`` run at once, where every :meth:`start` follows a :meth:`wait_for_slot`.

    On exit from the context it cancels the tasks that still run and waits for them, so that none continues afterwards.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._running: set[asyncio.Task[Result]] = set()

    def __len__(self) -> int:
        return len(self._running)

    @property
    def is_full(self) -> bool:
        """Whether ``limit`` tasks run."""
        return len(self._running) >= self._limit

    def start(self, step: Coroutine[Any, Any, Result]) -> None:
        """Start a task."""
        self._running.add(asyncio.create_task(step))

    async def wait_for_slot(self) -> None:
        """Wait while ``limit`` tasks run. Raises the first error of a task that has ended."""
        while self.is_full:
            await self.next_done()

    async def next_done(self, when: str = asyncio.FIRST_COMPLETED) -> list[Result]:
        """Wait until a task has ended; return the results of those that have, or raise the first error among them."""
        done, self._running = await asyncio.wait(self._running, return_when=when)
        failed = [error for task in done if (error := task.exception())]
        if failed:
            raise failed[0]
        return [task.result() for task in done]

    async def wait_all(self) -> None:
        """Wait until all tasks have ended, then raise the first error among them."""
        if self._running:
            await self.next_done(asyncio.ALL_COMPLETED)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


class BatchWriter(Generic[Item]):
    """Writes the items of many callers together: items added while a write runs share the next one.

    A write is a task of its own, so that a caller who is cancelled does not cancel the write of the others.

    Args:
        write: called with the items of one write.
        context: the context variables of the writes, by default a copy of the current ones. A write belongs to no one caller.
    """

    def __init__(self, write: Callable[[Sequence[Item]], Awaitable[None]], *, context: contextvars.Context | None = None) -> None:
        self._write = write
        self._context = context if context is not None else contextvars.copy_context()
        self._items: list[Item] = []
        self._lock = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def add(self, item: Item) -> None:
        """Add an item and wait until it is written. Raises the error of its write, as does every caller who shares it."""
        self._items.append(item)
        if self._next is None:
            self._next = asyncio.create_task(self._write_next(), context=self._context)
            self._tasks.add(self._next)
            self._next.add_done_callback(self._on_done)
        await asyncio.shield(self._next)

    async def _write_next(self) -> None:
        async with self._lock:
            self._next = None
            items, self._items = self._items, []
            await self._write(items)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not warn where all callers were cancelled

    async def finish(self) -> None:
        """Wait for the writes in progress, whose callers may have been cancelled."""
        await asyncio.gather(*self._tasks, return_exceptions=True)


P = ParamSpec("P")
T = TypeVar("T")


async def to_thread_uncancelled(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``asyncio.to_thread``, but a cancelled caller still waits for the thread, so that it can clean up files safely."""
    return await finish_despite_cancel(asyncio.to_thread(function, *args, **kwargs))


async def in_batches(items: Iterator[T], size: int) -> AsyncIterator[list[T]]:
    """Lists of up to ``size`` items of a blocking iterator, each list made in a thread."""
    while batch := await to_thread_uncancelled(lambda: list(itertools.islice(items, size))):
        yield batch


async def map_in_order(
    items: AsyncIterator[Item], function: Callable[[Item], Coroutine[Any, Any, Result]], ahead: int
) -> AsyncGenerator[Result, None]:
    """The results of ``function`` in the order of the items, while up to ``ahead`` further calls run. Its end cancels those and waits."""
    pending: deque[asyncio.Task[Result]] = deque()
    try:
        async for item in items:
            pending.append(asyncio.create_task(function(item)))
            if len(pending) > ahead:
                yield await pending[0]
                pending.popleft()
        while pending:
            yield await pending[0]
            pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def gather_all(work: Iterable[Awaitable[T]]) -> list[T]:
    """Await a few things in parallel; their results in their order. The first error cancels the others and waits for them."""
    running = [asyncio.ensure_future(item) for item in work]
    try:
        return await asyncio.gather(*running)
    finally:
        for future in running:
            future.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def for_each(items: AsyncIterator[T], function: Callable[[T], Coroutine[Any, Any, None]], max_running: int) -> None:
    """Call ``function`` for every item, at most ``max_running`` in parallel. The first error cancels the others and waits for them."""
    async with BoundedTasks[None](max_running) as tasks:
        async for item in items:
            await tasks.wait_for_slot()
            tasks.start(function(item))
        while len(tasks):
            await tasks.next_done()
