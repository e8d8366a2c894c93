"""The builder's jobs, driven to a dataset without a worker."""

import io
import json
import tarfile

import pytest
from PIL import Image

from app.db import attempts, datasets, events, image_search, jobs, units
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason
from app.job_states import JobState, UnitKind, UnitState
from app.jobs.submit import submit_retry
from app.storage import paths
from tests.images.samples import encode, photo
from tests.origin import Origin, image, reply
from tests.workers.bench import Bench

assert events


def serve_photos(origin: Origin, count: int, *, width: int = 160, height: int = 120) -> list[str]:
    """Distinct photographs on the origin; returns their URLs."""
    for number in range(count):
        origin.script(f"/{number}.jpg", image(encode(photo(width, height, seed=number + 1))))
    return [origin.url(f"/{number}.jpg") for number in range(count)]


async def rows(bench: Bench, job_id: str, **wanted: object) -> list[object]:
    """A job's images."""
    return list((await image_search.page(bench.db, ImageFilter(job_id=job_id, **wanted), limit=200)).items)  # type: ignore[arg-type]


async def test_a_list_becomes_a_dataset(bench: Bench, origin: Origin) -> None:
    """Every good URL is kept once, labelled, split, exported and verified; the job succeeds."""
    urls = serve_photos(origin, 25)
    job_id = await bench.submit(urls, export_format="webdataset", label="thing", splits={"train": 0.8, "val": 0.2})

    await bench.drive()

    job = await bench.job(job_id)
    assert (job.state, job.error, job.open_units) == (JobState.SUCCEEDED, None, 0)
    funnel = await bench.funnel(job_id)
    assert (funnel.candidates, funnel.fetched, funnel.valid, funnel.unique, funnel.kept) == (25, 25, 25, 25, 25)
    (export,) = await datasets.exports_of_job(bench.db, job_id)
    assert (export.state, export.samples, export.problems) == ("ready", 25, [])
    shard = await bench.context.store.get(f"{export.prefix}/val-000000.tar")
    with tarfile.open(fileobj=io.BytesIO(shard)) as tar:
        assert sum(name.endswith(".jpg") for name in tar.getnames()) == 5
    assert all(len(origin.hits(f"/{number}.jpg")) == 1 for number in range(25))


async def test_every_way_to_fail_is_one_reason(bench: Bench, origin: Origin) -> None:
    """What is not kept says why, and the rest of the chunk is unharmed."""
    body = encode(photo(seed=1))
    origin.script("/ok.jpg", image(body))
    origin.script("/again.jpg", image(body))
    origin.script("/404.jpg", reply(404))
    origin.script("/html.jpg", reply(200, b"<html>login</html>", {"Content-Type": "image/jpeg"}))
    origin.script("/tiny.png", image(encode(photo(20, 20), "PNG")))
    origin.script("/cut.jpg", image(body[: len(body) // 2]))
    origin.script("/busy.jpg", reply(503))
    origin.script("/flaky.jpg", reply(503), reply(503), image(encode(photo(seed=2))))
    names = ["ok.jpg", "again.jpg", "404.jpg", "html.jpg", "tiny.png", "cut.jpg", "busy.jpg", "flaky.jpg"]
    job_id = await bench.submit([origin.url(f"/{name}") for name in names] + ["http://169.254.169.254/x.jpg"])

    await bench.drive()

    found = {row.url.rsplit("/", 1)[1]: row.reason for row in await rows(bench, job_id)}  # type: ignore[attr-defined]
    assert found == {
        "ok.jpg": None,
        "again.jpg": Reason.DUPLICATE_EXACT,
        "404.jpg": Reason.HTTP_404,
        "html.jpg": Reason.NOT_AN_IMAGE,
        "tiny.png": Reason.TOO_SMALL,
        "cut.jpg": Reason.CORRUPT,
        "busy.jpg": Reason.SERVICE_UNAVAILABLE,
        "flaky.jpg": None,
        "x.jpg": Reason.BLOCKED_ADDRESS,
    }
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    assert await attempts.retry_figures(bench.db, job_id) == (8 + 2 + 2, 2, 1)
    assert len(origin.hits("/busy.jpg")) == 3


async def test_a_target_is_met_and_never_exceeded(bench: Bench, origin: Origin) -> None:
    """max_images takes no more than it needs of a long list, asks for more while it is short, and keeps exactly the target."""
    good = serve_photos(origin, 80)
    missing = [origin.url(f"/gone-{number}.jpg") for number in range(40)]
    job_id = await bench.submit([*missing, *good], max_images=12)

    await bench.drive()

    job, funnel = await bench.job(job_id), await bench.funnel(job_id)
    assert (job.state, funnel.kept) == (JobState.SUCCEEDED, 12)
    assert job.rounds > 0
    assert funnel.requested <= 100
    assert set(funnel.reasons) <= {"http_404", "over_target", "not_requested"}


async def test_a_short_job_says_why(bench: Bench, origin: Origin) -> None:
    """A target that the sources cannot meet ends partial, with the causes; nothing kept at all ends failed."""
    short = await bench.submit([*serve_photos(origin, 3), origin.url("/none.jpg")], max_images=10)
    await bench.drive()
    none = await bench.submit([origin.url("/none.jpg")])
    await bench.drive()

    partial, failed = await bench.job(short), await bench.job(none)
    assert partial.state is JobState.PARTIAL
    assert partial.shortfall is not None
    assert partial.shortfall["missing"] == 7
    assert any("the whole list was read" in cause for cause in partial.shortfall["causes"])
    assert (failed.state, failed.error) == (JobState.FAILED, "no image was kept")


async def test_compression_changes_what_leaves_and_not_what_came(bench: Bench, origin: Origin) -> None:
    """Resized, re-encoded bytes are exported; the original's digest stays on the row."""
    urls = serve_photos(origin, 3, width=640, height=480)
    job_id = await bench.submit(
        urls, compression={"format": "webp", "level": 80, "resize": "keep_ratio", "size": 100}, export_format="files"
    )

    await bench.drive()

    kept = await rows(bench, job_id, state=ImageState.KEPT)
    assert len(kept) == 3
    for row in kept:
        assert (row.out_media_type, row.out_height) == ("image/webp", 100)  # type: ignore[attr-defined]
        body = await bench.context.store.get(paths.blob(row.out_sha256))  # type: ignore[attr-defined]
        assert Image.open(io.BytesIO(body)).size == (row.out_width, row.out_height)  # type: ignore[attr-defined]
        assert row.sha256 != row.out_sha256  # type: ignore[attr-defined]
    (export,) = await datasets.exports_of_job(bench.db, job_id)
    listed = [json.loads(line) for line in (await bench.context.store.get(f"{export.prefix}/metadata.jsonl")).splitlines()]
    assert {item["file_name"].rsplit(".", 1)[1] for item in listed} == {"webp"}


async def test_a_bad_line_is_counted_and_the_rest_goes_on(bench: Bench, origin: Origin) -> None:
    """Garbage between good lines costs nothing but itself, and its line number is in the job's log."""
    urls = serve_photos(origin, 2)
    job_id = await bench.submit([urls[0], "not a url", urls[1], urls[0] + "#fragment"])

    await bench.drive()

    (search,) = await jobs.searches_of(bench.db, job_id)
    assert (search.found, search.new, search.bad, search.is_exhausted) == (4, 2, 1, True)
    assert (await bench.funnel(job_id)).kept == 2


async def test_a_retry_fetches_again_only_what_failed(bench: Bench, origin: Origin) -> None:
    """A retry is a job of its own on the same dataset: its attempts count afresh, what was kept is not requested again."""
    urls = serve_photos(origin, 3)
    origin.script("/late.jpg", reply(503), reply(503), reply(503), image(encode(photo(seed=99))))
    first = await bench.submit([*urls, origin.url("/late.jpg"), origin.url("/404.jpg")])
    await bench.drive()
    assert (await bench.funnel(first)).kept == 3

    second = (await submit_retry(bench.resources, first)).job_id
    await bench.drive()

    assert (await bench.job(second)).state is JobState.SUCCEEDED
    assert (await bench.funnel(second)).kept == 4
    assert len(origin.hits("/late.jpg")) == 4
    assert len(origin.hits("/404.jpg")) == len(origin.hits("/0.jpg")) == 1
    (export,) = await datasets.exports_of_job(bench.db, second)
    assert export.samples == 4


async def test_a_bug_in_a_unit_fails_the_job_and_a_revival_heals_it(bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected error ends its unit as dead with the error on its row; the rest goes on, and nothing is lost."""
    from app.db import lifecycle

    urls = serve_photos(origin, 12)
    job_id = await bench.submit(urls)
    await bench.drive(until=UnitKind.FETCH)
    chosen = [delivery for delivery in await bench.due() if delivery.kind is UnitKind.FETCH]
    real = bench.context.store.put_many

    async def broken(*_: object) -> str:
        raise LookupError("a bug")

    bench.context.store.put_many = broken  # type: ignore[method-assign,assignment]
    await bench.run(chosen[0])
    bench.context.store.put_many = real  # type: ignore[method-assign]
    await bench.drive()

    job = await bench.job(job_id)
    assert job.state is JobState.FAILED
    assert "LookupError: a bug" in str(job.error)
    assert [unit.state for unit in await units.dead_of(bench.db, job_id)] == [UnitState.DEAD]

    assert await lifecycle.revive(bench.db, job_id) == 1
    await bench.drive()
    assert (await bench.job(job_id)).state is JobState.SUCCEEDED
    assert (await bench.funnel(job_id)).kept == 12
