"""Checks and exports that a user asks for on their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event

from app.db import datasets, image_search, images
from app.db.image_search import ImageFilter
from app.domain import CheckKind, ImageState, JobState, Reason
from app.jobs.submit import submit_check, submit_export
from app.storage import paths
from tests.db.builders import add_images, add_job, claimed, statements, unit_ids
from tests.images.samples import encode, photo
from tests.origin import Origin, image
from tests.workers.bench import Bench
from workers.stages.deduplicate import MIN_ALIKE, WRITE_BATCH, update_images
from workers.unit import ClaimedUnit


async def built(bench: Bench, origin: Origin, count: int = 4, **request: object) -> str:
    """A finished dataset; returns its id."""
    for number in range(count):
        origin.script(f"/{number}.jpg", image(encode(photo(seed=number + 1))))
    job_id = await bench.submit([origin.url(f"/{number}.jpg") for number in range(count)], **request)
    await bench.drive()
    return (await bench.job(job_id)).dataset_id


async def test_changes_that_are_alike_are_one_statement(bench: Bench) -> None:
    """However they are mixed; where few are alike, each has its row. All end as they should."""
    job_id = await add_job(bench.db)
    ids = await add_images(bench.db, job_id, 2 * MIN_ALIKE)
    work = ClaimedUnit(bench.context, await claimed(bench.db, (await unit_ids(bench.db, job_id))[0]))
    for kinds in (2, 3):
        with statements(bench.db) as seen:
            changes = ({"id": image_id, "label": f"{kinds}:{image_id % kinds}"} for image_id in ids)
            assert await update_images(work, changes) == len(ids)
        updates = [statement for statement in seen if statement.startswith("UPDATE images")]
        assert len(updates) == (2 if kinds == 2 else 1)
        for image_id in ids[:7]:
            assert (await images.get(bench.db, image_id)).label == f"{kinds}:{image_id % kinds}"


async def test_any_number_of_changes_is_written_a_batch_at_a_time(bench: Bench) -> None:
    """A dataset's changes are neither one transaction nor one list: what is not written yet is not even made."""
    job_id = await add_job(bench.db)
    ids = await add_images(bench.db, job_id, 3)
    work = ClaimedUnit(bench.context, await claimed(bench.db, (await unit_ids(bench.db, job_id))[0]))
    made = 0

    def changes() -> Iterator[dict[str, Any]]:
        nonlocal made
        for number in range(2 * WRITE_BATCH + 1):
            made += 1
            yield {"id": ids[number % 3], "state": ImageState.KEPT}

    at_each: list[int] = []
    event.listen(bench.db.engine.sync_engine, "commit", lambda _: at_each.append(made))
    assert await update_images(work, changes()) == 2 * WRITE_BATCH + 1
    assert at_each == [WRITE_BATCH, 2 * WRITE_BATCH, 2 * WRITE_BATCH + 1]
    assert (await bench.funnel(job_id)).kept == 3


async def test_integrity_finds_a_changed_and_a_missing_object(bench: Bench, origin: Origin) -> None:
    """Every stored object is read again; what differs from its digest, or is gone, is listed."""
    dataset_id = await built(bench, origin)
    first, second, *_ = (await image_search.page(bench.db, ImageFilter(dataset_id=dataset_id))).items
    await bench.context.store.put(paths.blob(str(first.sha256)), b"something else")
    await bench.context.store.delete([paths.blob(str(second.sha256))])

    made = await submit_check(bench.resources, CheckKind.INTEGRITY, dataset_id=dataset_id)
    await bench.drive()

    report = (await datasets.get_check(bench.db, made.resource)).report
    assert report is not None
    assert (report["checked"], report["problem_count"]) == (4, 2)
    assert {item["problem"].partition(":")[0] for item in report["problems"]} == {"bytes differ", "missing"}
    assert (await bench.job(made.job_id)).state is JobState.SUCCEEDED


async def test_a_duplicate_check_reports_and_changes_nothing_unless_asked(bench: Bench, origin: Origin) -> None:
    """Kept images that look alike are listed; with apply they become duplicates."""
    body = encode(photo(640, 480, seed=7), quality=95)
    alike = encode(photo(640, 480, seed=7), quality=60)
    origin.script("/a.jpg", image(body))
    origin.script("/b.jpg", image(alike))
    job_id = await bench.submit([origin.url("/a.jpg"), origin.url("/b.jpg")], dedupe="exact")
    await bench.drive()
    dataset_id = (await bench.job(job_id)).dataset_id
    assert (await bench.funnel(job_id)).kept == 2

    looked = await submit_check(bench.resources, CheckKind.DUPLICATES, dataset_id=dataset_id, options={"near_distance": 8})
    await bench.drive()
    assert (await bench.funnel(job_id)).kept == 2
    applied = await submit_check(bench.resources, CheckKind.DUPLICATES, dataset_id=dataset_id, options={"near_distance": 8, "apply": True})
    await bench.drive()

    report = (await datasets.get_check(bench.db, looked.resource)).report
    assert report is not None
    assert (report["duplicates"], report["applied"]) == (1, False)
    assert (await datasets.get_check(bench.db, applied.resource)).report["applied"] is True  # type: ignore[index]
    (duplicate,) = (await image_search.page(bench.db, ImageFilter(dataset_id=dataset_id, state=ImageState.DUPLICATE))).items
    assert duplicate.reason is Reason.DUPLICATE_NEAR
    assert "of 64 bits" in str(duplicate.detail)


async def test_an_exact_copy_of_a_near_duplicate_says_so(bench: Bench, origin: Origin) -> None:
    """It stands behind the one that is kept, whose bytes are others."""
    best, alike = encode(photo(640, 480, seed=7), quality=95), encode(photo(640, 480, seed=7), quality=60)
    for name, body in (("best", best), ("alike", alike), ("copy", alike)):
        origin.script(f"/{name}.jpg", image(body))
    job_id = await bench.submit([origin.url(f"/{name}.jpg") for name in ("best", "alike", "copy")], dedupe="near")
    await bench.drive()
    rows = {row.url.rsplit("/", 1)[1]: row for row in (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items}
    best_id = rows["best.jpg"].id
    assert (rows["copy.jpg"].reason, rows["copy.jpg"].duplicate_of) == (Reason.DUPLICATE_EXACT, best_id)
    assert rows["copy.jpg"].detail == f"the same bytes as a near duplicate of image {best_id}"
    assert str(rows["alike.jpg"].detail).startswith(f"differs from image {best_id} in ")


async def test_validation_anew_at_another_level_changes_what_is_kept(bench: Bench, origin: Origin) -> None:
    """Larger minimum sizes reject, smaller ones bring back; nothing is fetched again."""
    dataset_id = await built(bench, origin)
    stricter = await submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=dataset_id, options={"min_width": 1000})
    await bench.drive()
    counts = {count.state: count.count for count in await images.counts(bench.db, dataset_id=dataset_id)}
    assert counts == {ImageState.REJECTED: 4}
    assert (await bench.job(stricter.job_id)).state is JobState.SUCCEEDED

    await submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=dataset_id, options={"level": "basic"})
    await bench.drive()
    counts = {count.state: count.count for count in await images.counts(bench.db, dataset_id=dataset_id)}
    assert counts == {ImageState.KEPT: 4}
    assert all(len(origin.hits(f"/{number}.jpg")) == 1 for number in range(4))


async def test_another_format_and_its_verification(bench: Bench, origin: Origin) -> None:
    """A dataset is exported again in another format; a verification of a damaged export fails it and says what is wrong."""
    dataset_id = await built(bench, origin)
    made = await submit_export(bench.resources, dataset_id, export_format="imagefolder")
    await bench.drive()
    export = await datasets.get_export(bench.db, made.resource)
    assert (export.state, export.samples, export.format) == ("ready", 4, "imagefolder")

    root = bench.context.store.local_path(str(export.prefix))
    assert isinstance(root, Path)
    next(path for path in root.rglob("*.jpg")).write_bytes(b"damaged")
    check = await submit_check(bench.resources, CheckKind.INTEGRITY, export=export)
    await bench.drive()

    damaged = await datasets.get_export(bench.db, made.resource)
    assert damaged.state == "failed"
    assert damaged.problems
    report = (await datasets.get_check(bench.db, check.resource)).report
    assert report is not None
    assert report["problems"] == damaged.problems


async def test_a_listed_digest_must_match(bench: Bench, origin: Origin) -> None:
    """A list that promises a sha256 gets it, or the image is rejected as corrupt."""
    import hashlib
    import json

    from app.db import new_id
    from app.jobs.submit import resolve_spec, submit_build
    from app.spec import JobRequest, ListSpec

    body = encode(photo(seed=3))
    origin.script("/good.jpg", image(body))
    origin.script("/swapped.jpg", image(encode(photo(seed=4))))
    digest = hashlib.sha256(body).hexdigest()
    rows = [{"url": origin.url(f"/{name}.jpg"), "sha256": digest} for name in ("good", "swapped")]
    key = paths.url_list(new_id("list"), ".jsonl")
    await bench.context.store.put(key, "\n".join(json.dumps(row) for row in rows).encode())
    spec = resolve_spec(bench.resources, JobRequest(urls=["x"]), url_list=ListSpec(key=key, suffix=".jsonl"))
    job_id = (await submit_build(bench.resources, spec, name="digests")).job_id
    await bench.drive()
    found = {
        row.url.rsplit("/", 1)[1]: (row.state, row.reason) for row in (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
    }
    assert found == {"good.jpg": (ImageState.KEPT, None), "swapped.jpg": (ImageState.REJECTED, Reason.CORRUPT)}
