"""Tests of app.exports.archive: what tarfile and zipfile read, from a folder and from objects."""

import hashlib
import io
import json
import tarfile
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

import errors
from app.exports.archive import ArchiveFormat, measure_archive, read_contents, stream_archive
from app.storage import MissingObject, Store, open_store

PREFIX = "exports/exp_1"
LONG = "train/" + "l" * 120
FILES = {
    f"{LONG}/000000_0a1b2c3d4e5f.jpg": b"a" * 700,
    "train/lynx/000001_1a1b2c3d4e5f.png": bytes(range(256)) * 10_000,  # more than what is read ahead
    "val/metadata.jsonl": b"",
}


async def publish(store: Store, files: Mapping[str, bytes] = FILES) -> dict[str, bytes]:
    """An export with its sums and its manifest; returns all of its files."""
    sums = "".join(f"{hashlib.sha256(body).hexdigest()}  {path}\n" for path, body in files.items()).encode()
    facts = {"SHA256SUMS": {"size_bytes": len(sums), "sha256": hashlib.sha256(sums).hexdigest()}}
    whole = {**files, "SHA256SUMS": sums, "manifest.json": json.dumps({"files": facts}).encode()}
    for path, body in whole.items():
        await store.put(f"{PREFIX}/{path}", body)
    return whole


@pytest.fixture(params=["folder", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store") if request.param == "folder" else "memory://")


async def collect(store: Store, form: ArchiveFormat, pieces: list[bytes]) -> None:
    async for piece in stream_archive(store, await read_contents(store, PREFIX), form):
        pieces.append(piece)


async def made(store: Store, form: ArchiveFormat) -> bytes:
    pieces: list[bytes] = []
    await collect(store, form, pieces)
    return b"".join(pieces)


def unpacked(body: bytes, form: ArchiveFormat) -> dict[str, bytes]:
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(body)) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(fileobj=io.BytesIO(body)) as opened_tar:
        members = opened_tar.getmembers()
        assert {(member.mtime, member.mode, member.uid, member.isreg()) for member in members} == {(315_532_800, 0o644, 0, True)}
        return {member.name: opened_tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]


@pytest.mark.parametrize("form", get_args(ArchiveFormat))
async def test_an_archive_holds_every_file_and_is_the_same_each_time(store: Store, form: ArchiveFormat) -> None:
    """Under the names of the export, in its order, the manifest last."""
    whole = await publish(store)
    body = await made(store, form)
    assert list(unpacked(body, form).items()) == list(whole.items())
    assert await made(store, form) == body
    assert await measure_archive(store, await read_contents(store, PREFIX), form) == len(body)


@pytest.mark.parametrize("form", get_args(ArchiveFormat))
@pytest.mark.parametrize("path", [*FILES, "SHA256SUMS"])
async def test_a_file_that_is_gone_or_not_as_exported_ends_the_stream(store: Store, form: ArchiveFormat, path: str) -> None:
    """Small ones before their first byte, large ones before their end: nobody reads such an archive as whole."""
    whole = await publish(store)
    for body in (None, whole[path][:-1] or b"x", whole[path][:-1] + b"?"):
        if body is None:
            await store.delete([f"{PREFIX}/{path}"])
        else:
            await store.put(f"{PREFIX}/{path}", body)
        pieces: list[bytes] = []
        with pytest.raises((errors.StorageError, MissingObject)):
            await collect(store, form, pieces)
        with pytest.raises((tarfile.TarError, zipfile.BadZipFile, KeyError)):
            assert whole["manifest.json"] == unpacked(b"".join(pieces), form)["manifest.json"]
        await store.put(f"{PREFIX}/{path}", whole[path])


@pytest.mark.parametrize("manifest", [None, b"{", b"[]", b'{"files": {}}', b'{"files": {"SHA256SUMS": {"size_bytes": "x"}}}'])
async def test_contents_need_a_manifest(manifest: bytes | None) -> None:
    """One that is gone is an export that is gone; a damaged one is the store's fault."""
    store = open_store("memory://")
    if manifest is not None:
        await store.put(f"{PREFIX}/manifest.json", manifest)
    with pytest.raises(MissingObject if manifest is None else errors.StorageError):
        await read_contents(store, PREFIX)


async def test_memory_is_that_of_the_files_read_ahead(tmp_path: Path) -> None:
    """However many: 40 MB of files in a tenth of it."""
    store = open_store(str(tmp_path / "store"))
    await publish(store, {f"images/{n:06d}_{n:012x}.jpg": bytes([n]) * 200_000 for n in range(200)})
    tracemalloc.start()
    try:
        size = 0
        async for piece in stream_archive(store, await read_contents(store, PREFIX), "zip"):
            size += len(piece)
        assert size > 40_000_000
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
