"""Tests of app.storage.trees: folders are published, replaced and cleared whole."""

import os
from pathlib import Path

import pytest

from app.storage import trees


def write(path: Path, text: str = "x") -> Path:
    """Make a small file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def names_in(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def names_below(folder: Path) -> list[str]:
    """The names of all files below a folder."""
    return [path.name for path in trees.files_below(folder)]


def test_scratch_of_a_local_store_lies_on_its_filesystem(tmp_path: Path) -> None:
    """Only then is the rename out of it atomic."""
    folder = trees.make_scratch(tmp_path)
    assert folder.parent == tmp_path / trees.SCRATCH
    assert folder.stat().st_dev == tmp_path.stat().st_dev


def test_scratch_without_a_root_is_a_temporary_folder() -> None:
    """A remote store borrows the system's."""
    folder = trees.make_scratch(None)
    assert folder.is_dir()
    folder.rmdir()


def test_publish_moves_the_folder_and_replaces_what_was_there(tmp_path: Path) -> None:
    """Publishing twice leaves the second tree, nothing of the first, and no leftovers."""
    for text in ("one", "two"):
        folder = trees.make_scratch(tmp_path)
        write(folder / "data" / f"{text}.txt", text)
        trees.publish(tmp_path, folder, "exports/e")
        assert not folder.exists()
    assert names_below(tmp_path) == ["two.txt"]
    assert (tmp_path / "exports/e").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("swap", [trees.put_in_place, trees._change_places])
def test_two_folders_change_places(tmp_path: Path, swap: object) -> None:
    """In one step where the system can, in three renames elsewhere: the old folder ends up where the new one was."""
    new, old = write(tmp_path / "new/n").parent, write(tmp_path / "old/o").parent
    swap(new, old)  # type: ignore[operator]
    assert names_in(old) == ["n"]
    assert names_in(new) == ["o"]
    assert names_in(tmp_path) == ["new", "old"]


def test_put_in_place_falls_back_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library without renameat2 costs atomicity, not the operation."""
    monkeypatch.setattr(trees.ctypes, "CDLL", lambda *_, **__: object())
    new, old = write(tmp_path / "new/n").parent, write(tmp_path / "old/o").parent
    trees.put_in_place(new, old)
    assert names_in(old) == ["n"]


def test_a_failed_change_of_places_puts_the_old_folder_back(tmp_path: Path) -> None:
    """If the new folder cannot be moved, the target is as it was."""
    old = write(tmp_path / "old/o").parent
    with pytest.raises(FileNotFoundError):
        trees._change_places(tmp_path / "never-made", old)
    assert names_in(old) == ["o"]
    assert names_in(tmp_path) == ["old"]


def test_sync_tree_raises_what_a_file_raises(tmp_path: Path) -> None:
    """A flush that fails in a thread is no success."""
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        trees.sync_tree(tmp_path)


def test_remove_takes_a_tree_away_and_forgives_its_absence(tmp_path: Path) -> None:
    """Afterwards nothing of it is left, not even in scratch."""
    write(tmp_path / "exports/e/a")
    trees.remove(tmp_path, "exports/e")
    trees.remove(tmp_path, "exports/e")
    assert names_below(tmp_path) == []
    assert not any((tmp_path / trees.SCRATCH).iterdir())


def test_clear_leftovers_takes_only_what_is_old(tmp_path: Path) -> None:
    """Scratch folders and staged files go when nothing in them was touched for long enough; blobs never do."""
    old_scratch = write(trees.make_scratch(tmp_path) / "deep/file")
    busy_scratch = write(trees.make_scratch(tmp_path) / "deep/file")
    staged, blob = write(tmp_path / "blobs/ab/x#1"), write(tmp_path / "blobs/ab/x")
    for path in (old_scratch, old_scratch.parent, old_scratch.parent.parent, busy_scratch.parent, busy_scratch.parent.parent, staged, blob):
        os.utime(path, (1, 1))
    assert trees.clear_leftovers(tmp_path, 3600) == 2
    assert sorted(trees.files_below(tmp_path)) == sorted([busy_scratch, blob])


def test_what_vanishes_while_it_is_looked_at_is_left_alone(tmp_path: Path) -> None:
    """Somebody else deals with it."""
    assert trees._newest(tmp_path / "gone") == float("inf")
    assert trees.clear_leftovers(tmp_path, 0) == 0
