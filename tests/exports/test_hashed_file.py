"""Tests of app.exports.hashed_file: a file gets its name when it is whole."""

import hashlib
from pathlib import Path

import pytest

from app.exports import hashed_file
from app.exports.hashed_file import FileFacts, HashedFile, hash_open_file


def test_a_file_has_its_name_only_when_finished(tmp_path: Path) -> None:
    """Until then it is a ``.part``; afterwards size and digest are those of its bytes."""
    file = HashedFile(tmp_path / "a")
    file.write(b"one")
    file.write(b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
    facts = file.finish()
    file.abandon()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    with (tmp_path / "a").open("rb") as whole:
        assert facts == FileFacts(6, hashlib.sha256(b"onetwo").hexdigest()) == hash_open_file(whole)


def test_a_long_file_begins_its_way_to_the_disk_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each range once, in order, and none before it is long enough."""
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(hashed_file, "_WRITEBACK_BYTES", 1000)
    monkeypatch.setattr(hashed_file.local_files, "start_writeback", lambda _, start, size: asked.append((start, size)))
    file = HashedFile(tmp_path / "a")
    for size in (999, 1, 600, 500, 10):
        file.write(bytes(size))
    assert file.finish().size_bytes == 2110
    assert asked == [(0, 1000), (1000, 1100)]


def test_an_abandoned_file_never_gets_its_name(tmp_path: Path) -> None:
    """It keeps its unfinished name and cannot be written to."""
    file = HashedFile(tmp_path / "a")
    file.abandon()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
