"""Tests of app.exports.spool: samples come back as they went in, and what is known of them is right."""

import dataclasses
from pathlib import Path

import orjson
import pytest

import errors
from app.domain import Sample
from app.exports import spool as rows
from app.exports.shard_counter import ShardCounter
from app.exports.spool import DatasetFacts, Spool, class_of
from tests.exports.builders import boxes, each, sample, samples


async def spooled(folder: Path, items: list[Sample]) -> tuple[DatasetFacts, list[Sample]]:
    """The facts of these samples, and the samples as they come back."""
    spool = Spool(folder, ShardCounter(4, 10**9))
    try:
        facts = await spool.fill(each(items))
        return facts, [item async for item in spool.read()]
    finally:
        spool.close()


async def test_samples_come_back_in_order_and_leave_no_file(tmp_path: Path) -> None:
    """More than one write's worth; the file has no name, so a crash leaves nothing."""
    items = [sample(0, index=number) for number in range(1201)]
    facts, back = await spooled(tmp_path, items)
    assert back == items
    assert facts.samples == 1201
    assert list(tmp_path.iterdir()) == []


async def test_facts_count_what_is_there(tmp_path: Path) -> None:
    """By split, class, licence, source and suffix, sorted."""
    items = samples(10, title=None, phash="f" * 16)
    facts, _ = await spooled(tmp_path, items)
    assert facts.splits == {"test": 2, "train": 8}
    assert facts.labels == {"Hot Dog": 5, "cat": 5}
    assert facts.split_labels == {"test": {"Hot Dog": 1, "cat": 1}, "train": {"Hot Dog": 4, "cat": 4}}
    assert facts.classes == ("Hot Dog", "cat")
    assert facts.columns == ("caption", "license", "creator", "phash")
    assert facts.has_captions
    assert (facts.licenses, facts.sources, facts.extensions) == ({"CC-BY-4.0": 10}, {"wikimedia": 10}, {"jpg": 10})
    assert facts.image_bytes == sum(item.size_bytes for item in items)
    assert facts.absent_labels == {}


async def test_absent_names_the_classes_a_split_lacks(tmp_path: Path) -> None:
    """A loader that numbers folders needs to know."""
    facts, _ = await spooled(tmp_path, [sample(0, label="a"), sample(1, label="b"), sample(2, label="c")])
    assert facts.absent_labels == {"test": ["b", "c"], "train": ["a"]}


async def test_images_without_a_label_are_no_class(tmp_path: Path) -> None:
    """Neither beside labelled ones nor alone; they are counted."""
    mixed, none = [sample(0, label=""), sample(1, label="b")], [sample(0, label=None)]
    facts, _ = await spooled(tmp_path, mixed)
    assert (facts.labels, facts.unlabelled) == ({"b": 1}, 1)
    assert [class_of(item, facts) for item in mixed] == [None, "b"]
    facts, _ = await spooled(tmp_path, none)
    assert facts.labels == {}
    assert class_of(none[0], facts) is None


async def test_broken_unicode_is_repaired(tmp_path: Path) -> None:
    """A lone surrogate cannot be written as UTF-8 and would stop the whole export."""
    facts, back = await spooled(tmp_path, [sample(0, caption="bad \ud800 text", label="x\udfff")])
    assert back[0].caption == "bad ? text"
    assert facts.labels == {"x?": 1}


async def test_what_is_no_sample_is_refused(tmp_path: Path) -> None:
    """Indexes must be dense, and values JSON."""
    with pytest.raises(errors.ValidationError, match="dense"):
        await spooled(tmp_path, [sample(1)])
    with pytest.raises(errors.ValidationError, match="cannot be written as JSON"):
        await spooled(tmp_path, [dataclasses.replace(sample(0), width=1 << 70)])


async def rows_of(folder: Path, items: list[Sample]) -> list[dict[str, object]]:
    """The rows that an export of these samples would have."""
    spool = Spool(folder, ShardCounter(4, 10**9))
    facts = await spool.fill(each(items))
    spool.close()
    return [rows.to_row(item, facts, "x.jpg") for item in items]


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
    assert b"null" not in rows.encode_row(only)
    assert orjson.loads(rows.encode_row(only)) == only


async def test_boxes_come_back_and_are_counted(tmp_path: Path) -> None:
    """By class; all labels have their names, the first of an image or not."""
    items = [sample(0, label="b", labels=("b", "pet"), boxes=boxes(2)), sample(1, label="a", boxes=boxes(1))]
    facts, back = await spooled(tmp_path, items)
    assert back == items
    assert facts.boxes == {"nose": 2, "tail": 1}
    assert facts.label_names == ("a", "b", "pet")
    assert rows.to_row(items[0], facts)["objects"] == {
        "bbox": [[1.5, 2.0, 3.0, 4.25], [10.0, 5.0, 6.0, 7.0]],
        "category": ["nose", "tail"],
    }


async def test_rows_have_no_objects_where_no_image_has_a_box(tmp_path: Path) -> None:
    """And empty lists where another image has one."""
    without, _ = await spooled(tmp_path, samples(2))
    mixed, _ = await spooled(tmp_path, [sample(0, boxes=boxes(1)), sample(1)])
    assert "objects" not in rows.to_row(sample(0), without)
    assert rows.to_row(sample(1), mixed)["objects"] == {"bbox": [], "category": []}
