"""The seed's list for request retries: what is retried, what is not, the exact waits, three attempts, the last error."""

from email.utils import formatdate

import httpx
import pytest
import respx

import errors
from downloader import Deferred, Fetched, FetchFailed, FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader
from tests.clocks import FakeTime
from tests.origin import JPEG

URL = "http://images.test/a.jpg"
OK = httpx.Response(200, content=JPEG, headers={"content-type": "image/jpeg"})


@pytest.fixture
def time():
    return FakeTime()


@pytest.fixture
def router():
    with respx.mock(assert_all_called=False, using="httpx") as mocked:
        yield mocked


@pytest.fixture
async def downloader(time, router):
    made = Downloader(
        FetchLimits(robots=False),
        RetryRules(jitter=0),
        transport=httpx.MockTransport(router.async_handler),
        sleep=time.sleep,
        clock=time.clock,
    )
    async with made:
        yield made


TRANSIENT = [
    (httpx.ConnectTimeout("x"), errors.TimeoutException),
    (httpx.ReadTimeout("x"), errors.TimeoutException),
    (httpx.ConnectError("x"), errors.NetworkError),
    (httpx.ReadError("x"), errors.NetworkError),
    (httpx.RemoteProtocolError("Server disconnected without sending a response."), errors.NetworkError),
    (httpx.Response(429), errors.RateLimitError),
    (httpx.Response(503), errors.ServiceUnavailableError),
    (httpx.Response(504), errors.ServiceUnavailableError),
]


@pytest.mark.parametrize(("failure", "expected"), TRANSIENT, ids=repr)
async def test_transient_error_is_retried_to_the_end(downloader, router, time, failure, expected):
    """Three attempts, 2 s and 4 s apart, and the last error is the outcome."""
    route = router.get(URL).mock(side_effect=[failure] * 4)
    outcome = await downloader.fetch(URL)
    assert isinstance(outcome, FetchFailed)
    assert (route.call_count, time.waits) == (3, [2.0, 4.0])
    assert (outcome.error, outcome.reason) == (expected.__name__, expected.reason)
    assert [attempt.number for attempt in outcome.attempts] == [1, 2, 3]
    assert [attempt.wait_s for attempt in outcome.attempts] == [2.0, 4.0, 0.0]
    assert [attempt.wait_cause for attempt in outcome.attempts] == ["backoff", "backoff", ""]


@pytest.mark.parametrize(("failure", "expected"), TRANSIENT, ids=repr)
async def test_transient_error_then_success(downloader, router, time, failure, expected):
    """One failure costs one wait, and the image is there."""
    router.get(URL).mock(side_effect=[failure, OK])
    outcome = await downloader.fetch(URL)
    assert isinstance(outcome, Fetched)
    assert outcome.body == JPEG
    assert time.waits == [2.0]
    assert [attempt.error for attempt in outcome.attempts] == [expected.__name__, None]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (403, "AuthenticationError"),
        (404, "NotFoundError"),
        (500, "PermanentError"),
        (410, "PermanentError"),
    ],
)
async def test_permanent_error_is_not_retried(downloader, router, time, status, error):
    """One request, no wait."""
    route = router.get(URL).respond(status)
    outcome = await downloader.fetch(URL)
    assert isinstance(outcome, FetchFailed)
    assert (route.call_count, time.waits, outcome.error, outcome.status) == (1, [], error, status)


@pytest.mark.parametrize("form", ["5", " 5 ", "007", "imf", "rfc850", "asctime"])
async def test_retry_after_replaces_the_backoff(downloader, router, time, form):
    """A valid Retry-After is waited exactly, once, instead of the backoff and never on top of it."""
    seconds = {"007": 7.0}.get(form, 5.0)
    moment = time.now + 5
    dates = {
        "imf": formatdate(moment, usegmt=True),
        "rfc850": _strftime("%A, %d-%b-%y %H:%M:%S GMT", moment),
        "asctime": _strftime("%a %b %e %H:%M:%S %Y", moment),
    }
    router.get(URL).mock(side_effect=[httpx.Response(429, headers={"retry-after": dates.get(form, form)}), OK])
    outcome = await downloader.fetch(URL)
    assert isinstance(outcome, Fetched)
    assert time.waits == [pytest.approx(seconds)]
    assert outcome.attempts[0].wait_cause == "retry_after"


def _strftime(pattern, moment):
    import time as real

    return real.strftime(pattern, real.gmtime(moment))


@pytest.mark.parametrize(
    "value", ["0", "-1", "+5", "1.5", "", "soon", "1_000", "5, 10", "NaN", "9" * 5000, "Fri, 32 Dec 2023 00:00:00 GMT"]
)
async def test_retry_after_that_is_none_counts_as_absent(downloader, router, time, value):
    """0, signs, fractions and garbage leave the backoff as it is."""
    router.get(URL).mock(side_effect=[httpx.Response(503, headers={"retry-after": value}), OK])
    assert isinstance(await downloader.fetch(URL), Fetched)
    assert time.waits == [2.0]


async def test_several_retry_after_headers_the_largest_counts(downloader, router, time):
    """1 and 3 make 3."""
    router.get(URL).mock(side_effect=[httpx.Response(429, headers=[("retry-after", "1"), ("retry-after", "3")]), OK])
    await downloader.fetch(URL)
    assert time.waits == [3.0]


async def test_retry_after_three_times_never_waits_before_giving_up(downloader, router, time):
    """Waits lie between attempts: three attempts have two of them."""
    route = router.get(URL).respond(429, headers={"retry-after": "5"})
    outcome = await downloader.fetch(URL)
    assert (route.call_count, time.waits) == (3, [5.0, 5.0])
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.retry_after_s) == ("rate_limited", 5.0)


async def test_longer_retry_after_defers(downloader, router, time):
    """Beyond what is waited in place the slot is given back, and the host is closed for every URL until then."""
    route = router.get(URL).respond(429, headers={"retry-after": "60"})
    other = router.get("http://images.test/b.jpg").mock(return_value=OK)
    outcome = await downloader.fetch(FetchRequest(URL, key=7))
    assert isinstance(outcome, Deferred)
    assert (outcome.until, outcome.reason, outcome.retry_after_s, outcome.request.key) == (time.now + 60, "rate_limited", 60.0, 7)
    assert (route.call_count, time.waits, len(outcome.attempts)) == (1, [], 1)
    held = await downloader.fetch("http://images.test/b.jpg")
    assert isinstance(held, Deferred)
    assert (held.until, held.attempts, other.call_count) == (outcome.until, (), 0)
    time.now += 60
    assert isinstance(await downloader.fetch("http://images.test/b.jpg"), Fetched)


async def test_longer_retry_after_on_the_last_attempt_fails(downloader, router, time):
    """A deferral without an attempt left would come back for nothing."""
    router.get(URL).respond(503, headers={"retry-after": "60"})
    outcome = await downloader.fetch(FetchRequest(URL, attempts_made=2))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.retry_after_s, time.waits) == ("service_unavailable", 60.0, [])


async def test_retry_after_over_the_cap_fails(downloader, router, time):
    """A day is more patience than an image is worth; the reason says so."""
    route = router.get(URL).respond(429, headers={"retry-after": "86400"})
    outcome = await downloader.fetch(URL)
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.error, outcome.retry_after_s) == ("retry_after_over_cap", "RetryAfterOverCapError", 86400.0)
    assert (route.call_count, time.waits) == (1, [])


async def test_attempts_of_earlier_runs_count(downloader, router, time):
    """One attempt left is one request; numbers go on where they stopped."""
    route = router.get(URL).respond(503)
    outcome = await downloader.fetch(FetchRequest(URL, attempts_made=2))
    assert (route.call_count, time.waits, [attempt.number for attempt in outcome.attempts]) == (1, [], [3])


async def test_no_attempt_left_is_no_request(downloader, router):
    """A URL whose attempts are used up is not asked for again."""
    route = router.get(URL).mock(return_value=OK)
    outcome = await downloader.fetch(FetchRequest(URL, attempts_made=3))
    assert isinstance(outcome, FetchFailed)
    assert (route.call_count, outcome.reason, outcome.attempts) == (0, "interrupted", ())


async def test_extra_statuses_are_retried(router, time):
    """An operator may have 500 retried."""
    router.get(URL).mock(side_effect=[httpx.Response(500), OK])
    rules = RetryRules(jitter=0, extra_statuses=(500,))
    transport = httpx.MockTransport(router.async_handler)
    async with Downloader(FetchLimits(robots=False), rules, transport=transport, sleep=time.sleep, clock=time.clock) as downloader:
        assert isinstance(await downloader.fetch(URL), Fetched)
    assert time.waits == [2.0]


async def test_fetch_json_propagates_the_last_error(downloader, router, time):
    """Sources get the error itself, after the same three attempts."""
    route = router.get("http://api.test/search").respond(503)
    with pytest.raises(errors.ServiceUnavailableError) as caught:
        await downloader.fetch_json("http://api.test/search")
    assert (route.call_count, time.waits, caught.value.status) == (3, [2.0, 4.0], 503)


async def test_fetch_json_raises_a_long_retry_after_at_once(downloader, router, time):
    """The source decides what to do with a minute."""
    router.get("http://api.test/search").respond(429, headers={"retry-after": "60"})
    with pytest.raises(errors.RateLimitError) as caught:
        await downloader.fetch_json("http://api.test/search")
    assert (caught.value.retry_after_s, time.waits) == (60.0, [])
    with pytest.raises(errors.RateLimitError) as held:  # the gate stays closed for the next page too
        await downloader.fetch_json("http://api.test/search", params={"page": "2"})
    assert held.value.retry_after_s == 60.0
