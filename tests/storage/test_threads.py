"""Tests of app.storage.threads: nobody cleans up beside a thread that still writes."""

import asyncio
import threading

import pytest

from app.storage.threads import run_whole


async def test_run_whole_returns_and_raises_like_to_thread() -> None:
    """Results and errors come through."""
    assert await run_whole(int, "7") == 7
    with pytest.raises(ValueError, match="invalid literal"):
        await run_whole(int, "x")


@pytest.mark.parametrize("fails", [False, True])
async def test_run_whole_waits_for_its_thread_when_cancelled(fails: bool) -> None:
    """The cancellation arrives only when the thread is through, and hides what the thread raised."""
    started, release = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        started.set()
        release.wait(10)
        done.append("work")
        if fails:
            raise OSError("late")

    task = asyncio.create_task(run_whole(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not done
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == ["work"]
