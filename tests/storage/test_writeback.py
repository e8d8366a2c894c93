"""Tests of app.storage.writeback: a hint, which changes nothing but when bytes reach the disk."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from app.storage import writeback


def begin_on(path: Path) -> None:
    """Write a file, and have its first half written out."""
    with path.open("wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        writeback.begin(file.fileno(), 0, 50_000)
        file.write(b"y" * 100_000)


def test_a_file_is_what_was_written(tmp_path: Path) -> None:
    """Before, within and after what is on its way."""
    begin_on(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"x" * 100_000 + b"y" * 100_000


def test_begin_asks_linux_for_the_range_and_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SYNC_FILE_RANGE_WRITE alone."""
    asked: list[tuple[int, ...]] = []

    def sync_file_range(descriptor: int, start: "writeback.ctypes.c_int64", size: "writeback.ctypes.c_int64", flags: int) -> int:
        asked.append((descriptor, start.value, size.value, flags))
        return -1

    monkeypatch.setattr(writeback.ctypes, "CDLL", lambda *_: SimpleNamespace(sync_file_range=sync_file_range))
    writeback.begin(7, 5_000_000_000, 32_000_000)
    assert asked == [(7, 5_000_000_000, 32_000_000, 2)]


def test_a_system_without_it_does_all_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs time, not the file."""
    monkeypatch.setattr(writeback.ctypes, "CDLL", lambda *_: object())
    begin_on(tmp_path / "a")
    assert (tmp_path / "a").stat().st_size == 200_000
