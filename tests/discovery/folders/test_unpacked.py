"""Tests of app.discovery.folders.unpacked: a packed tar is unpacked once, and read from anywhere."""

import gzip
import os
from contextlib import closing
from pathlib import Path

import pytest
import zstandard

import errors
from app.discovery.folders import unpacked
from app.discovery.folders.unpacked import TarFiles
from tests.discovery.folders.trees import img2dataset_shard


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst"])
def test_a_tar_is_read_unpacked(tmp_path: Path, suffix: str) -> None:
    """Twice at once, each reader from its own place."""
    body = img2dataset_shard(tmp_path / "plain", range(3)).read_bytes()
    pack = {".tar": bytes, ".tar.zst": zstandard.compress}.get(suffix, gzip.compress)
    (tmp_path / f"a{suffix}").write_bytes(pack(body))  # type: ignore[operator]
    with closing(TarFiles(tmp_path)) as files, files.open(f"{tmp_path}/a{suffix}") as one, files.open(f"{tmp_path}/a{suffix}") as other:
        assert one.read(100) == body[:100]
        other.seek(512)
        assert other.read(10) == body[512:522]
        assert one.read() == body[100:]
        assert one.seek(-10, os.SEEK_END) == len(body) - 10
        one.seek(-10, os.SEEK_CUR)
        assert one.tell() == len(body) - 20


def test_a_tar_is_unpacked_once_until_it_changes(tmp_path: Path) -> None:
    """A few are kept; a reader goes on although its tar is not kept any more."""
    paths = [tmp_path / f"{number}.tar.gz" for number in range(unpacked.MAX_UNPACKED + 1)]
    for path in paths:
        path.write_bytes(gzip.compress(path.name.encode()))
    with closing(TarFiles()) as files:
        first = files.open(str(paths[0]))
        for path in paths[1:]:
            with files.open(str(path)) as file:
                assert file.read() == path.name.encode()
        assert first.read() == b"0.tar.gz"
        first.close()
        paths[1].write_bytes(gzip.compress(b"other"))
        with files.open(str(paths[1])) as file:
            assert file.read() == b"other"


def test_a_damaged_packed_tar_ends_where_it_breaks(tmp_path: Path) -> None:
    """Its reader says that it is cut off."""
    path = tmp_path / "0.tar.gz"
    path.write_bytes(gzip.compress(os.urandom(100_000))[:50_000])
    with closing(TarFiles()) as files, files.open(str(path)) as file:
        assert 0 < len(file.read()) < 100_000


def test_a_disk_without_room_is_this_machines_error(tmp_path: Path) -> None:
    """Not one of the images in the tar."""
    path = tmp_path / "0.tar.gz"
    path.write_bytes(gzip.compress(b"x"))
    with closing(TarFiles(tmp_path / "gone")) as files, pytest.raises(errors.StorageError, match="unpacking"):
        files.open(str(path))
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(errors.StorageError, match="No space left"):
        unpacked._write(full, b"x", "a.tar.gz")


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fill the disk: the tar ends where it has grown more than images can."""
    monkeypatch.setattr(unpacked, "MIN_BYTES", 100)
    path = tmp_path / "0.tar.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with closing(TarFiles()) as files, files.open(str(path)) as file:
        assert len(file.read()) < 10_000_000


@pytest.mark.parametrize("name", ["0.tar", "0.tar.gz"])
def test_a_pipe_is_no_tar(tmp_path: Path, name: str) -> None:
    """Opening it would wait for somebody who writes to it."""
    os.mkfifo(tmp_path / name)
    with closing(TarFiles()) as files, pytest.raises(errors.UnreadableError, match="no regular file"):
        files.open(str(tmp_path / name))
