"""Tests of app.exports.hashed: a file gets its name when it is whole."""

import hashlib
from pathlib import Path

import pytest

from app.exports.hashed import FileFacts, HashedFile, hash_open_file


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


def test_an_abandoned_file_never_gets_its_name(tmp_path: Path) -> None:
    """It stays a part, and takes nothing more."""
    file = HashedFile(tmp_path / "a")
    file.abandon()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["a.part"]
