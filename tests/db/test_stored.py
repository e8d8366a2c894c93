"""Tests of app.db.stored: a row of images as a value."""

from dataclasses import fields

import pytest
from sqlalchemy import text

from app.db import Database, images
from app.db.stored import STORED
from app.domain import ImageState, Reason, StoredImage
from tests.db.builders import add_images, add_job


def test_columns_are_in_the_order_of_the_fields() -> None:
    """A row is the arguments, with the state and the reason where they belong."""
    names = [column.name for column in STORED]
    assert names == [field.name for field in fields(StoredImage)]
    assert names.index("reason") == names.index("state") + 1


async def test_a_row_has_a_state_and_a_reason_and_not_their_words(any_database: Database) -> None:
    """Every state and every reason there is comes back as itself."""
    job_id = await add_job(any_database)
    (image_id,) = await add_images(any_database, job_id)
    for state, reason in [*((state, None) for state in ImageState), *((ImageState.FAILED, reason) for reason in Reason)]:
        async with any_database.write() as connection:
            await images.update_many(connection, [{"id": image_id, "state": state, "reason": reason}])
        found = await images.get(any_database, image_id)
        assert (found.state, found.reason) == (state, reason)
        assert (type(found.state), type(found.reason)) == (ImageState, type(reason))


@pytest.mark.parametrize("column", ["state", "reason"])
async def test_an_unknown_word_is_refused(any_database: Database, column: str) -> None:
    """A row of a version that knows more is not taken for something else."""
    job_id = await add_job(any_database)
    (image_id,) = await add_images(any_database, job_id)
    async with any_database.write() as connection:
        await connection.execute(text(f"UPDATE images SET {column} = 'from_tomorrow'"))
    with pytest.raises(KeyError, match="from_tomorrow"):
        await images.get(any_database, image_id)
