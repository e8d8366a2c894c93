"""Tests of app.exports.publish: a destination is whole or as it was."""

import asyncio
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pytest

import errors
from app.exports import publish
from app.exports.sidecars import REPORT, REPORT_MARK
from app.storage import MissingObject, Store, open_store
from tests.exports.builders import problems, samples, tree, write


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind."""
    return open_store(f"{tmp_path}/store" if request.param == "local" else "memory://")


async def published(store: Store, count: int = 4) -> dict[str, bytes]:
    """Publish an export under ``exports/e``. Returns its files."""
    async with store.scratch() as folder:
        await write("imagefolder", folder, samples(count))
        found = tree(folder)
        await store.publish_tree(folder, "exports/e")
    return found


async def test_an_export_is_written_verified_published_and_materialised(store: Store, tmp_path: Path) -> None:
    """The whole way: what comes out is what went in, and verifies at its destination."""
    async with store.scratch() as folder:
        report = await write("imagefolder", folder, samples())
        before = tree(folder)
        await store.publish_tree(folder, "exports/e")
    await publish.copy_to_folder(store, "exports/e", tmp_path / "new/out")
    assert tree(tmp_path / "new/out") == before
    assert await problems("imagefolder", tmp_path / "new/out", report) == ()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out"]
    async with publish.open_folder(store, "exports/e") as folder:
        assert await problems("imagefolder", folder, report) == ()
    assert folder.exists() == (store.root is not None)


async def test_files_beside_an_export_come_with_it(store: Store, tmp_path: Path) -> None:
    """They are there when the folder is; the store does not get them, and an overwritten folder loses the old ones."""
    before = await published(store)
    await publish.copy_to_folder(store, "exports/e", tmp_path / "out", beside={REPORT: REPORT_MARK + b"one"})
    assert tree(tmp_path / "out") == before | {REPORT: REPORT_MARK + b"one"}
    await publish.copy_to_folder(store, "exports/e", tmp_path / "out", overwrite=True)
    assert tree(tmp_path / "out") == before
    async with publish.open_folder(store, "exports/e") as folder:
        assert tree(folder) == before


async def test_a_local_export_is_linked(tmp_path: Path) -> None:
    """No image is copied where the file system is the same; nobody can write to it. Texts are copied: they are there to be edited."""
    store = open_store(f"{tmp_path}/store")
    before = await published(store)
    await publish.copy_to_folder(store, "exports/e", tmp_path / "out", links=True)
    images = [path for path in before if path.endswith(".jpg")]
    assert len(images) == 4
    for path in before:
        ours, theirs = tmp_path / "store/exports/e" / path, tmp_path / "out" / path
        assert theirs.samefile(ours) is (path in images)
        assert bool(theirs.stat().st_mode & 0o222) is (path not in images)
    assert tree(tmp_path / "out") == before


@pytest.mark.parametrize("form", ["imagefolder", "webdataset"])
async def test_an_edit_in_place_does_not_change_the_store(tmp_path: Path, form: str) -> None:
    """Of any file, by whoever runs the tests: either it is not the store's file, or it cannot be written to."""
    store = open_store(f"{tmp_path}/store")
    async with store.scratch() as folder:
        await write(form, folder, samples(4))
        await store.publish_tree(folder, "exports/e")
    before = tree(tmp_path / "store/exports/e")
    await publish.copy_to_folder(store, "exports/e", tmp_path / "out")
    refused = []
    for path in before:
        try:
            with (tmp_path / "out" / path).open("r+b") as file:
                file.write(b"edited")
        except PermissionError:
            refused.append(path)
    assert tree(tmp_path / "store/exports/e") == before
    assert {path: body for path, body in tree(tmp_path / "out").items() if not body.startswith(b"edited")}.keys() == set(refused)
    assert not any(path.endswith((".md", ".json", ".jsonl", "SHA256SUMS")) for path in refused)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_a_link_refuses_a_write_by_another_user_than_root() -> None:
    """That is why root gets copies."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        store = open_store(f"{place}/store")
        before = await published(store)
        await publish.copy_to_folder(store, "exports/e", Path(place) / "out", links=True)
        path = next(path for path in before if path.endswith(".jpg"))
        done = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"echo edited >> {place}/out/{path}", user=65534, stderr=-3)
        assert await done.wait() != 0
        assert tree(Path(place) / "store/exports/e") == before


async def test_a_linked_export_is_replaced_and_removed(tmp_path: Path) -> None:
    """A file that cannot be written to can be."""
    store = open_store(f"{tmp_path}/store")
    before = await published(store)
    for _ in range(2):
        await publish.copy_to_folder(store, "exports/e", tmp_path / "out", overwrite=True, links=True)
    await store.delete_tree("exports/e")
    assert tree(tmp_path / "out") == before
    shutil.rmtree(tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no other file system")
async def test_where_links_cannot_be_made_files_are_copied(tmp_path: Path) -> None:
    """Another file system: the copy is as good, and can be written to."""
    store = open_store(f"{tmp_path}/store")
    before = await published(store)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        await publish.copy_to_folder(store, "exports/e", Path(place) / "out", links=True)
        assert tree(Path(place) / "out") == before
        assert all(path.stat().st_mode & 0o200 for path in Path(place).rglob("*"))
    assert all((tmp_path / "store/exports/e" / path).stat().st_mode & 0o200 for path in before)


async def test_a_filled_destination_is_refused_and_kept(store: Store, tmp_path: Path) -> None:
    """The message names it and the way out."""
    await published(store)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(errors.ConfigurationError, match=r"output .*/out is not empty; .*--overwrite"):
        await publish.copy_to_folder(store, "exports/e", tmp_path / "out")
    assert list(tree(tmp_path / "out")) == ["mine"]


async def test_an_empty_destination_is_filled_and_overwrite_replaces_a_full_one(store: Store, tmp_path: Path) -> None:
    """Nothing of the old one stays, in it or beside it."""
    before = await published(store)
    (tmp_path / "place/out").mkdir(parents=True)
    await publish.copy_to_folder(store, "exports/e", tmp_path / "place/out")
    (tmp_path / "place/out/README.md").unlink()
    await publish.copy_to_folder(store, "exports/e", tmp_path / "place/out", overwrite=True)
    assert tree(tmp_path / "place/out") == before
    assert [path.name for path in (tmp_path / "place").iterdir()] == ["out"]


@pytest.mark.parametrize("is_dataset", [False, True])
async def test_overwrite_replaces_no_file_of_somebody_else(store: Store, tmp_path: Path, is_dataset: bool) -> None:
    """Neither in a folder of theirs nor beside a dataset of ours; three of the files are named."""
    await published(store)
    out = tmp_path / "out"
    if is_dataset:
        await publish.copy_to_folder(store, "exports/e", out)
    (out / "notes/empty").mkdir(parents=True)
    for name in ("a.txt", "notes/b.txt", "c.txt"):
        (out / name).write_text("mine")
    (out / "z").symlink_to(tmp_path / "nowhere")
    before = sorted(out.rglob("*"))
    with pytest.raises(errors.ConfigurationError, match=r"not of a pictrawl dataset: a.txt, c.txt, notes/b.txt and more; name"):
        await publish.copy_to_folder(store, "exports/e", out, overwrite=True)
    assert sorted(out.rglob("*")) == before


async def test_a_manifest_that_is_not_ours_marks_no_dataset(store: Store, tmp_path: Path) -> None:
    """Other tools write a manifest.json too, and a broken one lists nothing."""
    await published(store)
    for text in ("{}", "[]", '{"generator": "webpack", "files": {}}', "{"):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out/manifest.json").write_text(text)
        with pytest.raises(errors.ConfigurationError, match=r"not of a pictrawl dataset: manifest.json;"):
            await publish.copy_to_folder(store, "exports/e", tmp_path / "out", overwrite=True)


async def test_what_is_not_published_leaves_nothing(store: Store, tmp_path: Path) -> None:
    """Neither the destination nor a partial one."""
    (tmp_path / "place").mkdir()
    with pytest.raises(MissingObject, match="read exports/none"):
        await publish.copy_to_folder(store, "exports/none", tmp_path / "place/out")
    with pytest.raises(MissingObject):
        async with publish.open_folder(store, "exports/none"):
            pass
    assert list((tmp_path / "place").iterdir()) == []


async def test_a_failing_download_leaves_the_destination_as_it_was(tmp_path: Path) -> None:
    """Even with overwrite: the old folder goes only when the new one is whole."""

    class Failing(Store):
        async def fetch_to(self, key: str, path: Path) -> None:
            if key.endswith("manifest.json"):
                raise errors.StorageError("fetch: no space")
            await super().fetch_to(key, path)

    store = open_store("memory://")
    await published(store)
    await publish.copy_to_folder(store, "exports/e", tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(errors.StorageError, match="no space"):
        await publish.copy_to_folder(Failing(store._backend), "exports/e", tmp_path / "out", overwrite=True)
    assert tree(tmp_path) == before


async def test_a_cancelled_copy_leaves_nothing(tmp_path: Path) -> None:
    """Nor does its thread write on."""
    store = open_store(f"{tmp_path}/store")
    await published(store, 600)
    (tmp_path / "place").mkdir()
    task = asyncio.create_task(publish.copy_to_folder(store, "exports/e", tmp_path / "place/out"))
    while not list((tmp_path / "place").glob("out.partial-*/*")):
        assert not task.done(), "the copy ended before it could be cancelled"
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((tmp_path / "place").iterdir()) == []


async def test_what_a_killed_copy_left_goes_with_the_next_one(tmp_path: Path) -> None:
    """Not what another process is still at work on, nor what is called otherwise."""
    store = open_store(f"{tmp_path}/store")
    await published(store)
    place = tmp_path / "place"
    for name in ("out[1].partial-0123abcd", "out[1].partial-9999ffff", "out[1].partial-mine", "out1.partial-0123abcd"):
        (place / name).mkdir(parents=True)
        (place / name / "a.jpg").write_bytes(b"a")
    at_work = os.open(place / "out[1].partial-9999ffff", os.O_RDONLY)
    try:
        fcntl.flock(at_work, fcntl.LOCK_EX)
        await publish.copy_to_folder(store, "exports/e", place / "out[1]")
    finally:
        os.close(at_work)
    left = {"out[1]", "out[1].partial-9999ffff", "out[1].partial-mine", "out1.partial-0123abcd"}
    assert {path.name for path in place.iterdir()} == left


async def test_a_destination_that_holds_the_store_is_refused(tmp_path: Path) -> None:
    """Overwriting it would delete every blob."""
    store = open_store(f"{tmp_path}/work/store")
    await published(store)
    with pytest.raises(errors.ConfigurationError, match="holds the store"):
        await publish.copy_to_folder(store, "exports/e", tmp_path / "work", overwrite=True)
    assert await store.exists("exports/e/manifest.json")


def test_check_destination_takes_what_can_be_made(tmp_path: Path) -> None:
    """It leaves nothing itself."""
    for place in (tmp_path / "new", tmp_path / "a/b/c", tmp_path):
        publish.check_destination(place)
    assert list(tmp_path.iterdir()) == []


def test_check_destination_refuses_files_and_what_lies_below_them(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").touch()
    with pytest.raises(errors.ConfigurationError, match="is a file; name a folder"):
        publish.check_destination(tmp_path / "file", overwrite=True)
    with pytest.raises(errors.ConfigurationError, match="Not a directory"):
        publish.check_destination(tmp_path / "file/below")
    with pytest.raises(errors.ConfigurationError, match="File name too long"):
        publish.check_destination(tmp_path / ("x" * 300))


def test_check_destination_refuses_what_nobody_may_write() -> None:
    """Not even root can make a folder in /proc."""
    with pytest.raises(errors.ConfigurationError, match="/proc/pictrawl-export cannot be written: "):
        publish.check_destination(Path("/proc/pictrawl-export"))


@pytest.mark.parametrize("overwrite", [False, True])
def test_check_destination_protects_home_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overwrite: bool
) -> None:
    """To replace them would delete what is in them."""
    (tmp_path / "work/inside").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work/inside")
    for place in (Path(), tmp_path / "work", Path.home()):
        with pytest.raises(errors.ConfigurationError):
            publish.check_destination(place, overwrite)
