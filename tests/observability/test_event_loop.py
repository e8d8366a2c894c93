"""How late the event loop runs: measured four times a second, the maximum of a minute kept, one measurement per loop."""

import asyncio

import pytest

from app.observability.event_loop import INTERVAL_S, KEPT_S, LagSampler, measure_lag
from app.observability.registry import exposition
from tests.clocks import FakeTime
from tests.figures import Growth, parsed
from tests.workers.proof import eventually


def test_the_maximum_is_kept_for_a_minute() -> None:
    """A smaller, later one takes its place when it is dropped."""
    time = FakeTime()
    sampler = LagSampler(time.clock)
    assert sampler.max_s() == 0
    for lag_s in (0.1, 3.0, 0.5, 0.2, 0.0):
        sampler.add(lag_s)
        time.now += KEPT_S / 4
    sampler.add(0.0)
    assert sampler.max_s() == 3.0
    time.now += 1
    sampler.add(0.0)
    assert sampler.max_s() == 0.5
    time.now += 2 * KEPT_S
    sampler.add(0.0)
    assert sampler.max_s() == 0.0


def test_a_loop_that_is_stuck_now_shows_its_lag() -> None:
    """The thread that answers the scrape sees how late the measurement is that is due."""
    time = FakeTime()
    sampler = LagSampler(time.clock)
    sampler.add(0.1)
    time.now += 7.0
    assert sampler.max_s() == pytest.approx(7.0 - INTERVAL_S)


class Held(FakeTime):
    """Time on a loop that something holds up: its second sleep takes two seconds longer, its third never ends."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if len(self.waits) == 2:
            self.now += 2.0
        if len(self.waits) == 3:
            raise asyncio.CancelledError


async def test_what_holds_the_loop_up_is_the_lag() -> None:
    """A look that comes when it was asked for notes nothing; one that comes later notes by how much."""
    time, grown = Held(), Growth()
    sampler = LagSampler(time.clock, time.sleep)
    with pytest.raises(asyncio.CancelledError):
        await sampler.run()
    assert time.waits == [INTERVAL_S] * 3
    assert sampler.max_s() == pytest.approx(2.0)
    assert grown.of("pictrawl_event_loop_lag_seconds_count") == {(): 2}
    assert grown.of("pictrawl_event_loop_lag_seconds_sum")[()] == pytest.approx(2.0)


async def test_a_real_loop_is_looked_at() -> None:
    """While somebody wants it, and no longer."""
    grown = Growth()

    async def noted() -> bool:
        return bool(grown.of("pictrawl_event_loop_lag_seconds_count"))

    async with measure_lag():
        await eventually(noted)
        assert parsed(exposition().decode())["pictrawl_event_loop_lag_max_seconds", ()] >= 0
    assert parsed(exposition().decode())["pictrawl_event_loop_lag_max_seconds", ()] == 0


async def test_a_loop_is_measured_once() -> None:
    """An API with workers in its process has one sampler, until the last of them leaves."""

    def samplers() -> int:
        return sum(task.get_name() == "loop-lag" for task in asyncio.all_tasks())

    async with measure_lag():
        async with measure_lag():
            assert samplers() == 1
        assert samplers() == 1
    assert samplers() == 0
