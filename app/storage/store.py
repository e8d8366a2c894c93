"""The store: bytes under keys, in a local folder, in memory or in a bucket. Knows keys and bytes, not images or datasets.

Guarantees: a reader sees a whole object or none, whatever happens to the writer (in a folder an object is written under another name and
renamed; object stores complete a put as a whole). A put that returned survives the death of the process. On a local disk objects are not
flushed one by one, so a power failure may delete or empty the blobs of the last seconds; ``check_integrity`` finds them, and a put writes
a blob even where one exists. A published tree is flushed before it gets its name.
"""

import asyncio
import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import obstore

import errors
from app import concurrency
from app.storage import backends, local_files, paths, storage_errors

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["MANIFEST", "READ_BYTES", "TRANSFERS", "LinkableBody", "ObjectInfo", "Store", "open_store"]

MANIFEST = "manifest.json"
"""The file of a tree that is uploaded last: a tree that has it is complete."""

TRANSFERS = 16
"""Files that are transferred to or from a bucket in parallel."""

READ_BYTES = 4_000_000
"""Read in one ranged request, so that a slow consumer keeps no request open."""

_PART_BYTES = 8_000_000  # S3 allows 10,000 parts: 80 GB a file
_PARTS_IN_FLIGHT = 4
_READS_IN_FLIGHT = 4
"""Objects that are read whole at once: as many bodies are in memory."""

_HEADS_IN_FLIGHT = 32
"""Objects that are asked for at once of which the presence is wanted, or a body of a few kilobytes: a round trip each."""

_LIST_PAGE = 1000
_DELETE_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object in a listing: ``size`` in bytes, ``modified`` in seconds since the epoch."""

    key: str
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class LinkableBody:
    """A body with its key. ``source`` is the path and the state of the file that holds these bytes and nothing else, if there is one."""

    key: str
    body: bytes = field(repr=False)
    source: tuple[str, os.stat_result] | None = None


def open_store(url: str) -> "Store":
    """Open the store at ``url``: ``file:///abs/dir`` or an absolute path, ``memory://``, ``s3://bucket/prefix``, ``az://``, ``gs://``.

    Requests to an object store are retried by obstore alone: 3 tries within 10 seconds. Credentials, region and endpoint come from
    the environment (``AWS_*``, ``AZURE_*``, ``GOOGLE_*``).

    Raises:
        errors.ConfigurationError: the URL is of no known kind of store.
        errors.StorageError: the local folder cannot be created.
    """
    return Store(backends.build_backend(url), backends.local_root(url))


class Store:
    """Bytes under keys. Every method may raise :class:`errors.StorageError`; every key is checked before it is used."""

    def __init__(self, backend: "ObjectStore", root: Path | None = None) -> None:
        self._backend = backend
        self._root = root

    @property
    def root(self) -> Path | None:
        """The folder of a local store, else ``None``."""
        return self._root

    async def put(self, key: str, body: bytes) -> None:
        """Store ``body`` under ``key``, atomically, in place of what was there. Doing it again renews the age of a blob."""
        for error in await self.put_many([(key, body)]):
            if error is not None:
                raise error

    async def put_many(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[errors.StorageError | None]:
        """Store each body under its key as :meth:`put` does; return for each, in their order, the error, or None.

        A local store writes them all in one thread call, because the call costs as much as writing a file; a cancelled caller waits for
        it. To a bucket they are sent in parallel.
        """
        for key, _ in objects:
            paths.check_key(key)
        if self._root is not None:
            return await concurrency.to_thread_uncancelled(self._write_files, objects)
        return await concurrency.gather_all(self._send(key, body) for key, body in objects)

    async def link_many(self, files: Sequence[LinkableBody]) -> Sequence[errors.StorageError | None]:
        """Store bodies as :meth:`put_many` does. A local store links those that are whole files, where the file system can."""
        if self._root is None:
            return await self.put_many([(file.key, file.body) for file in files])
        for file in files:
            paths.check_key(file.key)
        return await concurrency.to_thread_uncancelled(self._link_files, files)

    async def holds_many(self, objects: Sequence[tuple[str, str]]) -> Sequence[bool]:
        """Say for each key whether its object is there and its bytes have the given SHA-256, hex. Every object is read.

        A local store reads them in one thread call, one after the other; from a bucket four are read at once.
        """
        for key, _ in objects:
            paths.check_key(key)
        if self._root is not None:
            return await concurrency.to_thread_uncancelled(self._check_files, objects)
        limit = asyncio.Semaphore(_READS_IN_FLIGHT)
        return await concurrency.gather_all(self._holds(key, sha256, limit) for key, sha256 in objects)

    async def exist_many(self, keys: Sequence[str]) -> Sequence[bool]:
        """Say for each key whether there is an object. A local store looks in one thread call; a bucket is asked for 32 at once."""
        keys = [paths.check_key(key) for key in keys]
        if self._root is not None:
            return await concurrency.to_thread_uncancelled(lambda: [Path(f"{self._root}/{key}").is_file() for key in keys])
        limit = asyncio.Semaphore(_HEADS_IN_FLIGHT)
        return await concurrency.gather_all(self._exists(key, limit) for key in keys)

    async def put_file(self, key: str, path: Path) -> None:
        """Store the file at ``path`` under ``key``, atomically, in parts: memory does not grow with the file."""
        paths.check_key(key)
        with storage_errors.writing("put", key):
            await obstore.put_async(self._backend, key, path, chunk_size=_PART_BYTES, max_concurrency=_PARTS_IN_FLIGHT)

    async def get(self, key: str) -> bytes:
        """The whole object. Raises :class:`MissingObject` if there is none. A local store reads it in one thread call."""
        paths.check_key(key)
        with storage_errors.reading("get", key):
            if self._root is not None:
                return await asyncio.to_thread(local_files.read_file, f"{self._root}/{key}")
            found = await obstore.get_async(self._backend, key)
            return bytes(await found.bytes_async())

    async def get_many(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        """Small objects, whole, in the order of their keys; None where there is none. A local store reads them in one thread call."""
        keys = [paths.check_key(key) for key in keys]
        if self._root is not None:
            return await concurrency.to_thread_uncancelled(lambda: [self._read_file(key) for key in keys])
        limit = asyncio.Semaphore(_HEADS_IN_FLIGHT)
        return await concurrency.gather_all(self._get_if_there(key, limit) for key in keys)

    async def head(self, key: str) -> ObjectInfo:
        """Size and age of an object. Raises :class:`MissingObject` if there is none."""
        paths.check_key(key)
        with storage_errors.reading("head", key):
            meta = await obstore.head_async(self._backend, key)
        return ObjectInfo(key, meta["size"], meta["last_modified"].timestamp())

    async def linked_at(self, key: str) -> float:
        """When a file of a local store got its newest name, Unix seconds, if it has several; else 0. Its last write may be years ago."""
        path = self.local_path(key)
        return 0.0 if path is None else await asyncio.to_thread(local_files.linked_at, path)

    async def exists(self, key: str) -> bool:
        """Whether there is an object under ``key``."""
        try:
            await self.head(key)
        except storage_errors.MissingObject:
            return False
        return True

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete these objects; those that do not exist are fine."""
        wanted = [paths.check_key(key) for key in keys]
        for start in range(0, len(wanted), _DELETE_PAGE):
            await self._delete_page(wanted[start : start + _DELETE_PAGE])

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Every object below ``prefix``, a whole path segment or empty for all, in no particular order."""
        checked = paths.check_prefix(prefix)
        with storage_errors.writing("list", prefix):
            async for page in obstore.list(self._backend, checked or None, chunk_size=_LIST_PAGE):
                for meta in page:
                    if not meta["path"].startswith(f"{local_files.SCRATCH}/"):
                        yield ObjectInfo(meta["path"], meta["size"], meta["last_modified"].timestamp())

    async def stream(self, key: str, start: int | None = None, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``end``, in pieces of at most 4 MB. Ends beyond the object are cut to it."""
        size = (await self.head(key)).size
        async for piece in self.stream_range(key, max(start or 0, 0), size if end is None else min(end, size)):
            yield piece

    async def stream_range(self, key: str, start: int, stop: int, *, piece_bytes: int = READ_BYTES) -> AsyncIterator[bytes]:
        """The bytes from ``start`` up to, not including, ``stop``, in pieces of ``piece_bytes`` and a last shorter one.

        Raises:
            errors.StorageError: the object ends before ``stop``.
        """
        paths.check_key(key)
        for position in range(start, stop, piece_bytes):
            upto = min(position + piece_bytes, stop)
            with storage_errors.reading("get", key):
                piece = bytes(await obstore.get_range_async(self._backend, key, start=position, end=upto))
            if len(piece) != upto - position:
                raise errors.StorageError(f"get {key}: the object changed while it was read")
            yield piece

    async def fetch_to(self, key: str, path: Path) -> None:
        """Copy an object to the file at ``path``, which appears only when it is complete."""
        part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
        with storage_errors.writing("fetch", key):
            try:
                await self._fetch_part(key, part)
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)

    async def publish_tree(self, folder: Path, prefix: str) -> None:
        """Make ``folder`` the tree at ``prefix``, in place of what was there. A local store moves the folder itself.

        Local: the folder is flushed and renamed, so it must come from :meth:`scratch`. Remote: files are uploaded, ``manifest.json``
        last, then the files of an earlier tree that are not in this one are deleted.
        """
        paths.check_key(prefix)
        if self._root is not None:
            with storage_errors.writing("publish", prefix):
                await concurrency.to_thread_uncancelled(local_files.publish_tree, self._root, folder, prefix)
        else:
            await self._upload_tree(folder, prefix)

    async def delete_tree(self, prefix: str) -> None:
        """Delete everything below ``prefix``, its manifest first, so that a crash leaves no tree that looks complete."""
        paths.check_key(prefix)
        if self._root is not None:
            with storage_errors.writing("delete", prefix):
                await concurrency.to_thread_uncancelled(local_files.remove_tree, self._root, prefix)
            return
        await self.delete([f"{prefix}/{MANIFEST}"])
        while keys := await self._some_keys(prefix):
            await self.delete(keys)

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        """An empty local folder that is deleted afterwards; for a local store it is on the store's filesystem."""
        with storage_errors.writing("make", "scratch folder"):
            folder = await asyncio.to_thread(local_files.make_scratch, self._root)
        try:
            yield folder
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def clear_leftovers(self, older_than_s: float) -> int:
        """Delete what dead processes left in a local store: scratch folders and unfinished files as old as that, in seconds.

        Returns how many. Age counts from the last write. Buckets need a lifecycle rule that aborts incomplete multipart uploads.
        """
        if self._root is None:
            return 0
        with storage_errors.writing("clear", "leftovers"):
            return await asyncio.to_thread(local_files.clear_leftovers, self._root, older_than_s)

    def local_path(self, key: str) -> Path | None:
        """The path of the object's file, whether it exists or not, if the store is a local folder; else ``None``."""
        paths.check_key(key)
        return None if self._root is None else self._root / key

    @contextlib.asynccontextmanager
    async def as_local_file(self, key: str) -> AsyncIterator[Path]:
        """The object as a file for the body's time: its own, or a copy of one in a bucket."""
        if (path := self.local_path(key)) is not None:
            yield path
            return
        async with self.scratch() as folder:
            copy = folder / Path(key).name
            await self.fetch_to(key, copy)
            yield copy

    async def check(self, size_bytes: int = 64) -> None:
        """Write, read and delete one object of this size. Raises :class:`errors.StorageError` if the store cannot be used."""
        key, body = f"check/{secrets.token_hex(8)}", secrets.token_bytes(size_bytes)
        await self.put(key, body)
        try:
            if await self.get(key) != body:
                raise errors.StorageError(f"get {key}: the bytes differ from what was put")
        finally:
            await self.delete([key])

    async def close(self) -> None:
        """Release the backend. No write is buffered, so there is nothing to flush."""

    def _read_file(self, key: str) -> bytes | None:
        try:
            with storage_errors.reading("get", key):
                return Path(f"{self._root}/{key}").read_bytes()
        except storage_errors.MissingObject:
            return None

    def _write_files(self, objects: Sequence[tuple[str, bytes]]) -> Sequence[errors.StorageError | None]:
        return [self._write_file(key, body) for key, body in objects]

    def _link_files(self, files: Sequence[LinkableBody]) -> Sequence[errors.StorageError | None]:
        return [None if self._link_file(file) else self._write_file(file.key, file.body) for file in files]

    def _link_file(self, file: LinkableBody) -> bool:
        return file.source is not None and local_files.link_file(*file.source, f"{self._root}/{file.key}")

    def _write_file(self, key: str, body: bytes) -> errors.StorageError | None:
        try:
            with storage_errors.writing("put", key):
                local_files.write_file(f"{self._root}/{key}", body)
        except errors.StorageError as error:
            return error
        return None

    def _check_files(self, objects: Sequence[tuple[str, str]]) -> Sequence[bool]:
        return [self._check_file(key, sha256) for key, sha256 in objects]

    def _check_file(self, key: str, sha256: str) -> bool:
        try:
            with storage_errors.reading("get", key), Path(f"{self._root}/{key}").open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except storage_errors.MissingObject:
            return False

    async def _holds(self, key: str, sha256: str, limit: asyncio.Semaphore) -> bool:
        body = await self._get_if_there(key, limit)
        return body is not None and (await asyncio.to_thread(hashlib.sha256, body)).hexdigest() == sha256

    async def _get_if_there(self, key: str, limit: asyncio.Semaphore) -> bytes | None:
        async with limit:
            try:
                return await self.get(key)
            except storage_errors.MissingObject:
                return None

    async def _exists(self, key: str, limit: asyncio.Semaphore) -> bool:
        async with limit:
            return await self.exists(key)

    async def _send(self, key: str, body: bytes) -> errors.StorageError | None:
        try:
            with storage_errors.writing("put", key):
                await obstore.put_async(self._backend, key, body, use_multipart=False)
        except errors.StorageError as error:
            return error
        return None

    async def _some_keys(self, prefix: str) -> Sequence[str]:
        keys = []
        async for info in self.list(prefix):
            keys.append(info.key)
            if len(keys) >= 10 * _DELETE_PAGE:
                break
        return keys

    async def _delete_page(self, keys: Sequence[str]) -> None:
        try:
            with storage_errors.reading("delete", keys[0]):
                await obstore.delete_async(self._backend, keys)
        except storage_errors.MissingObject:
            for key in keys if len(keys) > 1 else ():  # the bulk call stops at the first missing object
                await self._delete_page([key])

    async def _fetch_part(self, key: str, part: Path) -> None:
        with part.open("wb") as file:
            async for piece in self.stream(key):
                await concurrency.to_thread_uncancelled(file.write, piece)

    async def _upload_tree(self, folder: Path, prefix: str) -> None:
        manifest = folder / MANIFEST

        async def upload(path: Path) -> None:
            await self.put_file(f"{prefix}/{path.relative_to(folder).as_posix()}", path)

        with storage_errors.writing("publish", prefix):
            await concurrency.for_each(_files_but(manifest, folder), upload, TRANSFERS)
            if await asyncio.to_thread(manifest.exists):
                await upload(manifest)
            await self.delete([info.key async for info in self.list(prefix) if not (folder / info.key[len(prefix) + 1 :]).exists()])


async def _files_but(left_out: Path, folder: Path) -> AsyncIterator[Path]:
    async for batch in concurrency.in_batches(local_files.files_below(folder), _LIST_PAGE):
        for path in batch:
            if path != left_out:
                yield path
