"""Keywords to searches, searches to candidates, and rounds of more."""

import time
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import func, select, update

import errors
from app.cli.report import load_report
from app.db import images, jobs, tables
from app.discovery import Query, SearchPage
from app.domain import Candidate, ListProblem, Reason
from app.job_states import JobState, UnitKind
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.workers.bench import Bench


class FakeSource:
    """A source with a fixed number of candidates, ten a page."""

    def __init__(self, origin: Origin, total: int, failures: list[BaseException] | None = None) -> None:
        self.origin, self.total, self.failures = origin, total, failures or []
        self.asked: list[tuple[str, str | None]] = []
        self.problems: tuple[ListProblem, ...] = ()
        self.items: dict[str, str | None] = {}
        self.categories: dict[str, str | None] = {}
        self.wanted: list[int | None] = []

    async def pages(self, query: Query, cursor: str | None) -> Any:
        keyword = query.keyword
        self.asked.append((keyword, cursor))
        self.items[keyword] = query.qid
        self.categories[keyword] = query.category
        self.wanted.append(query.wanted)
        if self.failures:
            raise self.failures.pop(0)
        start = int(cursor or 0)
        while start < self.total:
            numbers = range(start, min(start + 10, self.total))
            found = tuple(Candidate(self.origin.url(f"/{keyword}-{number}.jpg"), "wikimedia", rank=number) for number in numbers)
            start += 10
            yield SearchPage(found, str(start) if start < self.total else None, self.problems)


@pytest.fixture
def source(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    """A source that is made for any name."""
    made = FakeSource(origin, 30)
    monkeypatch.setattr("workers.stages.discover.make_source", lambda *_, **__: made)
    for keyword in ("cat", "dog"):
        for number in range(30):
            origin.script(f"/{keyword}-{number}.jpg", image(encode(photo(seed=hash((keyword, number)) % 100_000))))
    return made


async def test_keywords_become_labelled_searches(bench: Bench, source: FakeSource) -> None:
    """Each keyword is searched; its images carry its slug as label and share the target fairly."""
    job_id = await bench.search("Cat", "dog", max_images=8)
    source_keywords = {"cat", "dog"}
    for keyword in ("Cat",):
        for number in range(30):
            source.origin.script(f"/{keyword}-{number}.jpg", image(encode(photo(seed=number + 5_000))))
    await bench.drive()
    job = await bench.job(job_id)
    assert job.state is JobState.SUCCEEDED
    async with bench.db.read() as connection:
        assert await images.labels_of(connection, job.dataset_id) == dict.fromkeys(sorted(source_keywords), 4)


async def test_a_source_that_asks_for_patience_is_asked_again(bench: Bench, source: FakeSource) -> None:
    """A rate limit of the source releases the search for as long as it says, and nothing is lost."""
    source.failures = [errors.RateLimitError("busy", retry_after_s=90.0)]
    job_id = await bench.search("cat", max_images=5)
    await bench.drive()
    async with bench.db.read() as connection:
        due = (await connection.execute(select(func.max(tables.units.c.not_before)))).scalar_one()
    assert due - await bench.db.now() == pytest.approx(90, abs=5)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED


class AskingSource(FakeSource):
    """A source that sends a request for its page."""

    client: Any = None

    def open(self, _settings: object, _name: str, client: Any, **_options: object) -> "AskingSource":
        self.client = client
        return self

    async def pages(self, query: Query, cursor: str | None) -> Any:
        await self.client.fetch_json(self.origin.url("/api"))
        async for page in super().pages(query, cursor):
            yield page


async def test_results_that_cannot_be_read_are_named_with_their_source(
    bench: Bench, source: FakeSource, lines: list[Mapping[str, Any]]
) -> None:
    """In the job's log, at their place; the others are taken."""
    source.problems = (ListProblem(3, "the image has no address", "odd"),)
    job_id = await bench.search("cat", max_images=4)
    await bench.drive()
    (line,) = [line for line in lines if line["event"] == "search.bad_result"]
    assert (line["source"], line["place"], line["problem"]) == ("wikimedia", 3, "the image has no address")
    assert (await load_report(bench.db, job_id)).bad_results == 1


async def test_requests_of_a_search_and_their_retries_are_counted(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the source saw them: retries within a request, and the first request after a pause."""
    monkeypatch.setattr("workers.stages.discover.make_source", AskingSource(origin, 5).open)
    origin.script("/api", reply(503), reply(503), reply(503), reply(503), reply(200, b"{}"))
    job_id = await bench.search("cat", max_images=5)
    await bench.drive()
    assert await jobs.search_figures(bench.db, job_id) == (3, 2)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
    await bench.drive(until=UnitKind.FETCH)
    assert await jobs.search_figures(bench.db, job_id) == (len(origin.hits("/api")), 4) == (5, 4)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (errors.AuthenticationError("no key", status=403), "refused the search (403)"),
        (errors.AuthenticationError("Flickr does not accept the API key"), "Flickr does not accept the API key"),
        (errors.BadRequestError("bad", status=400), "answered the search with 400"),
    ],
)
async def test_a_source_that_refuses_is_noted_and_done_without(
    bench: Bench, source: FakeSource, error: errors.PermanentError, problem: str
) -> None:
    """A permanent error of the only source ends the job short, and the causes say what the source did, or said where it has no status."""
    source.failures = [error]
    job_id = await bench.search("cat", max_images=5)
    await bench.drive()
    job = await bench.job(job_id)
    assert job.state is JobState.FAILED
    assert job.shortfall is not None
    assert f"wikimedia: {problem}, so nothing was searched" in job.shortfall["causes"]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (errors.RateLimitError("too many", status=429), "refused the search (429)"),
        (errors.ServiceUnavailableError("down", status=503), "is overloaded or down (503)"),
        (errors.ServiceUnavailableError("Flickr is not available now"), "Flickr is not available now"),
    ],
)
async def test_a_source_that_never_recovers_is_given_up(
    bench: Bench, source: FakeSource, error: errors.TransientError, problem: str
) -> None:
    """Five pauses, then the job goes on without it; a source that refused is not called exhausted."""
    source.failures = [error] * 10
    job_id = await bench.search("cat", max_images=5)
    for _ in range(8):
        await bench.drive()
        async with bench.db.write() as connection:
            await connection.execute(update(tables.units).values(not_before=0.0))
    job = await bench.job(job_id)
    assert job.state is JobState.FAILED
    assert len(source.asked) == 6
    assert job.shortfall is not None
    assert f"wikimedia: {problem}, so nothing was searched" in job.shortfall["causes"]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (errors.NetworkError("cannot connect"), "Cannot connect to the source"),
        (errors.TimeoutException("too slow"), "the source does not answer"),
        (errors.ServiceUnavailableError("closed", retry_after_s=9.0, reason=Reason.HOST_UNAVAILABLE), "Cannot connect to the source"),
    ],
)
async def test_a_source_that_cannot_be_reached_is_named_at_once_and_given_up_after_two_minutes(
    bench: Bench, source: FakeSource, error: errors.TransientError, problem: str
) -> None:
    """The job says what it waits for from the first failure on; after retry.dead_host_s the search ends, however few pauses there were."""
    source.failures = [error] * 10
    job_id = await bench.search("cat", max_images=5)
    await bench.drive()
    assert (await bench.job(job_id)).waiting_for == f"wikimedia: {problem}; the next try is in 15 s"
    async with bench.db.write() as connection:
        (payload,) = (await connection.execute(select(tables.units.c.payload).where(tables.units.c.kind == UnitKind.SEARCH))).scalars()
        payload |= {"unreached_since": time.time() - 120.5}
        await connection.execute(update(tables.units).where(tables.units.c.kind == UnitKind.SEARCH).values(payload=payload, not_before=0.0))
    await bench.drive()
    job = await bench.job(job_id)
    assert job.state is JobState.FAILED
    assert job.shortfall is not None
    assert f"wikimedia: {problem}; gave up after 2 minutes, see `pictrawl doctor --only network`" in job.shortfall["causes"]
    assert len(source.asked) == 2


async def test_a_drained_search_goes_on_from_its_cursor(bench: Bench, source: FakeSource) -> None:
    """A page that is in the database is not asked for again."""
    job_id = await bench.search("cat", max_images=20)
    await bench.drive(until=UnitKind.SEARCH)
    (delivery,) = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.SEARCH]
    add = bench.context.leases.add

    def add_and_drain(work: Any) -> None:
        add(work)
        bench.stop_what_runs()

    bench.context.leases.add = add_and_drain  # type: ignore[method-assign]
    await bench.run(delivery)
    bench.context.leases.add = add  # type: ignore[method-assign]
    (search,) = await jobs.searches_of(bench.db, job_id)
    assert (search.found, search.cursor) == (10, "10")
    await bench.drive()
    assert source.asked == [("cat", None), ("cat", "10")]
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED


async def test_expansion_adds_searches_under_the_keywords_own_label(
    bench: Bench, source: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias is searched too, and what it brings is labelled as what was asked for."""
    from app.discovery import Expansion

    async def look_up(*_: object, **__: object) -> list[Expansion]:
        return [Expansion("dog", "en", "alias", "Q1", "Cats"), Expansion("CAT", "en", "alias", "Q1", "Cats")]

    monkeypatch.setattr("workers.builder.expand", look_up)
    job_id = await bench.search("cat", max_images=10, expand=2)
    await bench.drive()
    found = await jobs.searches_of(bench.db, job_id)
    assert [(search.keyword, search.label, search.root_keyword) for search in found] == [("cat", "cat", "cat"), ("dog", "cat", "cat")]
    assert source.wanted, "a source knows whether it has to divide its results"
    assert all(source.wanted)
    assert source.items == {"cat": "Q1", "dog": None}, "what depicts the item is searched for once, not for each of its names"
    assert source.categories == {"cat": "Cats", "dog": None}
    assert [(search.qid, search.category, search.not_expanded) for search in found] == [("Q1", "Cats", None)] * 2
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED


async def test_synonyms_leave_the_shares_of_keywords_as_they_are(bench: Bench, source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first keyword that is expanded does not take the share of one that is not yet, nor its name."""
    from app.discovery import Expansion

    async def look_up(_: object, keyword: str, *__: object, **___: object) -> list[Expansion]:
        return [Expansion("Dog" if keyword == "cat" else "hound", "en", "alias", "Q1")]

    monkeypatch.setattr("workers.builder.expand", look_up)
    job_id = await bench.search("cat", "dog", max_images=4, expand=1)
    await bench.drive()
    found = await jobs.searches_of(bench.db, job_id)
    assert sorted((search.keyword, search.label) for search in found) == [("cat", "cat"), ("dog", "dog"), ("hound", "dog")]
    async with bench.db.read() as connection:
        assert await images.labels_of(connection, (await bench.job(job_id)).dataset_id) == {"cat": 2, "dog": 2}
    assert (await bench.funnel(job_id)).requested <= 7


async def test_a_dictionary_that_is_away_costs_synonyms_only(bench: Bench, source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """The keyword itself is searched all the same, and the summary says that it was alone."""

    async def away(*_: object, **__: object) -> list[object]:
        raise errors.NetworkError("reset")

    monkeypatch.setattr("workers.builder.expand", away)
    job_id = await bench.search("cat", max_images=5, expand=3)
    await bench.drive()
    assert [search.keyword for search in await jobs.searches_of(bench.db, job_id)] == ["cat"]
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    report = await load_report(bench.db, job_id)
    assert [item.not_expanded for item in report.keywords] == ["its other names could not be looked up: reset"]
    assert "warning    not expanded: cat; its other names could not be looked up: reset" in report.summary()
