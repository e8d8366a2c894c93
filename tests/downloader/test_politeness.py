"""Whole downloaders against simulated hosts, in virtual time: limits found and kept, budgets held, nobody held up by a neighbour."""

import asyncio
from collections import Counter

import httpx
import pytest

from downloader import Deferred, Fetched, FetchFailed, FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader
from downloader.limiter.store import LocalHostStateStore
from downloader.lru import LRUDict
from errors import Reason
from tests.clocks import VirtualTime
from tests.origin import JPEG

LIMITS = FetchLimits(robots=False)


class Team(LocalHostStateStore):
    """One worker's hand on a store that others write in as well."""

    def __init__(self, clock, worker, states):
        super().__init__(clock)
        self.worker = worker
        self._states = states


class Host:
    """Answers 429 beyond a token bucket, after 20 ms."""

    def __init__(self, time, *, per_s, burst, retry_after=None):
        self.time, self.per_s, self.burst = time, per_s, burst
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.tokens, self.at = float(burst), time.clock()
        self.in_flight = self.most_in_flight = 0
        self.answers = []

    async def __call__(self, request):
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.01)
        now = self.time.clock()
        self.tokens, self.at = min(self.burst, self.tokens + (now - self.at) * self.per_s), now
        allowed = self.tokens >= 1
        self.tokens -= allowed
        self.answers.append((now, allowed))
        await asyncio.sleep(0.01)
        self.in_flight -= 1
        return httpx.Response(200, content=JPEG) if allowed else httpx.Response(429, headers=self.headers)


async def fetch_for(seconds, time, workers, host):
    """Run workers that share a store, each with URLs without end."""
    states, stop = LRUDict(100), asyncio.Event()

    def urls(name):
        number = 0
        while True:
            number += 1
            yield FetchRequest(f"http://h.test/{name}/{number}")

    async def work(name):
        store = Team(time.clock, name, states)
        async with Downloader(LIMITS, transport=httpx.MockTransport(host), clock=time.clock, store=store) as downloader:
            return [outcome async for outcome in downloader.fetch_many(urls(name), stop=stop)]

    tasks = [asyncio.create_task(work(f"w{number}")) for number in range(workers)]
    await asyncio.sleep(seconds)
    stop.set()
    return [outcome for outcomes in await asyncio.gather(*tasks) for outcome in outcomes]


@pytest.mark.parametrize(("retry_after", "burst"), [(None, 20), (1, 1)])
def test_four_workers_find_a_hosts_limit_and_keep_it(retry_after, burst):
    """20 a second allowed: after ten seconds at most 5 % refused and at least 90 % used, and never more than two at once in the fleet."""
    time = VirtualTime()
    host = Host(time, per_s=20, burst=burst, retry_after=retry_after)
    outcomes = time.run(fetch_for(70, time, 4, host))
    began = host.answers[0][0]
    late = [allowed for at, allowed in host.answers if began + 10 <= at < began + 70]
    assert sum(late) >= 0.9 * 20 * 60
    assert late.count(False) <= 0.05 * len(late)
    assert host.most_in_flight == 2
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)


def test_places_of_a_host_without_work_go_back():
    """Half a second after its last URL, while the downloader goes on to live."""
    time, states = VirtualTime(), LRUDict(100)

    async def fetch():
        store = Team(time.clock, "w1", states)
        transport = httpx.MockTransport(lambda request: httpx.Response(200, content=JPEG))
        async with Downloader(LIMITS, transport=transport, clock=time.clock, store=store) as downloader:
            await downloader.fetch("http://h.test/a")
            assert list(states.peek("http://h.test:80").shares) == ["w1"]
            await asyncio.sleep(1)
            assert states.peek("http://h.test:80").shares == {}
            assert isinstance(await downloader.fetch("http://h.test/b"), Fetched)

    time.run(fetch())


async def fetch_all(time, urls, answer, limits=LIMITS, rules=RetryRules()):
    async with Downloader(limits, rules, transport=httpx.MockTransport(answer), clock=time.clock) as downloader:
        return [outcome async for outcome in downloader.fetch_many([FetchRequest(url) for url in urls])]


@pytest.mark.parametrize(("status", "hosts"), [(503, 1), (503, 10), (503, 1000), (504, 10), (429, 10), (429, 1000)])
def test_an_origin_that_fails_for_everybody_is_not_hammered(status, hosts):
    """1,000 URLs, all failing: at most 1,100 requests in the first pass, three for a URL, and each URL is deferred or has failed."""
    time, hits = VirtualTime(), Counter()

    async def answer(request):
        hits[str(request.url)] += 1
        await asyncio.sleep(0.02)
        return httpx.Response(status)

    urls = [f"http://h{number % hosts}.test/{number}" for number in range(1000)]
    outcomes = time.run(fetch_all(time, urls, answer))
    assert sum(hits.values()) <= 1100
    assert max(hits.values()) <= 3
    assert Counter(outcome.request.url for outcome in outcomes) == Counter(urls)
    for outcome in outcomes:
        if isinstance(outcome, Deferred):
            assert outcome.until > time.clock() - 60
            assert outcome.reason in {Reason.RETRY_BUDGET, Reason.HOST_UNAVAILABLE, Reason.RATE_LIMITED}
        else:
            assert isinstance(outcome, FetchFailed)
            assert len(outcome.attempts) == 3
    assert sum(isinstance(outcome, Deferred) for outcome in outcomes) >= 900


def test_a_deferred_url_goes_on_where_it_was():
    """Beyond the budget it comes back in about a minute, with its attempt counted; three are the most, whatever the budget says."""
    time, hits = VirtualTime(), Counter()

    def answer(request):
        hits[str(request.url)] += 1
        return httpx.Response(504)

    async def rounds():
        rules = RetryRules(budget=0, budget_floor=0, jitter=0)
        async with Downloader(LIMITS, rules, transport=httpx.MockTransport(answer), clock=time.clock) as downloader:
            return [await downloader.fetch(FetchRequest("http://h.test/a", attempts_made=made)) for made in range(4)]

    first, second, third, fourth = time.run(rounds())
    for made, outcome in enumerate((first, second)):
        assert isinstance(outcome, Deferred)
        assert (outcome.reason, [attempt.number for attempt in outcome.attempts]) == ("retry_budget", [made + 1])
        assert 59 < outcome.until - time.clock() <= 60
    assert (type(third), third.reason, third.attempts[0].number) == (FetchFailed, "service_unavailable", 3)
    assert (type(fourth), fourth.reason) == (FetchFailed, "interrupted")
    assert sum(hits.values()) == 3


def test_a_dead_host_does_not_slow_the_others():
    """Sixty URLs of a host that swallows connections come first in the list: the others are done before it is given up."""
    time, done = VirtualTime(), {}

    async def answer(request):
        if request.url.host == "dead.test":
            await asyncio.sleep(10)
            raise httpx.ConnectTimeout("nobody")
        await asyncio.sleep(0.05)
        return httpx.Response(200, content=JPEG)

    urls = [f"http://dead.test/{number}" for number in range(60)] + [f"http://h{number % 20}.test/{number}" for number in range(40)]

    async def fetch():
        limits = FetchLimits(robots=False, concurrency=16)
        async with Downloader(limits, transport=httpx.MockTransport(answer), clock=time.clock) as downloader:
            async for outcome in downloader.fetch_many([FetchRequest(url) for url in urls]):
                done[outcome.request.url] = time.passed, outcome

    time.run(fetch())
    alive = [at for url, (at, _) in done.items() if "dead" not in url]
    dead = [(at, outcome) for url, (at, outcome) in done.items() if "dead" in url]
    assert max(alive) < 1
    assert len(dead) == 60
    assert min(at for at, _ in dead) >= 10
    assert Counter(outcome.reason for _, outcome in dead if isinstance(outcome, Deferred))["host_unavailable"] >= 50


def test_one_urls_retry_after_holds_for_all_of_its_host():
    """While one URL sits out five seconds no other one of the host is asked; another host's is."""
    time, log = VirtualTime(), []

    async def answer(request):
        log.append((round(time.passed, 3), request.url.host))
        await asyncio.sleep(0.02)
        first = request.url.path == "/0" and sum(host == "a.test" for _, host in log) == 1
        return httpx.Response(429, headers={"Retry-After": "5"}) if first else httpx.Response(200, content=JPEG)

    urls = [f"http://a.test/{number}" for number in range(6)] + ["http://b.test/0"]
    limits = FetchLimits(robots=False, per_host=1)
    outcomes = time.run(fetch_all(time, urls, answer, limits))
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    starts = [at for at, host in log if host == "a.test"]
    assert starts[1] - starts[0] >= 5
    assert next(at for at, host in log if host == "b.test") < 1


def test_window_narrows_for_a_host_that_stalls():
    """Eight at once until it takes too long, then four, two, one; and up again when it answers. It has answered before."""
    time = VirtualTime()
    state = {"in_flight": 0, "slow": False}
    seen = []

    async def answer(request):
        state["in_flight"] += 1
        seen.append((time.passed, state["in_flight"]))
        try:
            await asyncio.sleep(40 if state["slow"] else 0.1)
        finally:
            state["in_flight"] -= 1
        return httpx.Response(200, content=JPEG)

    async def fetch():
        limits = FetchLimits(robots=False, per_host=8)
        async with Downloader(limits, transport=httpx.MockTransport(answer), clock=time.clock) as downloader:
            await downloader.fetch("http://h.test/first")
            state["slow"] = True
            async for _ in downloader.fetch_many([FetchRequest(f"http://h.test/{number}") for number in range(60)]):
                if time.passed > 100:
                    state["slow"] = False

    time.run(fetch())
    most = {minute: max(count for at, count in seen if minute * 35 <= at < (minute + 1) * 35) for minute in range(3)}
    assert most[0] == 8
    assert most[1] <= 4
    assert most[2] <= 2
    assert max(count for at, count in seen if at > 140) >= 4
