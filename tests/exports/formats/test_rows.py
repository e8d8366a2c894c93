"""Tests of app.exports.formats.rows: rows that Python reads, and lists that a build reads again."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import errors
from app.discovery.lists import delimited, json_lines
from app.domain import Candidate, ListProblem, Sample
from app.exports.formats import rows
from app.spec import ListSpec
from tests.exports.builders import problems, read_rows, reseal, sample, samples, tree, write

ODD = [
    sample(0, caption='=1+2, "quoted"', label="a,b", group_id="g1", extra={"score": 0.5, "ok": True, "who": "Ann"}),
    sample(1, caption="line\nbreak\rand\ttab", label="-1", license="CC0-1.0", license_url="https://cc.example/0", extra={"who": "é 😀"}),
    sample(2, caption=None, label=None, creator=None, license=None, source_sha256="ab" * 32),
    sample(3, caption="one", captions=("one", 'two "2"', "['three']"), label="x", labels=("x", "y"), page_url="https://p.example/"),
]


def read_csv(path: Path) -> list[dict[str, str]]:
    """As the documentation reads it."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def listed(name: str, folder: Path) -> list[Candidate | ListProblem]:
    """What a build takes from the rows as its list."""
    spec = ListSpec(key="k", suffix=f".{name}")
    with (folder / f"images.{name}").open("rb") as file:
        read = json_lines.table(file, spec) if name == "jsonl" else delimited.table(file, spec, "the list", tabs=False)
        return [payload if isinstance(payload, ListProblem) else read.build(payload, line, rank) for rank, line, payload in read.rows]


def as_candidate(item: Sample, at: int) -> dict[str, Any]:
    """What a list should say of a sample. The reader cleans white space in texts, as it did when the sample was listed first."""
    return {
        "url": item.url,
        "label": item.label,
        "labels": tuple(item.labels),
        "caption": item.caption and " ".join(item.caption.split()),
        "captions": tuple(item.captions),
        "split": item.split,
        "license": item.license,
        "license_url": item.license_url,
        "creator": item.creator,
        "page_url": item.page_url,
        "group_id": item.group_id,
        "expected_sha256": item.source_sha256,
        "width": item.width,
        "rank": at,
    }


@pytest.mark.parametrize("name", ["jsonl", "csv"])
async def test_rows_are_a_list_again(tmp_path: Path, name: str) -> None:
    """The same URLs, labels, captions, splits, licences and digests, whatever the texts hold."""
    report = await write(name, tmp_path, ODD)
    assert await problems(name, tmp_path, report) == ()
    found = listed(name, tmp_path)
    assert len(found) == len(ODD)
    for at, (item, candidate) in enumerate(zip(ODD, found, strict=True)):
        wanted = as_candidate(item, at)
        assert {field: getattr(candidate, field) for field in wanted} == wanted
    assert isinstance(found[0], Candidate)
    scores = {key: value[0] if isinstance(value, list) else value for key, value in found[0].extra.items()}
    assert scores == {"score": 0.5, "ok": True, "who": "Ann"} if name == "jsonl" else {"score": "0.5", "ok": "true", "who": "Ann"}


async def test_csv_is_that_of_rfc_4180(tmp_path: Path) -> None:
    """CRLF behind each record, quotes where needed and doubled, texts as they are; a missing value is empty, a list is JSON."""
    await write("csv", tmp_path, ODD)
    assert (tmp_path / "images.csv").read_bytes().startswith(b"label,labels,split,")
    first = (tmp_path / "images.csv").read_bytes().split(b"\r\n")[1]
    assert b',"=1+2, ""quoted""",' in first
    found = read_csv(tmp_path / "images.csv")
    assert [row["caption"] for row in found] == [item.caption or "" for item in ODD]
    assert [row["label"] for row in found] == ["a,b", "-1", "", "x"]
    assert json.loads(found[3]["captions"]) == list(ODD[3].captions)
    assert [row["score"] for row in found] == ["0.5", "", "", ""]


async def test_jsonl_keeps_the_types(tmp_path: Path) -> None:
    """As the rows of every other format, without the name of a file."""
    await write("jsonl", tmp_path, ODD)
    await write("files", tmp_path / "files", ODD)
    wanted = read_rows(tmp_path / "files/metadata.jsonl")
    assert read_rows(tmp_path / "images.jsonl") == [{name: value for name, value in row.items() if name != "file_name"} for row in wanted]


async def test_a_cell_that_no_reader_of_csv_takes_is_refused(tmp_path: Path) -> None:
    """The message names image, column and the way out; nothing is left."""
    long = sample(0, captions=("x" * 100_000, "y" * 100_000))
    with pytest.raises(errors.ValidationError, match=r"image 100: its column captions has 200007 characters.*export it as jsonl"):
        await write("csv", tmp_path, [long])
    assert tree(tmp_path) == {}
    assert await problems("jsonl", tmp_path, await write("jsonl", tmp_path, [long])) == ()


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("jsonl", b'{"label"', b'["label"', "images.jsonl#row=1: not a JSON object"),
        ("csv", b"cat,", b"cat,,", "images.csv#row=2: 14 cells, the header has 13"),
        ("csv", b"cat,", b'"cat"x,', "images.csv: not a CSV file as RFC 4180 describes it"),
    ],
)
async def test_verify_notices_a_row_that_is_none(tmp_path: Path, name: str, old: bytes, new: bytes, problem: str) -> None:
    """And names it."""
    report = await write(name, tmp_path, samples(2))
    path = tmp_path / f"images.{name}"
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    reseal(tmp_path)
    assert any(found.startswith(problem) for found in await problems(name, tmp_path, report))


@pytest.mark.parametrize("name", ["jsonl", "csv"])
async def test_verify_counts_the_rows(tmp_path: Path, name: str) -> None:
    """A row that is gone, or has another label, split or size, is noticed; so is a file that nothing lists."""
    report = await write(name, tmp_path, samples(4, split="train"))
    path = tmp_path / f"images.{name}"
    whole = path.read_bytes()
    for old, new, what in ((b"cat", b"dog", "labels"), (b"train", b"nowhere", "splits"), (b"635", b"999", "image_bytes")):
        path.write_bytes(whole.replace(old, new, 1))
        reseal(tmp_path)
        assert any(found.startswith(f"{what}: found") for found in await problems(name, tmp_path, report)), what
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    reseal(tmp_path)
    assert any(found.startswith("samples: found 3") for found in await problems(name, tmp_path, report))
    path.write_bytes(whole)
    reseal(tmp_path)
    (tmp_path / "more.txt").touch()
    assert await problems(name, tmp_path, report) == ("more.txt: not in the manifest",)


def test_the_limit_of_a_cell_is_that_of_the_reader() -> None:
    """Of Python's, on which others are built."""
    assert csv.field_size_limit() == rows.MAX_CELL_CHARS


async def test_no_class_is_an_empty_cell(tmp_path: Path) -> None:
    """Of a dataset with labels and without."""
    await write("csv", tmp_path / "some", [sample(0), replace(sample(1), label=None)])
    assert [row["label"] for row in read_csv(tmp_path / "some/images.csv")] == ["cat", ""]
    await write("csv", tmp_path / "none", [sample(0, label=None)])
    assert "label" not in read_csv(tmp_path / "none/images.csv")[0]
