"""Tests of app.exports.webdataset: shards that the real webdataset package reads."""

import io
import json
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import exports
from app.domain import Sample
from tests.exports.builders import OPTIONS, Bodies, each, image, problems, sample, samples, write

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what webdataset itself imports
    import webdataset


def read_with_webdataset(folder: Path, split: str) -> list[dict[str, Any]]:
    """Every sample of a split as the package gives it."""
    shards = [str(path) for path in sorted(folder.glob(f"{split}-*.tar"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves shards to the garbage collector
        return list(webdataset.WebDataset(shards, shardshuffle=False, empty_check=False).decode("pil"))


def members(path: Path) -> list[tarfile.TarInfo]:
    """The headers of a shard."""
    with tarfile.open(path) as archive:
        return archive.getmembers()


async def test_webdataset_reads_every_sample_back(tmp_path: Path) -> None:
    """Images, rows, captions and class numbers, in order, with unique keys."""
    items = samples(10)
    await write("webdataset", tmp_path, items)
    back = [*read_with_webdataset(tmp_path, "train"), *read_with_webdataset(tmp_path, "test")]
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert classes == ["Hot Dog", "cat"]
    assert len({found["__key__"] for found in back}) == 10
    for found, item in zip(back, [*(i for i in items if i.split == "train"), *(i for i in items if i.split == "test")], strict=True):
        assert found["__key__"] == f"{item.index:06d}_{item.sha256[:12]}"
        assert found["jpg"].size == (item.width, item.height)
        assert found["txt"] == found["json"]["caption"] == item.caption
        assert classes[found["cls"]] == found["json"]["label"] == item.label
        assert found["json"]["sha256"] == item.sha256


async def test_shards_roll_by_samples(tmp_path: Path) -> None:
    """Numbered from 0 within each split, none empty."""
    await write("webdataset", tmp_path, samples(10, split="train"))
    shards = sorted(tmp_path.glob("*.tar"))
    assert [path.name for path in shards] == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    assert [len(members(path)) for path in shards] == [16, 16, 8]


async def test_shards_roll_by_bytes_and_take_one_that_is_too_large(tmp_path: Path) -> None:
    """A closed shard stays below the limit, unless a single sample is above it."""
    bodies = [bytes([number]) * size for number, size in enumerate((9_000, 9_000, 50_000, 100))]
    items = [sample(number, body, split="train") for number, body in enumerate(bodies)]
    options = replace(OPTIONS, shard_samples=100, shard_bytes=30_720)
    report = await exports.get_exporter("webdataset").write(each(items), Bodies(bodies), tmp_path, options)
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.tar"))]
    assert sizes == [30_720, 61_440, 10_240]
    assert await problems("webdataset", tmp_path, report) == ()


async def test_headers_are_ustar_and_all_alike(tmp_path: Path) -> None:
    """No user, no group, one time, one mode, members of a sample sorted by suffix."""
    await write("webdataset", tmp_path, samples(2, split="train"))
    found = members(tmp_path / "train-000000.tar")
    assert {(header.uid, header.gid, header.uname, header.gname, header.mtime, header.mode) for header in found} == {
        (0, 0, "", "", 315_532_800, 0o644)
    }
    assert [header.name.partition(".")[2] for header in found] == ["cls", "jpg", "json", "txt"] * 2
    assert (tmp_path / "train-000000.tar").read_bytes()[257:265] == b"ustar\x0000"


@pytest.mark.parametrize(
    ("items", "suffixes"),
    [
        ([sample(0, caption=None, label=None), sample(1, caption=None, label=None)], {"jpg", "json"}),
        ([sample(0, caption=None, label=None), sample(1, label=None)], {"jpg", "json", "txt"}),
        ([sample(0, caption=None, label=None), sample(1, caption=None)], {"jpg", "json", "cls"}),
    ],
)
async def test_every_sample_has_the_same_members(tmp_path: Path, items: list[Sample], suffixes: set[str]) -> None:
    """In all splits: Hugging Face datasets settles the columns of all on one of them."""
    report = await write("webdataset", tmp_path, items)
    for path in tmp_path.glob("*.tar"):
        assert {header.name.partition(".")[2] for header in members(path)} == suffixes
    assert (tmp_path / "classes.json").exists() == ("cls" in suffixes)
    assert await problems("webdataset", tmp_path, report) == ()


async def test_several_image_formats_keep_their_suffixes(tmp_path: Path) -> None:
    """And the card says how to read them as one."""
    bodies = [image(0), image(1, "png"), image(2, "webp")]
    items = [
        sample(n, body, extension=ext, split="train") for n, (body, ext) in enumerate(zip(bodies, ("jpg", "png", "webp"), strict=True))
    ]
    report = await exports.get_exporter("webdataset").write(each(items), Bodies(bodies), tmp_path, OPTIONS)
    assert [found["__key__"][:6] for found in read_with_webdataset(tmp_path, "train")] == ["000000", "000001", "000002"]
    card = (tmp_path / "README.md").read_text()
    assert 'rename(image="jpg;png;webp")' in card
    assert "wants one suffix" in card
    assert await problems("webdataset", tmp_path, report) == ()


async def test_shards_extract_cleanly(tmp_path: Path) -> None:
    """With the strictest filter that Python has."""
    await write("webdataset", tmp_path, samples(4, split="train"))
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "train-000000.tar").read_bytes())) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert len(list((tmp_path / "out").iterdir())) == 16
