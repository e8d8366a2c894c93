"""Tests of app.discovery.survey, and of what it promises: a build finds what is reachable, with about the calls that the plan says."""

import math
import random

import pytest

import errors
from app.discovery import open_source, planner
from app.discovery.licences.policy import LicencePolicy
from app.discovery.planner import Step, Survey
from app.discovery.sources.source import Query, SourceOptions
from app.discovery.survey import Surveyor
from tests.discovery.dated_source import SPAN, DatedSource, dated
from tests.providers import PROVIDERS
from tests.providers.in_process import InProcessClient
from tests.providers.server import KEY


def uneven(total: int, seed: int) -> list[int]:
    """So many days, some years with three times as many images as others."""
    chance = random.Random(seed)
    weights = [chance.uniform(0.5, 1.5) for _ in range(20)]
    return [int((chance.choices(range(20), weights)[0] + chance.random()) * SPAN / 20) for _ in range(total)]


async def read_all(source: DatedSource, *, most: int | None = None) -> int:
    """Search as a build does; return how many distinct images came."""
    found: set[str] = set()
    async for page in source.pages(Query("cat"), None):
        found |= {candidate.url for candidate in page.candidates}
        if most is not None and len(found) >= most:
            break
    return len(found)


SIZES = [0, 1, 99, 100, 101, 999, 1_000, 1_001, 2_500, 7_777, 20_000, 60_000]


@pytest.mark.parametrize("total", SIZES)
@pytest.mark.parametrize(("depth", "page"), [(4_000, 100), (1_000, 100), (240, 20)])
async def test_a_build_finds_what_is_there_with_few_calls(total: int, depth: int, page: int) -> None:
    """At least 95 of 100 images, with at most 1.2 times the calls that their pages alone would take."""
    source = dated(uneven(total, total), depth=depth, page_size=page)
    assert await read_all(source) >= 0.95 * total
    assert source.calls <= max(1.2 * math.ceil(total / page), math.ceil(total / page) + 2)


@pytest.mark.parametrize("total", SIZES)
@pytest.mark.parametrize("wanted", [50, 1_500, None])
async def test_the_plan_says_what_the_build_then_takes(total: int, wanted: int | None) -> None:
    """Results exactly; calls within a fifth, or two."""
    source = dated(uneven(total, total + 1))
    (survey,) = await Surveyor(source).survey([Query("cat")])
    candidates = min(wanted or total, total)
    assert planner.reachable(survey, source.info.depth) == pytest.approx(total, rel=0.05)
    expected = planner.calls_for(survey, candidates, source.info)
    await read_all(source, most=wanted)
    assert abs(source.calls - expected) <= max(2, 0.2 * source.calls)


async def test_what_no_division_reaches_is_not_promised() -> None:
    """More than its depth on one day; or a source that cannot be divided at all."""
    crowded = dated([7] * 3_000 + [500_000] * 200)
    (survey,) = await Surveyor(crowded).survey([Query("cat")])
    assert (survey.total, planner.reachable(survey, 1_000)) == (3_200, 1_200)
    flat = dated(range(5_000), is_divisible=False)
    (survey,) = await Surveyor(flat).survey([Query("cat")])
    assert (survey, flat.counts) == (Survey(5_000, None, [Step(5_000)]), 1)
    assert planner.reachable(survey, 1_000) == 1_000 == await read_all(flat)


async def test_counts_have_a_budget() -> None:
    """All totals are asked for first; what is left of a deep search is taken to be like its average part."""
    source = dated(uneven(60_000, 3))
    surveyor = Surveyor(source, left=5)
    first, second, *rest = await surveyor.survey([Query(word) for word in "abcdef"])
    assert (source.counts, surveyor.asked, surveyor.left) == (5, 5, 0)
    assert (first.total, second.total, rest[-1]) == (60_000, 60_000, Survey())
    assert planner.reachable(first, 1_000) == pytest.approx(60_000, rel=0.01)
    assert {step.is_counted for step in first.steps} == {True, False}


async def test_licences_are_counted_where_the_source_can_be_asked() -> None:
    """With the filter and without it."""
    policy = LicencePolicy.of(["cc0"])
    source = dated(range(100))
    (survey,) = await Surveyor(source).survey([Query("cat", licences=policy)])
    assert (survey.total, survey.of_any_licence) == (50, 100)
    (survey,) = await Surveyor(dated(range(100), filters=())).survey([Query("cat", licences=policy)])
    assert (survey.total, survey.of_any_licence) == (50, None)


async def test_a_source_that_refuses_is_asked_once() -> None:
    """The error is the problem of every search; nothing is known of them."""
    source = dated(range(100))
    source.refusal = errors.AuthenticationError("refused the API key", status=401)
    found = await Surveyor(source, lambda error: f"no: {error}").survey([Query("a"), Query("b")])
    assert found == [Survey(problem="no: refused the API key")] * 2
    assert source.counts == 1


async def test_an_error_among_the_parts_leaves_the_total() -> None:
    """What was known before stays known."""
    source = dated(range(5_000))
    surveyor = Surveyor(source)
    parts, survey = await surveyor._total(Query("cat"))
    source.refusal = errors.RateLimitError("too many", status=429)
    survey = await surveyor._refined(Query("cat"), parts, survey)
    assert (survey.total, survey.problem, survey.steps) == (5_000, "too many", [Step(5_000)])


async def test_a_source_that_names_no_total_is_unknown() -> None:
    """No number is made up."""

    class Silent(DatedSource):
        async def count(self, query: Query, part: object) -> int | None:  # type: ignore[override]
            return None

    assert await Surveyor(Silent()).survey([Query("cat")]) == [Survey()]


@pytest.mark.parametrize("name", sorted(PROVIDERS))
@pytest.mark.parametrize("candidates", [100, 700])
async def test_every_source_takes_the_calls_of_its_plan(name: str, candidates: int) -> None:
    """Its count is what it has, and reading as many images takes as many requests as planned, within a fifth or three."""
    provider = PROVIDERS[name]()
    client = InProcessClient(provider)
    source = open_source(name, client, SourceOptions("https://provider.test", key=KEY, contact="me@example.org"))
    (survey,) = await Surveyor(source).survey([Query("cat")])
    assert survey.problem is None
    assert survey.total == pytest.approx(provider.counted("cat"), rel=0.01)
    expected = planner.calls_for(survey, candidates, source.info.as_asked(source._options))
    before, read = len(provider.requests), 0
    async for page in source.pages(Query("cat"), None):
        read += len(page.candidates) + len(page.problems)
        if read >= candidates:
            break
    taken = len(provider.requests) - before
    assert abs(taken - expected) <= max(3, 0.2 * taken), (taken, expected, read)
