"""The window: lazy, bounded, stoppable, and nothing outlives it."""

import asyncio
import contextlib
import weakref

import pytest

from downloader.concurrent_map import map_unordered


class Work:
    """Jobs that wait to be let go, and a count of what was started, in hand and cancelled."""

    def __init__(self):
        self.started, self.cancelled = [], []
        self.in_hand = self.most = 0
        self.gates = {}

    async def __call__(self, item, under_way=lambda: None):
        self.started.append(item)
        under_way()
        self.in_hand += 1
        self.most = max(self.most, self.in_hand)
        try:
            await self.gates.setdefault(item, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise
        finally:
            self.in_hand -= 1
        return item

    def let_go(self, *items):
        for item in items:
            self.gates.setdefault(item, asyncio.Event()).set()


async def settle():
    for _ in range(40):
        await asyncio.sleep(0)


async def slowly(items):
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize("source", [list, slowly], ids=["plain", "async"])
async def test_results_come_as_they_finish(source):
    """Order is the order of finishing; everything comes."""
    work = Work()
    work.let_go(2)
    results = map_unordered(source([1, 2, 3]), work, limit=3)
    assert await anext(results) == 2
    work.let_go(3)
    assert await anext(results) == 3
    work.let_go(1)
    assert [result async for result in results] == [1]


@pytest.mark.parametrize("source", [iter, slowly], ids=["plain", "async"])
async def test_window_is_bounded_and_lazy(source):
    """No more in hand than the size, and no item pulled before there is a place."""
    pulled, work = [], Work()

    def items():
        for item in range(10):
            pulled.append(item)
            yield item

    results = map_unordered(source(items()), work, limit=3)
    first = asyncio.ensure_future(anext(results))
    await settle()
    assert pulled == work.started == [0, 1, 2]
    work.let_go(*range(10))
    assert {await first, *[result async for result in results]} == set(range(10))
    assert work.most == 3


@pytest.mark.parametrize("source", [list, slowly], ids=["plain", "async"])
async def test_stop_finishes_what_is_in_hand(source):
    """Nothing new is started; what is under way is yielded; then it ends."""
    work, stop = Work(), asyncio.Event()
    results = map_unordered(source(range(10)), work, limit=2, stop=stop)
    first = asyncio.ensure_future(anext(results))
    await settle()
    stop.set()
    await settle()
    work.let_go(0, 1)
    assert sorted([await first, *[result async for result in results]]) == [0, 1]
    assert work.started == [0, 1]


async def test_stop_wakes_a_feed_that_never_comes():
    """A producer with nothing to give does not hold up the end."""
    stop = asyncio.Event()

    async def silent():
        await asyncio.Event().wait()
        yield 1

    results = map_unordered(silent(), Work(), limit=2, stop=stop)
    first = asyncio.ensure_future(anext(results, "end"))
    await settle()
    stop.set()
    assert await first == "end"


async def test_consumer_that_leaves_takes_all_tasks_along():
    """Closed early: everything is cancelled and awaited."""
    work = Work()
    work.let_go(0)
    async with contextlib.aclosing(map_unordered(range(5), work, limit=3)) as results:
        assert await anext(results) == 0
    assert sorted(work.cancelled) == [1, 2]
    assert work.in_hand == 0


async def test_cancelled_consumer_takes_all_tasks_along():
    """Cancelled while it waits: the same."""
    work = Work()

    async def consume():
        async for _ in map_unordered(range(5), work, limit=3):
            pass

    task = asyncio.create_task(consume())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(work.cancelled) == [0, 1, 2]


async def test_error_comes_after_the_results_that_are_ready():
    """What was paid for is handed over first; the rest is cancelled."""
    work = Work()

    async def one(item, under_way):
        if item == 1:
            raise KeyError(item)
        return await work(item)

    work.let_go(2)
    results = map_unordered([0, 1, 2], one, limit=3)
    got = []

    async def collect():
        async for result in results:
            got.append(result)

    with pytest.raises(KeyError):
        await collect()
    assert (got, work.cancelled) == ([2], [0])


async def test_error_of_the_feed_is_raised():
    """A producer that fails ends it."""

    async def failing():
        yield 0
        raise KeyError("feed")

    work = Work()
    with pytest.raises(KeyError):
        async for _ in map_unordered(failing(), work, limit=3):
            pass
    assert work.in_hand == 0


async def test_nothing_in_nothing_out():
    """Empty feeds of both kinds."""
    assert [result async for result in map_unordered([], Work(), limit=2)] == []
    assert [result async for result in map_unordered(slowly([]), Work(), limit=2, stop=asyncio.Event())] == []


class Queueing(Work):
    """Work that waits in its lane until told that it is under way."""

    async def __call__(self, item, under_way=None):
        self.begin = {**getattr(self, "begin", {}), item: under_way}
        return await super().__call__(item)


async def test_a_lane_that_does_not_move_takes_two_places():
    """Items of others are taken first; the lane's own come as its first ones get under way, in their order."""
    work = Queueing()
    items = ["a1", "a2", "a3", "a4", "a5", "b1", "c1", "b2"]
    results = map_unordered(items, work, limit=5, lane=lambda item: item[0])
    first = asyncio.ensure_future(anext(results))
    await settle()
    assert work.started == ["a1", "a2", "b1", "c1", "b2"]
    work.let_go("b1")
    assert await first == "b1"
    second = asyncio.ensure_future(anext(results))
    await settle()
    assert len(work.started) == 5, "a place is free, but only for other lanes"
    work.begin["a1"]()
    work.begin["a1"]()
    await settle()
    assert work.started[5:] == ["a3"]
    work.let_go(*items)
    assert {await second, *[result async for result in results]} == set(items) - {"b1"}
    assert work.started[6:] == ["a4", "a5"]


@pytest.mark.parametrize("source", [iter, slowly], ids=["plain", "async"])
async def test_lanes_lose_nothing(source):
    """Every item comes once, whatever stands still on the way; stopped, the held-back ones are not begun, those that wait are let go."""
    work = Queueing()
    work.let_go(*range(100))
    results = map_unordered(source(range(100)), work, limit=7, lane=lambda item: item % 3)
    assert sorted([result async for result in results]) == list(range(100))

    stop, idle = asyncio.Event(), Queueing()
    results = map_unordered(source(range(100)), idle, limit=7, lane=lambda item: 0, stop=stop)
    first = asyncio.ensure_future(anext(results))
    await settle()
    idle.begin[0]()
    await settle()
    stop.set()
    await settle()
    assert sorted(idle.cancelled) == [1, 2], "nobody waits for what waits itself"
    idle.let_go(*range(100))
    assert {await first, *[result async for result in results]} == {0}


async def test_look_ahead_is_bounded():
    """A lane of a million is not read to its end for the sake of another one."""
    pulled, work = [], Queueing()

    def items():
        for item in range(1_000_000):
            pulled.append(item)
            yield item

    async with contextlib.aclosing(map_unordered(items(), work, limit=10, lane=lambda item: 0)) as results:
        first = asyncio.ensure_future(anext(results))
        await settle()
        assert len(work.started) == 2
        assert len(pulled) <= 1_010
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_result_is_let_go_once_it_is_yielded():
    """Results are bodies: those of the last batch must not stay in memory while the next ones grow."""
    held = []

    class Result:
        pass

    async def work(item, under_way):
        result = Result()
        held.append(weakref.ref(result))
        return result

    async for result in map_unordered(range(8), work, limit=4):
        del result
        await settle()
        assert any(ref() is None for ref in held)
    assert [ref() for ref in held] == [None] * 8
