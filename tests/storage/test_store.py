"""Tests of app.storage.store: what only a local store, or only a remote one, does. The rest is in the store contract."""

import asyncio
import errno
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from obstore.store import MemoryStore

import errors
from app.storage import MissingObject, Store, local_files, open_store, paths

DIGEST = "ab12" + "0" * 60


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    """Make every write beyond this size fail, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_putting_a_blob_again_renews_its_age(tmp_path: Path) -> None:
    """clean_up spares what is young, so a blob that is stored again must become young."""
    store = open_store(str(tmp_path))
    key = paths.blob(DIGEST)
    await store.put(key, b"body")
    os.utime(tmp_path / key, (1, 1))
    assert (await store.head(key)).modified == 1
    await store.put(key, b"body")
    assert (await store.head(key)).modified > 1_600_000_000


async def test_a_failing_write_leaves_no_object(tmp_path: Path) -> None:
    """A put that the disk refuses is a StorageError; the object that was there is still whole."""
    store = open_store(str(tmp_path))
    await store.put("a/old", b"o" * 500)
    with files_no_larger_than(1000):
        for key in ("a/new", "a/old"):
            with pytest.raises(errors.StorageError, match=f"put {key}: File too large"):
                await store.put(key, b"x" * 5000)
    assert [info.key async for info in store.list("a")] == ["a/old"]
    assert await store.get("a/old") == b"o" * 500


async def test_of_many_puts_each_is_refused_by_itself(tmp_path: Path) -> None:
    """Those that the disk takes are there, and it is said which are not."""
    store = open_store(str(tmp_path))
    with files_no_larger_than(1000):
        found = await store.put_many([("a", b"x" * 500), ("b", b"x" * 5000), ("c", b"x")])
    assert [str(error) for error in found] == ["None", "put b: File too large", "None"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a", "c"]


async def test_of_many_puts_to_a_bucket_each_is_refused_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that fails ends no other."""
    store, real = Store(MemoryStore()), obstore.put_async

    async def moody(backend: Any, key: str, *args: Any, **named: Any) -> Any:
        if key == "b":
            raise PermissionDeniedError("not yours")
        return await real(backend, key, *args, **named)

    monkeypatch.setattr(obstore, "put_async", moody)
    found = await store.put_many([("a", b"1"), ("b", b"2"), ("c", b"3")])
    assert [str(error) for error in found] == ["None", "put b: not yours", "None"]
    assert sorted([info.key async for info in store.list()]) == ["a", "c"]


async def test_a_cancelled_put_is_over_when_its_caller_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written after a unit has been given back, and nothing by halves."""
    store, begun, go_on = open_store(str(tmp_path)), threading.Event(), threading.Event()
    real = local_files.write_file

    def slow(path: str, body: bytes) -> None:
        begun.set()
        go_on.wait(10)
        real(path, body)

    monkeypatch.setattr(local_files, "write_file", slow)
    task = asyncio.create_task(store.put_many([("a", b"1"), ("b", b"2")]))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


async def test_a_failing_fetch_leaves_no_file(tmp_path: Path) -> None:
    """The file appears only when it is whole."""
    store = open_store("memory://")
    await store.put("a", b"x" * 5000)
    with files_no_larger_than(1000), pytest.raises(errors.StorageError, match="fetch a: File too large"):
        await store.fetch_to("a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


async def test_running_out_of_descriptors_is_a_storage_error(tmp_path: Path) -> None:
    """EMFILE is our fault, never the URL's."""
    store = open_store(str(tmp_path))
    await store.put("a", b"x")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(errors.StorageError, match="put b: Too many open files"):
            await store.put("b", b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_folder_is_no_object(tmp_path: Path) -> None:
    """A key that is a folder on disk is missing, as in a bucket."""
    store = open_store(str(tmp_path))
    await store.put("a/b", b"x")
    with pytest.raises(MissingObject):
        await store.get("a")
    assert not await store.exists("a")


async def test_local_path_only_for_a_local_store(tmp_path: Path) -> None:
    """Others have no folder; nobody gets a path out of the root."""
    store = open_store(f"file://{tmp_path}")
    assert store.root == tmp_path
    assert store.local_path("a/b") == tmp_path / "a/b"
    assert open_store("memory://").local_path("a/b") is None
    with pytest.raises(errors.ValidationError):
        store.local_path("../x")


async def test_scratch_of_a_local_store_is_listed_nowhere(tmp_path: Path) -> None:
    """What is unfinished has no key."""
    store = open_store(str(tmp_path))
    async with store.scratch() as folder:
        (folder / "f").write_bytes(b"x")
        assert folder.is_relative_to(tmp_path)
        assert [info async for info in store.list()] == []


async def test_a_tree_is_published_to_a_bucket_manifest_last() -> None:
    """A reader who sees the manifest sees all files; files of an earlier tree are deleted last."""
    order: list[str] = []

    class Recorded(Store):
        async def put_file(self, key: str, path: Path) -> None:
            order.append(key)
            await super().put_file(key, path)

    store = Recorded(MemoryStore())
    await store.put("exports/e/stale", b"x")
    async with store.scratch() as folder:
        for name in ("z.txt", "manifest.json", "a.txt"):
            (folder / name).write_text(name)
        await store.publish_tree(folder, "exports/e")
    assert sorted(order[:-1]) == ["exports/e/a.txt", "exports/e/z.txt"]
    assert order[-1] == "exports/e/manifest.json"
    assert not await store.exists("exports/e/stale")


async def test_a_local_tree_that_cannot_be_published_is_a_storage_error(tmp_path: Path) -> None:
    """Nothing appears under the prefix."""
    store = open_store(str(tmp_path))
    with pytest.raises(errors.StorageError, match="publish exports/e: No such file"):
        await store.publish_tree(tmp_path / "gone", "exports/e")
    assert not (tmp_path / "exports/e").exists()


async def test_clear_leftovers_is_for_local_stores(tmp_path: Path) -> None:
    """A bucket's lifecycle rules do it there."""
    store = open_store(str(tmp_path))
    (tmp_path / "a#1").touch()
    os.utime(tmp_path / "a#1", (1, 1))
    assert await store.clear_leftovers(3600) == 1
    assert await open_store("memory://").clear_leftovers(3600) == 0


async def test_an_object_that_shrinks_under_a_reader_is_an_error(tmp_path: Path) -> None:
    """A stream that yields part of an object raises an error."""
    store = open_store(str(tmp_path))
    await store.put("a", b"x" * 5_000_000)
    stream = store.stream("a")
    await anext(stream)
    (tmp_path / "a").write_bytes(b"x" * 4_500_000)
    with pytest.raises(errors.StorageError, match="get a"):
        await anext(stream)


async def test_check_notices_a_store_that_answers_other_bytes() -> None:
    """A round trip with different bytes fails the check, and leaves no object."""

    class Forgetful(Store):
        async def get(self, key: str) -> bytes:
            return b"other"

    store = Forgetful(MemoryStore())
    with pytest.raises(errors.StorageError, match="bytes differ"):
        await store.check()
    assert [info async for info in store.list()] == []


async def test_a_refused_disk_fails_the_check(tmp_path: Path) -> None:
    """If the root has become a file, the check fails."""
    store = open_store(str(tmp_path / "s"))
    (tmp_path / "s").rmdir()
    (tmp_path / "s").touch()
    with pytest.raises(errors.StorageError, match=os.strerror(errno.ENOTDIR)):
        await store.check()


async def test_two_writers_of_one_blob_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Readers see a whole body at any time, and no staged file stays."""
    store = open_store(str(tmp_path))
    await asyncio.gather(*(store.put(paths.blob(DIGEST), b"z" * 100_000) for _ in range(20)))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [DIGEST]
