"""Tests of app.explain.keywords: shares, figures, and the words for what is short."""

from dataclasses import replace
from typing import Any

from app.db import Database, jobs
from app.db.candidates import SearchCount
from app.db.rows import NewUnit, Search
from app.domain import ImageState, Reason
from app.explain.keywords import KeywordFigures, keyword_figures, load_keywords
from app.job_states import UnitKind
from app.spec import JobSpec
from tests.db.builders import add_job


def search(number: int, keyword: str, *, found: int = 9, new: int = 9, more: bool = False, **values: Any) -> Search:
    """A search of Wikimedia."""
    return Search(
        f"srch_{number}", "job_1", "wikimedia", keyword, keyword, None, not more, found, new, 0, values.pop("note", None), **values
    )


COUNTS = [
    SearchCount("srch_1", ImageState.KEPT, None, 3),
    SearchCount("srch_1", ImageState.SPARE, Reason.NOT_REQUESTED, 40),
    SearchCount("srch_1", ImageState.REJECTED, Reason.OVER_TARGET, 2),
    SearchCount("srch_2", ImageState.KEPT, Reason.LABEL_CONFLICT, 1),
    SearchCount("srch_2", ImageState.DUPLICATE, Reason.DUPLICATE_NEAR, 4),
    SearchCount("srch_2", ImageState.FAILED, Reason.HTTP_404, 5),
    SearchCount("srch_5", ImageState.KEPT, None, 1),
]
SEARCHES = [
    search(1, "cat", found=45, more=True),
    search(2, "dog", found=12),
    search(3, "owl", found=0, new=0),
    search(4, "elk", found=0, new=0, note="HostNotFoundError"),
    search(5, "hound", found=3, root_keyword="dog"),
]
SPEC = JobSpec(keywords=["cat", "dog", "owl", "elk"], max_images=10)


def test_each_keyword_has_its_share_and_why_it_is_short() -> None:
    """What the target did not need is no reason; a synonym counts for its keyword."""
    assert [replace(item, sources=()) for item in keyword_figures(SPEC, SEARCHES, COUNTS)] == [
        KeywordFigures("cat", 3, 45, 5, 3),
        KeywordFigures("dog", 3, 15, 6, 2, "every source was searched to its end; http_404 5 · duplicate_near 4"),
        KeywordFigures("owl", 2, 0, 0, 0, "nothing was found"),
        KeywordFigures("elk", 2, 0, 0, 0, "wikimedia: HostNotFoundError"),
    ]


def test_candidates_that_another_keyword_found_before_are_named() -> None:
    """They are images of that one."""
    (figures,) = keyword_figures(JobSpec(keywords=["cat"], max_images=3), [search(1, "cat", found=12, new=0)], [])
    assert figures.why_short == "every source was searched to its end; found before 12"


def test_nothing_is_short_before_the_end() -> None:
    """A running job has not kept anything yet."""
    assert [item.why_short for item in keyword_figures(SPEC, SEARCHES, COUNTS, is_final=False)] == [None] * 4
    assert keyword_figures(JobSpec(max_images=3), [search(1, "urls.csv")], COUNTS) == []


def test_several_sources_say_each_why_there_is_no_more() -> None:
    """What a source said, or its results and what became of them; synonyms count for their keyword."""
    refused = "refused the search (401), so nothing was searched"
    searches = [
        replace(search(1, "dog", found=0, new=0, note=refused), source="flickr"),
        replace(search(2, "hound", found=0, new=0, note=refused, root_keyword="dog"), source="flickr"),
        search(3, "dog", found=12, new=11),
        replace(search(4, "dog", found=5, new=5, more=True), source="gbif"),
    ]
    counts = [
        SearchCount("srch_3", ImageState.REJECTED, Reason.LICENCE, 9),
        SearchCount("srch_3", ImageState.KEPT, None, 2),
        SearchCount("srch_4", ImageState.FAILED, Reason.HTTP_404, 5),
    ]
    spec = JobSpec(keywords=["dog"], keyword_labels={"dog": "canine"}, max_images=10)
    (figures,) = keyword_figures(spec, searches, counts)
    assert (figures.label, figures.wanted, figures.found, figures.kept) == ("canine", 10, 17, 2)
    assert figures.why_short == (
        f"flickr: {refused}; wikimedia: 12 results, 9 refused by licence, 1 found before; gbif: 5 results, http_404 5"
    )
    assert [(item.source, item.known, item.ended) for item in figures.sources] == [
        ("flickr", 0, refused),
        ("wikimedia", 1, "it was searched to its end"),
        ("gbif", 0, None),
    ]


def test_words_for_people() -> None:
    """One line; the cause behind the figures."""
    assert KeywordFigures("red panda", 3, 1_250, 4, 3).words() == "red panda: 3 kept, 3 wanted, 1 250 found, 4 fetched"
    assert KeywordFigures("x", 3, 0, 0, 0, "nothing was found").words() == "x: 0 kept, 3 wanted, 0 found, 0 fetched; nothing was found"


async def test_a_search_whose_keyword_was_not_recorded_counts_for_the_first(any_database: Database) -> None:
    """Synonyms of jobs from before the column; rows are read back with it."""
    job_id = await add_job(any_database, [NewUnit(UnitKind.PLAN)])
    async with any_database.write() as connection:
        await jobs.add_searches(connection, job_id, [("wikimedia", "dog", "dog"), ("wikimedia", "hound", "dog")], root_keyword="dog")
        await jobs.add_searches(connection, job_id, [("wikimedia", "kitten", "cat")])
    found = await jobs.searches_of(any_database, job_id)
    assert [item.keyword_among(["cat", "dog"]) for item in found] == ["dog", "dog", "cat"]
    job = await jobs.get(any_database, job_id)
    assert await jobs.searches_of_dataset(any_database, job.dataset_id) == found
    assert await load_keywords(any_database, job) == []
