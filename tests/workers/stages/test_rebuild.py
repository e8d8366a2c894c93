"""A rebuild of a lock has the bytes of the original export; what changed, is gone or has another form is named and never silent."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.datasets.update import Update, submit_update
from app.db import images, jobs, locked_images, tombstones, versions
from app.db.images import url_digest
from app.db.tombstones import NewTombstone
from app.domain import Compressed, ImageState, Reason, StoredImage, Verdict
from app.inputs import FolderSpec
from app.job_states import JobState, UnitKind
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build, submit_retry
from app.spec import JobRequest
from tests.datasets.locks import JPEG_96, build, export_files, kept, lock_of, rebuilt, serve, start_rebuild
from tests.images.samples import encode, photo
from tests.images.test_metadata import BROKEN
from tests.origin import Origin, image, reply
from tests.services import PostgresServer
from tests.templates import postgres_like_new
from tests.workers.bench import Bench, open_bench
from workers.stages.rebuild import accepted_row

ASKED: dict[str, Any] = {"splits": {"train": 0.7, "test": 0.3}, "seed": 4}


async def unlike(bench: Bench, job_id: str) -> list[StoredImage]:
    return await locked_images.unlike_lock(bench.db, (await bench.job(job_id)).dataset_id, limit=100)


def requested(origin: Origin) -> list[str]:
    """What was requested since the last call, without robots.txt and the like."""
    targets, origin.log[:] = [hit.target for hit in origin.log if hit.target.endswith(".jpg")], []
    return targets


@pytest.mark.parametrize("form", ["files", "imagefolder", "webdataset"])
async def test_a_rebuild_in_another_workspace_has_the_same_bytes(bench: Bench, origin: Origin, tmp_path: Path, form: str) -> None:
    """Labels, captions, splits, credits, papers and forms are the lock's, and so is the lock of what was rebuilt."""
    rows = serve(origin, 24)
    job_id = await build(bench, rows, compression=JPEG_96, export_format=form, **ASKED)
    original = await export_files(bench, job_id)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, checked)
        job = await other.job(again)
        assert job.state is JobState.SUCCEEDED
        assert job.spec["lock"]["key"] in await jobs.list_keys(other.db), "no clean-up takes it"
        assert await export_files(other, again) == original
        relocked = await lock_of(other, again, tmp_path / "again.lock")
        async with other.db.read() as connection:
            version = await versions.newest_of_dataset(connection, (await other.job(again)).dataset_id)
    assert (tmp_path / "again.lock").read_bytes() == (tmp_path / "dataset.lock").read_bytes()
    assert relocked.digest == checked.digest
    assert version is not None
    assert (version.kind, version.number, version.digest) == ("rebuild", "1.0.0", checked.header.dataset.digest)


@pytest.mark.services("postgresql")
async def test_order_and_database_leave_no_trace(bench: Bench, origin: Origin, tmp_path: Path, postgres_server: PostgresServer) -> None:
    """A rebuild on PostgreSQL whose units end in any order has the bytes of one on SQLite."""
    job_id = await build(bench, serve(origin, 60, side=80), **ASKED)
    original = await export_files(bench, job_id)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    draw = random.Random(7)
    url = postgres_like_new(postgres_server, "rebuilt_elsewhere")
    async with open_bench(tmp_path / "postgres", url=url) as other:
        again = await start_rebuild(other, checked)
        while due := await other.due():
            await other.run(draw.choice(due))
        assert await export_files(other, again) == original
        await lock_of(other, again, tmp_path / "again.lock")
    assert (tmp_path / "again.lock").read_bytes() == (tmp_path / "dataset.lock").read_bytes()


async def test_nothing_is_decided_again(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """Near duplicates, small images and licences that a build of today would refuse stay in."""
    picture = photo(128, 128, seed=1)
    rows = [{"url": origin.script(f"/{level}.jpg", image(encode(picture, quality=level)))} for level in (95, 90, 85)]
    rows += [{"url": origin.script("/small.jpg", image(encode(photo(20, 16))))}]
    job_id = await build(bench, rows, dedupe="none", min_width=8, min_height=8)
    assert await kept(bench, job_id) == 4
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    async with open_bench(tmp_path / "other") as other:
        assert await kept(other, await rebuilt(other, checked)) == 4


async def test_what_changed_and_what_is_gone_is_named(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """Other bytes are not stored; each has its reason and its evidence; the job says that it is not whole."""
    rows = serve(origin, 6)
    checked = await lock_of(bench, await build(bench, rows), tmp_path / "dataset.lock")
    other_bytes = encode(photo(128, 128, seed=99))
    origin.script("/2.jpg", image(other_bytes))
    origin.script("/4.jpg", reply(404))
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, checked)
        job = await other.job(again)
        changed, gone = await unlike(other, again)
        assert (job.state, job.shortfall) == (JobState.PARTIAL, job.shortfall | {"missing": 2, "min_images": 6})
        assert "the lock has 6: 4 kept" in job.shortfall["causes"]
        assert (changed.url, changed.state, changed.reason) == (rows[2]["url"], ImageState.FAILED, Reason.CHANGED)
        assert changed.evidence is not None
        assert changed.expected_sha256 is not None
        assert changed.expected_sha256 in changed.evidence
        assert (changed.sha256, changed.detail) == (
            None,
            f"its origin has other bytes than the lock promises: {len(other_bytes)} bytes with another digest",
        )
        stored = [item.key async for item in other.context.store.list("blobs")]
        assert len(stored) == 4
        assert (gone.url, gone.reason) == (rows[4]["url"], Reason.HTTP_404)
        assert set(await export_files(other, again)) > {"manifest.json"}


async def test_a_rebuild_becomes_whole_by_a_retry(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """What lacks some images is version 0.0.1; once all are there it is the version of the lock, with the same bytes."""
    rows = serve(origin, 6)
    job_id = await build(bench, rows)
    original = await export_files(bench, job_id)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    whole = encode(photo(128, 128, seed=2))
    origin.script("/2.jpg", image(encode(photo(128, 128, seed=99))))
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, checked)
        partial = await lock_of(other, again, tmp_path / "partial.lock")
        assert (partial.header.dataset.version, partial.header.images) == ("0.0.1", 5)
        assert partial.header.provenance["previous_version"] == "1.0.0"
        assert partial.header.provenance["changes"] == {"removed": 1, "changed": 0}
        origin.script("/2.jpg", image(whole))
        retried = (await submit_retry(other.resources, again, frozenset({Reason.CHANGED}))).job_id
        await other.drive()
        assert (await other.job(retried)).state is JobState.SUCCEEDED
        assert await export_files(other, retried) == original
        await lock_of(other, retried, tmp_path / "whole.lock")
    assert (tmp_path / "whole.lock").read_bytes() == (tmp_path / "dataset.lock").read_bytes()


async def test_missing_images_may_be_allowed(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """The dataset is made of the others, and the job succeeds."""
    checked = await lock_of(bench, await build(bench, serve(origin, 3)), tmp_path / "dataset.lock")
    origin.script("/1.jpg", reply(410))
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, checked, allow_missing=True)
        assert (await other.job(again)).state is JobState.SUCCEEDED
        assert len(await unlike(other, again)) == 1


async def test_a_second_rebuild_asks_nothing(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """Bytes that are in the store are used without a request: after a rebuild, and in the workspace of the original."""
    checked = await lock_of(bench, await build(bench, serve(origin, 12)), tmp_path / "dataset.lock")
    requested(origin)
    for bench_of in (bench, bench):
        again = await rebuilt(bench_of, checked)
        assert await kept(bench_of, again) == 12
    assert requested(origin) == []


async def test_a_rebuild_is_updated_like_any_dataset(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """What its origins have changed since is taken, as a version beside the old one; nothing asks for as many images as the lock has."""
    checked = await lock_of(bench, await build(bench, serve(origin, 4)), tmp_path / "dataset.lock")
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, checked)
        origin.script("/1.jpg", image(encode(photo(128, 128, seed=99))))
        origin.script("/2.jpg", reply(404))
        updated = (await submit_update(other.resources, (await other.job(again)).dataset_id, Update())).job_id
        await other.drive()
        assert (await other.job(updated)).state is JobState.SUCCEEDED
        assert await kept(other, updated) == 3
        header = (await lock_of(other, updated, tmp_path / "updated.lock")).header
        assert (header.dataset.version, header.images) == ("2.0.0", 3)


async def test_an_interrupted_rebuild_goes_on_where_it_was(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """Each URL is requested once, whatever ended in between, and the bytes are the same."""
    job_id = await build(bench, serve(origin, 40, side=80))
    original = await export_files(bench, job_id)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    requested(origin)
    async with open_bench(tmp_path / "other") as other:
        again = await start_rebuild(other, checked)
        await other.drive(until=UnitKind.FETCH)
        for delivery in [delivery for delivery in await other.due() if delivery.kind is UnitKind.FETCH][:2]:
            await other.run(delivery)
    async with open_bench(tmp_path / "other", url=f"sqlite+aiosqlite:///{tmp_path / 'other' / 'pictrawl.db'}") as other:
        await other.drive()
        assert await export_files(other, again) == original
    assert sorted(requested(origin)) == sorted(f"/{number}.jpg" for number in range(40))


async def test_what_was_forgotten_here_is_not_fetched(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """Neither by its URL, its digest nor as a near copy, whatever the lock has: without a request, and without its texts."""
    rows = serve(origin, 4)
    job_id = await build(bench, rows)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    async with open_bench(tmp_path / "other") as other:
        named = [NewTombstone(url=rows[1]["url"], url_key=url_digest(rows[1]["url"]))]
        named += [NewTombstone(sha256=hashlib.sha256(encode(photo(128, 128, seed=2))).hexdigest())]
        async with bench.db.read() as connection:
            near = (await images.kept_after(connection, (await bench.job(job_id)).dataset_id))[3]
        named += [NewTombstone(sha256="f" * 64, phash=near.phash)]
        async with other.db.write() as connection:
            await tombstones.add(connection, "local", named)
        requested(origin)
        again = await rebuilt(other, checked)
        left_out = await unlike(other, again)
        assert [(item.line, item.reason, item.title) for item in left_out] == [(line, Reason.TOMBSTONED, None) for line in (3, 4, 5)]
        assert requested(origin) == ["/0.jpg"]


async def test_images_of_a_folder_come_from_another_folder(bench: Bench, tmp_path: Path) -> None:
    """They are named by their paths in it; a file with other bytes is changed, and the path of the machine is nowhere in the lock."""
    for place in (tmp_path / "photos", tmp_path / "elsewhere" / "copy"):
        (place / "cat").mkdir(parents=True)
        for number in range(4):
            (place / "cat" / f"n° {number}.jpg").write_bytes(encode(photo(seed=number)))
    spec = resolve_spec(bench.resources, JobRequest(urls=["x"]), folder=FolderSpec(path=str(tmp_path / "photos"), name="photos"))
    job_id = (await submit_build(bench.resources, spec, name="photos")).job_id
    await bench.drive()
    original = await export_files(bench, job_id)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    assert checked.local == 4
    assert str(tmp_path).encode() not in (tmp_path / "dataset.lock").read_bytes()
    copy = FolderSpec(path=str(tmp_path / "elsewhere" / "copy"), name="copy")
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, checked, folder=copy)
        assert await export_files(other, again) == original
        await lock_of(other, again, tmp_path / "again.lock")
    assert (tmp_path / "again.lock").read_bytes() == (tmp_path / "dataset.lock").read_bytes()
    (tmp_path / "elsewhere" / "copy" / "cat" / "n° 2.jpg").write_bytes(encode(photo(seed=9)))
    (tmp_path / "elsewhere" / "copy" / "cat" / "n° 3.jpg").unlink()
    async with open_bench(tmp_path / "third") as third:
        reasons = [item.reason for item in await unlike(third, await rebuilt(third, checked, folder=copy))]
    assert reasons == [Reason.CHANGED, Reason.UNREADABLE]


async def test_a_form_of_other_bytes_is_a_finding(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """The image is kept in the form that this machine makes; its row names the libraries, and the version is not the lock's."""
    checked = await lock_of(bench, await build(bench, serve(origin, 3), compression=JPEG_96), tmp_path / "dataset.lock")
    header = checked.header.model_copy(
        update={"recipe": replace(JPEG_96, level=79), "libraries": checked.header.libraries | {"libjpeg_turbo": "0.9"}}
    )
    async with open_bench(tmp_path / "other") as other:
        again = await rebuilt(other, replace(checked, header=header))
        found = await unlike(other, again)
        assert [(item.state, item.reason) for item in found] == [(ImageState.KEPT, Reason.CHANGED)] * 3
        assert all("libjpeg_turbo 0.9 in the lock" in str(item.evidence) for item in found)
        assert all(str(item.detail).startswith("form differs: ") and str(item.out_sha256) in str(item.detail) for item in found)
        assert (await other.funnel(again)).other_forms == 3
        assert (await other.job(again)).state is JobState.PARTIAL
        version = (await lock_of(other, again, tmp_path / "again.lock")).header.dataset.version
        await export_files(other, again)
    assert version == "0.0.1"


def row_of(output: Compressed | None, **values: Any) -> dict[str, Any]:
    known = {"id": 1, "dataset_id": "ds", "job_id": "job", "chunk_id": None, "url": "u", "source": "list", "state": ImageState.FETCHED}
    return accepted_row(StoredImage(**known | values), Verdict(Reason.CORRUPT, "broken", output=output), {})


def test_an_image_of_the_right_bytes_is_valid_though_it_does_not_decode_here() -> None:
    """The lock has decided; its media type is that of the download."""
    row = row_of(None, media_type="image/heif")
    assert (row["state"], row["reason"], row["media_type"]) == (ImageState.VALID, None, "image/heif")


def test_an_image_whose_form_cannot_be_derived_lacks() -> None:
    """Its reason is why, and the libraries that differ are its evidence."""
    row = row_of(None, out_sha256="a" * 64)
    assert (row["state"], row["reason"]) == (ImageState.REJECTED, Reason.CORRUPT)
    assert row["detail"] == "its form cannot be derived: broken"


async def test_repaired_metadata_is_repaired_again(bench: Bench, origin: Origin, tmp_path: Path) -> None:
    """A form without broken metadata has the lock's digest, and says what was removed."""
    rows = [{"url": origin.script("/0.jpg", image(BROKEN["jpeg: rational that cannot be written"][0]))}]
    job_id = await build(bench, rows)
    original = await export_files(bench, job_id)
    checked = await lock_of(bench, job_id, tmp_path / "dataset.lock")
    assert b'"changes":"removed the EXIF block' in (tmp_path / "dataset.lock").read_bytes()
    async with open_bench(tmp_path / "other") as other:
        assert await export_files(other, await rebuilt(other, checked)) == original
