"""Work in threads ends before its caller; parallel work ends with the first error."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from app.storage.threads import for_each, gather_all, in_batches, to_thread_uncancelled


async def test_to_thread_uncancelled_returns_and_raises_like_to_thread() -> None:
    """Results and errors come through."""
    assert await to_thread_uncancelled(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await to_thread_uncancelled(int, "x")


@pytest.mark.parametrize("fails", [False, True])
async def test_to_thread_uncancelled_waits_for_its_thread_when_cancelled(fails: bool) -> None:
    """The cancellation arrives only when the thread is through, and hides what the thread raised."""
    started, release = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        started.set()
        release.wait(10)
        done.append("work")
        if fails:
            raise OSError("late")

    task = asyncio.create_task(to_thread_uncancelled(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not done
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["work"]


async def numbers(count: int) -> AsyncIterator[int]:
    """0, 1, 2 ..."""
    for number in range(count):
        yield number


async def test_in_batches_gives_everything_in_order() -> None:
    """In lists of the asked size, the last one shorter."""
    assert [batch async for batch in in_batches(iter(range(7)), 3)] == [[0, 1, 2], [3, 4, 5], [6]]


async def test_for_each_runs_so_many_at_once() -> None:
    """All of them, side by side, never more than allowed."""
    done: list[int] = []
    running = most = 0

    async def work(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(number)

    await for_each(numbers(10), work, 3)
    assert sorted(done) == list(range(10))
    assert most == 3


async def test_for_each_stops_at_the_first_error() -> None:
    """What is still running is cancelled and waited for, and nothing new begins."""
    ended: list[int] = []
    begun: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise KeyError(number)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)

    with pytest.raises(KeyError):
        await for_each(numbers(10), work, 3)
    assert begun == [0, 1, 2]
    assert sorted(ended) == [0, 2]


async def test_gather_all_gives_everything_in_order() -> None:
    """Whoever is through first."""

    async def late(number: int) -> int:
        for _ in range(5 - number):
            await asyncio.sleep(0)
        return number

    assert await gather_all(late(number) for number in range(5)) == [0, 1, 2, 3, 4]


async def test_gather_all_leaves_nothing_running_after_an_error() -> None:
    """What is still under way is cancelled and waited for."""
    ended: list[int] = []

    async def work(number: int) -> None:
        if number == 1:
            raise KeyError(number)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(number)

    with pytest.raises(KeyError):
        await gather_all(work(number) for number in range(3))
    assert sorted(ended) == [0, 2]
