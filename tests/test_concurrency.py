"""Tests of app.concurrency: nothing runs on unseen, nothing waits for ever, and cancellation is never lost."""

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from app.concurrency import (
    BatchWriter,
    BoundedTasks,
    finish_despite_cancel,
    for_each,
    gather_all,
    in_batches,
    map_in_order,
    to_thread_uncancelled,
)


async def test_a_step_is_finished_before_its_cancellation_is_heard() -> None:
    """finish_despite_cancel() ends the step, undoes what it made, and then raises, however often the caller is cancelled."""
    gate, said = asyncio.Event(), []

    async def step() -> str:
        await gate.wait()
        said.append("done")
        return "made"

    async def undo(made: str) -> None:
        await asyncio.sleep(0)
        said.append(f"un{made}")

    task = asyncio.create_task(finish_despite_cancel(step(), undo=undo))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    assert not task.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["done", "unmade"]


@pytest.fixture
async def unheard() -> list[dict[str, Any]]:
    """What the event loop complains of."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    return complaints


async def test_a_step_that_fails_while_its_caller_is_cancelled_stays_quiet(unheard: list[dict[str, Any]]) -> None:
    """The caller hears of its cancellation; nobody else has to hear of the error, and nothing is undone."""
    gate, said = asyncio.Event(), []

    async def step() -> None:
        await gate.wait()
        raise KeyError("too late")

    async def undo(_: None) -> None:
        said.append("undone")

    task = asyncio.create_task(finish_despite_cancel(step(), undo=undo))
    other = asyncio.create_task(finish_despite_cancel(step()))
    await asyncio.sleep(0)
    task.cancel()
    other.cancel()
    await asyncio.sleep(0)
    gate.set()
    for cancelled in (task, other):
        with pytest.raises(asyncio.CancelledError):
            await cancelled
    del task, other, cancelled
    await asyncio.sleep(0)
    assert unheard == []
    assert said == []


async def test_tasks_are_bounded_and_all_end() -> None:
    """No more than the limit run at once; wait_all waits for every one."""
    running = most = ended = 0

    async def step() -> None:
        nonlocal running, most, ended
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        ended += 1

    async with BoundedTasks[None](3) as tasks:
        for _ in range(10):
            await tasks.wait_for_slot()
            tasks.start(step())
        await tasks.wait_all()
    assert (most, ended) == (3, 10)


async def test_an_error_is_raised_and_the_rest_is_cancelled() -> None:
    """The first error reaches the caller; no task runs on after the context."""
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fail() -> None:
        raise OSError("disk")

    async with BoundedTasks[None](2) as tasks:
        tasks.start(hang())
        tasks.start(fail())
        with pytest.raises(OSError, match="disk"):
            await tasks.wait_for_slot()
    assert cancelled.is_set()


async def test_items_that_come_during_a_write_share_the_next() -> None:
    """One write at a time, each with everything added before it began."""
    writes: list[list[int]] = []

    async def write(items: Sequence[int]) -> None:
        writes.append(list(items))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    writer = BatchWriter(write)
    first = [asyncio.create_task(writer.add(number)) for number in (1, 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    rest = [asyncio.create_task(writer.add(number)) for number in (3, 4, 5)]
    await asyncio.gather(*first, *rest)
    assert writes == [[1, 2], [3, 4, 5]]


async def test_an_error_reaches_those_who_share_the_write() -> None:
    """And nobody else; the writer goes on."""
    outcomes = iter([OSError("disk"), None])

    async def write(_: Sequence[int]) -> None:
        await asyncio.sleep(0)
        if error := next(outcomes):
            raise error

    writer = BatchWriter(write)
    results = await asyncio.gather(writer.add(1), writer.add(2), return_exceptions=True)
    assert [str(result) for result in results] == ["disk", "disk"]
    await writer.add(3)


async def test_a_cancelled_caller_cancels_no_write() -> None:
    """The write ends, finish waits for it, and its error is reported nowhere when nobody waits."""
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    ended = asyncio.Event()

    async def write(_: Sequence[int]) -> None:
        await asyncio.sleep(0)
        ended.set()
        raise OSError("disk")

    writer = BatchWriter(write)
    caller = asyncio.create_task(writer.add(1))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    await writer.finish()
    assert ended.is_set()
    del caller
    gc.collect()
    assert unheard == []


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


async def test_map_in_order_keeps_the_order_and_runs_so_far_ahead() -> None:
    """Whoever is through first; and no call begins further ahead than asked."""
    begun: list[int] = []

    async def late(number: int) -> int:
        begun.append(number)
        for _ in range(5 - number):
            await asyncio.sleep(0)
        return number

    seen = []
    async with contextlib.aclosing(map_in_order(numbers(9), late, 2)) as results:
        async for number in results:
            assert len(begun) <= number + 3
            seen.append(number)
    assert seen == list(range(9))


async def test_map_in_order_waits_for_what_it_cancels() -> None:
    """Where the caller stops, or a call fails."""
    ended: list[int] = []

    async def work(number: int) -> int:
        if number == 0:
            return number
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(number)
        return number

    async with contextlib.aclosing(map_in_order(numbers(9), work, 2)) as results:
        assert await anext(results) == 0
        await asyncio.sleep(0)
    assert ended == [1, 2]


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
