"""A lock is written whole or not at all, from rows that stay as they are, without a path of the machine."""

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

import errors
from app.datasets import lock, versions
from app.datasets.diff import Changes
from app.datasets.lock import as_line, write_lock
from app.datasets.lock_format import LockHeader
from app.datasets.versions import DatasetState
from app.db import tables
from app.db.exceptions import StateConflict
from app.db.rows import Dataset, Version
from app.domain import ImageState, StoredImage
from app.rules import CompressionRules
from tests.datasets.locks import FACTS, HEADER, JPEG_96, build, serve
from tests.origin import Origin
from tests.workers.bench import open_bench

AS_IT_IS = CompressionRules()


def stored(**values: object) -> StoredImage:
    known = {"id": 7, "dataset_id": "ds_1", "job_id": "job_1", "chunk_id": None, "url": "file:///home/ann/p/a%20b.jpg", "source": "folder"}
    known |= {"state": ImageState.KEPT, "sha256": "a" * 64, "size_bytes": 9, "media_type": "image/jpeg", "width": 3, "height": 2}
    return StoredImage(**known | values)  # type: ignore[arg-type]


def test_an_image_of_a_folder_is_named_by_its_path_in_it() -> None:
    """One that lies elsewhere cannot be named without a path of this machine."""
    line = as_line(0, stored(), "/home/ann/p", AS_IT_IS)
    assert (line.path, line.url, line.split) == ("a%20b.jpg", None, "train")
    for folder in ("/home/ann/other", None):
        with pytest.raises(errors.ValidationError, match="image 7 lies outside the folder that its dataset was made of"):
            as_line(0, stored(), folder, AS_IT_IS)


def test_a_form_of_another_recipe_cannot_be_locked() -> None:
    """As of a merge of datasets in different forms; one without broken metadata can be made again."""
    form = {"out_sha256": "b" * 64, "out_media_type": "image/webp", "out_size_bytes": 3, "out_width": 1, "out_height": 1}
    image = stored(source="list", url="https://example.org/a", **form)
    with pytest.raises(errors.ValidationError, match=r"image 7 was encoded for another dataset.*lock the datasets that were merged"):
        as_line(0, image, None, AS_IT_IS)
    assert as_line(0, image, None, JPEG_96).form is not None
    assert as_line(0, replace(image, changes="removed the EXIF block"), None, AS_IT_IS).form is not None


async def broken() -> AsyncIterator[bytes]:
    yield b"header\n"
    raise StateConflict("it changed")


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
async def test_a_lock_that_cannot_be_finished_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    """An older lock stays as it was."""
    path = tmp_path / f"x.lock{suffix}"
    path.write_text("old")
    with pytest.raises(StateConflict):
        await write_lock(broken(), path)
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [(path.name, "old")]


async def test_packing_without_the_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(errors.ConfigurationError, match=r"writing a .zst lock needs zstandard; install pictrawl\[zstd\]"):
        await write_lock(broken(), tmp_path / "x.lock.zst")
    assert list(tmp_path.iterdir()) == []


async def test_a_dataset_that_changes_meanwhile_is_not_locked(tmp_path: Path) -> None:
    """The header has promised another number of images."""
    async with Origin() as origin, open_bench(tmp_path / "bench") as bench:
        job = await bench.job(await build(bench, serve(origin, 3)))
        made = await lock.open_lock(bench.resources, job.dataset_id)
        async with bench.db.write() as connection:
            gone = tables.images.update().where(tables.images.c.url.endswith("/1.jpg"))
            await connection.execute(gone.values(state=ImageState.TOMBSTONED))
        with pytest.raises(StateConflict, match="changed while its lock was written; repeat it"):
            await write_lock(made.lines(), tmp_path / "x.lock")
    assert not (tmp_path / "x.lock").exists()


def version(number: str) -> Version:
    major, minor, patch = map(int, number.split("."))
    return Version("ver", "ds", "ds", None, None, "rebuild", major, minor, patch, "d" * 64, 3, 9, None, None, 1.0)


@pytest.mark.parametrize(
    ("newest", "images", "other_forms", "changes", "number"),
    [
        (None, 5, 0, Changes(added=5), "1.2.0"),
        (None, 4, 0, Changes(added=4), "0.0.1"),
        (None, 5, 1, Changes(added=5), "0.0.1"),
        ("0.0.1", 4, 0, Changes(changed=1), "0.0.2"),
        ("0.0.2", 5, 0, Changes(added=1), "1.2.0"),
        ("1.2.0", 4, 0, Changes(removed=1), "2.0.0"),
        ("1.2.0", 6, 0, Changes(added=1), "1.3.0"),
    ],
)
def test_a_rebuild_has_the_number_of_its_lock_once_it_is_whole(
    newest: str | None, images: int, other_forms: int, changes: Changes, number: str
) -> None:
    """Before, it counts below all versions; after, a change of it counts as any."""
    locked = LockHeader(**{**HEADER, "images": 5, "dataset": {**HEADER["dataset"], "version": "1.2.0"}})
    dataset = Dataset("ds", "local", "cats", 1.0, "ds")
    state = DatasetState(dataset, None, "rebuild", None, None, "d" * 64, images, 9, changes, FACTS, locked, other_forms)
    assert str(versions.number_of(state, version(newest) if newest else None)) == number
    assert str(versions.number_of(replace(state, locked=None), None)) == "1.0.0"
