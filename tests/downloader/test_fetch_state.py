"""The state of a URL: which attempts are noted, which are not, and when the attempt log is called."""

import pytest

import errors
from downloader.fetch_state import FetchState
from downloader.models import FetchRequest, HostClosedError
from tests.clocks import FakeTime

REQUEST = FetchRequest("http://h.test/a", key=1)


class Recorder:
    def __init__(self):
        self.recorded = []

    async def reserve(self, request, number):
        pass

    def record(self, request, attempt):
        self.recorded.append(attempt)


def state_of(log=None):
    return FetchState(REQUEST, 100.0, clock=FakeTime().clock, log=log)


async def run(state, error, *, dial=True):
    async def attempt(state):
        if dial:
            await state.reserve()
        raise error

    with pytest.raises(type(error)):
        await state.run_attempt(attempt)
    state.record_attempt()


async def test_failure_is_noted_and_recorded():
    """With its name and reason."""
    log = Recorder()
    state = state_of(log)
    await run(state, errors.NotFoundError())
    assert [(attempt.error, attempt.reason) for attempt in state.attempts] == [("NotFoundError", "http_404")]
    assert tuple(log.recorded) == state.attempts


async def test_failure_before_the_dial_is_recorded_if_it_may_pass():
    """A robots.txt that cannot be fetched costs an attempt like any other; a refusal before the request costs none."""
    log = Recorder()
    state = state_of(log)
    await run(state, errors.NetworkError(), dial=False)
    assert [attempt.error for attempt in log.recorded] == ["NetworkError"]
    await run(state_of(log), errors.RobotsError(), dial=False)
    assert len(log.recorded) == 1


@pytest.mark.parametrize("error", [errors.StorageError(), MemoryError(), HostClosedError(1.0, errors.Reason.RATE_LIMITED)], ids=repr)
async def test_error_that_is_not_the_urls_own_leaves_no_note(error):
    """Nothing was requested, or nothing was wrong with the URL."""
    state = state_of(Recorder())
    await run(state, error, dial=False)
    assert state.attempts == ()


async def test_attempts_are_numbered_on_from_earlier_runs():
    """The second attempt of a job is number 2, in whichever run it is made."""
    state = FetchState(FetchRequest("http://h.test/a", attempts_made=1), 100.0, clock=FakeTime().clock)
    await run(state, errors.NetworkError())
    assert [attempt.number for attempt in state.attempts] == [2]
    assert state.attempts_made == 2


async def test_wait_belongs_to_the_attempt_before_it_and_costs_time():
    """wait_s and its cause; the time left shrinks."""
    state = state_of()

    async def attempt(state):
        raise errors.NetworkError

    with pytest.raises(errors.NetworkError):
        await state.run_attempt(attempt)
    state.note_wait(98, "backoff")
    assert state.time_left_s == 2
    state.record_attempt()
    assert [(attempt.wait_s, attempt.wait_cause) for attempt in state.attempts] == [(98, "backoff")]
    state.note_wait(1, "backoff")
    assert len(state.attempts) == 1
