"""A bounded window over a stream of work: started as places free up, yielded as it finishes, never left behind. Knows no URLs."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from typing import Any, Final, TypeVar

__all__ = ["finish_in_window"]

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_END: Final = object()


async def finish_in_window(
    items: AsyncIterable[_Item] | Iterable[_Item],
    work: Callable[[_Item], Coroutine[Any, Any, _Result]],
    *,
    size: int,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[_Result, None]:
    """Yield the results of ``work`` over ``items`` in the order they finish, at most ``size`` in hand, unyielded ones included.

    Once ``stop`` is set no item is started, the ones in hand are finished and yielded. However the iteration ends, no task outlives it.

    Raises:
        Exception: what ``work`` or ``items`` raises, after the results that were ready with it.
    """
    feed = _Feed(items, stop)
    running: set[asyncio.Task[_Result]] = set()
    try:
        while True:
            while len(running) < size and (item := feed.ready()) is not _END:
                running.add(asyncio.create_task(work(item)))
            if not running and feed.ended:
                return
            done = await feed.wait_beside(running, may_pull=len(running) < size)
            running -= done
            for task in sorted(done, key=_failed):
                yield task.result()
    finally:
        await _cancel(running | feed.tasks)


class _Feed:
    """Where items come from: a plain iterable is asked at once, an asynchronous one by a task that the window waits for."""

    def __init__(self, items: AsyncIterable[Any] | Iterable[Any], stop: asyncio.Event | None) -> None:
        self._plain: Iterator[Any] | None = None
        self._slow: AsyncIterator[Any] | None = None
        if isinstance(items, AsyncIterable):
            self._slow = aiter(items)
        else:
            self._plain = iter(items)
        self._stop = stop
        self._pulling: asyncio.Task[Any] | None = None
        self._stopping = asyncio.create_task(stop.wait()) if stop is not None else None
        self._exhausted = False

    @property
    def ended(self) -> bool:
        return self._exhausted or (self._stop is not None and self._stop.is_set())

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        return {task for task in (self._pulling, self._stopping) if task is not None}

    def ready(self) -> Any:
        """Return the next item where it takes no waiting, else the end mark."""
        if self.ended:
            return _END
        if self._plain is not None:
            item = next(self._plain, _END)
        elif self._pulling is not None and self._pulling.done():
            item, self._pulling = self._pulling.result(), None
        else:
            return _END
        self._exhausted = item is _END
        return item

    async def wait_beside(self, running: set[asyncio.Task[Any]], *, may_pull: bool) -> set[asyncio.Task[Any]]:
        """Wait until work is done, an item has come or the stop is set; return the work that is done."""
        waited = set(running)
        if not self.ended:
            if self._slow is not None and self._pulling is None and may_pull:
                self._pulling = asyncio.create_task(_next(self._slow))
            waited |= {task for task in self.tasks if not task.done() or (task is self._pulling and may_pull)}
        done, _ = await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        return done & running


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)


def _failed(task: asyncio.Task[Any]) -> bool:
    return task.cancelled() or task.exception() is not None


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
