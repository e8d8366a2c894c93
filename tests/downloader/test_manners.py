"""What was decided on robots.txt and opt-outs is on the outcome, hop by hop, whatever the outcome is."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from downloader import Decisions, Deferred, Downloader, Fetched, FetchFailed, FetchRequest, OptOutVerdict, RetryRules, RobotsDecision
from downloader import RobotsVerdict as Robots
from tests.clocks import FakeTime
from tests.downloader.conftest import LIMITS, loopback
from tests.origin import Origin, image, redirect, reply


@pytest.fixture
async def polite(time: FakeTime) -> AsyncIterator[Downloader]:
    async with _downloader(time, robots=True) as made:
        yield made


def _downloader(time: FakeTime, **limits: Any) -> Downloader:
    rules = RetryRules(jitter=0)
    return Downloader(replace(LIMITS, **limits), rules, sleep=time.sleep, clock=time.clock, lookup=loopback)


def _robots(*lines: str) -> Any:
    return reply(200, "\n".join(lines).encode())


def hop(origin: Origin, verdict: Robots, evidence: str | None = None, host: str = "127.0.0.1") -> RobotsDecision:
    return RobotsDecision(origin.url("/robots.txt", host=host), verdict, evidence)


async def test_allowed_and_not_refused(origin: Origin, polite: Downloader) -> None:
    """A file that says nothing against it, and a reply that does not either."""
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /b"))
    outcome = await polite.fetch(origin.script("/a", image()))
    assert isinstance(outcome, Fetched)
    assert outcome.decisions == Decisions(Robots.ALLOWED, (hop(origin, Robots.ALLOWED),), OptOutVerdict.NONE)


async def test_disallowed_by_a_line(origin: Origin, polite: Downloader) -> None:
    """The line is the evidence of the outcome and of the decision; what is read of no reply is said so."""
    origin.script("/robots.txt", _robots("User-agent: pictrawl", "Disallow: /a", "Allow: /a/b"))
    outcome = await polite.fetch(origin.url("/a"))
    assert isinstance(outcome, FetchFailed)
    evidence = f"{origin.url('/robots.txt')} line 2, user-agent pictrawl: Disallow: /a"
    assert outcome.evidence == evidence
    assert outcome.decisions == Decisions(Robots.DISALLOWED, (hop(origin, Robots.DISALLOWED, evidence),), OptOutVerdict.NOT_READ)


async def test_evidence_of_a_hostile_file_is_fit_to_be_shown(origin: Origin, polite: Downloader) -> None:
    """Control characters in a rule are escaped, an endless one is cut."""
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /a\x1b[31m\u202e", "Disallow: /" + "*" * 5000 + "b"))
    first = await polite.fetch(origin.url("/a%1B%5B31m%E2%80%AE"))
    second = await polite.fetch(origin.url("/b"))
    assert isinstance(first, FetchFailed)
    assert isinstance(second, FetchFailed)
    assert first.evidence == f"{origin.url('/robots.txt')} line 2, user-agent *: Disallow: " + r"/a\x1b[31m\u202e"
    assert second.evidence is not None
    assert (len(second.evidence), second.evidence[-1]) == (300, "…")


async def test_no_file(origin: Origin, polite: Downloader) -> None:
    """404 allows, and is told apart from a file that allows."""
    outcome = await polite.fetch(origin.script("/a", image()))
    why = f"the origin answered 404 for {origin.url('/robots.txt')}"
    assert outcome.decisions.hops == (hop(origin, Robots.NO_FILE, why),)
    assert outcome.decisions.robots is Robots.NO_FILE


async def test_server_error_of_robots_txt(origin: Origin, polite: Downloader) -> None:
    """The deferral says that it is robots.txt's; so does the next, for which nobody was asked."""
    origin.script("/robots.txt", reply(503))
    why = f"the origin answered 503 for {origin.url('/robots.txt')}"
    for _ in range(2):
        outcome = await polite.fetch(origin.url("/a"))
        assert isinstance(outcome, Deferred)
        assert outcome.evidence == why
        assert outcome.decisions == Decisions(Robots.UNREACHABLE, (hop(origin, Robots.UNREACHABLE, why),), OptOutVerdict.NOT_READ)
    assert len(origin.log) == 1


async def test_host_that_cannot_be_reached(time: FakeTime) -> None:
    """The URL's own failure, found out while asking for robots.txt."""

    async def private(host: str) -> list[str]:
        return ["10.0.0.1"]

    async with Downloader(replace(LIMITS, robots=True), sleep=time.sleep, clock=time.clock, lookup=private) as downloader:
        outcome = await downloader.fetch("https://h.test/a")
    assert isinstance(outcome, FetchFailed)
    assert (outcome.reason, outcome.evidence) == ("blocked_address", "10.0.0.1")
    decided = RobotsDecision("https://h.test/robots.txt", Robots.UNREACHABLE, "10.0.0.1 is not a public address")
    assert outcome.decisions.hops == (decided,)


async def test_every_hop_is_asked_at_its_own_host(origin: Origin, polite: Downloader) -> None:
    """A redirect to another host: two files, two decisions, and the last is the one that counted."""
    async with Origin() as other:
        other.script("/robots.txt", _robots("User-agent: *", "Disallow: /"))
        outcome = await polite.fetch(origin.script("/a", redirect(other.url("/b", host="other.test"))))
        assert isinstance(outcome, FetchFailed)
        assert outcome.decisions.robots is Robots.DISALLOWED
        assert [(found.robots_txt, found.verdict) for found in outcome.decisions.hops] == [
            (origin.url("/robots.txt"), Robots.NO_FILE),
            (other.url("/robots.txt", host="other.test"), Robots.DISALLOWED),
        ]
        assert other.hits("/b") == []


async def test_opt_out_of_the_reply(origin: Origin, polite: Downloader) -> None:
    """The header is on record with the decision."""
    outcome = await polite.fetch(origin.script("/a", image(X_Robots_Tag="noai")))
    assert isinstance(outcome, FetchFailed)
    assert (outcome.decisions.opt_out, outcome.decisions.opt_out_evidence) == (OptOutVerdict.REFUSED, "x-robots-tag: noai")


async def test_last_attempt_counts(origin: Origin, polite: Downloader) -> None:
    """Three attempts, one decision each; the outcome has one."""
    outcome = await polite.fetch(origin.script("/a", reply(503), reply(503), image()))
    assert len(outcome.attempts) == 3
    assert outcome.decisions.hops == (hop(origin, Robots.NO_FILE, f"the origin answered 404 for {origin.url('/robots.txt')}"),)
    assert outcome.decisions.opt_out is OptOutVerdict.NONE


async def test_switched_off(origin: Origin, time: FakeTime) -> None:
    """Neither asked nor read, and the record says so."""
    origin.script("/robots.txt", _robots("User-agent: *", "Disallow: /"))
    async with _downloader(time, robots=False, opt_out=False) as careless:
        outcome = await careless.fetch(origin.script("/a", image(X_Robots_Tag="noai")))
    assert isinstance(outcome, Fetched)
    assert outcome.decisions == Decisions(Robots.OFF, (), OptOutVerdict.OFF)
    assert [hit.target for hit in origin.log] == ["/a"]


@pytest.mark.parametrize("request_", [FetchRequest("no url"), FetchRequest("http://h.test/", attempts_made=3)])
async def test_nothing_was_asked(polite: Downloader, request_: FetchRequest) -> None:
    """No URL, or no attempt left: it did not come to that."""
    assert (await polite.fetch(request_)).decisions == Decisions()


async def test_deferral_by_retry_after_keeps_what_was_decided(origin: Origin, polite: Downloader) -> None:
    """Nothing against it, but not now; that there is no robots.txt is no evidence for a deferral of the host's."""
    url = origin.script("/a", reply(503, headers={"Retry-After": "60"}))
    for _ in range(2):
        outcome = await polite.fetch(url)
        assert isinstance(outcome, Deferred)
        assert (outcome.evidence, outcome.decisions.robots) == (None, Robots.NO_FILE)
