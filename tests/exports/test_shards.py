"""Tests of app.exports.shards: what is wrong with a shard is found, even if the manifest's digests say it is right."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from app.domain import ExportReport
from tests.exports.builders import problems, reseal, samples, write

Member = tuple[str, bytes]
SHARD = "train-000000.tar"


def read_members(path: Path) -> list[Member]:
    """Name and body of each member."""
    with tarfile.open(path) as archive:
        return [(header.name, file.read()) for header in archive if (file := archive.extractfile(header))]


def write_members(path: Path, members: list[Member], mode: int = 0o644) -> None:
    """Write a shard as somebody else might."""
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
    "image": (lambda m: swap(m, "jpg", lambda body: body + b"x"), "the bytes are not those of its row"),
    "label": (lambda m: swap(m, "cls", lambda _: b"0"), "cls is not the label"),
    "no number": (lambda m: swap(m, "cls", lambda _: b"cat"), "cls is not the label"),
    "unknown class": (lambda m: swap(m, "cls", lambda _: b"17"), "cls is not the label"),
    "caption": (lambda m: swap(m, "txt", lambda _: b"other"), "txt is not the caption"),
    "row": (lambda m: swap(m, "json", lambda _: b"[]"), "not one image and one json"),
    "split": (lambda m: with_row(m, split="test"), "another split"),
    "no caption": (lambda m: drop(m, "txt"), "other members than the first sample"),
    "no image": (lambda m: drop(m, "jpg"), "not one image and one json"),
    "sample lost": (lambda m: m[4:], "samples: found 3"),
    "sample twice": (lambda m: [*m, *m[:4]], "index 0 is beyond the end or was there before"),
    "torn apart": (lambda m: [*m[1:], m[0]], "other members"),
    "member twice": (lambda m: [m[0], *m], "has two members .cls"),
    "no suffix": (lambda m: [*m, ("plain", b"")], "plain: no plain member"),
    "foreign name": (lambda m: [(f"x{name}", body) for name, body in m], "the name is not that of its bytes"),
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
    assert any("no plain member" in problem for problem in await problems("webdataset", tmp_path, report))


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
