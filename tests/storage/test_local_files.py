"""A file is complete or absent; folders are published, replaced and cleared as a whole; writeback changes no content."""

import ctypes
import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.storage import local_files
from tests.storage.test_store import files_no_larger_than


def names(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.name for path in local_files.files_below(folder))


def test_write_makes_folders_and_replaces_what_was_there(tmp_path: Path) -> None:
    """The umask says who may read it, as for every new file."""
    path = tmp_path / "a/b/c"
    for body in (b"first", b"", b"x" * 300_000):
        local_files.write_file(str(path), body)
        assert path.read_bytes() == body
    assert names(tmp_path) == ["c"]
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_write_that_the_disk_refuses_leaves_what_was_there(tmp_path: Path) -> None:
    """Nothing half-written stays under any name, though some of it was taken."""
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with files_no_larger_than(1000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        local_files.write_file(str(path), b"x" * 5000)
    assert names(tmp_path) == ["a"]
    assert path.read_bytes() == b"old"


def test_write_goes_on_where_the_system_took_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write(2) may take less than it is given."""
    real = os.write
    monkeypatch.setattr(local_files.os, "write", lambda descriptor, body: real(descriptor, body[:7]))
    local_files.write_file(str(tmp_path / "a"), b"0123456789" * 10)
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"0123456789" * 10


def test_write_over_a_folder_is_refused(tmp_path: Path) -> None:
    """As it is where a folder's own way is a file."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").touch()
    with pytest.raises(IsADirectoryError):
        local_files.write_file(str(tmp_path / "a"), b"x")
    with pytest.raises(NotADirectoryError):
        local_files.write_file(str(tmp_path / "c/d"), b"x")
    assert names(tmp_path) == ["c"]


def test_what_a_dead_writer_leaves_is_cleared_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is one that leftovers have, and no reader takes it for an object."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_files.os, "rename", die)
    with pytest.raises(KeyboardInterrupt):
        local_files.write_file(str(tmp_path / "a/b"), b"x")
    monkeypatch.undo()
    assert len(names(tmp_path)) == 1
    assert local_files.clear_leftovers(tmp_path, -60) == 1
    assert names(tmp_path) == []


def write_with_writeback(path: Path) -> None:
    """Write a file, and start the writeback of its first half."""
    with path.open("wb") as file:
        file.write(b"x" * 100_000)
        file.flush()
        local_files.start_writeback(file.fileno(), 0, 50_000)
        file.write(b"y" * 100_000)


def test_writeback_leaves_the_file_as_written(tmp_path: Path) -> None:
    """Before, within and after the range."""
    write_with_writeback(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"x" * 100_000 + b"y" * 100_000


def test_writeback_asks_linux_for_the_range_and_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SYNC_FILE_RANGE_WRITE alone."""
    asked: list[tuple[int, ...]] = []

    def sync_file_range(descriptor: int, start: ctypes.c_int64, size: ctypes.c_int64, flags: int) -> int:
        asked.append((descriptor, start.value, size.value, flags))
        return -1

    monkeypatch.setattr(local_files.ctypes, "CDLL", lambda *_: SimpleNamespace(sync_file_range=sync_file_range))
    local_files.start_writeback(7, 5_000_000_000, 32_000_000)
    assert asked == [(7, 5_000_000_000, 32_000_000, 2)]


def test_writeback_is_skipped_where_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes more time, and the file is the same."""
    monkeypatch.setattr(local_files.ctypes, "CDLL", lambda *_: object())
    write_with_writeback(tmp_path / "a")
    assert (tmp_path / "a").stat().st_size == 200_000


def write(path: Path, text: str = "x") -> Path:
    """Make a small file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names_in(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_scratch_of_a_local_store_lies_on_its_filesystem(tmp_path: Path) -> None:
    """Only then is the rename out of it atomic."""
    folder = local_files.make_scratch(tmp_path)
    assert folder.parent == tmp_path / local_files.SCRATCH
    assert folder.stat().st_dev == tmp_path.stat().st_dev


def test_scratch_without_a_root_is_a_temporary_folder() -> None:
    """A remote store borrows the system's."""
    folder = local_files.make_scratch(None)
    assert folder.is_dir()
    folder.rmdir()


def test_publish_moves_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    """Publishing twice leaves the second tree, nothing of the first, and no leftovers."""
    for text in ("one", "two"):
        folder = local_files.make_scratch(tmp_path)
        write(folder / "data" / f"{text}.txt", text)
        local_files.publish_tree(tmp_path, folder, "exports/e")
        assert not folder.exists()
    assert names(tmp_path) == ["two.txt"]
    assert (tmp_path / "exports/e").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("swap", [local_files.put_in_place, local_files._exchange_by_renames])
def test_two_folders_exchange_by_renames(tmp_path: Path, swap: object) -> None:
    """In one step where the system can, in three renames elsewhere: the old folder ends up where the new one was."""
    new, old = write(tmp_path / "new/n").parent, write(tmp_path / "old/o").parent
    swap(new, old)  # type: ignore[operator]
    assert names_in(old) == ["n"]
    assert names_in(new) == ["o"]
    assert names_in(tmp_path) == ["new", "old"]


def test_put_in_place_falls_back_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without renameat2 costs atomicity, not the operation."""
    monkeypatch.setattr(local_files.ctypes, "CDLL", lambda *_, **__: object())
    new, old = write(tmp_path / "new/n").parent, write(tmp_path / "old/o").parent
    local_files.put_in_place(new, old)
    assert names_in(old) == ["n"]


def test_a_failed_change_of_places_puts_the_old_folder_back(tmp_path: Path) -> None:
    """If the new folder cannot be moved, the target is as it was."""
    old = write(tmp_path / "old/o").parent
    with pytest.raises(FileNotFoundError):
        local_files._exchange_by_renames(tmp_path / "never-made", old)
    assert names_in(old) == ["o"]
    assert names_in(tmp_path) == ["old"]


def test_sync_tree_raises_what_a_file_raises(tmp_path: Path) -> None:
    """A flush that fails in a thread is no success."""
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        local_files.sync_tree(tmp_path)


def test_remove_takes_a_tree_away_and_forgives_its_absence(tmp_path: Path) -> None:
    """Afterwards nothing of it is left, not even in scratch."""
    write(tmp_path / "exports/e/a")
    local_files.remove_tree(tmp_path, "exports/e")
    local_files.remove_tree(tmp_path, "exports/e")
    assert names(tmp_path) == []
    assert not any((tmp_path / local_files.SCRATCH).iterdir())


def test_clear_leftovers_takes_only_what_is_old(tmp_path: Path) -> None:
    """Scratch folders and staged files go when nothing in them was touched for long enough; blobs never do."""
    old_scratch = write(local_files.make_scratch(tmp_path) / "deep/file")
    busy_scratch = write(local_files.make_scratch(tmp_path) / "deep/file")
    staged, blob = write(tmp_path / "blobs/ab/x#1"), write(tmp_path / "blobs/ab/x")
    for path in (old_scratch, old_scratch.parent, old_scratch.parent.parent, busy_scratch.parent, busy_scratch.parent.parent, staged, blob):
        os.utime(path, (1, 1))
    assert local_files.clear_leftovers(tmp_path, 3600) == 2
    assert sorted(local_files.files_below(tmp_path)) == sorted([busy_scratch, blob])


def test_what_vanishes_while_it_is_looked_at_is_left_alone(tmp_path: Path) -> None:
    """Another process deletes it."""
    assert local_files._last_written(tmp_path / "gone") == float("inf")
    assert local_files.clear_leftovers(tmp_path, 0) == 0


def test_a_link_is_another_name_of_a_file(tmp_path: Path) -> None:
    """It takes no space, makes its folder, replaces what was there, and leaves the file and nothing else behind, however often."""
    source = tmp_path / "source.jpg"
    source.write_bytes(b"body")
    before = source.stat()
    target = tmp_path / "store/ab/blob"
    for _ in range(3):
        assert local_files.link_file(str(source), source.stat(), str(target))
    assert target.samefile(source)
    assert (source.stat().st_mtime_ns, source.stat().st_mode, source.read_bytes()) == (before.st_mtime_ns, before.st_mode, b"body")
    assert names(tmp_path) == ["blob", "source.jpg"]
    target.unlink()
    target.write_bytes(b"older")
    assert local_files.link_file(str(source), source.stat(), str(target))
    assert target.read_bytes() == b"body"


def test_a_file_that_is_not_as_expected_is_not_linked(tmp_path: Path) -> None:
    """One that was written to or exchanged since its bytes were read, one that is gone, a link to one, one on another file system."""
    source, target = tmp_path / "source.jpg", tmp_path / "blob"
    source.write_bytes(b"body")
    expected = source.stat()
    link = tmp_path / "link.jpg"
    link.symlink_to(source)
    assert not local_files.link_file(str(link), expected, str(target))
    os.utime(source, ns=(1, 1))
    assert not local_files.link_file(str(source), expected, str(target))
    source.unlink()
    assert not local_files.link_file(str(source), expected, str(target))
    assert not local_files.link_file("/proc/self/status", Path("/proc/self/status").stat(), str(target))
    assert names(tmp_path) == ["link.jpg"]


def test_a_clone_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Where the file system can; where it cannot there is no file. The kernel is asked with both files open."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"body")

    def clones(copy: int, request: int, origin: int) -> None:
        assert request == 0x40049409
        os.write(copy, os.read(origin, 10))

    def cannot(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "no")

    assert local_files.clone_file(source, target, clones)
    assert target.read_bytes() == b"body"
    target.unlink()
    assert not local_files.clone_file(source, target, cannot)
    assert not target.exists()
    if local_files.clone_file(source, target):  # as the file system of the tests has it
        assert target.read_bytes() == b"body"


def test_a_read_only_link_is_one_file_that_nobody_writes_to(tmp_path: Path) -> None:
    """Both names; where the two cannot be one file, neither changes."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"body")
    assert local_files.link_read_only(source, target)
    assert target.samefile(source)
    assert source.stat().st_mode & 0o777 == 0o444
    (tmp_path / "c").write_bytes(b"there")
    assert not local_files.link_read_only(tmp_path / "c", target)
    assert (tmp_path / "c").stat().st_mode & 0o200
    assert local_files.permissions_hold() is (os.geteuid() != 0)
