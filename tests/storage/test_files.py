"""Tests of app.storage.files: a file is whole under its name, or it is not there."""

import errno
import os
from pathlib import Path

import pytest

from app.storage import files, trees
from tests.storage.test_store import files_no_larger_than


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.name for path in trees.files_below(folder))


def test_write_makes_folders_and_replaces_what_was_there(tmp_path: Path) -> None:
    """The umask says who may read it, as for every new file."""
    path = tmp_path / "a/b/c"
    for body in (b"first", b"", b"x" * 300_000):
        files.write(str(path), body)
        assert path.read_bytes() == body
    assert names(tmp_path) == ["c"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_write_that_the_disk_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    """Nothing half-written stays under any name, though some of it was taken."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with files_no_larger_than(1000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        files.write(str(path), b"x" * 5000)
    assert names(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"


def test_write_goes_on_where_the_system_took_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take less than it is given."""
    real = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, body: real(descriptor, body[:7]))
    files.write(str(tmp_path / "a"), b"0123456789" * 10)
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 10


def test_write_over_a_folder_is_refused(tmp_path: Path) -> None:
    """As it is where a folder's own way is a file."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").touch()
    with pytest.raises(IsADirectoryError):
        files.write(str(tmp_path / "a"), b"x")
    with pytest.raises(NotADirectoryError):
        files.write(str(tmp_path / "c/d"), b"x")
    assert names(tmp_path) == ["c"]


def test_what_a_dead_writer_leaves_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is one that leftovers have, and no reader takes it for an object."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        files.write(str(tmp_path / "a/b"), b"x")
    monkeypatch.undo()
    assert len(names(tmp_path)) == 1
    assert trees.clear_leftovers(tmp_path, -60) == 1
    assert names(tmp_path) == []
