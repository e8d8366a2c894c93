"""The contract of a store: what holds for a folder, for memory and so for a bucket."""

import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import errors
from app.storage import MANIFEST, MissingObject, Store, open_store, paths

DIGEST = "ab12" + "0" * 60


@pytest.fixture(params=["local", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One store of each kind."""
    opened = open_store(f"file://{tmp_path}/store" if request.param == "local" else "memory://")
    yield opened
    await opened.close()


async def keys(store: Store, prefix: str = "") -> list[str]:
    """Everything listed below a prefix, sorted."""
    return sorted([info.key async for info in store.list(prefix)])


async def test_a_blob_comes_back_and_may_be_put_twice(store: Store) -> None:
    """Content-addressed: the second put changes nothing."""
    key = paths.blob(DIGEST)
    for _ in range(2):
        await store.put(key, b"\x00body")
    assert key == f"blobs/ab/12/{DIGEST}"
    assert await store.exists(key)
    assert await store.get(key) == b"\x00body"
    assert await keys(store) == [key]


async def test_put_replaces_and_takes_the_empty_body(store: Store) -> None:
    """The last put counts."""
    await store.put("a/b", b"long")
    await store.put("a/b", b"")
    assert await store.get("a/b") == b""
    assert [piece async for piece in store.stream("a/b")] == []


async def test_put_many_stores_all_and_says_so(store: Store) -> None:
    """Of each in its order; no object, nothing to say. One key that is refused and nothing is touched."""
    assert list(await store.put_many([("a/b", b"1"), ("c", b"2"), ("a/b", b"3")])) == [None] * 3
    assert (await store.get("a/b") in (b"1", b"3"), await store.get("c")) == (True, b"2")
    assert list(await store.put_many([])) == []
    with pytest.raises(errors.ValidationError):
        await store.put_many([("d", b"x"), ("../e", b"x")])
    assert await keys(store) == ["a/b", "c"]


async def test_objects_are_held_if_they_are_there_with_their_digest(store: Store) -> None:
    """Of each in its order: whole, of other bytes, not there. A key that is refused is an error, as for a put."""
    digest = hashlib.sha256(b"body").hexdigest()
    await store.put("a/whole", b"body")
    await store.put("a/other", b"bodY")
    assert list(await store.holds_many([("a/whole", digest), ("a/other", digest), ("a/gone", digest)])) == [True, False, False]
    assert list(await store.holds_many([])) == []
    with pytest.raises(errors.ValidationError):
        await store.holds_many([("../e", digest)])


async def test_many_keys_are_looked_up_together(store: Store) -> None:
    """In their order; a folder is no object."""
    await store.put("a/one", b"1")
    assert list(await store.exist_many(["a/gone", "a/one", "a", "a/one"])) == [False, True, False, True]
    assert list(await store.exist_many([])) == []
    with pytest.raises(errors.ValidationError):
        await store.exist_many(["../e"])


async def test_many_small_objects_are_read_together(store: Store) -> None:
    """In their order; one that is not there is None, a folder is no object."""
    await store.put("a/one", b"1")
    await store.put("a/two", b"22")
    assert list(await store.get_many(["a/two", "a/gone", "a/one", "a/two"])) == [b"22", None, b"1", b"22"]
    assert list(await store.get_many([])) == []
    with pytest.raises(errors.ValidationError):
        await store.get_many(["../e"])


async def test_what_is_not_there_is_missing(store: Store, tmp_path: Path) -> None:
    """Every read of an absent key says MissingObject; exists says no; delete does not mind."""
    for read in (store.get("no"), store.head("no"), store.fetch_to("no", tmp_path / "x"), anext(store.stream("no"))):
        with pytest.raises(MissingObject):
            await read
    assert not await store.exists("no")
    assert not (tmp_path / "x").exists()
    await store.delete(["no"])
    await store.delete([])


async def test_delete_takes_all_that_exist(store: Store) -> None:
    """One absent key among them hinders nothing."""
    for name in ("a", "c", "d"):
        await store.put(name, b"x")
    await store.delete(["a", "b", "c"])
    assert await keys(store) == ["d"]


async def test_head_and_list_tell_size_and_age(store: Store) -> None:
    """In bytes and in seconds since the epoch."""
    await store.put("a/b", b"12345")
    (listed,) = [info async for info in store.list("a")]
    assert listed == await store.head("a/b")
    assert listed.size == 5
    assert 1_600_000_000 < listed.modified < 4_000_000_000


async def test_list_goes_by_whole_segments(store: Store) -> None:
    """``a`` is not a prefix of ``ab/x``; an empty prefix lists everything; an unknown one nothing."""
    for name in ("a/x", "a/y/z", "ab/x"):
        await store.put(name, b"x")
    assert await keys(store, "a") == await keys(store, "a/") == ["a/x", "a/y/z"]
    assert await keys(store) == ["a/x", "a/y/z", "ab/x"]
    assert await keys(store, "none") == []


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (None, None),
        (0, 1),
        (3, None),
        (None, 4_500_000),
        (3_999_999, 4_000_001),
        (8_999_990, 9_500_000),
        (5, 5),
        (9_000_000, None),
        (-5, 2),
    ],
)
async def test_stream_gives_the_range(store: Store, start: int | None, end: int | None) -> None:
    """Like a slice, in pieces of bounded size; ends beyond the object are cut to it."""
    body = bytes(range(250)) * 36_000
    await store.put("a", body)
    pieces = [piece async for piece in store.stream("a", start, end)]
    assert b"".join(pieces) == body[max(start or 0, 0) : end]
    assert all(0 < len(piece) <= 4_000_000 for piece in pieces)


async def test_a_file_goes_up_and_comes_down(store: Store, tmp_path: Path) -> None:
    """Larger than one part, so that it travels in several."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"0123456789abcdef" * 700_000)
    await store.put_file("exports/e/shard.tar", source)
    await store.fetch_to("exports/e/shard.tar", target)
    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["source", "target"]


async def test_a_file_that_is_not_there_cannot_be_put(store: Store, tmp_path: Path) -> None:
    """That is a fault of ours, not a missing object."""
    with pytest.raises(errors.StorageError, match="put a"):
        await store.put_file("a", tmp_path / "none")


async def test_a_tree_is_published_replaced_and_deleted(store: Store) -> None:
    """The second publication leaves nothing of the first."""
    for names in (("old.txt", MANIFEST), ("sub/new.txt", MANIFEST)):
        async with store.scratch() as folder:
            for name in names:
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_text(name)
            await store.publish_tree(folder, "exports/e")
        assert not folder.exists()
    await store.put("exports/other", b"x")
    assert await keys(store, "exports/e") == ["exports/e/manifest.json", "exports/e/sub/new.txt"]
    assert await store.get("exports/e/sub/new.txt") == b"sub/new.txt"
    await store.delete_tree("exports/e")
    await store.delete_tree("exports/e")
    assert await keys(store) == ["exports/other"]


async def test_scratch_goes_away_after_an_error(store: Store) -> None:
    """Whatever happens inside."""
    with contextlib.suppress(KeyError):
        async with store.scratch() as folder:
            (folder / "f").touch()
            raise KeyError
    assert not folder.exists()


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../../b", "", ".scratch/x"])
async def test_keys_that_leave_the_store_are_refused(store: Store, tmp_path: Path, key: str) -> None:
    """By every operation, before anything is touched."""
    calls = [
        store.put(key, b"x"),
        store.put_many([(key, b"x")]),
        store.put_file(key, tmp_path / "f"),
        store.get(key),
        store.head(key),
        store.exists(key),
        store.delete([key]),
        store.fetch_to(key, tmp_path / "f"),
        anext(store.stream(key)),
        store.publish_tree(tmp_path, key),
        store.delete_tree(key),
    ]
    for call in calls:
        with pytest.raises(errors.ValidationError):
            await call
    with pytest.raises(errors.ValidationError):
        store.local_path(key)


async def test_check_makes_a_round_trip_and_leaves_nothing(store: Store) -> None:
    """A store that works stays as it was."""
    await store.check()
    assert await keys(store) == []
