"""Tests of app.exports.rows: every row of an export has the same columns and types."""

from pathlib import Path

import orjson

from app.domain import Sample
from app.exports import rows
from app.exports.spool import Spool
from tests.exports.builders import each, sample


async def rows_of(folder: Path, items: list[Sample]) -> list[dict[str, object]]:
    """The rows that an export of these samples would have."""
    spool = Spool(folder)
    facts = await spool.fill(each(items))
    spool.close()
    return [rows.row(item, facts, "x.jpg") for item in items]


async def test_rows_share_columns_and_types_and_hold_no_null(tmp_path: Path) -> None:
    """A loader settles the schema on the first rows: an absent caption is an empty one, and a column nobody fills is not there."""
    first, second = await rows_of(tmp_path, [sample(0, caption=None, width=0), sample(1, creator=None)])
    assert list(first) == list(second)
    assert [type(value) for value in first.values()] == [type(value) for value in second.values()]
    assert first["caption"] == second["creator"] == ""
    assert first["width"] == 0
    assert "title" not in first
    assert next(iter(first)) == "file_name"


async def test_rows_of_an_unlabelled_dataset_have_no_label(tmp_path: Path) -> None:
    """Nor a class called None."""
    (only,) = await rows_of(tmp_path, [sample(0, label=None)])
    assert "label" not in only
    assert b"null" not in rows.encode(only)
    assert orjson.loads(rows.encode(only)) == only
