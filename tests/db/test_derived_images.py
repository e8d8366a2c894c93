"""Tests of app.db.derived_images: forms are found by their recipe, kept while they are used, and dropped with their bytes."""

from dataclasses import replace

from sqlalchemy import update

from app.db import Database, derived_images, tables
from app.db.rows import DerivedImage

A, B, C = (letter * 64 for letter in "abc")
PNG, WEBP = "1" * 64, "2" * 64


def form(source: str, recipe: str, out: str) -> DerivedImage:
    return DerivedImage(source, recipe, out, "image/png", 300, 20, 10)


async def test_a_form_is_found_by_its_source_and_its_recipe(any_database: Database) -> None:
    """Only that; what is made another time replaces it."""
    async with any_database.write() as connection:
        await derived_images.add(connection, [])
        await derived_images.add(connection, [form(B, PNG, C), form(A, PNG, B), form(A, WEBP, C)])
        changed = replace(form(A, PNG, C), changes="removed a broken EXIF block")
        await derived_images.add(connection, [changed])
        assert await derived_images.find(connection, PNG, [A, C]) == {A: changed}
        assert await derived_images.find(connection, WEBP, [A, B, C]) == {A: form(A, WEBP, C)}


async def test_a_form_is_in_use_for_a_while(any_database: Database) -> None:
    """After it was made, and after each use of it; of nothing else is that known."""
    async with any_database.write() as connection:
        await derived_images.add(connection, [form(A, PNG, B), form(B, PNG, C)])
        await connection.execute(update(tables.derived_images).values(created_at=1000.0))
        await derived_images.renew(connection, PNG, [B])
    assert await derived_images.in_use(any_database, [A, B, C], since=999.0) == {B, C}
    assert await derived_images.in_use(any_database, [A, B, C], since=1000.0) == {C}
    assert await derived_images.in_use(any_database, [A, B, C], since=float("inf")) == set()


async def test_forms_are_dropped_by_their_bytes_or_by_their_source(any_database: Database) -> None:
    """The others stay."""
    async with any_database.write() as connection:
        await derived_images.add(connection, [form(A, PNG, B), form(A, WEBP, C), form(B, PNG, C), form(C, PNG, A)])
        assert await derived_images.drop_sources(connection, [A]) == [B, C]
    await derived_images.drop(any_database, [C])
    async with any_database.read() as connection:
        assert await derived_images.find(connection, PNG, [A, B, C]) == {C: form(C, PNG, A)}
