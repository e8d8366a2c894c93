"""From a URL as somebody knows it to the rows of one image, on both databases."""

import pytest

import errors
from app.db import Database, image_search, images, tables
from app.discovery import urls
from app.domain import Candidate
from app.explain import find_images
from downloader.url_guard import normalise
from tests.db.builders import add_job, change, job_row

DIGEST = "ab" * 32


async def add(db: Database, job_id: str, *urls: str) -> list[int]:
    """Images with these URLs; their ids."""
    dataset_id = (await job_row(db, job_id)).dataset_id
    rows = [("chunk_a", [(normalise(url), Candidate(url=url, source="list")) for url in urls])]
    async with db.write() as connection:
        await images.add_candidates(connection, dataset_id=dataset_id, job_id=job_id, search_id="srch_a", chunks=rows)
    return [(await image_search.by_url_keys(db, [images.url_digest(normalise(url))]))[0].id for url in urls]


async def ids(db: Database, what: str, user_id: str | None = None) -> list[int]:
    return [image.id for image in await find_images(db, what, user_id=user_id)]


async def test_a_url_is_found_in_every_spelling(any_database: Database) -> None:
    """As the list has it, normalised or not, without its query, and as log lines show it."""
    db = any_database
    plain, asked = await add(db, await add_job(db), "http://H.test:80/a%7eb.jpg", "http://h.test/c.jpg?size=1")
    for what in ("http://H.test:80/a%7eb.jpg", "http://h.test/a~b.jpg", "HTTP://h.test/a~b.jpg#x", str(plain)):
        assert await ids(db, what) == [plain], what
    for what in ("http://h.test/c.jpg?size=1", "http://h.test/c.jpg", "http://h.test/c.jpg?***"):
        assert await ids(db, what) == [asked], what
    await change(db, tables.images, asked, final_url="http://cdn.test/c.jpg")
    assert await ids(db, "http://cdn.test/c.jpg") == [asked]


async def test_a_url_is_found_as_the_list_has_it_and_as_it_was_requested(any_database: Database) -> None:
    """The row holds the requested form; what a person copies out of the list leads to it."""
    db = any_database
    written = {
        "http://h.test/a b.jpg": "http://h.test/a%20b.jpg",
        "//h.test/c.jpg\u200b": "https://h.test/c.jpg",
        "http://i❤.test/x?a=1&amp;b=2": "http://xn--i-7iq.test/x?a=1&b=2",
        "http:\\\\%48.test\\d.jpg": "http://h.test/d.jpg",
    }
    job_id = await add_job(db)
    for text, requested in written.items():
        assert urls.read(text) == requested
        (row,) = await add(db, job_id, requested)
        assert await ids(db, text) == await ids(db, requested) == [row]
    assert await ids(db, "http://i❤.test/x") == await ids(db, "http://xn--i-7iq.test/x?***") == [3]


async def test_a_digest_finds_images_in_either_form(any_database: Database) -> None:
    """Of the bytes as they came and as they leave; the newest first."""
    db = any_database
    one, other = await add(db, await add_job(db), "http://h.test/1.jpg", "http://h.test/2.jpg")
    await change(db, tables.images, one, sha256=DIGEST)
    await change(db, tables.images, other, out_sha256=DIGEST)
    assert await ids(db, DIGEST.upper()) == [other, one]


async def test_one_url_in_two_datasets_is_the_newest_and_the_other(any_database: Database) -> None:
    """Each user sees their own."""
    db = any_database
    (old,) = await add(db, await add_job(db, user_id="ann"), "http://h.test/1.jpg")
    job_id = await add_job(db, user_id="bob")
    dataset_id = (await job_row(db, job_id)).dataset_id
    async with db.write() as connection:
        chunks = [("chunk_b", [("http://h.test/1.jpg", Candidate(url="http://h.test/1.jpg", source="list"))])]
        await images.add_candidates(connection, dataset_id=dataset_id, job_id=job_id, search_id="srch_b", chunks=chunks)
    found = await ids(db, "http://h.test/1.jpg")
    assert found[1:] == [old]
    assert await ids(db, "http://h.test/1.jpg", "ann") == [old]
    with pytest.raises(errors.NotFoundError):
        await ids(db, str(old), "bob")


async def test_a_url_that_stands_for_many_is_refused_with_their_ids(any_database: Database) -> None:
    """Nobody is told of the wrong image."""
    db = any_database
    found = await add(db, await add_job(db), *(f"http://h.test/i?n={n}" for n in range(7)))
    with pytest.raises(errors.ValidationError, match=rf"7 images .*one of their ids: {found[6]}, {found[5]}.* …"):
        await ids(db, "http://h.test/i")


@pytest.mark.parametrize("what", ["99999", "9" * 30, "0" * 64, "http://h.test/none.jpg", "http://h.test:99999/x", "http://[x/"])
async def test_what_nobody_asked_for_is_not_found(database: Database, what: str) -> None:
    """Whatever its form."""
    with pytest.raises(errors.NotFoundError):
        await find_images(database, what)


@pytest.mark.parametrize("what", ["", "nonsense", "ftp://h/x", "http://", "abc123", "١٧"])
async def test_what_is_nothing_of_the_kind_is_refused(database: Database, what: str) -> None:
    """With what would be."""
    with pytest.raises(errors.ValidationError, match="64 hex digits"):
        await find_images(database, what)
