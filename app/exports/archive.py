"""A published export as one tar or ZIP file, made while it is sent: the same bytes each time, and memory for a few files.

Every file is compared with its digest. Where one is missing, cut off or changed, the stream raises, so that no one takes the part for the
whole.
"""

import asyncio
import contextlib
import hashlib
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import orjson

import errors
from app import concurrency
from app.exports.file_list import ListedFile, list_files
from app.exports.sidecars import MANIFEST, SUMS
from app.exports.tar import TarWriter
from app.exports.zip_writer import ZipWriter
from app.storage import TRANSFERS, Store

__all__ = ["ArchiveFormat", "ArchiveWriter", "Contents", "measure_archive", "read_contents", "stream_archive"]

ArchiveFormat = Literal["tar", "zip"]

_FIRST_BYTES = 1_000_000
"""Read of a file ahead of its turn: nearly every image whole, and with `TRANSFERS` files 17 MB in all."""


class ArchiveWriter(Protocol):
    """Makes what a format has around the bytes of its members."""

    def begin(self, name: str, size_bytes: int, crc32: int | None) -> bytes:
        """What stands before the bytes of a member; ``crc32`` is ``None`` where it is known only after them."""
        ...

    def end(self, crc32: int) -> bytes:
        """What follows the bytes of a member."""
        ...

    def finish(self) -> Iterator[bytes]:
        """What follows the last member."""
        ...

    def close(self) -> None:
        """Free what is held, finished or not."""
        ...


_WRITERS: Mapping[ArchiveFormat, type[TarWriter] | type[ZipWriter]] = MappingProxyType({"tar": TarWriter, "zip": ZipWriter})


@dataclass(frozen=True, slots=True)
class Contents:
    """What an archive of an export will hold.

    Attributes:
        prefix: of the export in the store.
        sums_bytes, sums_sha256: of its ``SHA256SUMS``, as its manifest states.
        manifest_sha256: changes with any byte of the export.
    """

    prefix: str
    sums_bytes: int
    sums_sha256: str
    manifest_sha256: str

    def expected_sha256(self, file: ListedFile) -> str:
        """The digest that a file must have."""
        return file.sha256 or (self.sums_sha256 if file.path == SUMS else self.manifest_sha256)


async def read_contents(store: Store, prefix: str) -> Contents:
    """Read the manifest of the export at ``prefix``.

    Raises:
        MissingObject: the export is no longer in the store.
        errors.StorageError: the manifest is damaged.
    """
    body = await store.get(f"{prefix}/{MANIFEST}")
    try:
        sums = orjson.loads(body)["files"][SUMS]
        return Contents(prefix, int(sums["size_bytes"]), str(sums["sha256"]), hashlib.sha256(body).hexdigest())
    except (ValueError, LookupError, TypeError) as error:
        raise errors.StorageError(f"get {prefix}/{MANIFEST}: it is damaged") from error


async def stream_archive(store: Store, contents: Contents, archive_format: ArchiveFormat) -> AsyncGenerator[bytes, None]:
    """The archive, in pieces.

    Raises:
        MissingObject: a file is gone.
        errors.StorageError: the store fails, or a file is not what its digest says.
    """
    with contextlib.closing(_WRITERS[archive_format]()) as writer:
        files = list_files(store, contents.prefix, contents.sums_bytes)
        members = concurrency.map_in_order(files, lambda file: _open(store, contents, file), TRANSFERS)
        async with contextlib.aclosing(members):
            async for member in members:
                async for piece in _member_pieces(store, writer, member):
                    yield piece
        for piece in writer.finish():
            yield piece


async def measure_archive(store: Store, contents: Contents, archive_format: ArchiveFormat) -> int:
    """The size of the archive in bytes: asks the store for that of every file. Raises what :func:`stream_archive` raises."""
    with contextlib.closing(_WRITERS[archive_format]()) as writer:
        files = list_files(store, contents.prefix, contents.sums_bytes)
        infos = concurrency.map_in_order(files, lambda file: store.head(f"{contents.prefix}/{file.path}"), TRANSFERS)
        total = 0
        async with contextlib.aclosing(infos):
            async for info in infos:
                begin = writer.begin(info.key[len(contents.prefix) + 1 :], info.size, 0 if info.size <= _FIRST_BYTES else None)
                total += len(begin) + info.size + len(writer.end(0))
        return total + sum(map(len, writer.finish()))


@dataclass(frozen=True, slots=True)
class _Member:
    """A file whose beginning was read; ``digest`` is that of what was read so far."""

    path: str
    key: str
    sha256: str
    size_bytes: int
    first: bytes
    digest: "_Digest"

    @property
    def is_whole(self) -> bool:
        return len(self.first) == self.size_bytes


class _Digest:
    """SHA-256 and CRC-32 of bytes that come in pieces, computed in threads."""

    def __init__(self) -> None:
        self.crc32 = 0
        self._sha256 = hashlib.sha256()

    async def add(self, piece: bytes) -> None:
        await asyncio.to_thread(self._add, piece)

    def _add(self, piece: bytes) -> None:
        self._sha256.update(piece)
        self.crc32 = zlib.crc32(piece, self.crc32)

    def check(self, member: _Member) -> None:
        """Raise StorageError unless these are the bytes that the export was verified with."""
        if self._sha256.hexdigest() != member.sha256:
            raise errors.StorageError(f"get {member.key}: the bytes differ from those that were exported")


async def _open(store: Store, contents: Contents, file: ListedFile) -> _Member:
    key = f"{contents.prefix}/{file.path}"
    size_bytes = (await store.head(key)).size
    first = b"".join([piece async for piece in store.stream_range(key, 0, min(size_bytes, _FIRST_BYTES))])
    digest = _Digest()
    await digest.add(first)
    return _Member(file.path, key, contents.expected_sha256(file), size_bytes, first, digest)


async def _member_pieces(store: Store, writer: ArchiveWriter, member: _Member) -> AsyncGenerator[bytes, None]:
    digest = member.digest
    if member.is_whole:
        digest.check(member)  # before its first byte is sent
        yield b"".join((writer.begin(member.path, member.size_bytes, digest.crc32), member.first, writer.end(digest.crc32)))
        return
    yield writer.begin(member.path, member.size_bytes, None) + member.first
    async for piece in store.stream_range(member.key, len(member.first), member.size_bytes):
        await digest.add(piece)
        yield piece
    digest.check(member)
    yield writer.end(digest.crc32)
