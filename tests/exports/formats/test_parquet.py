"""Tests of app.exports.formats.parquet: what pyarrow finds in the files, and what an update adds to them."""

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import errors
from app.domain import Sample
from app.exports import formats
from app.exports.exporter import ExportReport
from app.exports.formats import parquet
from tests.exports import chunks
from tests.exports.builders import OPTIONS, Bodies, each, image, problems, reseal, sample, samples, tree, write


async def test_shards_say_how_many_there_are(tmp_path: Path) -> None:
    """Of each split, by the limit of samples in one; with a row for each image, in order."""
    await write("parquet", tmp_path, samples(11))
    found = sorted(path.stem for path in (tmp_path / "data").iterdir())
    assert found == ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"]
    rows = [row for name in found for row in pq.read_table(tmp_path / f"data/{name}.parquet").to_pylist()]
    assert [row["image"]["bytes"] for row in rows] == [image(number) for number in (0, 5, 10, 1, 2, 3, 4, 6, 7, 8, 9)]
    assert [row["image"]["path"][:6] for row in rows[:3]] == ["000000", "000005", "000010"]
    assert [row["label"] for row in rows[:3]] == [1, 0, 1]


async def test_the_schema_has_types_and_features(tmp_path: Path) -> None:
    """As Arrow has them, and as Hugging Face datasets read them in the metadata; without a label of any image there is none."""
    items = [sample(0, captions=("a", "b"), labels=("cat", "x"), extra={"n": 7, "f": 0.5, "ok": True, "s": "t"}), sample(1)]
    await write("parquet", tmp_path / "a", items)
    schema = pq.read_schema(tmp_path / "a/data/test-00000-of-00001.parquet")
    assert schema.field("image").type == pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types = {name: str(schema.field(name).type) for name in ("label", "labels", "captions", "width", "url", "n", "f", "ok", "s")}
    assert list(types.values()) == ["int64", *["list<element: string>"] * 2, "int64", "string", "int64", "double", "bool", "string"]
    stated = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert list(stated) == schema.names
    assert stated["image"] == {"_type": "Image"}
    assert stated["label"] == {"names": ["Hot Dog", "cat"], "_type": "ClassLabel"}
    await write("parquet", tmp_path / "b", samples(1, label=None))
    assert "label" not in pq.read_schema(tmp_path / "b/data/test-00000-of-00001.parquet").names


async def test_images_are_pages_of_their_own_and_are_not_compressed(tmp_path: Path) -> None:
    """With an index of pages, so that a reader fetches one image; row groups have about 100."""
    bodies = [image(number) + bytes(10_000) for number in range(500)]
    items = [sample(number, body, split="train") for number, body in enumerate(bodies)]
    report = await formats.get_exporter("parquet").write(each(items), Bodies(bodies), tmp_path, replace(OPTIONS, shard_samples=10_000))
    found = pq.ParquetFile(tmp_path / "data/train-00000-of-00001.parquet").metadata
    groups = [found.row_group(at) for at in range(found.num_row_groups)]
    assert sum(group.num_rows for group in groups) == 500
    assert all(parquet.MIN_GROUP_ROWS <= group.num_rows <= parquet.MAX_GROUP_ROWS for group in groups[:-1])
    column = groups[0].column(0)
    assert (column.path_in_schema, column.compression, column.has_offset_index) == ("image.bytes", "UNCOMPRESSED", True)
    assert column.total_uncompressed_size > sum(map(len, bodies[: groups[0].num_rows]))
    assert await problems("parquet", tmp_path, report) == ()


def test_row_groups_end_by_their_content_and_are_bounded() -> None:
    """By the digest of the last image, between 50 and 200 rows, and by bytes: a group is held in memory."""
    ends, stays = "00000040" + "0" * 56, "00000041" + "0" * 56
    assert not parquet.ends_row_group(49, 1, ends)
    assert parquet.ends_row_group(50, 1, ends)
    assert not parquet.ends_row_group(199, 1, stays)
    assert parquet.ends_row_group(200, 1, stays)
    assert parquet.ends_row_group(1, 32_000_000, stays)


async def test_memory_is_that_of_a_row_group(tmp_path: Path) -> None:
    """However many images there are: pyarrow's memory after 40 MB in rows of 1 MB is that of one group at most."""
    bodies = [bytes([number]) * 1_000_000 for number in range(40)]
    items = [sample(number, body, split="train") for number, body in enumerate(bodies)]
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    await formats.get_exporter("parquet").write(each(items), Bodies(bodies), tmp_path, replace(OPTIONS, shard_samples=100))
    assert pool.bytes_allocated() - before < 1_000_000
    metadata = pq.ParquetFile(tmp_path / "data/train-00000-of-00001.parquet").metadata
    assert [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)] == [32, 8]


async def test_an_image_that_no_row_holds_is_refused_before_any_is_read(tmp_path: Path) -> None:
    """With its size, the limit and the way out; nothing is left."""
    bodies = Bodies()
    items = [sample(0), sample(1, size_bytes=2**31)]
    with pytest.raises(errors.ValidationError, match=r"2147483648 bytes: a row of Parquet holds up to 2147483647; resize it"):
        await formats.get_exporter("parquet").write(each(items), bodies, tmp_path, OPTIONS)
    assert bodies.reads == 0
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(("more", "is_told"), [(2_000_000, True), (1_000, False)])
async def test_a_row_that_the_viewer_may_leave_out_is_told(more: int, is_told: bool, tmp_path: Path) -> None:
    """In the card."""
    body = image(0) + bytes(more)
    await formats.get_exporter("parquet").write(each([sample(0, body)]), Bodies([body]), tmp_path, OPTIONS)
    assert ("may leave out rows of more than 2 MB" in (tmp_path / "README.md").read_text()) is is_told


def test_without_pyarrow_the_format_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is fetched, with the line that installs it; other formats need nothing."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(errors.ConfigurationError, match=r"the format parquet needs pyarrow; install pictrawl\[parquet\]"):
        formats.require_format("parquet")
    formats.require_format("files")


# --- what an update costs

IMAGES = 1_000


def noise(number: int) -> bytes:
    """An image of 100 KB as a compressor leaves it."""
    generator = np.random.default_rng(number)
    return generator.bytes(int(generator.integers(60_000, 140_000)))


async def write_noise(folder: Path, numbers: Sequence[int]) -> int:
    """Export images of these numbers; returns their bytes."""
    bodies = [noise(number) for number in numbers]
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]
    items = [
        sample(number, body, index=at, split="train", page_url=f"https://p.example/{digest}")
        for at, (number, body, digest) in enumerate(zip(numbers, bodies, digests, strict=True))
    ]
    options = replace(OPTIONS, shard_samples=10_000, shard_bytes=60_000_000)
    await formats.get_exporter("parquet").write(each(items), Bodies(bodies), folder, options)
    return sum(map(len, bodies))


@pytest.mark.exhaustive
async def test_an_update_of_2_percent_has_few_new_chunks(tmp_path: Path) -> None:
    """Of 1,000 images 7 are changed, 7 removed and 6 added, some of them in the middle, in several shards: 4 % of the bytes are new.

    With the chunk sizes of ``datasets`` it would be 9 %; more than 10 % must never be.
    """
    before = list(range(IMAGES))
    after = [number + IMAGES if number % 143 == 13 else number for number in before if number % 143 != 50]
    after[100:100] = [3 * IMAGES, 3 * IMAGES + 1]
    after += range(4 * IMAGES, 4 * IMAGES + 4)
    assert (len(set(before) - set(after)), len(set(after) - set(before))) == (14, 13)
    size_bytes = await write_noise(tmp_path / "before", before)
    await write_noise(tmp_path / "after", after)
    old, new = (chunks.chunks(tmp_path / name, "data/*.parquet") for name in ("before", "after"))
    assert 0.9 < sum(old.values()) / size_bytes < 1.1
    assert chunks.new_bytes(old, new) <= 0.06 * sum(new.values())


# --- verification


async def written(tmp_path: Path) -> tuple[ExportReport, Path]:
    """An export of four images in one shard."""
    return await write("parquet", tmp_path, samples(4, split="train")), tmp_path / "data/train-00000-of-00001.parquet"


def edit(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> None:
    """Write the shard again with changed rows."""
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows[0]["image"].update(bytes=image(9)), "the bytes differ from those of its row"),
        (lambda rows: rows[0].update(sha256="0" * 64), "the bytes differ from those of its row"),
        (lambda rows: rows[0].update(label=0), "labels: found"),
        (lambda rows: rows[0].update(label=7), "labels: found"),
        (lambda rows: rows[0].update(split="test"), "is in a shard of another split than its row states"),
        (lambda rows: rows[0].update(image=None), "a row without the bytes or the name of its image"),
        (lambda rows: rows[0]["image"].update(path="x.jpg"), "the name does not match the bytes"),
        (lambda rows: rows.pop(), "samples: found 3"),
        (lambda rows: rows.append(rows[0]), "index 0 is out of range or repeated"),
    ],
)
async def test_verify_notices_a_row_that_is_wrong(change: Callable[[list[dict[str, Any]]], Any], problem: str, tmp_path: Path) -> None:
    """Though manifest and digests agree with the file."""
    report, path = await written(tmp_path)
    edit(path, change)
    reseal(tmp_path)
    assert any(problem in found for found in await problems("parquet", tmp_path, report))


async def test_verify_notices_what_is_no_parquet(tmp_path: Path) -> None:
    """Cut off, or something else."""
    report, path = await written(tmp_path)
    path.write_bytes(path.read_bytes()[:-9])
    reseal(tmp_path)
    assert any(found.startswith(f"data/{path.name}: not a valid Parquet file") for found in await problems("parquet", tmp_path, report))


async def test_verify_notices_classes_of_another_order(tmp_path: Path) -> None:
    """The numbers would stand for other classes."""
    report, path = await written(tmp_path)
    table = pq.read_table(path)
    metadata = {b"huggingface": table.schema.metadata[b"huggingface"].replace(b'["Hot Dog","cat"]', b'["cat","Hot Dog"]')}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    reseal(tmp_path)
    assert "data: the classes of the column label are not the sorted names of the labels" in await problems("parquet", tmp_path, report)


async def test_verify_notices_shards_that_do_not_belong_together(tmp_path: Path) -> None:
    """Other columns than the first one, one that is not listed, and one that is listed and missing."""
    items: list[Sample] = samples(8, split="train")
    report = await write("parquet", tmp_path, items)
    second = tmp_path / "data/train-00001-of-00002.parquet"
    pq.write_table(pq.read_table(second).drop_columns(["creator"]), second)
    reseal(tmp_path)
    assert f"data/{second.name}: has other columns than the first shard" in await problems("parquet", tmp_path, report)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["files"][f"data/{second.name}"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    found = await problems("parquet", tmp_path, report)
    assert {"data/train: 1 of 2 shards .parquet are listed", f"data/{second.name}: not in the manifest"} <= set(found)
