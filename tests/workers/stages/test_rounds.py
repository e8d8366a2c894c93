"""Tests of workers.stages.rounds: what is fetched for a target, how keywords share it, and when a round starts. The origin counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

import errors
from app.db import candidates, image_search, images, jobs, lifecycle, tables, units
from app.db.candidates import SearchCount, Wanted
from app.db.image_search import ImageFilter
from app.db.rows import NewUnit, Search
from app.discovery import Query, SearchPage
from app.domain import Candidate, ImageState, Reason
from app.explain.keywords import KeywordFigures, load_keywords
from app.job_states import DesiredState, JobState, UnitKind
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build, submit_retry
from app.quotas import Supply
from app.spec import JobRequest, JobSpec
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.workers.bench import Bench, open_bench
from tests.workers.stages.test_outcomes import LaterTime
from workers.stages.rounds import supplies

PAGE = 50

PATIENT = "localhost"
"""A second name of the origin, under which it asks for patience; it has the limits of a host of its own."""


class Shelf:
    """A source with so many images of each keyword, fifty a page; what is not scripted at the origin is a 404."""

    def __init__(
        self, origin: Origin, monkeypatch: pytest.MonkeyPatch, stock: Mapping[str, int], *, page: int = PAGE, patient: str = ""
    ) -> None:
        self.origin, self.stock, self.page, self.patient = origin, stock, page, patient
        self.failures: list[BaseException | None] = []
        monkeypatch.setattr("workers.stages.discover.make_source", lambda _, name, *__, **___: self._named(name))

    def _named(self, name: str) -> "Shelf":
        self.name = name
        return self

    def licence(self, number: int) -> str | None:
        """Under which an image is offered."""
        return "CC0-1.0"

    def fill(self, keyword: str, numbers: Any, *, seed: int | None = None) -> None:
        """Put images at the origin, different ones unless a seed is given."""
        for number in numbers:
            body = encode(photo(80, 80, seed=hash((keyword, number)) % 100_000 if seed is None else seed))
            self.origin.script(f"/{keyword}-{number}.jpg", image(body))

    @property
    def requests(self) -> list[str]:
        """The paths that were requested, robots.txt aside."""
        return [hit.target for hit in self.origin.log if hit.target.endswith(".jpg")]

    async def pages(self, query: Query, cursor: str | None) -> Any:
        keyword = query.keyword
        start, name = int(cursor or 0), self.name
        while True:
            if self.failures and (failure := self.failures.pop(0)) is not None:
                raise failure
            numbers = range(start, min(start + self.page, self.stock[keyword]))
            host = PATIENT if keyword == self.patient else "127.0.0.1"
            urls = {number: self.origin.url(f"/{keyword}-{number}.jpg", host) for number in numbers}
            found = tuple(Candidate(url, name, rank=number, license=self.licence(number)) for number, url in urls.items())
            start += self.page
            yield SearchPage(found, str(start) if start < self.stock[keyword] else None)
            if start >= self.stock[keyword]:
                return


async def kept_by_label(bench: Bench, job_id: str) -> dict[str | None, int]:
    """The kept images of each label."""
    async with bench.db.read() as connection:
        return await images.labels_of(connection, (await bench.job(job_id)).dataset_id)


async def figures(bench: Bench, job_id: str) -> dict[str, KeywordFigures]:
    """The figures of each keyword, without label and sources."""
    return {item.keyword: replace(item, label=None, sources=()) for item in await load_keywords(bench.db, await bench.job(job_id))}


async def test_three_of_fifty_perfect_images_take_five_requests(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the page waits, and ends as not requested."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60})
    shelf.fill("cat", range(60))
    job_id = await bench.search("cat", max_images=3)
    await bench.drive()
    funnel = await bench.funnel(job_id)
    assert ((await bench.job(job_id)).state, funnel.kept, funnel.candidates) == (JobState.SUCCEEDED, 3, 50)
    assert len(shelf.requests) == 5 == funnel.fetched == funnel.requested
    assert funnel.spare == 45
    assert funnel.reasons == {"not_requested": 45, "over_target": 2}


async def test_four_keywords_share_ten_images(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """3, 3, 2 and 2, for at most 16 requests."""
    words = ("ant", "bee", "cat", "dog")
    shelf = Shelf(origin, monkeypatch, dict.fromkeys(words, 60))
    for word in words:
        shelf.fill(word, range(10))
    job_id = await bench.search(*words, max_images=10)
    await bench.drive()
    assert await kept_by_label(bench, job_id) == {"ant": 3, "bee": 3, "cat": 2, "dog": 2}
    assert len(shelf.requests) == 16
    found = await figures(bench, job_id)
    assert found["ant"] == KeywordFigures("ant", wanted=3, found=50, fetched=5, kept=3)
    assert found["dog"] == KeywordFigures("dog", wanted=2, found=50, fetched=3, kept=2)


async def test_a_source_with_every_other_image_bad_still_delivers(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds release what the yield asks for, and no more than that."""
    shelf = Shelf(origin, monkeypatch, {"cat": 200})
    shelf.fill("cat", range(0, 200, 2))
    job_id = await bench.search("cat", max_images=20)
    await bench.drive()
    assert ((await bench.job(job_id)).state, (await bench.funnel(job_id)).kept) == (JobState.SUCCEEDED, 20)
    assert 40 <= len(shelf.requests) <= 60


async def test_a_long_list_with_a_target_is_read_as_far_as_needed(bench: Bench, origin: Origin) -> None:
    """20 of 1,000 URLs take 25 requests; the rest of the list is not read."""
    for number in range(30):
        origin.script(f"/{number}.jpg", image(encode(photo(80, 80, seed=number))))
    job_id = await bench.submit([origin.url(f"/{number}.jpg") for number in range(1000)], max_images=20)
    await bench.drive()
    funnel = await bench.funnel(job_id)
    assert (funnel.kept, funnel.fetched, funnel.candidates) == (20, 25, 25)
    assert await figures(bench, job_id) == {}


async def test_sources_share_what_their_keyword_needs(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sources do not fetch twice as much."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60, "dog": 60})
    shelf.fill("cat", range(60))
    shelf.fill("dog", range(60))
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat", "dog"], max_images=8))
    two = spec.model_copy(update={"sources": ["wikimedia", "another"]})
    job_id = (await submit_build(bench.resources, two, name="test")).job_id
    await bench.drive()
    assert (await bench.funnel(job_id)).kept == 8
    assert len(shelf.requests) <= 12
    assert await kept_by_label(bench, job_id) == {"cat": 4, "dog": 4}


@pytest.mark.parametrize(("wanted", "expected"), [(9, [3, 3, 3]), (30, [18, 9, 3]), (60, [48, 9, 3])])
async def test_sources_of_unequal_supply_take_turns(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, wanted: int, expected: list[int]
) -> None:
    """A source with many images gives no more than the others, within the first round and after it, until these have ended."""
    stock = {"wikimedia": 200, "few": 9, "least": 3}
    shelf = Shelf(origin, monkeypatch, {})
    for name, supply in stock.items():
        shelf.fill(name, range(min(supply, 80)))
    monkeypatch.setattr("workers.stages.discover.make_source", lambda _, name, *__, **___: OfSource(origin, name, stock[name]))
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat"], max_images=wanted))
    job_id = (await submit_build(bench.resources, spec.model_copy(update={"sources": list(stock)}), name="test")).job_id
    await bench.drive()
    (found,) = await load_keywords(bench.db, await bench.job(job_id))
    assert [item.kept for item in found.sources] == expected
    assert [item.source for item in found.sources] == list(stock)
    assert found.sources[0].ended is None
    assert [item.ended for item in found.sources[1:]] == ["it was searched to its end"] * 2


class OfSource:
    """One source of so many images, whatever the keyword."""

    def __init__(self, origin: Origin, name: str, stock: int) -> None:
        self.origin, self.name, self.stock = origin, name, stock

    async def pages(self, query: Query, cursor: str | None) -> Any:
        start = int(cursor or 0)
        numbers = range(start, min(start + PAGE, self.stock))
        urls = {number: self.origin.url(f"/{self.name}-{number}.jpg") for number in numbers}
        found = tuple(Candidate(url, self.name, rank=number, license="CC0-1.0") for number, url in urls.items())
        yield SearchPage(found, str(start + PAGE) if start + PAGE < self.stock else None)
        if start + PAGE < self.stock:
            async for page in self.pages(query, str(start + PAGE)):
                yield page


async def test_labels_share_the_target_and_keywords_their_label(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two breeds are one class with as many images as the other class; one with a number of its own has that."""
    words = ("labrador", "poodle", "cat", "owl")
    shelf = Shelf(origin, monkeypatch, dict.fromkeys(words, 60) | {"poodle": 2})
    for word in words:
        shelf.fill(word, range(2 if word == "poodle" else 30))
    asked: list[Any] = [
        {"keyword": "labrador", "label": "dog"},
        {"keyword": "poodle", "label": "dog"},
        "cat",
        {"keyword": "owl", "max_images": 3},
    ]
    job_id = await bench.search(*asked, per_label=8)
    await bench.drive()
    job, found = await bench.job(job_id), await figures(bench, job_id)
    assert (job.target, job.state) == (19, JobState.SUCCEEDED)
    assert await kept_by_label(bench, job_id) == {"dog": 8, "cat": 8, "owl": 3}
    assert {word: (item.wanted, item.kept) for word, item in found.items()} == {
        "labrador": (4, 6), "poodle": (4, 2), "cat": (8, 8), "owl": (3, 3),
    }  # fmt: skip
    assert len(shelf.requests) <= 30


async def test_a_short_label_is_not_made_up_for_by_another(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each label has its own number; the job says which sources ended."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60, "dog": 2})
    shelf.fill("cat", range(30))
    shelf.fill("dog", range(2))
    job_id = await bench.search("cat", "dog", per_label=5)
    await bench.drive()
    job, found = await bench.job(job_id), await figures(bench, job_id)
    assert (job.target, job.state, await kept_by_label(bench, job_id)) == (10, JobState.PARTIAL, {"cat": 5, "dog": 2})
    assert (found["dog"].why_short, found["cat"].why_short) == ("every source was searched to its end", None)


async def test_what_one_keyword_cannot_give_the_others_fill(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch, lines: list[dict[str, Any]]
) -> None:
    """One is empty, one has a single image, one only duplicates: each is named, and the target is met."""
    shelf = Shelf(origin, monkeypatch, {"ant": 60, "bee": 1, "cat": 12, "dog": 0})
    shelf.fill("ant", range(40))
    shelf.fill("bee", range(1))
    shelf.fill("cat", range(12), seed=5)
    job_id = await bench.search("ant", "bee", "cat", "dog", max_images=10)
    await bench.drive()
    job, found = await bench.job(job_id), await figures(bench, job_id)
    assert (job.state, await kept_by_label(bench, job_id)) == (JobState.SUCCEEDED, {"ant": 8, "bee": 1, "cat": 1})
    assert found["ant"].why_short is None
    assert (found["bee"].wanted, found["bee"].kept, found["bee"].why_short) == (3, 1, "every source was searched to its end")
    assert found["cat"].why_short == "every source was searched to its end; duplicate_exact 11"
    assert found["dog"] == KeywordFigures("dog", wanted=2, found=0, fetched=0, kept=0, why_short="nothing was found")
    assert [line["keywords"] for line in lines if line["event"] == "job.keywords_empty"] == [["dog"]]


async def test_a_keyword_gets_its_share_although_another_has_enough(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one keyword the first candidates are gone: its later ones are fetched, not more of the other."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60, "dog": 60})
    shelf.fill("cat", range(60))
    shelf.fill("dog", range(8, 60))
    job_id = await bench.search("cat", "dog", max_images=10)
    await bench.drive()
    assert await kept_by_label(bench, job_id) == {"cat": 5, "dog": 5}
    assert sum(path.startswith("/cat") for path in shelf.requests) == 7


async def test_a_search_that_is_run_again_fetches_no_more(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still wanted is in the unit's row: after a crash between two pages the share is what it was."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60}, page=4)
    shelf.fill("cat", range(60))
    shelf.failures = [None, errors.DatabaseConnectionError("away")]
    job_id = await bench.search("cat", max_images=8)
    await bench.run_kind(UnitKind.PLAN)
    with pytest.raises(Exception, match="Retry"):
        await bench.run_kind(UnitKind.SEARCH)
    async with bench.db.read() as connection:
        (wanted,) = (await candidates.still_wanted(connection, job_id)).values()
    assert (wanted.now, wanted.later) == (0, 7)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.units).values(not_before=0.0))
    await bench.drive()
    assert (await bench.funnel(job_id)).kept == 8
    assert len(shelf.requests) == 11


async def test_an_exhausted_search_is_not_begun_again(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash behind its last page: the unit runs again, and ends."""
    shelf = Shelf(origin, monkeypatch, {"cat": 2})
    shelf.fill("cat", range(2))
    job_id = await bench.search("cat", max_images=5)
    await bench.run_kind(UnitKind.PLAN)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.searches).values(is_exhausted=True, note="as if it had run"))
    await bench.drive()
    assert ((await bench.job(job_id)).state, shelf.requests) == (JobState.FAILED, [])


async def half_bad_list(bench: Bench, origin: Origin) -> str:
    """A job on a list whose second half of each ten URLs is gone, with its first chunks to be fetched."""
    for number in range(200):
        if number % 10 < 5:
            origin.script(f"/{number}.jpg", image(encode(photo(80, 80, seed=number))))
    job_id = await bench.submit([origin.url(f"/{number}.jpg") for number in range(200)], max_images=40)
    await bench.run_kind(UnitKind.PLAN)
    await bench.run_kind(UnitKind.SEARCH)
    return job_id


async def run_one_chunk(bench: Bench) -> None:
    """Fetch the first chunk that is due."""
    await bench.run(next(delivery for delivery in await bench.due() if delivery.kind is UnitKind.FETCH))


async def open_kinds(bench: Bench, job_id: str) -> list[str]:
    """The kinds of the open units of a job."""
    return sorted(kind for (kind, state), _ in (await units.counts(bench.db, job_id)).items() if state not in ("done", "cancelled"))


async def test_a_round_starts_before_the_last_unit_has_ended(bench: Bench, origin: Origin) -> None:
    """Open chunks that cannot reach the target any more are topped up beside them, once, and by what they lack."""
    job_id = await half_bad_list(bench, origin)
    await run_one_chunk(bench)
    await run_one_chunk(bench)
    assert await bench.run_kind(UnitKind.SEARCH) == 1
    assert UnitKind.FETCH in await open_kinds(bench, job_id)
    assert ((await bench.job(job_id)).state, (await bench.job(job_id)).rounds) == (JobState.RUNNING, 1)
    await bench.drive()
    funnel = await bench.funnel(job_id)
    assert (funnel.kept, (await bench.job(job_id)).state) == (40, JobState.SUCCEEDED)
    assert funnel.requested <= 110


async def test_no_round_starts_beside_open_units_without_need(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """All rounds are used, the build shall finish, or enough units are left to keep every worker busy."""
    job_id = await half_bad_list(bench, origin)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.jobs).values(rounds=20))
    await run_one_chunk(bench)
    assert UnitKind.SEARCH not in await open_kinds(bench, job_id)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.jobs).values(rounds=0, desired_state=DesiredState.FINISHED))
    await run_one_chunk(bench)
    assert UnitKind.SEARCH not in await open_kinds(bench, job_id)
    async with open_bench(tmp_path / "few", {"jobs.builder_slots": 3}) as busy:
        job_id = await half_bad_list(busy, origin)
        await run_one_chunk(busy)
        assert UnitKind.SEARCH not in await open_kinds(busy, job_id)


def patient_url(origin: Origin, number: int) -> str:
    """A URL that is an image after 50 minutes, on a host that says so."""
    path = f"/later-{number}.jpg"
    origin.script(path, reply(429, headers={"Retry-After": "3000"}), image(encode(photo(80, 80, seed=500 + number))))
    return origin.url(path, PATIENT)


def good_url(origin: Origin, number: int, *, seed: int | None = None) -> str:
    """A URL of an image, a different one for each number unless a seed is given."""
    return origin.script(f"/{number}.jpg", image(encode(photo(80, 80, seed=number if seed is None else seed))))


async def states_of(bench: Bench, job_id: str) -> dict[tuple[str, str | None], int]:
    """How many images of a job are in each state with each reason."""
    counted: Counter[tuple[str, str | None]] = Counter()
    for item in await images.counts(bench.db, job_id=job_id):
        counted[item.state.value, item.reason and item.reason.value] += item.count
    return dict(counted)


async def test_a_build_with_its_target_waits_for_no_deferred_image(bench: Bench, origin: Origin, lines: list[dict[str, Any]]) -> None:
    """The host of three of the first images asks for patience: the build ends without them, and says that it did not need them."""
    urls = [patient_url(origin, number) for number in range(3)] + [good_url(origin, number) for number in range(30)]
    job_id = await bench.submit(urls, max_images=20)
    await bench.drive()
    funnel = await bench.funnel(job_id)
    assert ((await bench.job(job_id)).state, funnel.kept, funnel.open) == (JobState.SUCCEEDED, 20, 0)
    assert (funnel.reasons["not_requested"], await open_kinds(bench, job_id)) == (funnel.spare, [])
    assert len(origin.hits("/later-1.jpg")) <= 1
    (met,) = [line for line in lines if line["event"] == "job.target_met"]
    assert (met["units"], met["spare"]) == (2, 6)  # those that were to stand in for them are not needed either
    found = [row for row in (await image_search.page(bench.db, ImageFilter(job_id=job_id), limit=100)).items if "later" in row.url]
    assert {(row.state, row.detail, row.evidence, row.chunk_id) for row in found} == {
        (ImageState.SPARE, "the target was met without it", None, None)
    }


async def test_duplicates_bring_deferred_images_back(tmp_path: Path, origin: Origin) -> None:
    """Three valid images are one picture: the two deferred ones are wanted again, and waited for, since there are no others."""
    clock = LaterTime()
    async with open_bench(tmp_path, clock=clock) as bench:
        urls = [good_url(origin, number, seed=1) for number in range(3)] + [patient_url(origin, number) for number in range(2)]
        job_id = await bench.submit(urls, max_images=3)
        await bench.drive()
        assert ((await bench.job(job_id)).state, await open_kinds(bench, job_id)) == (JobState.RUNNING, [UnitKind.FETCH])
        counted = await states_of(bench, job_id)
        assert (counted["deferred", "host_unavailable"], counted["duplicate", "duplicate_exact"]) == (2, 2)
        await clock.pass_by(bench, 3001)
        await bench.drive()
        funnel = await bench.funnel(job_id)
        assert ((await bench.job(job_id)).state, funnel.kept, funnel.reasons) == (JobState.SUCCEEDED, 3, {"duplicate_exact": 2})
    assert len(origin.hits("/later-1.jpg")) == 2


async def test_spare_images_whose_host_is_closed_are_released_last(bench: Bench, origin: Origin) -> None:
    """Three valid images are one picture; two others are there, and the deferred ones stay spare."""
    urls = [patient_url(origin, number) for number in range(2)] + [good_url(origin, number, seed=min(number, 3)) for number in range(3, 6)]
    urls += [good_url(origin, number) for number in range(6, 12)]
    job_id = await bench.submit(urls, max_images=3)
    await bench.drive()
    assert ((await bench.job(job_id)).state, (await bench.funnel(job_id)).kept) == (JobState.SUCCEEDED, 3)
    assert {len(origin.hits(f"/later-{number}.jpg")) for number in range(2)} == {1}


async def test_others_are_fetched_while_a_host_is_closed(bench: Bench, origin: Origin) -> None:
    """All of the first round is on a host that asks for patience: the next ones of the list are fetched at once."""
    urls = [patient_url(origin, number) for number in range(25)] + [good_url(origin, number) for number in range(25)]
    job_id = await bench.submit(urls, max_images=20)
    await bench.drive()
    assert ((await bench.job(job_id)).state, (await bench.funnel(job_id)).kept) == (JobState.SUCCEEDED, 20)


async def test_a_list_of_one_closed_host_is_not_read_to_its_end(bench: Bench, origin: Origin) -> None:
    """As many candidates again stand in for the first ones; then the build waits."""
    job_id = await bench.submit([patient_url(origin, number) for number in range(200)], max_images=20)
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.RUNNING
    assert await states_of(bench, job_id) == {("deferred", "rate_limited"): 50}


async def test_a_keyword_whose_share_is_open_waits_for_its_own(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its only images are deferred: the other keyword gets no more than its own share meanwhile."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60, "dog": 2}, patient="dog")
    shelf.fill("cat", range(60))
    for number in range(2):
        origin.script(f"/dog-{number}.jpg", reply(429, headers={"Retry-After": "3000"}))
    job_id = await bench.search("cat", "dog", max_images=4)
    await bench.drive()
    counted = await states_of(bench, job_id)
    assert ((await bench.job(job_id)).state, counted["deferred", "rate_limited"]) == (JobState.RUNNING, 2)
    assert sum(path.startswith("/cat") for path in shelf.requests) == 3


async def test_a_source_that_pauses_is_not_waited_for(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one had enough: the search that waits for its source ends, and may be continued by a later round."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60})
    shelf.fill("cat", range(60))
    shelf.failures = [None, errors.RateLimitError("busy", retry_after_s=3000.0)]
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat"], max_images=3))
    two = spec.model_copy(update={"sources": ["wikimedia", "another"]})
    job_id = (await submit_build(bench.resources, two, name="test")).job_id
    await bench.drive()
    job = await bench.job(job_id)
    assert (job.state, job.waiting_for, (await bench.funnel(job_id)).kept) == (JobState.SUCCEEDED, None, 3)
    assert [search.is_exhausted for search in await jobs.searches_of(bench.db, job_id)] == [False, False]


async def test_another_source_fills_in_while_one_pauses(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """One gives its half of the candidates, which is too few, and then what the other was to find."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60})
    shelf.fill("cat", range(60))
    shelf.failures = [None, errors.RateLimitError("busy", retry_after_s=3000.0)]
    spec = resolve_spec(bench.resources, JobRequest(keywords=["cat"], max_images=20))
    two = spec.model_copy(update={"sources": ["wikimedia", "another"]})
    job_id = (await submit_build(bench.resources, two, name="test")).job_id
    await bench.drive()
    assert ((await bench.job(job_id)).state, (await bench.funnel(job_id)).kept) == (JobState.SUCCEEDED, 20)


async def test_a_unit_that_ran_when_the_target_was_met_requests_nothing_more(bench: Bench, origin: Origin) -> None:
    """It was stopped and comes back: what it had left is spare, a search that it was finds nothing."""
    job_id = await half_bad_list(bench, origin)
    async with bench.db.write() as connection:
        await jobs.set_stage(connection, job_id, state=JobState.FINALIZING, stage=None)
        await lifecycle.add_units(
            connection, job_id, [NewUnit(UnitKind.SEARCH, {"search_id": await only_search(bench, job_id), "want": 5})]
        )
    assert (await bench.run_kind(UnitKind.FETCH), await bench.run_kind(UnitKind.SEARCH)) == (5, 1)
    assert [hit.target for hit in origin.log if hit.target.endswith(".jpg")] == []
    assert await states_of(bench, job_id) == {("spare", "not_requested"): 48}
    await bench.drive()
    assert ((await bench.job(job_id)).state, (await bench.funnel(job_id)).kept) == (JobState.SUCCEEDED, 40)


async def only_search(bench: Bench, job_id: str) -> str:
    """The id of the search of a list."""
    (search,) = await jobs.searches_of(bench.db, job_id)
    return search.id


def late_url(origin: Origin, number: int) -> str:
    """A URL that fails in a first job, and is an image in the next one."""
    return origin.script(f"/late-{number}.jpg", reply(500), image(encode(photo(80, 80, seed=700 + number))))


def requested(origin: Origin, name: str) -> set[str]:
    """The paths with a name that were requested."""
    return {hit.target for hit in origin.log if hit.target.startswith(f"/{name}")}


async def test_a_retry_of_a_build_with_its_target_requests_nothing(bench: Bench, origin: Origin) -> None:
    """What failed keeps its reason, and the dataset is written once more."""
    urls = [late_url(origin, number) for number in range(3)] + [good_url(origin, number) for number in range(30)]
    first = await bench.submit(urls, max_images=20)
    await bench.drive()
    seen = len(origin.log)
    second = (await submit_retry(bench.resources, first)).job_id
    await bench.drive()
    funnel = await bench.funnel(second)
    assert ((await bench.job(second)).state, funnel.kept, funnel.reasons["http_5xx"]) == (JobState.SUCCEEDED, 20, 3)
    assert len(origin.log) == seen


async def test_a_retry_asks_for_what_the_target_lacks(bench: Bench, origin: Origin) -> None:
    """Two of twenty are missing, and twelve failed: three or four are fetched again, the others keep their reason."""
    urls = [late_url(origin, number) for number in range(12)] + [good_url(origin, number) for number in range(18)]
    first = await bench.submit(urls, max_images=20)
    await bench.drive()
    assert (await bench.funnel(first)).kept == 18
    origin.log.clear()
    second = (await submit_retry(bench.resources, first)).job_id
    await bench.drive()
    funnel = await bench.funnel(second)
    assert ((await bench.job(second)).state, funnel.kept) == (JobState.SUCCEEDED, 20)
    assert 2 <= len(requested(origin, "late")) <= 4
    assert funnel.reasons["http_5xx"] == 12 - len(requested(origin, "late"))


async def test_a_retry_releases_spare_candidates_where_the_failed_ones_do_not_suffice(bench: Bench, origin: Origin) -> None:
    """The job had used its rounds: its search is continued beyond the failed ones."""
    urls = [late_url(origin, number) for number in range(2)] + [origin.url(f"/gone-{number}.jpg") for number in range(3)]
    urls += [good_url(origin, number) for number in range(30)]
    first = await bench.submit(urls, max_images=10)
    async with bench.db.write() as connection:
        await connection.execute(update(tables.jobs).values(rounds=20))
    await bench.drive()
    assert (await bench.job(first)).state is JobState.PARTIAL
    for number in range(2):
        origin.script(f"/late-{number}.jpg", reply(404))
    second = (await submit_retry(bench.resources, first)).job_id
    await bench.drive()
    funnel = await bench.funnel(second)
    assert ((await bench.job(second)).state, funnel.kept) == (JobState.SUCCEEDED, 10)
    assert (len(requested(origin, "gone")), all(len(origin.hits(f"/gone-{number}.jpg")) == 1 for number in range(3))) == (3, True)


LIST_SEARCH = Search("srch_l", "job_1", "list", "urls.csv", None, "20", False, 20, 20, 0, None)


def test_supplies_count_each_keyword_with_its_synonyms() -> None:
    """By the state of its images; an open search counts as what it is to find, and gets no second unit."""
    cat = Search("srch_c", "job_1", "wikimedia", "cat", "cat", None, True, 9, 9, 0, None)
    kitten = Search("srch_k", "job_1", "wikimedia", "kitten", "cat", "2", False, 9, 9, 0, None, root_keyword="cat")
    dog = Search("srch_d", "job_1", "wikimedia", "dog", "dog", "2", False, 9, 9, 0, None)
    counts = [
        SearchCount("srch_c", ImageState.VALID, None, 1),
        SearchCount("srch_c", ImageState.SPARE, Reason.NOT_REQUESTED, 2),
        SearchCount("srch_k", ImageState.KEPT, None, 4),
        SearchCount("srch_k", ImageState.REJECTED, Reason.OVER_TARGET, 8),
        SearchCount("srch_k", ImageState.REJECTED, Reason.BLURRY, 16),
        SearchCount("srch_d", ImageState.FETCHED, None, 32),
        SearchCount("srch_d", ImageState.DEFERRED, Reason.TIMEOUT, 64),
        SearchCount("srch_d", ImageState.FAILED, Reason.HTTP_404, 128),
    ]
    spec = JobSpec(keywords=["cat", "dog"], max_images=9)
    assert supplies(spec, [cat, kitten, dog], counts, {"srch_d": Wanted(3, 2)}) == [
        Supply(valid=13, tried=29, in_flight=0, searches={"srch_c": 2, "srch_k": None}),
        Supply(valid=0, tried=128, fetched=32, in_flight=3, deferred=66, searches={}),
    ]
    assert supplies(JobSpec(max_images=9), [LIST_SEARCH], [], {}) == [Supply(searches={"srch_l": None})]


async def test_a_minimum_of_each_label_is_a_shortfall_that_names_them(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The target is met, and one label has too few: partial, with the label in the causes."""
    shelf = Shelf(origin, monkeypatch, {"cat": 60, "dog": 1})
    shelf.fill("cat", range(20))
    shelf.fill("dog", range(1))
    job_id = await bench.search("cat", "dog", max_images=6, min_images_per_label=2)
    await bench.drive()
    job = await bench.job(job_id)
    assert (job.state, await kept_by_label(bench, job_id)) == (JobState.PARTIAL, {"cat": 5, "dog": 1})
    assert job.shortfall is not None
    assert job.shortfall["labels"] == [{"label": "dog", "kept": 1, "wanted": 2}]
    assert job.shortfall["causes"][0] == "label dog: 1 kept, 2 wanted"
    async with bench.db.read() as connection:
        assert (await connection.execute(select(tables.jobs.c.min_images))).scalar_one() == 0
    assert [search.is_exhausted for search in await jobs.searches_of(bench.db, job_id)] == [False, True]
