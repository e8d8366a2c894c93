"""Checks and exports that a user asks for on their own."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from sqlalchemy import event

from app.db import datasets, image_search, images, new_id
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason
from app.export_spec import ExportRequest
from app.job_states import CheckKind, JobState
from app.jobs.settle import resolve_spec
from app.jobs.submit import submit_build, submit_check, submit_export, submit_retry
from app.spec import JobRequest, ListSpec
from app.storage import paths
from tests.db.builders import add_images, add_job, claimed, statements, unit_ids
from tests.images.samples import encode, photo
from tests.origin import Origin, image, redirect, reply
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


async def listed(bench: Bench, rows: Sequence[Mapping[str, Any]], **request: Any) -> str:
    """Submit a build of a list with these rows; returns the job's id."""
    key = paths.url_list(new_id("list"), ".jsonl")
    await bench.context.store.put(key, "\n".join(json.dumps(row) for row in rows).encode())
    spec = resolve_spec(bench.resources, JobRequest(urls=["x"], **request), url_list=ListSpec(key=key, suffix=".jsonl"))
    return (await submit_build(bench.resources, spec, name="listed")).job_id


async def outcomes(bench: Bench, job_id: str) -> dict[str, Reason | None]:
    """By the last part of its URL, the reason why an image is out, None where it is kept."""
    dataset_id = (await bench.job(job_id)).dataset_id
    rows = (await image_search.page(bench.db, ImageFilter(dataset_id=dataset_id))).items
    assert all((row.state is ImageState.KEPT) is (row.reason is None) for row in rows)
    return {row.url.rsplit("/", 1)[1]: row.reason for row in rows}


def shirt(colour: tuple[int, int, int]) -> Image.Image:
    """A shirt on a photo's ground, so that all have one hash."""
    ground = photo(320, 240, seed=3, noise=0)
    ImageDraw.Draw(ground).polygon([(80, 60), (140, 40), (180, 40), (240, 60), (220, 110), (210, 220), (110, 220), (100, 110)], fill=colour)
    return ground


async def test_recolours_are_kept_and_copies_are_not(bench: Bench, origin: Origin) -> None:
    """Shirts that differ in colour only are different pictures; a smaller, a poorer and a brighter copy of one are duplicates."""
    colours = {"red": (180, 40, 40), "blue": (40, 70, 200), "green": (20, 110, 50), "violet": (110, 40, 190), "brown": (120, 80, 30)}
    for name, colour in colours.items():
        origin.script(f"/{name}.jpg", image(encode(shirt(colour), quality=95)))
    red = shirt(colours["red"])
    copies = {"small": encode(red.resize((240, 180))), "poor": encode(red, quality=40), "bright": encode(red.point(lambda v: v * 1.08))}
    for name, body in copies.items():
        origin.script(f"/{name}.jpg", image(body))
    job_id = await bench.submit([origin.url(f"/{name}.jpg") for name in (*colours, *copies)])
    await bench.drive()
    assert await outcomes(bench, job_id) == {f"{name}.jpg": None for name in colours} | {
        f"{name}.jpg": Reason.DUPLICATE_NEAR for name in copies
    }


CONFLICT, EXACT = Reason.LABEL_CONFLICT, Reason.DUPLICATE_EXACT


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, {"cat": CONFLICT, "dog": CONFLICT, "plain": CONFLICT, "near": CONFLICT, "other": None}),
        ("keep-first", {"cat": None, "dog": CONFLICT, "plain": EXACT, "near": CONFLICT, "other": None}),
        ("keep-all", {"cat": None, "dog": None, "plain": EXACT, "near": None, "other": None}),
    ],
)
async def test_one_picture_with_several_labels(bench: Bench, origin: Origin, policy: Any, expected: dict[str, Reason | None]) -> None:
    """By default nothing of it is kept, and each image says why; where one image per label is kept, one blob is exported twice."""
    body, near = encode(photo(seed=1), quality=95), encode(photo(seed=1), quality=60)
    labels = {"cat": "cat", "dog": "dog", "plain": None, "near": "bird", "other": "dog"}
    for name in labels:
        origin.script(f"/{name}", image({"near": near, "other": encode(photo(seed=2))}.get(name, body)))
    rows = [{"url": origin.url(f"/{name}"), "label": label} for name, label in labels.items()]
    job_id = await listed(bench, rows, label_conflicts=policy, export_format="imagefolder")
    await bench.drive()
    assert await outcomes(bench, job_id) == expected
    job = await bench.job(job_id)
    page = await datasets.page_exports(bench.db, dataset_id=job.dataset_id, limit=9)
    assert [(export.state, export.samples) for export in page.items] == [("ready", sum(reason is None for reason in expected.values()))]
    items = (await image_search.page(bench.db, ImageFilter(dataset_id=job.dataset_id))).items
    if policy is None:
        assert items[0].detail == f"label 'cat', but image {items[1].id}, the same bytes, has label 'dog'"
        assert items[3].detail == f"label 'bird', but image {items[0].id}, nearly the same picture, has label 'cat'"
        assert all(item.duplicate_of for item in items[:4])
        assert job.short_classes == [
            {"label": label, "candidates": 1, "kept": 0, "reasons": {"label_conflict": 1}} for label in ("bird", "cat")
        ]


async def test_a_later_pass_meets_the_decisions_of_an_earlier_one(bench: Bench, origin: Origin) -> None:
    """A conflict with an image that is kept already takes both out, and a still later copy too; deciding again changes nothing."""
    body = encode(photo(seed=1))
    labels = {"cat": "cat", "late": "dog", "other": "cat"}
    for name in labels:
        origin.script(f"/{name}", image(encode(photo(seed=2)) if name == "other" else body))
    origin.script("/late", *[reply(503)] * 3, image(body))
    rows = [{"url": origin.url(f"/{name}"), "label": label} for name, label in labels.items()]
    first = await listed(bench, rows)
    await bench.drive()
    assert await outcomes(bench, first) == {"cat": None, "late": Reason.SERVICE_UNAVAILABLE, "other": None}
    await submit_retry(bench.resources, first)
    await bench.drive()
    expected = {"cat": CONFLICT, "late": CONFLICT, "other": None}
    assert await outcomes(bench, first) == expected
    dataset_id = (await bench.job(first)).dataset_id
    (other,) = (await image_search.page(bench.db, ImageFilter(dataset_id=dataset_id, state=ImageState.KEPT))).items
    async with bench.db.write() as connection:  # what a pass after that finds: the picture once more, with one of the labels
        await images.update_many(connection, [{"id": other.id, "sha256": hashlib.sha256(body).hexdigest(), "phash": None}])
    for _ in range(2):
        await submit_check(bench.resources, CheckKind.VALIDATION, dataset_id=dataset_id)
        await bench.drive()
        assert await outcomes(bench, first) == expected | {"other": CONFLICT}


async def test_a_picture_that_many_urls_of_a_site_give_is_a_placeholder(bench: Bench, origin: Origin) -> None:
    """Redirected to, served with 200, encoded anew for each request; over all chunks, with any labels, and none of it is kept."""
    gone = photo(200, 100, seed=9)
    origin.script("/removed.png", image(encode(gone, "PNG")))
    expected: dict[str, Reason | None] = {}
    for n in range(21):
        name = f"{n}.jpg"
        if n % 3 == 0:
            origin.script(f"/{name}", redirect("/removed.png"))
        else:
            text = PngInfo()
            text.add_text("request", str(n))
            body = encode(photo(seed=n + 10)) if n % 3 == 1 else encode(photo(160, 120, seed=8), "PNG", pnginfo=text)
            origin.script(f"/{name}", image(body))
        expected[name] = None if n % 3 == 1 else Reason.PLACEHOLDER
    rows = [{"url": origin.url(f"/{name}"), "label": f"class {n % 4}", "caption": f"caption {n}"} for n, name in enumerate(expected)]
    job_id = await listed(bench, rows)
    await bench.drive()
    assert await outcomes(bench, job_id) == expected
    assert (await bench.funnel(job_id)).unique == 7


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
    made = await submit_export(bench.resources, dataset_id, ExportRequest(export_format="imagefolder"))
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
    body = encode(photo(seed=3))
    origin.script("/good.jpg", image(body))
    origin.script("/swapped.jpg", image(encode(photo(seed=4))))
    digest = hashlib.sha256(body).hexdigest()
    rows = [{"url": origin.url(f"/{name}.jpg"), "sha256": digest} for name in ("good", "swapped")]
    job_id = await listed(bench, rows)
    await bench.drive()
    found = {
        row.url.rsplit("/", 1)[1]: (row.state, row.reason) for row in (await image_search.page(bench.db, ImageFilter(job_id=job_id))).items
    }
    assert found == {"good.jpg": (ImageState.KEPT, None), "swapped.jpg": (ImageState.REJECTED, Reason.CORRUPT)}
