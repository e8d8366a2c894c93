"""Files and folders of a local store: atomic writes, scratch folders, atomic publication, leftovers of dead processes. Blocking code.

Knows paths and bytes, and raises what the system raises. Files are written by us and not by obstore, which takes half as much CPU again
for a body and its thumbnail (ADR 0016).
"""

import contextlib
import ctypes
import fcntl
import itertools
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

__all__ = [
    "SCRATCH",
    "clear_leftovers",
    "clone_file",
    "entries_below",
    "files_below",
    "link_file",
    "link_read_only",
    "linked_at",
    "make_scratch",
    "permissions_hold",
    "publish_tree",
    "put_in_place",
    "read_file",
    "remove_tree",
    "start_writeback",
    "sync_tree",
    "write_file",
]

SCRATCH: Final = ".scratch"
"""Name of the folder of scratch folders inside a local store. No key begins with a dot, so none names an object in it."""

_SUFFIX_BITS: Final = 60
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_MODE: Final = 0o666  # reduced by the umask
_FSYNC_THREADS: Final = 8  # 0.3 ms a file instead of 0.85 ms one after another (100 KB files, ext4)
_FSYNC_BATCH: Final = 1000
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
_FICLONE: Final = 0x40049409  # linux/fs.h
_READ_ONLY: Final = 0o444
_SYNC_FILE_RANGE_WRITE: Final = 2  # linux/fs.h
_UNFINISHED: Final = re.compile(r".+#\d+")  # obstore's name for a file until its rename


def write_file(path: str, body: bytes) -> None:
    """Make ``path`` a file of these bytes, with its folders, in place of what was there: whole, or not at all.

    Until the rename the file has the name that obstore gives to unfinished files, so obstore does not list it, and `clear_leftovers`
    deletes it if this process dies.
    """
    unfinished = f"{path}#{secrets.randbits(_SUFFIX_BITS)}"
    descriptor = _create(unfinished)
    try:
        _write_all(descriptor, body)
        os.rename(unfinished, path)  # noqa: PTH104 - a Path takes longer to make than a file to rename
    except OSError:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


def read_file(path: str) -> bytes:
    """The bytes of a file. Raises FileNotFoundError for a folder too, which is no object."""
    try:
        return Path(path).read_bytes()
    except IsADirectoryError as error:
        raise FileNotFoundError(path) from error


def link_file(source: str, expected: os.stat_result, path: str) -> bool:
    """Make ``path`` another name of the file ``source``: it takes no space, and ``source`` stays as it is.

    Args:
        source: path of a file, or of a link to one.
        expected: its state when its bytes were read.
        path: in place of what was there.

    Returns:
        False where that cannot be: another file system, a system that does not permit it, or the file is not as expected any more.
    """
    unfinished = f"{path}#{secrets.randbits(_SUFFIX_BITS)}"
    try:
        try:
            _link(source, unfinished)
        except FileNotFoundError:  # the first file of its folder, or the source is gone
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            _link(source, unfinished)
        if not _is_same(os.lstat(unfinished), expected):
            return False
        os.rename(unfinished, path)  # noqa: PTH104 - a Path takes longer to make than a file to rename
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):  # a rename between two names of one file does nothing
            os.unlink(unfinished)  # noqa: PTH108 - likewise
    return True


def clone_file(source: Path, target: Path, ioctl: Callable[[int, int, int], object] = fcntl.ioctl) -> bool:
    """Make ``target`` a copy of ``source`` that shares its blocks until either is written to (ioctl_ficlone(2): Btrfs, XFS).

    Returns:
        False where the file system cannot; there is no ``target`` then.
    """
    with source.open("rb") as origin, target.open("xb") as copy:
        try:
            ioctl(copy.fileno(), _FICLONE, origin.fileno())
        except OSError:
            target.unlink()
            return False
    return True


def link_read_only(source: Path, target: Path) -> bool:
    """Make ``target`` another name of ``source``, and take the permission to write from both, which are one file.

    Returns:
        False where the file system cannot link the two.
    """
    try:
        target.hardlink_to(source)
    except OSError:
        return False
    source.chmod(_READ_ONLY)
    return True


def permissions_hold() -> bool:
    """Whether a file without the permission to write cannot be written to by this user: root can."""
    return os.geteuid() != 0


def linked_at(path: Path) -> float:
    """When a file with several names got the newest, seconds since the epoch; 0 where it has one, or there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0.0
    return found.st_ctime if found.st_nlink > 1 else 0.0


def _link(source: str, path: str) -> None:
    os.link(source, path, follow_symlinks=False)


def _is_same(found: os.stat_result, expected: os.stat_result) -> bool:
    names = ("st_dev", "st_ino", "st_size", "st_mtime_ns")
    return all(getattr(found, name) == getattr(expected, name) for name in names)


def _create(path: str) -> int:
    try:
        return os.open(path, _FLAGS, _MODE)
    except FileNotFoundError:  # the first file of its folder: a check each time would slow down all others
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, _FLAGS, _MODE)


def _write_all(descriptor: int, body: bytes) -> None:
    try:
        written = os.write(descriptor, body)
        while written < len(body):  # interrupted by a signal, or the disk is full: then the next call raises
            written += os.write(descriptor, memoryview(body)[written:])
    finally:
        os.close(descriptor)


def start_writeback(descriptor: int, start: int, size_bytes: int) -> None:
    """Start writing a range of a file to its disk, and wait for none of it (sync_file_range(2), Linux).

    A later fsync then has little left to wait for. Only the fsync ensures that the data is on the disk: it also reports errors of this
    call, and on systems without the call it writes everything.

    Args:
        descriptor: of the file.
        start: offset in bytes.
        size_bytes: length of the range.
    """
    try:
        sync_file_range = ctypes.CDLL(None).sync_file_range
    except AttributeError:
        return
    sync_file_range(descriptor, ctypes.c_int64(start), ctypes.c_int64(size_bytes), _SYNC_FILE_RANGE_WRITE)


def make_scratch(root: Path | None) -> Path:
    """Make an empty folder: on the store's own filesystem, so that a rename out of it is atomic, or in the system's temporary folder."""
    if root is None:
        return Path(tempfile.mkdtemp(prefix="pictrawl-"))
    parent = root / SCRATCH
    parent.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=parent))


def publish_tree(root: Path, folder: Path, prefix: str) -> None:
    """Make ``folder`` the tree at ``prefix`` by one rename, after an fsync of all of it. What was there before is deleted."""
    target = root / prefix
    sync_tree(folder)
    folder.chmod(0o755)  # mkdtemp makes 0700
    target.parent.mkdir(parents=True, exist_ok=True)
    put_in_place(folder, target)
    shutil.rmtree(folder, ignore_errors=True)


def put_in_place(source: Path, target: Path) -> None:
    """Rename the folder ``source`` to ``target``. If ``target`` exists, the two exchange their names in one step.

    A filesystem that cannot exchange two names needs several renames: a process that dies between them leaves no ``target``, never half
    of one.
    """
    if not target.exists():
        source.rename(target)
    elif not _exchange(source, target):
        _exchange_by_renames(source, target)
    _sync(target.parent)


def remove_tree(root: Path, prefix: str) -> None:
    """Remove the tree at ``prefix`` by one rename, then delete its files. A missing tree is fine."""
    target = root / prefix
    if target.is_dir():
        doomed = make_scratch(root)
        target.rename(doomed / target.name)
        _sync(target.parent)
        shutil.rmtree(doomed, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below ``folder``, and itself, to the disk."""
    entries = map(Path, entries_below(folder))
    with ThreadPoolExecutor(_FSYNC_THREADS) as pool:
        while batch := list(itertools.islice(entries, _FSYNC_BATCH)):
            for _ in pool.map(_sync, batch):
                pass  # iterating raises what a thread raised
    _sync(folder)


def entries_below(folder: Path) -> Iterator["os.DirEntry[str]"]:
    """Every file and folder below ``folder``, in no particular order, one at a time and never as a list."""
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from entries_below(Path(entry))


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, in no particular order."""
    return (Path(entry) for entry in entries_below(folder) if not entry.is_dir(follow_symlinks=False))


def clear_leftovers(root: Path, older_than_s: float) -> int:
    """Delete scratch folders and unfinished files that were not written to for ``older_than_s`` seconds. Returns how many."""
    limit = time.time() - older_than_s
    removed = 0
    for path in _leftovers(root):
        if _last_written(path) < limit:
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


def _exchange_by_renames(source: Path, target: Path) -> None:
    replaced = target.with_name(f"{target.name}.replaced-{secrets.token_hex(4)}")
    target.rename(replaced)
    try:
        source.rename(target)
    except OSError:
        replaced.rename(target)
        raise
    replaced.rename(source)


def _leftovers(root: Path) -> Iterator[Path]:
    scratch = root / SCRATCH
    if scratch.is_dir():
        yield from scratch.iterdir()
    for parent, folders, names in os.walk(root):
        if SCRATCH in folders:
            folders.remove(SCRATCH)
        yield from (Path(parent, name) for name in names if _UNFINISHED.fullmatch(name))


def _last_written(path: Path) -> float:
    """Time of the last write to ``path`` or anything below it, in seconds since the epoch; infinity if another process deleted it."""
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
