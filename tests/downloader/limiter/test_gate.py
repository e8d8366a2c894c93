"""The gate: slots per host and in all, not-before, rate, the breaker and its probe."""

import asyncio

import pytest

import logging_setup.config
from downloader.limiter.gate import HostGate
from downloader.models import HostClosedError, HostSilence
from downloader.url_guard import check_url
from errors import Reason
from tests.clocks import FakeTime, VirtualTime

ONE = check_url("http://one.test/a", ())
TWO = check_url("http://two.test/a", ())


@pytest.fixture
def time():
    return FakeTime()


def gate_of(time, *, concurrency=8, per_host=2, rate=0.0):
    return HostGate(
        concurrency=concurrency, per_host=per_host, rate_per_host=rate, inline_wait_max_s=10, clock=time.clock, sleep=time.sleep
    )


async def most_at_once(gate, targets):
    """Hold a slot for each target in turn and return the most that were held together."""
    now = most = 0

    async def hold(target):
        nonlocal now, most
        async with gate.slot(target):
            now += 1
            most = max(most, now)
            for _ in range(3):
                await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(hold(target) for target in targets))
    return most


async def test_slots_per_host_and_in_all(time):
    """A host has its share, the downloader a bound over all hosts."""
    assert await most_at_once(gate_of(time), [ONE] * 6) == 2
    assert await most_at_once(gate_of(time), [ONE, TWO] * 6) == 4
    assert await most_at_once(gate_of(time, concurrency=3), [ONE, TWO] * 6) == 3
    assert await most_at_once(gate_of(time, per_host=1), [ONE] * 6) == 1


async def test_wikimedia_profile_lowers_the_share(time):
    """Wikimedia allows two connections, whatever the settings say; others are not affected."""
    commons = check_url("https://upload.wikimedia.org/a", ())
    assert await most_at_once(gate_of(time, per_host=8), [commons] * 8) == 2
    assert await most_at_once(gate_of(time, per_host=8), [ONE] * 8) == 8


async def test_wikimedia_thumbnails_and_originals_share_their_places(time):
    """The site's rule is for its media as a whole: two at once together, and a block of one host is one of the other."""
    originals, thumbnails = check_url("https://upload.wikimedia.org/a", ()), check_url("https://thumb.wikimedia.org/a", ())
    gate = gate_of(time, per_host=8)
    assert await most_at_once(gate, [originals, thumbnails] * 4) == 2
    assert await most_at_once(gate, [originals, check_url("https://commons.wikimedia.org/a", ())] * 4) == 4
    async with gate.slot(thumbnails) as feedback:
        feedback.block_until(time.now + 5, Reason.RATE_LIMITED)
    async with gate.slot(originals):
        assert time.waits == [5]


async def test_closed_host_is_waited_for_in_place(time):
    """Every URL of the host obeys a short closure; another host does not care."""
    gate = gate_of(time)
    async with gate.slot(ONE) as feedback:
        feedback.block_until(time.now + 5, Reason.RATE_LIMITED)
        feedback.block_until(time.now + 1, Reason.RATE_LIMITED)
    async with gate.slot(TWO):
        assert time.waits == []
    async with gate.slot(ONE):
        assert time.waits == [5]


async def test_closed_host_is_not_waited_for_twice(time):
    """The URL that got the Retry-After has slept it out already."""
    gate = gate_of(time)
    async with gate.slot(ONE) as feedback:
        feedback.block_until(time.now + 5, Reason.RATE_LIMITED)
    async with gate.slot(ONE, waited_until=time.now + 5):
        assert time.waits == []


async def test_long_closure_defers(time):
    """Beyond what is waited in place the URL goes back, with the time and the reason of the closure."""
    gate = gate_of(time)
    async with gate.slot(ONE) as feedback:
        feedback.block_until(time.now + 60, Reason.SERVICE_UNAVAILABLE)
    with pytest.raises(HostClosedError) as caught:
        async with gate.slot(ONE):
            pass
    assert (caught.value.until, caught.value.reason, caught.value.retry_after_s) == (time.now + 60, Reason.SERVICE_UNAVAILABLE, 60)
    assert [(host.host, host.not_before) for host in gate.snapshot()] == [("http://one.test:80", time.now + 60)]


async def test_rate_spaces_the_starts(time):
    """Four a second means a quarter of a second between two, per host."""
    gate = gate_of(time, rate=4.0)
    for _ in range(3):
        async with gate.slot(ONE):
            pass
    async with gate.slot(TWO):
        pass
    assert time.waits == [0.25, 0.25]


async def open_breaker(gate, target=ONE):
    for _ in range(5):
        async with gate.slot(target) as feedback:
            feedback.unreachable()


@pytest.mark.parametrize(
    ("rate", "delay_s", "waits"), [(0.0, 4.0, [4.0, 4.0]), (0.5, 4.0, [4.0, 4.0]), (0.5, 1.0, [2.0, 2.0]), (0.0, 0.0, [])]
)
async def test_crawl_delay_spaces_the_starts_of_its_host(time, rate, delay_s, waits):
    """The slower of what the host and what the setting asks for; another host does not care, and the wish can be taken back."""
    gate = gate_of(time, rate=rate)
    gate.space_starts(ONE, delay_s)
    for _ in range(3):
        async with gate.slot(ONE):
            pass
    assert time.waits == waits
    time.waits.clear()
    time.now += 60
    gate.space_starts(ONE, 0)
    for _ in range(2):
        async with gate.slot(ONE):
            pass
    async with gate.slot(TWO):
        assert time.waits == ([1 / rate] if rate else [])


async def test_breaker_opens_on_five_failures_in_a_row(time):
    """Then the host's URLs are deferred for 30 s, others are not."""
    gate = gate_of(time)
    await open_breaker(gate)
    with pytest.raises(HostClosedError) as caught:
        async with gate.slot(ONE):
            pass
    assert (caught.value.until, caught.value.reason) == (time.now + 30, Reason.HOST_UNAVAILABLE)
    async with gate.slot(TWO):
        pass
    assert [(host.host, host.failures) for host in gate.snapshot()] == [("http://one.test:80", 5)]


async def test_an_answer_in_between_starts_the_count_again(time):
    """Five in a row, not five in all."""
    gate = gate_of(time)
    for failing in [True] * 4 + [False] + [True] * 4:
        async with gate.slot(ONE) as feedback:
            (feedback.unreachable if failing else feedback.connected)()
    async with gate.slot(ONE):
        pass


async def test_one_probe_after_the_pause(time):
    """Half open: one request tries, the others stay away until it is back; success closes the breaker."""
    gate = gate_of(time)
    await open_breaker(gate)
    time.now += 30
    async with gate.slot(ONE) as feedback:
        with pytest.raises(HostClosedError):
            async with gate.slot(ONE):
                pass
        feedback.connected()
    async with gate.slot(ONE), gate.slot(ONE):
        pass
    assert [host.failures for host in gate.snapshot()] == []


@pytest.mark.parametrize(("has_answered", "expected"), [(True, [30, 60, 120, 240, 480, 600, 600]), (False, [30, 60, 60, 60, 60, 60, 60])])
async def test_failed_probe_doubles_the_pause(time, has_answered, expected):
    """Up to ten minutes; to one minute at a host that has never answered, whose URLs are given up soon."""
    gate = gate_of(time)
    if has_answered:
        async with gate.slot(ONE) as feedback:
            feedback.replied(200)
    await open_breaker(gate)
    pauses = []
    for _ in range(7):
        with pytest.raises(HostClosedError) as caught:
            async with gate.slot(ONE):
                pass
        pauses.append(caught.value.until - time.now)
        time.now = caught.value.until
        async with gate.slot(ONE) as feedback:
            feedback.unreachable()
    assert pauses == expected


SILENT = [
    (lambda feedback: feedback.unreachable(), True),
    (lambda feedback: feedback.overloaded(), True),
    (lambda feedback: feedback.cut_off(), True),
    (lambda feedback: feedback.replied(200) or feedback.cut_off(), False),
    (lambda feedback: feedback.replied(503) or feedback.refused(Reason.SERVICE_UNAVAILABLE), True),
    (lambda feedback: feedback.replied(429) or feedback.refused(Reason.RATE_LIMITED), True),
    (lambda feedback: feedback.replied(500) or feedback.succeeded(), True),
    (lambda feedback: feedback.replied(404) or feedback.succeeded(), False),
    (lambda feedback: feedback.replied(200) or feedback.succeeded(), False),
    (lambda feedback: feedback.replied(503) or feedback.refused(Reason.SERVICE_UNAVAILABLE, 5.0), False),
]


@pytest.mark.parametrize(("report", "is_silent"), SILENT)
async def test_silence_of_a_host(time, report, is_silent):
    """It lasts from the first request without a usable answer to the first with one; a host that asks for patience is not silent."""
    gate = gate_of(time)
    began = time.now
    for _ in range(2):
        async with gate.slot(ONE) as feedback:
            time.now += 3
            report(feedback)
    assert gate.silence(ONE.origin) == (HostSilence(ONE.origin, began) if is_silent else None)
    async with gate.slot(ONE) as feedback:
        feedback.replied(200)
        answered_at = time.now
    assert gate.silence(ONE.origin) is None
    time.now += 50
    async with gate.slot(ONE) as feedback:
        feedback.unreachable()
    assert gate.silence(ONE.origin) == HostSilence(ONE.origin, time.now, answered_at)


@pytest.mark.parametrize("report", ["overloaded", "cut_off"])
@pytest.mark.parametrize(("answered_ago_s", "closes"), [(None, True), (601, True), (599, False)])
async def test_host_that_accepts_and_never_replies_is_closed(time, report, answered_ago_s, closes):
    """After 90 seconds without one byte, 60 s at a time at most. One that has answered lately may be slow at some URLs only."""
    gate = gate_of(time)
    if answered_ago_s is not None:
        async with gate.slot(ONE) as feedback:
            feedback.replied(200)
        time.now += answered_ago_s
    for _ in range(3):
        async with gate.slot(ONE) as feedback:
            time.now += 30
            getattr(feedback, report)()
    if not closes:
        async with gate.slot(ONE):
            return
    for pause_s in (30, 60, 60 if answered_ago_s is None else 120):
        with pytest.raises(HostClosedError) as caught:
            async with gate.slot(ONE):
                pass
        assert (caught.value.reason, caught.value.until) == (Reason.HOST_UNAVAILABLE, time.now + pause_s)
        time.now = caught.value.until
        async with gate.slot(ONE) as feedback:  # the probe
            getattr(feedback, report)()
    time.now += 600
    async with gate.slot(ONE) as feedback:
        feedback.replied(200)
    async with gate.slot(ONE):
        pass


async def test_cancelled_probe_leaves_the_place_to_the_next(time):
    """A probe that never came to a verdict does not close the host for good."""
    gate = gate_of(time)
    await open_breaker(gate)
    time.now += 30
    with pytest.raises(asyncio.CancelledError):
        async with gate.slot(ONE):
            raise asyncio.CancelledError
    async with gate.slot(ONE) as feedback:
        feedback.connected()


def test_cancelled_while_it_waits_for_its_start_the_probe_is_given_back():
    """A host with a rate, away, and the one that would try it cancelled: the next one tries."""
    time = VirtualTime()

    async def main():
        gate = HostGate(concurrency=8, per_host=2, rate_per_host=0.5, inline_wait_max_s=10, clock=time.clock, sleep=asyncio.sleep)
        async with gate.slot(ONE) as feedback:
            for _ in range(5):
                feedback.unreachable()
        await asyncio.sleep(30)
        gate._store.peek(ONE.origin).rate.next_start = time.clock() + 2
        first = asyncio.create_task(gate.slot(ONE).__aenter__())
        await asyncio.sleep(1)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        async with gate.slot(ONE) as feedback:
            feedback.connected()
        return time.passed

    assert 30 < time.run(main()) < 40


async def test_host_that_goes_away_and_host_that_is_paced_are_told_once(time):
    """A warning and a line, not one for each URL."""
    lines = []
    sink = logging_setup.config.add_sink(lines.append, "DEBUG")
    gate = gate_of(time)
    await open_breaker(gate)
    for _ in range(3):
        with pytest.raises(HostClosedError):
            async with gate.slot(ONE):
                pass
    for _ in range(5):
        async with gate.slot(TWO) as feedback:
            feedback.refused(Reason.RATE_LIMITED)
    logging_setup.config.remove_sink(sink)
    told = [(line["event"], line["host"]) for line in lines]
    assert told == [("host.away", ONE.origin), ("host.paced", TWO.origin)]
    assert (lines[0]["reason"], lines[0]["wait_s"]) == ("host_unavailable", 30.0)


async def test_snapshot_shows_a_host_that_refuses_everybody(time):
    """Nobody is there, no connection failed, and yet nobody may go: that is what a person wants to see."""
    gate = gate_of(time)
    for _ in range(20):
        async with gate.slot(ONE) as feedback:
            feedback.refused(Reason.SERVICE_UNAVAILABLE)
        time.now += 2
    with pytest.raises(HostClosedError):
        async with gate.slot(ONE):
            pass
    (seen,) = gate.snapshot()
    assert (seen.host, seen.in_flight, seen.failures) == (ONE.origin, 0, 0)
    assert seen.not_before > time.now


async def test_snapshot_shows_who_waits(time):
    """In flight and waiting are told apart."""
    gate = gate_of(time, per_host=1)
    async with gate.slot(ONE):
        waiter = asyncio.create_task(most_at_once(gate, [ONE]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [(host.in_flight, host.waiting) for host in gate.snapshot()] == [(1, 1)]
    await waiter


async def test_memory_of_hosts_is_bounded(time):
    """Ten thousand idle hosts are kept, and a closed one is not forgotten for them."""
    gate = gate_of(time)
    async with gate.slot(ONE) as feedback:
        feedback.block_until(time.now + 60, Reason.RATE_LIMITED)
    for number in range(10_100):
        async with gate.slot(check_url(f"http://h{number}.test/", ())):
            pass
    assert len(gate._queues) == 10_000
    with pytest.raises(HostClosedError):
        async with gate.slot(ONE):
            pass


async def test_silence_of_a_host_that_shares_its_limits(time):
    """The silence is that of the shared limits, under the name of the host that was asked for."""
    gate = gate_of(time)
    thumbnails = check_url("https://thumb.wikimedia.org/a", ())
    await open_breaker(gate, thumbnails)
    silence = gate.silence(thumbnails.origin)
    assert silence is not None
    assert silence.host == thumbnails.origin
