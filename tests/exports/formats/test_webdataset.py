"""Tests of app.exports.formats.webdataset: shards that the real webdataset package reads."""

import io
import json
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.domain import Sample
from app.exports import formats
from app.exports.exporter import ExportReport
from tests.exports.builders import OPTIONS, Bodies, each, image, problems, reseal, sample, samples, write

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
    report = await formats.get_exporter("webdataset").write(each(items), Bodies(bodies), tmp_path, options)
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
    report = await formats.get_exporter("webdataset").write(each(items), Bodies(bodies), tmp_path, OPTIONS)
    assert [found["__key__"][:6] for found in read_with_webdataset(tmp_path, "train")] == ["000000", "000001", "000002"]
    card = (tmp_path / "README.md").read_text()
    assert 'rename(image="jpg;png;webp")' in card
    assert "a column for each suffix" in card
    assert await problems("webdataset", tmp_path, report) == ()


async def test_shards_extract_cleanly(tmp_path: Path) -> None:
    """With the strictest filter that Python has."""
    await write("webdataset", tmp_path, samples(4, split="train"))
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "train-000000.tar").read_bytes())) as archive:
        archive.extractall(tmp_path / "out", filter="data")
    assert len(list((tmp_path / "out").iterdir())) == 16


Member = tuple[str, bytes]
SHARD = "train-000000.tar"


def read_members(path: Path) -> list[Member]:
    """Name and body of each member."""
    with tarfile.open(path) as archive:
        return [(header.name, file.read()) for header in archive if (file := archive.extractfile(header))]


def write_members(path: Path, members: list[Member], mode: int = 0o644) -> None:
    """Write a shard as another program might."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, body in members:
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(body), mode
            archive.addfile(header, io.BytesIO(body))


@pytest.fixture
async def report(tmp_path: Path) -> ExportReport:
    """An export of four samples in one shard."""
    return await write("webdataset", tmp_path, samples(4, split="train"))


def swap(members: list[Member], suffix: str, change: Callable[[bytes], bytes]) -> list[Member]:
    """Change the body of the first member with this suffix."""
    position = next(number for number, (name, _) in enumerate(members) if name.endswith(suffix))
    name, body = members[position]
    return [*members[:position], (name, change(body)), *members[position + 1 :]]


def drop(members: list[Member], suffix: str) -> list[Member]:
    """Without the first member with this suffix."""
    position = next(number for number, (name, _) in enumerate(members) if name.endswith(suffix))
    return [*members[:position], *members[position + 1 :]]


def with_row(members: list[Member], **values: object) -> list[Member]:
    """With other values in the first row."""
    return swap(members, "json", lambda body: json.dumps(json.loads(body) | values).encode())


CHANGES: dict[str, tuple[Callable[[list[Member]], list[Member]], str]] = {
    "image": (lambda m: swap(m, "jpg", lambda body: body + b"x"), "the bytes differ from those of its row"),
    "label": (lambda m: swap(m, "cls", lambda _: b"0"), "cls differs from the label"),
    "no number": (lambda m: swap(m, "cls", lambda _: b"cat"), "cls differs from the label"),
    "unknown class": (lambda m: swap(m, "cls", lambda _: b"17"), "cls differs from the label"),
    "caption": (lambda m: swap(m, "txt", lambda _: b"other"), "txt differs from the caption"),
    "row": (lambda m: swap(m, "json", lambda _: b"[]"), "not one image and one json"),
    "split": (lambda m: with_row(m, split="test"), "another split"),
    "no caption": (lambda m: drop(m, "txt"), "different members than the first sample"),
    "no image": (lambda m: drop(m, "jpg"), "not one image and one json"),
    "sample lost": (lambda m: m[4:], "samples: found 3"),
    "sample twice": (lambda m: [*m, *m[:4]], "index 0 is out of range or repeated"),
    "torn apart": (lambda m: [*m[1:], m[0]], "different members"),
    "member twice": (lambda m: [m[0], *m], "has two members .cls"),
    "no suffix": (lambda m: [*m, ("plain", b"")], "plain: not a plain file"),
    "foreign name": (lambda m: [(f"x{name}", body) for name, body in m], "the name does not match the bytes"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
async def test_verify_notices(tmp_path: Path, report: ExportReport, change: str) -> None:
    """Each of these by WebDataset's own rules, though size and digest in the manifest are those of the changed shard."""
    apply, said = CHANGES[change]
    write_members(tmp_path / SHARD, apply(read_members(tmp_path / SHARD)))
    reseal(tmp_path)
    found = await problems("webdataset", tmp_path, report)
    assert any(said in problem for problem in found), found


async def test_a_shard_written_by_others_is_fine_if_its_samples_are(tmp_path: Path, report: ExportReport) -> None:
    """Only the report's sizes differ: the rules are the format's, not our writer's."""
    write_members(tmp_path / SHARD, read_members(tmp_path / SHARD))
    reseal(tmp_path)
    assert all(problem.startswith(("files:", "SHA256SUMS")) for problem in await problems("webdataset", tmp_path, report))


async def test_members_of_another_mode_or_kind_are_noticed(tmp_path: Path, report: ExportReport) -> None:
    """A member that is no plain file is skipped by loaders."""
    write_members(tmp_path / SHARD, read_members(tmp_path / SHARD), mode=0o777)
    reseal(tmp_path)
    assert any("not a plain file" in problem for problem in await problems("webdataset", tmp_path, report))


@pytest.mark.parametrize("keep", [0, 512, 700, 3000, 6000])
async def test_a_cut_shard_is_noticed(tmp_path: Path, report: ExportReport, keep: int) -> None:
    """Wherever it was cut."""
    body = (tmp_path / SHARD).read_bytes()
    (tmp_path / SHARD).write_bytes(body[:keep])
    reseal(tmp_path)
    assert any("samples: found" in problem or "not a whole tar" in problem for problem in await problems("webdataset", tmp_path, report))


async def test_a_missing_shard_is_noticed(tmp_path: Path) -> None:
    """By its number, and by what the manifest names."""
    report = await write("webdataset", tmp_path, samples(10, split="train"))
    (tmp_path / "train-000001.tar").unlink()
    found = await problems("webdataset", tmp_path, report)
    assert "train-000001.tar: missing" in found
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["files"]["train-000001.tar"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert "train-000002.tar: shard 1 of train is missing" in await problems("webdataset", tmp_path, report)


@pytest.mark.parametrize("text", ["{}", "[", '["cat"]', '["cat", "Hot Dog"]'])
async def test_other_classes_are_noticed(tmp_path: Path, report: ExportReport, text: str) -> None:
    """The numbers in the shards would mean something else."""
    (tmp_path / "classes.json").write_text(text)
    reseal(tmp_path)
    assert "classes.json: not the sorted names of the labels" in await problems("webdataset", tmp_path, report)


async def test_files_beside_the_shards_are_noticed(tmp_path: Path, report: ExportReport) -> None:
    """A glob over ``*.tar`` would take them."""
    (tmp_path / "train-000009.tar").touch()
    assert await problems("webdataset", tmp_path, report) == ("train-000009.tar: not in the manifest",)


async def test_captions_labels_and_further_columns_come_back(tmp_path: Path) -> None:
    """Every row has every column with one type; cls is -1 without a label; txt is the first caption, or all of them if asked for."""
    items = [
        sample(0, split="train", label="b", labels=("b", "a"), caption="x", captions=("x", "y"), extra={"score": ["0.5"], "split": 1}),
        sample(1, split="train", label=None, caption=None, extra={"score": ["1"], "note": "n"}),
    ]
    for captions, texts in (("first", ["x", ""]), ("all", ["x\ny", ""])):
        folder = tmp_path / captions
        report = await write("webdataset", folder, items, replace(OPTIONS, captions=captions))
        back = read_with_webdataset(folder, "train")
        assert [found["txt"] for found in back] == texts
        assert [found["cls"] for found in back] == [0, -1]
        rows = [{name: found["json"][name] for name in ("label", "labels", "captions", "score", "list_split", "note")} for found in back]
        assert rows == [
            {"label": "b", "labels": ["b", "a"], "captions": ["x", "y"], "score": 0.5, "list_split": 1, "note": ""},
            {"label": None, "labels": [], "captions": [], "score": 1.0, "list_split": None, "note": "n"},
        ]
        assert await problems("webdataset", folder, report) == ()
    manifest = json.loads((tmp_path / "all/manifest.json").read_text())
    assert manifest["unlabelled"] == 1
    assert manifest["list_columns"]["list_split"] == {"type": "int64", "name": "split"}
