"""Tests of app.db.list_rows: the rows of a list that name a URL again, each once and in the order of the list."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, select

from app.db import Database, images, jobs, list_rows, tables
from app.db.list_rows import ListRow
from app.db.rows import ListFigures
from app.domain import Candidate, ImageState
from tests.db.builders import add_job, all_rows, count, job_row

A, B = "https://example.org/a", "https://example.org/b"


def row(url: str, number: int, **values: Any) -> tuple[str, Candidate]:
    """One row of a list."""
    return url, Candidate(url, "list", number, line=number + 2, **values)


async def insert(db: Database, job_id: str, rows: list[tuple[str, Candidate]], search_id: str = "srch_1") -> dict[str, int]:
    """Insert one page of a list, in two chunks."""
    dataset_id = (await job_row(db, job_id)).dataset_id
    chunks = [("chunk_1", rows[:2]), ("chunk_2", rows[2:])]
    async with db.write() as connection:
        return await images.add_candidates(connection, dataset_id=dataset_id, job_id=job_id, search_id=search_id, chunks=chunks)


async def read(db: Database, job_id: str) -> list[ListRow]:
    """The rows of the dataset's pending images."""
    dataset_id = (await job_row(db, job_id)).dataset_id
    return [row async for page in list_rows.of_dataset(db, dataset_id, [ImageState.PENDING]) for row in page]


async def test_rows_of_one_url_are_kept_with_the_first(any_database: Database) -> None:
    """On one page and on others; every caption, label and further column, by the number of the row."""
    job_id = await add_job(any_database)
    first = [row(A, 0, caption="a0", label="cat", extra={"n": 0}), row(B, 1, caption="b"), row(A, 2, captions=("a1", "a2"), caption="a1")]
    later = [row(A, 3, label="dog", labels=("dog", "cat"), extra={"n": ["3"]})]
    assert await insert(any_database, job_id, first) == {"chunk_1": 2}
    assert await insert(any_database, job_id, later) == {}
    found = await read(any_database, job_id)
    assert [(item.line, list(item.captions), list(item.labels), item.extra) for item in found] == [
        (2, ["a0"], ["cat"], {"n": 0}),
        (4, ["a1", "a2"], [], {}),
        (5, [], ["dog", "cat"], {"n": ["3"]}),
    ]
    assert len({item.image_id for item in found}) == 1


async def test_rows_that_come_again_are_kept_once(any_database: Database) -> None:
    """A page that is read again after a crash changes nothing; a second list of the dataset adds its rows behind."""
    job_id = await add_job(any_database)
    rows = [row(A, 0, caption="a0"), row(A, 1, caption="a1"), row(B, 2, caption="b")]
    for _ in range(2):
        await insert(any_database, job_id, rows)
    await insert(any_database, job_id, [row(A, 0, caption="other")], "srch_2")
    assert [item.captions for item in await read(any_database, job_id) if item.captions != ["b"]] == [["a0"], ["a1"], ["other"]]


async def test_rows_that_say_nothing_cost_nothing(any_database: Database) -> None:
    """A list of bare URLs, and search results that several keywords find, have no rows here."""
    job_id = await add_job(any_database)
    await insert(any_database, job_id, [row(A, 0), row(A, 1), row(A, 2)])
    found = (A, replace(row(A, 3, caption="x")[1], line=None, source="wikimedia"))
    await insert(any_database, job_id, [found, found])
    assert await count(any_database, tables.list_rows) == 0


async def test_rows_go_with_their_image(any_database: Database) -> None:
    """Deleting an image deletes them."""
    job_id = await add_job(any_database)
    await insert(any_database, job_id, [row(A, 0, caption="a"), row(A, 1, caption="b")])
    async with any_database.write() as connection:
        await connection.execute(delete(tables.images))
    assert await count(any_database, tables.list_rows) == 0


async def test_pages_divide_the_rows_of_one_image(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image may have more rows than a page holds."""
    monkeypatch.setattr(list_rows, "PAGE", 3)
    job_id = await add_job(any_database)
    await insert(any_database, job_id, [row((A, B)[number % 2], number, caption=str(number)) for number in range(14)])
    found = [item.captions[0] for item in await read(any_database, job_id)]
    assert found == [*map(str, range(0, 14, 2)), *map(str, range(1, 14, 2))]


async def test_figures_count_the_rows_of_lists(any_database: Database) -> None:
    """Rows are distinct URLs, merged rows or bad lines; searches do not count."""
    job_id = await add_job(any_database)
    dataset_id = (await job_row(any_database, job_id)).dataset_id
    assert await jobs.list_figures(any_database, dataset_id) == ListFigures(0, 0, 0)
    async with any_database.write() as connection:
        searches = await jobs.add_searches(connection, job_id, [("list", "a.csv", None), ("wikimedia", "cat", "cat")])
        for search_id in searches:
            await jobs.advance_search(connection, search_id, cursor=None, is_exhausted=True, found=15, new=3, bad=2, note=None)
    figures = await jobs.list_figures(any_database, dataset_id)
    assert (figures.rows_read, figures.distinct_urls, figures.merged_rows, figures.bad_lines) == (15, 3, 10, 2)
    assert len(await all_rows(any_database, select(tables.searches.c.id))) == 2
