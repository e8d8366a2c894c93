"""What is dialled, at the kernel's door: names that change their answer, answers that mix, and nothing from the environment."""

import asyncio
import itertools
import socket
from collections.abc import Iterator

import httpx
import pytest

import errors
from downloader import Deferred, Fetched, FetchFailed, FetchLimits, FetchRequest, RetryRules
from downloader.client import Downloader
from downloader.transport import GuardedTransport
from downloader.url_guard import URLGuard
from tests.clocks import FakeTime
from tests.downloader.conformance.dials import Dials
from tests.downloader.conformance.redirects import PRIVATE
from tests.downloader.conformance.rows import answering
from tests.downloader.conftest import LIMITS
from tests.origin import Origin, image

PUBLIC = "93.184.216.34"
LIMITS_OF_THE_FIELD = FetchLimits(robots=False, ports=())


@pytest.fixture
def dials() -> Iterator[Dials]:
    with Dials() as watching:
        yield watching


def changing(*answers: list[str]) -> tuple[list[str], Downloader, FakeTime]:
    """A downloader whose names mean something else each time they are looked up, the last answer for ever; and what it looked up."""
    looked_up: list[str] = []
    coming = iter(answers)

    async def lookup(host: str) -> list[str]:
        looked_up.append(host)
        return next(coming, answers[-1])

    time = FakeTime()
    transport = GuardedTransport(URLGuard(()), lookup=lookup, dns_ttl_s=0)
    return looked_up, Downloader(LIMITS_OF_THE_FIELD, RetryRules(jitter=0), transport=transport, sleep=time.sleep, clock=time.clock), time


async def test_name_that_turns_private_is_dialled_while_public_only(dials: Dials) -> None:
    """Rebinding: the address that was checked is the one dialled; the next answer is judged anew, and refuses the URL."""
    looked_up, downloader, time = changing([PUBLIC], ["10.0.0.1"])
    async with downloader:
        outcome = await downloader.fetch("http://rebinding.test/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.evidence, time.waits) == ("blocked_address", "10.0.0.1", [2.0])
    assert dials.made == [PUBLIC]
    assert len(looked_up) == 2


async def test_name_that_turns_public_is_dialled_then(dials: Dials) -> None:
    """A private answer is final for the URL: nobody asks until a better one comes."""
    looked_up, downloader, _ = changing(["10.0.0.1"], [PUBLIC])
    async with downloader:
        outcome = await downloader.fetch("http://rebinding.test/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, dials.made, len(looked_up)) == ("blocked_address", [], 1)


@pytest.mark.parametrize("order", list(itertools.permutations([PUBLIC, "10.0.0.1", "fd00::1"])), ids=" ".join)
async def test_name_with_a_private_answer_among_public_ones_is_not_dialled(dials: Dials, order: tuple[str, ...]) -> None:
    """One bad answer refuses the name, wherever it stands."""
    _, downloader, _ = changing(list(order))
    async with downloader:
        outcome = await downloader.fetch("http://mixed.test/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, dials.made) == ("blocked_address", [])


async def test_public_name_is_dialled_at_each_of_its_addresses(dials: Dials) -> None:
    """Several public answers are all tried, and together they are one attempt."""
    _, downloader, time = changing([PUBLIC, "93.184.216.35"])
    async with downloader:
        outcome = await downloader.fetch("http://two.test/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, time.waits, len(outcome.attempts)) == ("network", [2.0, 4.0], 3)
    assert set(dials.made) == {PUBLIC, "93.184.216.35"}


@pytest.mark.parametrize("url", [url for url in PRIVATE.values() if "://" in url and ".test" not in url and "localhost" not in url])
async def test_private_url_is_never_looked_up_nor_dialled(dials: Dials, url: str) -> None:
    """Asked for directly, too: by address rule, or because credentials make it no URL at all."""

    async def lookup(host: str) -> list[str]:
        raise AssertionError(host)

    async with Downloader(LIMITS_OF_THE_FIELD, lookup=lookup) as downloader:
        outcome = await downloader.fetch(url)
    assert isinstance(outcome, FetchFailed)
    assert outcome.reason == ("invalid_url" if "@" in url else "blocked_address")
    assert dials.made == []
    assert outcome.attempts == ()


@pytest.mark.parametrize("host", ["10.0.0.1", "127.0.0.1", "[::1]", "[::ffff:10.0.0.1]"])
async def test_transport_refuses_what_no_one_checked_before(dials: Dials, host: str) -> None:
    """The last wall stands by itself: an address that met neither the URL's check nor the resolver's is refused at the dial."""
    async with httpx.AsyncClient(transport=GuardedTransport(URLGuard(()))) as client:
        with pytest.raises(errors.BlockedAddressError):
            await client.get(f"http://{host}/x")
    assert dials.made == []


async def test_robots_txt_of_a_private_name_is_not_asked_for(dials: Dials) -> None:
    """robots.txt takes the same way as everything else."""
    async with Downloader(FetchLimits(), lookup=answering(private_test=["10.0.0.1"])) as downloader:
        outcome = await downloader.fetch("http://private.test/x")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, dials.made) == ("blocked_address", [])


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"])
async def test_no_proxy_is_taken_from_the_environment(dials: Dials, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A proxy would dial for us, unchecked."""
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    async with Origin() as origin, Downloader(LIMITS) as downloader:
        dials.expected = {origin.port}
        assert isinstance(await downloader.fetch(origin.script("/x", image())), Fetched)
    assert dials.made == ["127.0.0.1"]


async def test_dead_host_does_not_hold_up_the_others(dials: Dials) -> None:
    """Twenty URLs of a name that is never answered share two places; the other host's are through before the first of them ends."""
    silence = asyncio.Event()

    async def lookup(host: str) -> list[str]:
        if host == "dead.test":
            await silence.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "scripted")
        return ["127.0.0.1"]

    time, ended = FakeTime(), []
    async with (
        Origin() as origin,
        Downloader(LIMITS, RetryRules(jitter=0), sleep=time.sleep, clock=time.clock, lookup=lookup) as downloader,
    ):
        dials.expected = {origin.port}
        origin.script("/x", image())
        dead = [f"http://dead.test/{number}" for number in range(20)]
        urls = [url for pair in zip(dead, [origin.url("/x", host="alive.test")] * 20, strict=True) for url in pair]
        async for outcome in downloader.fetch_many([FetchRequest(url) for url in urls]):
            ended.append(outcome)
            if len(ended) == 20:
                silence.set()
    assert all(isinstance(outcome, Fetched) for outcome in ended[:20])
    assert all(isinstance(outcome, FetchFailed | Deferred) for outcome in ended[20:])
    assert len(ended) == 40
