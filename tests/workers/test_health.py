"""A worker process's signs of life."""

import os
import time
from pathlib import Path

from workers import health


def test_a_worker_is_well_while_its_file_is_fresh(tmp_path: Path) -> None:
    """No file, an old file, or one that was taken away: not alive."""
    folder = tmp_path / "health"
    assert not health.is_alive(fresh_s=20, folder=folder)
    health.touch([time.monotonic()], folder)
    assert health.is_alive(fresh_s=20, folder=folder)
    os.utime(folder / str(os.getpid()), (1, 1))
    assert not health.is_alive(fresh_s=20, folder=folder)
    health.remove(folder)
    assert list(folder.iterdir()) == []
    health.remove(folder)


def test_one_sick_worker_of_two_is_seen(tmp_path: Path) -> None:
    """Each process has a file of its own; the file of a process that is gone counts for nothing and is removed."""
    health.touch([], tmp_path)
    (tmp_path / "1").touch()
    (tmp_path / "999999999").touch()
    os.utime(tmp_path / "999999999", (1, 1))
    assert health.is_alive(fresh_s=20, folder=tmp_path)
    assert not (tmp_path / "999999999").exists()
    os.utime(tmp_path / "1", (1, 1))
    assert not health.is_alive(fresh_s=20, folder=tmp_path)


def test_a_loop_that_stands_still_is_no_sign_of_life(tmp_path: Path) -> None:
    """The heartbeat itself turning is not enough."""
    health.touch([time.monotonic(), time.monotonic() - health.STUCK_S - 1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_stops_no_worker(tmp_path: Path) -> None:
    """A read-only place costs the sign of life only."""
    (tmp_path / "file").touch()
    health.touch([], tmp_path / "file" / "health")


def test_resident_memory_is_what_the_kernel_says() -> None:
    """Some megabytes at least."""
    assert health.resident_bytes() > 10_000_000
