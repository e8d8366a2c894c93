"""How late the event loop is: noted four times a second, the worst of a minute kept, one measurement for a loop."""

import asyncio

import pytest

from app.observability import exposition, sampled
from app.observability.looplag import KEPT_S, LOOK_S, Sampler
from tests.clocks import FakeTime
from tests.figures import Growth, parsed
from tests.workers.proof import eventually


def test_the_worst_is_kept_for_a_minute() -> None:
    """A smaller one that came later takes its place when it is forgotten."""
    time = FakeTime()
    sampler = Sampler(time.clock)
    assert sampler.worst_s == 0
    for lag_s in (0.1, 3.0, 0.5, 0.2):
        sampler.note(lag_s)
        time.now += KEPT_S / 4
    assert sampler.worst_s == 3.0
    time.now += KEPT_S / 4 + 1
    assert sampler.worst_s == 0.5
    time.now += 2 * KEPT_S
    assert [value for *_, value in sampler.read()] == [0.0]


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
    sampler = Sampler(time.clock, time.sleep)
    with pytest.raises(asyncio.CancelledError):
        await sampler.run()
    assert time.waits == [LOOK_S] * 3
    assert sampler.worst_s == pytest.approx(2.0)
    assert grown.of("pictrawl_event_loop_lag_seconds_count") == {(): 2}
    assert grown.of("pictrawl_event_loop_lag_seconds_sum")[()] == pytest.approx(2.0)


async def test_a_real_loop_is_looked_at() -> None:
    """While somebody wants it, and no longer."""
    grown = Growth()

    async def noted() -> bool:
        return bool(grown.of("pictrawl_event_loop_lag_seconds_count"))

    async with sampled():
        await eventually(noted)
        assert parsed(exposition().decode())["pictrawl_event_loop_lag_max_seconds", ()] >= 0
    assert ("pictrawl_event_loop_lag_max_seconds", ()) not in parsed(exposition().decode())


async def test_a_loop_is_measured_once() -> None:
    """An API with workers in its process has one sampler, until the last of them leaves."""

    def samplers() -> int:
        return sum(task.get_name() == "loop-lag" for task in asyncio.all_tasks())

    async with sampled():
        async with sampled():
            assert samplers() == 1
        assert samplers() == 1
    assert samplers() == 0
