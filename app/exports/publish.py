"""Copies a published export from the store to a folder of the user, completely or not at all."""

import asyncio
import contextlib
import fcntl
import glob
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import errors
from app import concurrency
from app.domain import EXTENSIONS
from app.exports.folder import foreign_files
from app.storage import TRANSFERS, MissingObject, ObjectInfo, Store, local_files, paths, storage_errors

__all__ = ["check_destination", "copy_to_folder", "open_folder"]


LINKED = frozenset({f".{extension}" for extension in EXTENSIONS.values()} | {".tar", ".parquet", ".tfrecord"})
"""Files that nobody edits in place. Texts (captions, metadata, the card) are copied, so that they can be edited."""

_BATCH = 256  # files copied in one thread call
_SHOWN_FILES = 3

_PARTIAL = ".partial-"


def check_destination(destination: Path, overwrite: bool = False) -> None:
    """Check, before a job starts, that an export can be put at ``destination``: a folder is created beside it and removed again.

    Raises:
        errors.ConfigurationError: it is a file, is not empty and ``overwrite`` is off, holds files that are
            not of a dataset of ours, or cannot be written or created.
    """
    try:
        _check_target(destination, overwrite)
        Path(tempfile.mkdtemp(prefix=".pictrawl-", dir=_existing_parent(destination))).rmdir()
    except OSError as error:
        raise errors.ConfigurationError(f"output {destination} cannot be written: {error.strerror}") from error


async def copy_to_folder(
    store: Store, prefix: str, destination: Path, overwrite: bool = False, *, links: bool | None = None, beside: Mapping[str, bytes] = {}
) -> None:
    """Copy the published tree at ``prefix`` to ``destination``, which appears by one rename when the copy is complete.

    An edit of the copy does not change the store (ADR 0033). Where both are on one file system, files share their blocks until they are
    written to, if it can do that, else images and shards are read-only hard links.
    With ``overwrite`` an existing dataset is exchanged with the new one and then deleted; a folder with anybody else's files is refused.

    Args:
        store: which holds the tree.
        prefix: of the tree.
        destination: a folder, which is created.
        overwrite: see above.
        links: whether files may be linked; by default where permissions keep this user from writing to them.
        beside: files by name that the folder gets besides the tree.

    Raises:
        errors.ConfigurationError: see :func:`check_destination`.
        MissingObject: nothing is published there.
        errors.StorageError: the store or the disk reports an error. The destination is unchanged.
    """
    with storage_errors.writing("write", destination.name):
        target = await asyncio.to_thread(destination.resolve)
        await asyncio.to_thread(_check_copy, target, overwrite, store)
        await asyncio.to_thread(_remove_leftovers, target)
        partial = target.with_name(f"{target.name}{_PARTIAL}{secrets.token_hex(4)}")
        try:
            await asyncio.to_thread(partial.mkdir, parents=True)
            with _claimed(partial):
                await _fill(store, prefix, partial, local_files.permissions_hold() if links is None else links, beside)
                await concurrency.to_thread_uncancelled(_put_in_place, partial, target, overwrite)
        finally:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)


def _remove_leftovers(target: Path) -> None:
    """Remove the incomplete copies beside a folder whose processes were killed."""
    for partial in target.parent.glob(f"{glob.escape(target.name)}{_PARTIAL}{'[0-9a-f]' * 8}"):
        with _claimed(partial) as is_ours:
            if is_ours:
                shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _claimed(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which ends with the process; false where another one has it, or the file system knows no locks."""
    with contextlib.ExitStack() as stack:
        try:
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


@contextlib.asynccontextmanager
async def open_folder(store: Store, prefix: str) -> AsyncIterator[Path]:
    """A folder with the published tree at ``prefix``: that of a local store itself (do not write there), else a temporary copy."""
    local = store.local_path(prefix)
    if local is not None:
        if not await asyncio.to_thread(local.is_dir):
            raise MissingObject(f"read {prefix}: nothing is published there")
        yield local
        return
    async with store.scratch() as folder:
        await _download(store, prefix, folder)
        yield folder


async def _fill(store: Store, prefix: str, partial: Path, links: bool, beside: Mapping[str, bytes]) -> None:
    if store.root is None:
        await _download(store, prefix, partial)
    else:
        async with open_folder(store, prefix) as source:
            async for files in concurrency.in_batches(local_files.files_below(source), _BATCH):
                await concurrency.to_thread_uncancelled(_copy_files, source, partial, files, links)
    for name, body in beside.items():
        await concurrency.to_thread_uncancelled((partial / name).write_bytes, body)
    await concurrency.to_thread_uncancelled(local_files.sync_tree, partial)


async def _download(store: Store, prefix: str, folder: Path) -> None:
    async def fetch(info: ObjectInfo) -> None:
        path = folder / paths.check_key(info.key).removeprefix(f"{prefix}/")
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        await store.fetch_to(info.key, path)

    with storage_errors.writing("read", prefix):
        await concurrency.for_each(store.list(prefix), fetch, TRANSFERS)
        if not await asyncio.to_thread(any, local_files.files_below(folder)):
            raise MissingObject(f"read {prefix}: nothing is published there")


def _copy_files(source: Path, partial: Path, files: list[Path], links: bool) -> None:
    clones = True
    for path in files:
        target = partial / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        clones = clones and local_files.clone_file(path, target)  # a file system that cannot clone one file is not asked again
        if not clones and not (links and path.suffix in LINKED and local_files.link_read_only(path, target)):
            shutil.copyfile(path, target)


def _put_in_place(partial: Path, destination: Path, overwrite: bool) -> None:
    check_destination(destination, overwrite)  # the destination may have been created meanwhile
    local_files.put_in_place(partial, destination)


def _check_copy(destination: Path, overwrite: bool, store: Store) -> None:
    if store.root is not None and store.root.resolve().is_relative_to(destination):
        raise errors.ConfigurationError(f"output {destination} holds the store; name another folder")
    check_destination(destination, overwrite)


def _check_target(destination: Path, overwrite: bool) -> None:
    if not destination.exists():
        return
    if not destination.is_dir():
        raise errors.ConfigurationError(f"output {destination} is a file; name a folder")
    if not overwrite and any(destination.iterdir()):
        raise errors.ConfigurationError(f"output {destination} is not empty; name another folder or add --overwrite")
    protected = (Path.cwd(), Path.home())
    if any(folder.resolve().is_relative_to(destination.resolve()) for folder in protected):
        raise errors.ConfigurationError(f"output {destination} holds the home or the working directory; name another folder")
    if foreign := foreign_files(destination):
        shown = ", ".join(str(path.relative_to(destination)) for path in foreign[:_SHOWN_FILES])
        shown += " and more" if len(foreign) > _SHOWN_FILES else ""
        raise errors.ConfigurationError(
            f"output {destination} holds files that are not of a pictrawl dataset: {shown}; name another folder, or move them away"
        )


def _existing_parent(destination: Path) -> Path:
    parent = destination.resolve().parent
    while not parent.exists():
        parent = parent.parent
    return parent
