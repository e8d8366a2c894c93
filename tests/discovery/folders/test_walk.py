"""Tests of app.discovery.folders.walk: one order, from any file on, in bounded memory."""

import os
from pathlib import Path

import pytest

from app.discovery.folders.walk import File, Folder, Walk
from tests.discovery.folders.trees import write

FILES = ["a/2.jpg", "a/10.jpg", "a/metadata.jsonl", "a/b/c/1.jpg", "b.jpg", "d/1.jpg", "z.jpg"]
IN_ORDER = ["a/metadata.jsonl", "a/10.jpg", "a/2.jpg", "a/b/c/1.jpg", "b.jpg", "d/1.jpg", "z.jpg"]


def paths(walk: Walk, start: str = "", *, is_done: bool = False) -> list[str]:
    """The files that it comes to."""
    found = walk.visit(start.split("/") if start else (), is_done=is_done)
    return ["/".join(item.parts) for item in found if isinstance(item, File)]


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_files_come_in_one_order(tmp_path: Path, batch: int) -> None:
    """Whatever part of a directory is held; what is said of images comes before them."""
    write(tmp_path, dict.fromkeys(FILES, b""))
    assert paths(Walk(str(tmp_path), batch=batch)) == IN_ORDER


@pytest.mark.parametrize("at", range(len(IN_ORDER)))
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_walk_goes_on_at_any_file(tmp_path: Path, at: int, batch: int) -> None:
    """With it, or behind it."""
    write(tmp_path, dict.fromkeys(FILES, b""))
    assert paths(Walk(str(tmp_path), batch=batch), IN_ORDER[at]) == IN_ORDER[at:]
    assert paths(Walk(str(tmp_path), batch=batch), IN_ORDER[at], is_done=True) == IN_ORDER[at + 1 :]


def test_a_walk_goes_on_although_its_file_is_gone(tmp_path: Path) -> None:
    """By the place that it had."""
    write(tmp_path, dict.fromkeys(FILES, b""))
    assert paths(Walk(str(tmp_path)), "a/b/bb/9.jpg", is_done=True) == ["a/b/c/1.jpg", "b.jpg", "d/1.jpg", "z.jpg"]


def test_folders_come_before_what_they_hold(tmp_path: Path) -> None:
    """Also those that lead to the file where a walk goes on."""
    write(tmp_path, dict.fromkeys(FILES, b""))
    found = list(Walk(str(tmp_path)).visit(("a", "b", "c", "1.jpg")))
    assert found[:5] == [Folder(()), Folder(("a",)), Folder(("a", "b")), Folder(("a", "b", "c")), File(("a", "b", "c", "1.jpg"))]


def test_what_is_no_file_is_counted(tmp_path: Path) -> None:
    """Hidden files and folders, links to folders, loops of them, pipes. A link to a file is a file, whether it leads anywhere or not."""
    write(tmp_path, {".hidden": b"", ".git/x.jpg": b"", "Thumbs.db": b"", "a/1.jpg": b""})
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "broken.jpg").symlink_to("nothing.jpg")
    (tmp_path / "link.jpg").symlink_to("a/1.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "to_pipe.jpg").symlink_to("pipe.jpg")
    walk = Walk(str(tmp_path))
    assert paths(walk) == ["a/1.jpg", "broken.jpg", "link.jpg", "loop.jpg"]
    assert walk.left_out == {"hidden": 3, "linked folder": 2, "no regular file": 2}


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """And what lies beside it is read. One that vanishes meanwhile is such a folder."""
    write(tmp_path, {"a/1.jpg": b"", "b/1.jpg": b""})
    walk = Walk(str(tmp_path))
    found = []
    for item in walk.visit():
        found.append(item)
        if item == Folder(("a",)):
            (tmp_path / "a" / "1.jpg").unlink()
            (tmp_path / "a").rmdir()
    assert File(("b", "1.jpg")) in found
    assert walk.unreadable == [(("a",), "No such file or directory")]
