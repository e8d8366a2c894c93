"""Updates: another version of a dataset, of what its origins have now; only what is new or has changed is moved."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import errors
from app.datasets import diff, update
from app.datasets.diff import Changes
from app.datasets.update import Update
from app.db import datasets, jobs, lifecycle, tables, usage, versions
from app.db.exceptions import StateConflict
from app.db.images import STORED, as_image
from app.db.rows import Version
from app.domain import ImageState, Reason, StoredImage
from app.job_states import DesiredState, JobState, UnitKind
from app.jobs.settle import resolve_spec, store_urls
from app.jobs.submit import Caller, submit_retry
from app.rules import CompressionRules
from app.spec import JobRequest, JobSpec, ListedImage, MergedDataset
from tests.images.samples import encode, photo
from tests.origin import Hit, Origin, Step, image, reply
from tests.services import PostgresServer
from tests.templates import postgres_like_new
from tests.workers.bench import Bench, open_bench


class Library(Origin):
    """An origin of pictures with ETags, which answers conditional requests; it counts the bytes that it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: dict[str, bytes] = {}
        self.down: Step | None = None
        self.bytes_sent = 0

    def hang(self, numbers: Sequence[int], *, seed: int = 0) -> list[str]:
        """Put pictures at these numbers; return their URLs."""
        for number in numbers:
            self.pictures[f"/{number}.jpg"] = encode(photo(160, 120, seed=number + seed))
        return [self.url(f"/{number}.jpg") for number in numbers]

    def step_for(self, hit: Hit) -> Step:
        body = self.pictures.get(hit.target)
        if self.down is not None and hit.target != "/robots.txt":
            return self.down
        if body is None:
            return super().step_for(hit)
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        if hit.headers.get("if-none-match") == etag:
            return reply(304, headers={"ETag": etag})
        self.bytes_sent += len(body)
        return image(body, ETag=etag)


@pytest.fixture
async def library() -> AsyncIterator[Library]:
    async with Library() as opened:
        yield opened


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path / "workspace", {"fetch.per_host": 16, "jobs.chunk_size": 50}) as opened:
        yield opened


SPLITS = {"train": 0.8, "test": 0.2}


async def built(bench: Bench, urls: list[str], **request: Any) -> str:
    """Build a dataset of a list; return its id."""
    job_id = await bench.submit(urls, **{"splits": SPLITS} | request)
    await bench.drive()
    return (await bench.job(job_id)).dataset_id


async def updated(bench: Bench, dataset_id: str, urls: list[str] | None = None, **wanted: Any) -> str:
    """Update a dataset to its end; return the job's id."""
    listed = await store_urls(bench.resources, list(urls)) if urls is not None else None
    made = await update.submit_update(bench.resources, dataset_id, Update(url_list=listed, **wanted))
    await bench.drive()
    return made.job_id


async def rows_of(bench: Bench, dataset_id: str) -> dict[str, StoredImage]:
    """The images of a dataset by URL."""
    query = select(*STORED).where(tables.images.c.dataset_id == dataset_id)
    async with bench.db.read() as connection:
        return {found.url: found for row in (await connection.execute(query)).all() if (found := as_image(row))}


async def history(bench: Bench, dataset_id: str) -> list[Version]:
    """The versions of the lineage of a dataset, the newest first."""
    return await versions.of_lineage(bench.db, (await datasets.get_dataset(bench.db, dataset_id)).lineage_id)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services("postgresql"))])
async def any_bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """A bench on each database."""
    url = None
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres_like_new(server, "updates")
    async with open_bench(tmp_path / "workspace", {"fetch.per_host": 16, "jobs.chunk_size": 50}, url=url) as opened:
        yield opened
    if url is not None:
        server.drop_database("updates")


async def test_an_update_moves_what_has_changed_and_names_it(any_bench: Bench, library: Library) -> None:
    """Of 300 images 2 % have changed, 3 are gone, 4 are new: at most 5 % of the bytes move, and no split does."""
    bench, urls = any_bench, library.hang(range(300))
    old_id = await built(bench, urls)
    before, first_bytes = await rows_of(bench, old_id), library.bytes_sent
    changed = library.hang(range(6), seed=1000)
    for number in (10, 11, 12):
        del library.pictures[f"/{number}.jpg"]
    new = library.hang(range(300, 304))
    library.bytes_sent, library.log[:] = 0, []
    job_id = await updated(bench, old_id, [*urls, *new])
    assert library.bytes_sent <= 0.05 * first_bytes
    assert len(library.log) == 304  # each URL once
    new_id = (await bench.job(job_id)).dataset_id
    after = await rows_of(bench, new_id)
    gone = urls[10:13]
    assert [(after[url].state, after[url].reason) for url in gone] == [(ImageState.FAILED, Reason.HTTP_404)] * 3
    assert {url: after[url].split for url in urls if url not in gone} == {url: before[url].split for url in urls if url not in gone}
    assert [one.number for one in await history(bench, old_id)] == ["2.0.0", "1.0.0"]
    found = (await history(bench, old_id))[0]
    assert (found.kind, found.changes) == ("update", Changes(added=4, removed=3, changed=6).as_json())
    differences = [item async for item in diff.differences(bench.db, old_id, new_id)]
    assert {item.url for item in differences if item.kinds == ("changed",)} == set(changed)
    assert await rows_of(bench, old_id) == before
    assert sum(row.reuse == "not_modified" for row in after.values()) == 291


async def test_an_update_that_finds_nothing_new_makes_no_version(bench: Bench, library: Library) -> None:
    """Its dataset is removed, its job succeeded and belongs to the dataset that there was."""
    urls = [*library.hang(range(5)), library.url("/never.jpg")]
    old_id = await built(bench, urls, max_images=50)
    job_id = await updated(bench, old_id)
    job = await bench.job(job_id)
    assert (job.state, job.dataset_id) == (JobState.SUCCEEDED, old_id)
    assert [one.number for one in await history(bench, old_id)] == ["1.0.0"]
    assert [one.id for one in (await datasets.list_datasets(bench.db)).items] == [old_id]
    assert len(library.hits("/never.jpg")) == 1
    assert await jobs.searches_of(bench.db, job_id) == []


@pytest.mark.parametrize("status", [503, 403])
async def test_an_origin_that_is_down_or_refuses_takes_nothing_away(bench: Bench, library: Library, status: int) -> None:
    """Failures that may pass keep the stored bytes, and so does a site that turns the crawler away; the images are as they were."""
    old_id = await built(bench, library.hang(range(5)))
    library.down = reply(status)
    job = await bench.job(await updated(bench, old_id))
    assert (job.state, job.dataset_id) == (JobState.SUCCEEDED, old_id)
    del library.pictures["/0.jpg"]
    library.hang([7])
    library.down = None
    made = await bench.job(await updated(bench, old_id, [library.url(f"/{number}.jpg") for number in (0, 1, 7)]))
    after = await rows_of(bench, made.dataset_id)
    kept = {url for url, row in after.items() if row.state is ImageState.KEPT}
    assert kept == {library.url(f"/{number}.jpg") for number in (1, 2, 3, 4, 7)}


async def test_what_is_gone_is_replaced_up_to_the_target(bench: Bench, library: Library) -> None:
    """What is kept stays kept; the list is read further only for what lacks. A larger target takes more."""
    urls = library.hang(range(30))
    old_id = await built(bench, urls, max_images=10)
    before = {url for url, row in (await rows_of(bench, old_id)).items() if row.state is ImageState.KEPT}
    gone = sorted(before)[:2]
    for url in gone:
        del library.pictures[url.removeprefix(library.url(""))]
    made = await bench.job(await updated(bench, old_id))
    after = {url for url, row in (await rows_of(bench, made.dataset_id)).items() if row.state is ImageState.KEPT}
    assert len(after) == 10
    assert before - set(gone) < after
    larger = await bench.job(await updated(bench, made.dataset_id, max_images=15))
    kept = {url for url, row in (await rows_of(bench, larger.dataset_id)).items() if row.state is ImageState.KEPT}
    assert len(kept) == 15
    assert after < kept
    assert [one.number for one in await history(bench, old_id)] == ["2.1.0", "2.0.0", "1.0.0"]


async def test_failures_are_asked_again_only_on_request(bench: Bench, library: Library) -> None:
    """Those that may have passed; what is gone for good is not."""
    late, gone = library.url("/late.jpg"), library.url("/gone.jpg")
    library.script("/late.jpg", reply(503))
    old_id = await built(bench, [*library.hang(range(3)), late, gone])
    library.pictures["/late.jpg"] = encode(photo(160, 120, seed=77))
    library.log[:] = []
    await updated(bench, old_id)
    assert library.hits("/late.jpg") == library.hits("/gone.jpg") == []
    made = await bench.job(await updated(bench, old_id, retry_failed=True))
    assert (await rows_of(bench, made.dataset_id))[late].state is ImageState.KEPT
    assert library.hits("/gone.jpg") == []
    assert (await history(bench, old_id))[0].number == "1.1.0"


async def test_a_retry_of_an_update_brings_nothing_back_that_was_gone(bench: Bench, library: Library) -> None:
    """Where its origin does not answer then, it stays out."""
    urls = library.hang(range(3))
    old_id = await built(bench, urls)
    del library.pictures["/0.jpg"]
    job_id = await updated(bench, old_id)
    library.down = reply(503)
    await submit_retry(bench.resources, job_id, frozenset({Reason.HTTP_404}))
    await bench.drive()
    row = (await rows_of(bench, (await bench.job(job_id)).dataset_id))[urls[0]]
    assert (row.state, row.reason) == (ImageState.FAILED, Reason.SERVICE_UNAVAILABLE)


async def test_a_cancelled_update_leaves_the_old_version(bench: Bench, library: Library) -> None:
    """Also one that died while it copied; another update then makes the next version."""
    old_id = await built(bench, library.hang(range(5)))
    before = await rows_of(bench, old_id)
    library.hang([0], seed=50)
    made = await update.submit_update(bench.resources, old_id, Update())
    await bench.drive(until=UnitKind.FETCH)
    await lifecycle.set_desired_state(bench.db, made.job_id, DesiredState.CANCELLED)
    await bench.drive()
    assert (await bench.job(made.job_id)).state is JobState.CANCELLED
    assert await rows_of(bench, old_id) == before
    await updated(bench, old_id)
    assert [one.number for one in await history(bench, old_id)] == ["2.0.0", "1.0.0"]


async def test_an_update_that_is_finished_early_keeps_what_it_has_not_asked(bench: Bench, library: Library) -> None:
    """The images are as they were."""
    old_id = await built(bench, library.hang(range(5)))
    made = await update.submit_update(bench.resources, old_id, Update())
    await bench.drive(until=UnitKind.FETCH)
    await lifecycle.set_desired_state(bench.db, made.job_id, DesiredState.FINISHED)
    await bench.drive()
    job = await bench.job(made.job_id)
    assert (job.state, job.dataset_id) == (JobState.SUCCEEDED, old_id)


async def test_a_version_that_an_update_begins_with_is_not_removed_under_it(bench: Bench, library: Library) -> None:
    """Neither by hand nor as an old version; its copies would lack what they are compared with. Once the update has ended it may go."""
    old_id = await built(bench, library.hang(range(3)))
    newer_id = (await bench.job(await updated(bench, old_id, library.hang(range(4))))).dataset_id
    await update.submit_update(bench.resources, old_id, Update())
    with pytest.raises(StateConflict, match=f"works with dataset {old_id}"):
        await datasets.delete_dataset(bench.db, old_id)
    assert await usage.replaced_versions(bench.db, 1) == []
    await datasets.delete_dataset(bench.db, newer_id)
    await bench.drive()
    await datasets.delete_dataset(bench.db, old_id)


async def test_only_a_dataset_that_is_whole_and_ones_own_is_updated(bench: Bench, library: Library) -> None:
    """One that is being built is refused, that of another user is not there."""
    job_id = await bench.submit(library.hang(range(2)))
    dataset_id = (await bench.job(job_id)).dataset_id
    with pytest.raises(StateConflict, match="still works on dataset"):
        await update.submit_update(bench.resources, dataset_id, Update())
    await bench.drive()
    with pytest.raises(errors.NotFoundError):
        await update.submit_update(bench.resources, dataset_id, Update(), caller=Caller("another"))


async def test_a_list_that_says_other_things_now_changes_no_image_that_stays(bench: Bench, library: Library) -> None:
    """Its labels and captions are those that it was kept with; a label that differs would reject it."""
    urls = library.hang(range(4))
    rows: list[Any] = [ListedImage(url=url, label="cat", caption=f"c{number}") for number, url in enumerate(urls)]
    old_id = await built(bench, rows, label_conflicts="drop")
    others: list[Any] = [ListedImage(url=url, label="dog", caption="d") for url in (*urls, *library.hang([9]))]
    made = await bench.job(await updated(bench, old_id, others))
    after = await rows_of(bench, made.dataset_id)
    assert [(after[url].state, after[url].label, after[url].caption) for url in urls] == [
        (ImageState.KEPT, "cat", f"c{number}") for number in range(4)
    ]
    assert (await history(bench, old_id))[0].changes == Changes(added=1).as_json()


def test_the_spec_of_an_update_merges_nothing_again() -> None:
    """Nor does it add, retry or rebuild; its place and target are its own."""
    merged = (MergedDataset(dataset_id="ds_1", version="a 1.0.0"), MergedDataset(dataset_id="ds_2", version="b 1.0.0"))
    before = JobSpec(merge_of=merged, into="ds_3", retry_reasons=[Reason.TIMEOUT], output="/x", max_images=10)
    spec = update.updated_spec(before, "ds_4", Update(max_images=5, place={"destination": "s3://bucket/x"}))
    assert (spec.merge_of, spec.into, spec.retry_reasons, spec.output) == ((), None, None, None)
    assert (spec.update_of, spec.base_id, spec.destination, spec.max_images) == ("ds_4", "ds_4", "s3://bucket/x", 10)


# Builds into a dataset


async def added(bench: Bench, dataset_id: str, urls: list[str], **request: Any) -> str:
    """Build a list into a dataset; return the id of the dataset that this makes."""
    asked = JobRequest(urls=list(urls), into=dataset_id, **request)
    spec = resolve_spec(bench.resources, asked, url_list=await store_urls(bench.resources, list(urls)))
    made = await update.submit_into(bench.resources, asked, spec, dataset_id)
    await bench.drive()
    return (await bench.job(made.job_id)).dataset_id


async def test_images_are_added_to_a_dataset(any_bench: Bench, library: Library) -> None:
    """Beside the old ones, which are not requested; so many of them as are asked for. What is kept wins over a larger copy."""
    bench, urls = any_bench, library.hang(range(6))
    old_id = await built(bench, urls)
    before = await rows_of(bench, old_id)
    library.pictures["/large.jpg"] = encode(photo(320, 240, seed=0))
    library.pictures["/0.jpg"] = encode(photo(160, 120, seed=0))
    library.log[:] = []
    new_id = await added(bench, old_id, [library.url("/large.jpg"), urls[1], *library.hang(range(10, 20))], max_images=4)
    assert {hit.target for hit in library.log} & {f"/{number}.jpg" for number in range(6)} == set()
    after = await rows_of(bench, new_id)
    kept = {url for url, row in after.items() if row.state is ImageState.KEPT}
    assert set(urls) < kept
    assert len(kept) == 6 + 4
    assert after[library.url("/large.jpg")].reason is Reason.DUPLICATE_NEAR
    assert {url: after[url].split for url in urls} == {url: before[url].split for url in urls}
    found = (await history(bench, old_id))[0]
    assert (found.number, found.kind, found.changes) == ("1.1.0", "into", Changes(added=4).as_json())
    assert await rows_of(bench, old_id) == before


async def test_added_images_get_the_form_of_the_dataset(bench: Bench, library: Library) -> None:
    """Another form that is asked for is refused; so is a dataset that is not there."""
    old_id = await built(bench, library.hang(range(3)), compression=CompressionRules(format="png"))
    new_id = await added(bench, old_id, library.hang([7]))
    assert {row.out_media_type for row in (await rows_of(bench, new_id)).values()} == {"image/png"}
    with pytest.raises(errors.ValidationError, match="compression is that of the dataset"):
        await added(bench, old_id, library.hang([8]), compression=CompressionRules(format="webp"))
    with pytest.raises(errors.ValidationError, match="splits is that of the dataset"):
        await added(bench, old_id, library.hang([8]), splits={"train": 0.5, "val": 0.5})
    with pytest.raises(errors.NotFoundError):
        await added(bench, "ds_none", library.hang([8]))
    with pytest.raises(ValueError, match="name has no effect with into"):
        JobRequest(urls=["https://example.org/1.jpg"], into=old_id, name="another")
