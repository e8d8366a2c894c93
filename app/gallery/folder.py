"""The folder of columns: where the file of each dataset is, and which ones go where all take too much disk. Needs no array library."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from app.settings import Settings

__all__ = ["clear", "columns_folder", "identity", "make_room", "path_of", "size_of", "touch"]

_SUFFIX: Final = ".columns"

_UNFINISHED_S: Final = 3600.0
"""Age of an unfinished file that nobody writes any more, seconds."""


def columns_folder(settings: Settings) -> Path | None:
    """Where the columns of an embedded database are; None for a server's database."""
    return settings.workspace.path / "cache" / "columns" if settings.db.url is None else None


def path_of(folder: Path, dataset_id: str) -> Path:
    """Where the columns of a dataset are."""
    return folder / f"{dataset_id}{_SUFFIX}"


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from the one that replaces it; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size


def touch(path: Path) -> None:
    """Note that a file is used: those that were not used for the longest time are removed first."""
    with contextlib.suppress(OSError):
        os.utime(path)


def size_of(folder: Path | None) -> int:
    """Bytes that all columns take."""
    return sum(found.st_size for _, found in _files(folder))


def make_room(folder: Path, max_bytes: int, *, keep: Path) -> None:
    """Remove the columns that were not used for the longest time until the rest takes no more than this; ``keep`` stays in any case."""
    files = sorted(_files(folder), key=lambda item: (item[0] == keep, item[1].st_mtime), reverse=True)
    taken = 0
    for path, found in files:
        taken += found.st_size
        is_unfinished = path.suffix != _SUFFIX and found.st_mtime < time.time() - _UNFINISHED_S
        if is_unfinished or (taken > max_bytes and path != keep and path.suffix == _SUFFIX):
            path.unlink(missing_ok=True)


def clear(folder: Path | None, dataset_id: str | None = None) -> int:
    """Remove the columns of one dataset or of all; return how many bytes that were."""
    found = [(path, stat.st_size) for path, stat in _files(folder) if dataset_id is None or path.name.startswith(dataset_id)]
    for path, _ in found:
        path.unlink(missing_ok=True)
    return sum(size for _, size in found)


def _files(folder: Path | None) -> Iterator[tuple[Path, os.stat_result]]:
    """The files in a folder, unfinished ones among them; those that go meanwhile are left out."""
    try:
        paths = [] if folder is None else sorted(folder.iterdir())
    except FileNotFoundError:
        return
    for path in paths:
        with contextlib.suppress(OSError):
            if _SUFFIX in path.suffixes:
                yield path, path.stat()
