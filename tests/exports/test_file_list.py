"""Tests of app.exports.file_list: positions in SHA256SUMS."""

import hashlib

import pytest

import errors
from app.exports.file_list import ListedFile, list_files
from app.storage import MissingObject, Store, open_store

PREFIX = "exports/exp_1"


def sums(count: int) -> bytes:
    """Lines as ``sha256sum`` writes them, of paths of many lengths."""
    return b"".join(f"{hashlib.sha256(b'%d' % n).hexdigest()}  train/{'x' * (n % 70)}/{n:06d}.jpg\n".encode() for n in range(count))


async def stored(body: bytes) -> Store:
    store = open_store("memory://")
    await store.put(f"{PREFIX}/SHA256SUMS", body)
    return store


async def listed(store: Store, body: bytes, start: int = 0) -> list[ListedFile]:
    return [file async for file in list_files(store, PREFIX, len(body), start)]


@pytest.mark.parametrize("count", [0, 1, 3000])
async def test_every_file_is_listed_from_wherever_one_begins(count: int) -> None:
    """In the order of the lines, over the borders of blocks, the two files last that no line names."""
    body = sums(count)
    store = await stored(body)
    files = await listed(store, body)
    assert [f"{file.sha256}  {file.path}\n" for file in files[:-2]] == body.decode().splitlines(keepends=True)
    assert [(file.path, file.sha256) for file in files[-2:]] == [("SHA256SUMS", None), ("manifest.json", None)]
    for at in {0, count // 2, max(count - 1, 0), count}:
        assert await listed(store, body, files[at].following) == files[at + 1 :]


@pytest.mark.parametrize("start", [-1, 1, 74, len(sums(2)) + 2, 10**12])
async def test_a_position_that_no_file_has_is_refused(start: int) -> None:
    """Cursors come from outside."""
    with pytest.raises(errors.ValidationError, match="cursor"):
        await listed(await stored(sums(2)), sums(2), start)


async def test_a_list_that_is_cut_off_or_gone_is_an_error() -> None:
    """Never a shorter list."""
    body = sums(3)
    for cut in (body[:-1], body[:-90]):
        with pytest.raises(errors.StorageError):
            await listed(await stored(cut), body)
    with pytest.raises(errors.StorageError, match="cut off"):
        await listed(await stored(body[:-1]), body[:-1])
    with pytest.raises(MissingObject):
        await listed(open_store("memory://"), body)
