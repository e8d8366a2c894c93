"""The trail: what is noted of an attempt, what is not, and when the log hears of it."""

import pytest

import errors
from downloader.attempt import Errand
from downloader.records import FetchRequest
from downloader.trail import Trail
from downloader.visits import Deferral
from tests.clocks import FakeTime

REQUEST = FetchRequest("http://h.test/a", key=1)


class Recorder:
    def __init__(self):
        self.recorded = []

    async def reserve(self, request, number):
        pass

    def record(self, request, attempt):
        self.recorded.append(attempt)


def trail_of(log=None):
    return Trail(REQUEST, Errand(100.0), log, FakeTime().clock)


async def run(trail, error, *, dial=True):
    async def attempt():
        if dial:
            await trail.reserve(1)
        raise error

    with pytest.raises(type(error)):
        await trail.follow(1, attempt)
    trail.close()


async def test_failure_is_noted_and_recorded():
    """With its name and reason."""
    log = Recorder()
    trail = trail_of(log)
    await run(trail, errors.NotFoundError())
    assert [(attempt.error, attempt.reason) for attempt in trail.attempts] == [("NotFoundError", "http_404")]
    assert tuple(log.recorded) == trail.attempts


async def test_failure_before_the_dial_is_noted_not_recorded():
    """The log is told only of what it reserved."""
    log = Recorder()
    trail = trail_of(log)
    await run(trail, errors.NetworkError(), dial=False)
    assert (len(trail.attempts), log.recorded) == (1, [])


@pytest.mark.parametrize("error", [errors.StorageError(), MemoryError(), Deferral(1.0, errors.Reason.RATE_LIMITED)], ids=repr)
async def test_what_is_not_the_urls_fault_leaves_no_note(error):
    """Nothing was asked, or nothing was wrong with it."""
    trail = trail_of(Recorder())
    await run(trail, error, dial=False)
    assert trail.attempts == ()


async def test_wait_belongs_to_the_attempt_before_it_and_costs_time():
    """wait_s and its cause; the deadline hears of it."""
    trail = trail_of()

    async def attempt():
        raise errors.NetworkError

    with pytest.raises(errors.NetworkError):
        await trail.follow(1, attempt)
    assert trail.can_afford(99)
    trail.waits(98, "backoff")
    assert not trail.can_afford(2)
    trail.close()
    assert [(attempt.wait_s, attempt.wait_cause) for attempt in trail.attempts] == [(98, "backoff")]
    trail.waits(1, "backoff")
    assert len(trail.attempts) == 1
