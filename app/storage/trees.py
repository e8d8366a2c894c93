"""Folders on the disk of a local store: scratch folders, atomic publication, leftovers of processes that died. Blocking code."""

import ctypes
import itertools
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["SCRATCH", "clear_leftovers", "entries_below", "files_below", "make_scratch", "publish", "put_in_place", "remove", "sync_tree"]

SCRATCH = ".scratch"
"""Name of the folder of scratch folders inside a local store. No key can begin with a dot, so none can reach it."""

_FSYNC_THREADS = 8  # 0.3 ms a file instead of 0.85 ms one after another (100 KB files, ext4)
_FSYNC_BATCH = 1000
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_STAGED = re.compile(r".+#\d+")  # how obstore names a file until its rename


def make_scratch(root: Path | None) -> Path:
    """Make an empty folder: on the store's own filesystem, so that a rename out of it is atomic, or in the system's temporary one."""
    if root is None:
        return Path(tempfile.mkdtemp(prefix="pictrawl-"))
    parent = root / SCRATCH
    parent.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))


def publish(root: Path, folder: Path, prefix: str) -> None:
    """Make ``folder`` the tree at ``prefix`` by one rename, after an fsync of all of it. What lay there before goes away."""
    target = root / prefix
    sync_tree(folder)
    folder.chmod(0o755)  # mkdtemp makes 0700
    target.parent.mkdir(parents=True, exist_ok=True)
    put_in_place(folder, target)
    shutil.rmtree(folder, ignore_errors=True)


def put_in_place(source: Path, target: Path) -> None:
    """Rename the folder ``source`` to ``target``. Where a folder is in the way, the two change places in one step.

    A filesystem that cannot exchange two names needs two renames: a process that dies between them leaves no ``target``, never half
    of one.
    """
    if not target.exists():
        source.rename(target)
    elif not _exchange(source, target):
        _change_places(source, target)
    _sync(target.parent)


def remove(root: Path, prefix: str) -> None:
    """Make the tree at ``prefix`` vanish by one rename, then delete it. A tree that is not there is fine."""
    target = root / prefix
    if target.is_dir():
        aside = make_scratch(root)
        target.rename(aside / target.name)
        _sync(target.parent)
        shutil.rmtree(aside, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder``, and itself, to the disk."""
    entries = map(Path, entries_below(folder))
    with ThreadPoolExecutor(_FSYNC_THREADS) as pool:
        while batch := list(itertools.islice(entries, _FSYNC_BATCH)):
            for _ in pool.map(_sync, batch):
                pass  # taking each result raises what its thread raised
    _sync(folder)


def entries_below(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Every file and folder below ``folder``, in no particular order, without ever holding a list of them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from entries_below(Path(entry))


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, in no particular order."""
    return (Path(entry) for entry in entries_below(folder) if not entry.is_dir(follow_symlinks=False))


def clear_leftovers(root: Path, older_than_s: float) -> int:
    """Delete scratch folders and staged files that nobody has touched for ``older_than_s``. Returns how many."""
    limit = time.time() - older_than_s
    removed = 0
    for path in _leftovers(root):
        if _newest(path) < limit:
            removed += 1
            _delete(path)
    return removed


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names atomically (renameat2(2), Linux). ``False`` where the system or the filesystem cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    done: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return done == 0


def _change_places(source: Path, target: Path) -> None:
    aside = target.with_name(f"{target.name}.replaced-{secrets.token_hex(4)}")
    target.rename(aside)
    try:
        source.rename(target)
    except OSError:
        aside.rename(target)
        raise
    aside.rename(source)


def _leftovers(root: Path) -> Iterator[Path]:
    scratch = root / SCRATCH
    if scratch.is_dir():
        yield from scratch.iterdir()
    for parent, folders, names in os.walk(root):
        if SCRATCH in folders:
            folders.remove(SCRATCH)
        yield from (Path(parent, name) for name in names if _STAGED.fullmatch(name))


def _newest(path: Path) -> float:
    """When ``path``, or anything below it, was last written; infinity if it has gone, which means somebody else deals with it."""
    try:
        below = entries_below(path) if path.is_dir() else ()
        return max(path.stat().st_mtime, *(entry.stat().st_mtime for entry in below), 0.0)
    except FileNotFoundError:
        return float("inf")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
