"""Tests of app.exports.json_array: arrays that any reader of JSON takes, and that are read back a line at a time."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.exports.hashed_file import HashedFile
from app.exports.json_array import ArrayWriter, read_array


def lines(path: Path) -> Iterator[bytes]:
    """The lines behind the one that opens the array."""
    return iter(path.read_bytes().splitlines(keepends=True)[1:])


@pytest.mark.parametrize("entries", [[], [{"a": 1}], [{"a": "]\n[,"}, 2, ["x"], None]])
def test_what_is_written_is_json_and_comes_back(entries: list[Any], tmp_path: Path) -> None:
    """Empty arrays too, and texts with the characters of JSON in them."""
    file = HashedFile(tmp_path / "a.json")
    array = ArrayWriter(file)
    for entry in entries:
        array.add(entry)
    array.close()
    file.finish()
    assert array.entries == len(entries)
    assert json.loads((tmp_path / "a.json").read_bytes()) == entries
    assert list(read_array(lines(tmp_path / "a.json"))) == entries


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"1,\n]", "a comma before the end"),
        (b"1\n2\n]", "a comma is missing"),
        (b"1,\n2", "not closed"),
        (b"", "not closed"),
        (b"1,\n{\n]", "unexpected"),
    ],
)
def test_an_array_that_is_damaged_is_told(text: bytes, problem: str) -> None:
    """Where a reader of JSON would fail as well."""
    with pytest.raises(ValueError, match=problem):
        list(read_array(iter(text.splitlines(keepends=True))))
