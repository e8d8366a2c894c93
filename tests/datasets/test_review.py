"""Decisions of people: they hold for exports and later versions, are never lost to one another, and can be taken back."""

import asyncio
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from PIL import Image
from sqlalchemy import select

import errors
from app.datasets import review
from app.datasets.forget import forget
from app.datasets.merge import submit_merge
from app.datasets.review import Decision, Outcome, Seen, Targets, changes_of, decide
from app.datasets.undo import undo
from app.db import Database, datasets, reviews, tables, versions
from app.db.exceptions import KeyReused, StateConflict
from app.db.image_search import ImageFilter
from app.domain import ImageState, Reason, StoredImage
from app.export_spec import ExportRequest
from app.jobs.submit import Caller, submit_check, submit_export
from app.review_actions import ReviewAction, Reviewed
from app.rules import CompressionRules
from app.spec import ListedImage
from app.storage import paths
from tests.datasets.test_update import Library, any_bench, built, library, rows_of, updated
from tests.db.builders import add_images, add_job, dataset_of
from tests.images.samples import encode, photo
from tests.workers.bench import Bench, open_bench

__all__ = ["any_bench", "library"]

KEEP, REJECT = Decision(ReviewAction.KEEP), Decision(ReviewAction.REJECT, note="watermark")


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with open_bench(tmp_path / "workspace", {"fetch.per_host": 16, "jobs.chunk_size": 50, "validate.max_pixels": 20_000}) as opened:
        yield opened


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


BLANK = png(Image.new("RGB", (160, 120), "white"))


def labelled(urls: list[str], label: str = "cat") -> list[Any]:
    """A list whose rows have a label."""
    return [ListedImage(url=url, label=label) for url in urls]


def named(*images: StoredImage | int) -> Targets:
    """These images, without a look at them."""
    return Targets([Seen(image if isinstance(image, int) else image.id) for image in images])


def seen(*images: StoredImage) -> Targets:
    """These images as they are."""
    return Targets([Seen(image.id, image.state, image.review_id, has_review_id=True) for image in images])


async def decided(bench: Bench, dataset_id: str, decision: Decision, targets: Targets, user_id: str = "local", **caller: Any) -> Outcome:
    return await decide(bench.resources, dataset_id, decision, targets, caller=Caller(user_id, **caller))


async def by_path(bench: Bench, dataset_id: str) -> dict[str, StoredImage]:
    """The images of a dataset by the last part of their URLs."""
    return {url.rpartition("/")[2]: row for url, row in (await rows_of(bench, dataset_id)).items()}


async def exported(bench: Bench, dataset_id: str, export_format: str = "jsonl") -> dict[str, Any]:
    """The lines of an export by the last part of their URLs."""
    made = await submit_export(bench.resources, dataset_id, ExportRequest(export_format=export_format))
    await bench.drive()
    export = await datasets.get_export(bench.db, made.resource)
    assert (export.state, export.problems) == ("ready", [])
    body = await bench.resources.store.get(f"{paths.export(export.id)}/images.jsonl")
    return {row["url"].rpartition("/")[2]: row for row in map(orjson.loads, body.splitlines())}


async def test_an_export_obeys(bench: Bench, library: Library) -> None:
    """What was rejected is absent, what a check had rejected and a person keeps is there, and a new label is the label."""
    library.pictures["/blank.png"] = BLANK
    dataset_id = await built(bench, labelled([*library.hang(range(6)), library.url("/blank.png")]))
    rows = await by_path(bench, dataset_id)
    assert (rows["blank.png"].state, rows["blank.png"].reason) == (ImageState.REJECTED, Reason.LOW_INFORMATION)
    assert (await decided(bench, dataset_id, REJECT, seen(rows["0.jpg"]))).decided == 1
    assert (await decided(bench, dataset_id, KEEP, seen(rows["blank.png"]))).decided == 1
    assert (await decided(bench, dataset_id, Decision(ReviewAction.RELABEL, "dog"), seen(rows["1.jpg"]))).decided == 1
    lines = await exported(bench, dataset_id)
    assert sorted(lines) == ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "blank.png"]
    assert {name: line["label"] for name, line in lines.items()} == dict.fromkeys(lines, "cat") | {"1.jpg": "dog"}
    assert lines["blank.png"]["split"] in ("train", "test")
    (newest, first) = await versions.of_lineage(bench.db, dataset_id)
    assert (newest.kind, first.kind, newest.digest != first.digest) == ("review", "build", True)


@pytest.mark.parametrize("export_format", ["imagefolder", "webdataset", "parquet", "coco"])
async def test_every_form_of_an_export_obeys(bench: Bench, library: Library, export_format: str) -> None:
    """Its verification reads back the images that are kept now, no more and no less."""
    library.pictures["/blank.png"] = BLANK
    dataset_id = await built(bench, labelled([*library.hang(range(4)), library.url("/blank.png")]))
    rows = await by_path(bench, dataset_id)
    for decision, name in ((REJECT, "0.jpg"), (KEEP, "blank.png"), (Decision(ReviewAction.RELABEL, "dog"), "1.jpg")):
        assert (await decided(bench, dataset_id, decision, seen(rows[name]))).decided == 1
    made = await submit_export(bench.resources, dataset_id, ExportRequest(export_format=export_format))
    await bench.drive()
    export = await datasets.get_export(bench.db, made.resource)
    assert (export.state, export.problems, export.samples) == ("ready", [], 4)
    manifest = orjson.loads(await bench.resources.store.get(f"{paths.export(export.id)}/manifest.json"))
    assert manifest["labels"] == {"cat": 3, "dog": 1}


async def test_what_a_person_keeps_leaves_in_the_form_of_the_dataset(bench: Bench, library: Library) -> None:
    """A check rejected it before it was compressed; its form is derived for the export."""
    library.pictures["/blank.png"] = BLANK
    rules = CompressionRules(format="webp", resize="longest", size=64)
    dataset_id = await built(bench, [*library.hang(range(3)), library.url("/blank.png")], compression=rules)
    rows = await by_path(bench, dataset_id)
    assert rows["blank.png"].out_sha256 is None
    await decided(bench, dataset_id, KEEP, seen(rows["blank.png"]))
    lines = await exported(bench, dataset_id)
    assert {(line["media_type"], max(line["width"], line["height"])) for line in lines.values()} == {("image/webp", 64)}


async def test_an_image_that_was_never_decoded_is_decoded_first(bench: Bench, library: Library) -> None:
    """Its header alone was too large for the check. It is measured like the others; one that does not decode is not kept."""
    library.pictures["/large.jpg"] = encode(photo(400, 300, seed=77))
    library.pictures["/broken.jpg"] = encode(photo(160, 120, seed=78))[:400]
    urls = [*library.hang(range(2)), library.url("/large.jpg"), library.url("/broken.jpg")]
    dataset_id = await built(bench, urls)
    rows = await by_path(bench, dataset_id)
    large, broken = rows["large.jpg"], rows["broken.jpg"]
    assert (large.reason, large.phash, broken.reason) == (Reason.TOO_MANY_PIXELS, None, Reason.CORRUPT)
    outcome = await decided(bench, dataset_id, KEEP, seen(large, broken))
    assert (outcome.decided, outcome.refused) == (1, 1)
    assert "do not decode" in outcome.refusals[0].why
    now = await by_path(bench, dataset_id)
    assert (now["large.jpg"].state, now["large.jpg"].width, len(str(now["large.jpg"].phash))) == (ImageState.KEPT, 400, 16)
    assert now["broken.jpg"] == broken
    assert await bench.resources.store.get(paths.thumb(str(large.sha256)))


async def test_bytes_that_are_lost_are_not_kept(bench: Bench, library: Library) -> None:
    """The row stays as it is, and says nothing of a decision."""
    library.pictures["/blank.png"] = BLANK
    dataset_id = await built(bench, [*library.hang(range(1)), library.url("/blank.png")])
    blank = (await by_path(bench, dataset_id))["blank.png"]
    await bench.resources.store.delete([paths.blob(str(blank.sha256))])
    outcome = await decided(bench, dataset_id, KEEP, seen(blank))
    assert (outcome.decided, [refusal.why for refusal in outcome.refusals]) == (0, ["its bytes are not in the store any more, or damaged"])
    assert (await by_path(bench, dataset_id))["blank.png"] == blank


async def test_two_reviewers_at_once(any_bench: Bench, library: Library) -> None:
    """Both saw the same; the first decision holds, the second is told who was faster and when, and what holds is nowhere half-written."""
    dataset_id = await built(any_bench, library.hang(range(4)))
    async with any_bench.db.write() as connection:
        await connection.execute(tables.datasets.update().values(user_id="team"))
    rows = list((await rows_of(any_bench, dataset_id)).values())
    one, other = await asyncio.gather(
        decided(any_bench, dataset_id, REJECT, seen(*rows), "team"), decided(any_bench, dataset_id, KEEP, seen(*rows), "team")
    )
    assert sorted([(one.decided, one.refused), (other.decided, other.refused)]) == [(0, 4), (4, 0)]
    winner, loser = (one, other) if one.decided else (other, one)
    now = list((await rows_of(any_bench, dataset_id)).values())
    assert {row.reviewed for row in now} == {winner.action}
    for refusal, row in zip(loser.refusals, now, strict=True):
        assert (refusal.code, refusal.by, refusal.at) == ("conflict", "team", row.reviewed_at)
        assert f"team decided {winner.action} at" in refusal.why
    assert len((await reviews.page(any_bench.db, dataset_id)).items) == 4


async def test_a_batch_is_decided_once_however_often_it_is_sent(any_bench: Bench, library: Library) -> None:
    """The same key gives the same batch; with another request it is refused."""
    dataset_id = await built(any_bench, library.hang(range(3)))
    rows = list((await rows_of(any_bench, dataset_id)).values())
    sent = [await decided(any_bench, dataset_id, REJECT, seen(*rows), idempotency=("key-1", "body")) for _ in range(2)]
    assert sent[0].batch_id == sent[1].batch_id
    assert [(outcome.decided, outcome.refused) for outcome in sent] == [(3, 0), (3, 0)]
    assert len((await reviews.page(any_bench.db, dataset_id)).items) == 3
    with pytest.raises(KeyReused):
        await decided(any_bench, dataset_id, KEEP, seen(*rows), idempotency=("key-1", "another body"))


async def test_a_whole_filter_in_bulk(any_database: Database, tmp_path: Path) -> None:
    """Ten thousand rows by one call, in transactions of some hundred; the count that was confirmed must still be right."""
    resources = _only(any_database)
    job_id = await add_job(any_database)
    dataset_id = await dataset_of(any_database, job_id)
    out = {"state": ImageState.KEPT, "sha256": "a" * 64, "label": "cat", "split": "train"}
    await add_images(any_database, job_id, 10_000, changes=out)
    await add_images(any_database, job_id, 5, first=10_000, chunk_id="chunk_b", changes=out | {"label": "dog"})
    async with any_database.write() as connection:
        await connection.execute(tables.jobs.update().values(state="succeeded"))
    targets = Targets(matching=ImageFilter(label="cat"), expected=9_999)
    with pytest.raises(StateConflict, match=r"10.000 images match now, and 9.999 were expected"):
        await decide(resources, dataset_id, REJECT, targets)
    outcome = await decide(resources, dataset_id, REJECT, Targets(matching=ImageFilter(label="cat"), where="label = cat", expected=10_000))
    assert (outcome.decided, outcome.refused) == (10_000, 0)
    c = tables.images.c
    async with any_database.read() as connection:
        rows = (await connection.execute(select(c.state, c.label).where(c.reviewed.is_(None)))).all()
    assert [(row.state, row.label) for row in rows] == [("kept", "dog")] * 5
    assert (await undo(resources, outcome.batch_id)).decided == 10_000


def _only(db: Database) -> Any:
    """Resources of which only the database is used."""
    return SimpleNamespace(db=db)


async def test_undo_restores_what_was(bench: Bench, library: Library) -> None:
    """Label, split, reason and the decision before; undoing the undo brings the decision back."""
    dataset_id = await built(bench, labelled(library.hang(range(3))))
    before = await by_path(bench, dataset_id)
    batch = await decided(bench, dataset_id, REJECT, seen(*before.values()))
    after = await by_path(bench, dataset_id)
    back = await undo(bench.resources, batch.batch_id)
    assert (back.decided, back.action) == (3, "undo")
    assert decisions(await by_path(bench, dataset_id)) == decisions(before)
    assert (await undo(bench.resources, batch.batch_id)).unchanged == 3
    assert (await undo(bench.resources, back.batch_id)).decided == 3
    assert decisions(await by_path(bench, dataset_id)) == decisions(after)
    history = await reviews.of_image(bench.db, before["0.jpg"].id)
    assert [(item.action, item.undone_by is not None) for item in history] == [("reject", True), ("undo", True), ("undo", False)]


async def test_what_is_removed_on_request_leaves_the_decisions_too(any_bench: Bench, library: Library) -> None:
    """Notes and digests go; that somebody decided stays, and cannot be taken back. Decisions about others keep theirs."""
    bench = any_bench
    dataset_id = await built(bench, labelled(library.hang(range(2))))
    gone, other = (await by_path(bench, dataset_id)).values()
    batch = await decided(bench, dataset_id, replace(REJECT, note="shows Jane Doe"), named(gone, other))
    await forget(bench.resources, [gone.url], user_id="local")
    (redacted,) = await reviews.of_image(bench.db, gone.id)
    assert (redacted.action, redacted.user_id, redacted.note) == ("reject", "local", None)
    assert "Jane Doe" not in str(redacted)
    assert str(gone.sha256) not in str(redacted)
    assert redacted.before["label"] == "cat"
    (whole,) = await reviews.of_image(bench.db, other.id)
    assert (whole.note, whole.after["detail"], whole.before["sha256"]) == ("shows Jane Doe", "shows Jane Doe", other.sha256)
    back = await undo(bench.resources, batch.batch_id)
    assert (back.decided, [refusal.image_id for refusal in back.refusals]) == (1, [gone.id])


def decisions(rows: Mapping[str, StoredImage]) -> dict[str, Any]:
    return {name: {column: getattr(row, column) for column in reviews.DECIDED} for name, row in rows.items()}


async def test_undo_leaves_a_later_decision_alone(bench: Bench, library: Library) -> None:
    """And names the image with who decided since, and when; the others are as before."""
    dataset_id = await built(bench, library.hang(range(3)))
    rows = await by_path(bench, dataset_id)
    batch = await decided(bench, dataset_id, REJECT, seen(*rows.values()))
    await decided(bench, dataset_id, KEEP, named(rows["1.jpg"]))
    back = await undo(bench.resources, batch.batch_id)
    now = await by_path(bench, dataset_id)
    assert (back.decided, back.refused) == (2, 1)
    (refusal,) = back.refusals
    assert (refusal.image_id, refusal.by, refusal.at) == (rows["1.jpg"].id, "local", now["1.jpg"].reviewed_at)
    assert {name: (row.state.value, row.reviewed) for name, row in now.items()} == {
        "0.jpg": ("kept", None),
        "1.jpg": ("kept", "keep"),
        "2.jpg": ("kept", None),
    }


async def test_an_update_obeys(bench: Bench, library: Library) -> None:
    """A rejected URL stays out and so do its bytes elsewhere, a kept one stays in, a label stays, and somebody can see why."""
    library.pictures["/blank.png"] = BLANK
    dataset_id = await built(bench, labelled([*library.hang(range(5)), library.url("/blank.png")]), label="cat")
    rows = await by_path(bench, dataset_id)
    await decided(bench, dataset_id, REJECT, seen(rows["0.jpg"]))
    await decided(bench, dataset_id, KEEP, seen(rows["blank.png"]))
    await decided(bench, dataset_id, Decision(ReviewAction.RELABEL, "dog"), seen(rows["1.jpg"]))
    library.pictures["/copy.jpg"] = library.pictures["/0.jpg"]
    (new,) = library.hang([9])
    job_id = await updated(bench, dataset_id, [*rows_urls(rows), library.url("/copy.jpg"), new])
    newer = (await bench.job(job_id)).dataset_id
    now = await by_path(bench, newer)
    assert newer != dataset_id
    assert (now["0.jpg"].state, now["0.jpg"].reason, now["0.jpg"].reviewed_by) == ("rejected", "rejected_by_reviewer", "local")
    assert (now["copy.jpg"].state, now["copy.jpg"].reason, now["copy.jpg"].reviewed) == ("rejected", "rejected_by_reviewer", None)
    assert now["copy.jpg"].duplicate_of == now["0.jpg"].id
    assert (now["blank.png"].state, now["blank.png"].reviewed) == ("kept", "keep")
    assert (now["1.jpg"].label, now["2.jpg"].label, now["9.jpg"].state) == ("dog", "cat", "kept")
    log = (await reviews.page(bench.db, newer)).items
    assert {(item.image_id, item.action, item.batch_id) for item in log} == {
        (now["0.jpg"].id, "reject", None),
        (now["blank.png"].id, "keep", None),
        (now["1.jpg"].id, "relabel", None),
    }


def rows_urls(rows: Mapping[str, StoredImage]) -> list[str]:
    return [row.url for row in rows.values()]


async def test_other_bytes_are_to_be_reviewed_again(bench: Bench, library: Library) -> None:
    """What was decided about the old picture does not hold for the new one, and the row says so."""
    library.pictures["/blank.png"] = BLANK
    dataset_id = await built(bench, [*library.hang(range(2)), library.url("/blank.png")])
    rows = await by_path(bench, dataset_id)
    await decided(bench, dataset_id, KEEP, seen(rows["blank.png"], rows["0.jpg"]))
    library.pictures["/blank.png"] = png(Image.new("RGB", (160, 120), "black"))
    job_id = await updated(bench, dataset_id)
    now = await by_path(bench, (await bench.job(job_id)).dataset_id)
    assert (now["blank.png"].state, now["blank.png"].reason, now["blank.png"].reviewed) == ("rejected", "low_information", "changed")
    assert (now["0.jpg"].state, now["0.jpg"].reviewed) == ("kept", "keep")


async def test_another_validation_obeys(bench: Bench, library: Library) -> None:
    """In place: what a person keeps stays, whatever the level, also where a header alone fails; what is rejected stays out."""
    library.pictures |= {"/blank.png": BLANK, "/large.jpg": encode(photo(400, 300, seed=77))}
    dataset_id = await built(bench, [*library.hang(range(3)), library.url("/blank.png"), library.url("/large.jpg")])
    rows = await by_path(bench, dataset_id)
    await decided(bench, dataset_id, KEEP, seen(rows["blank.png"], rows["large.jpg"]))
    await decided(bench, dataset_id, REJECT, seen(rows["0.jpg"]))
    await submit_check(bench.resources, "validation", dataset_id=dataset_id, options={"level": "strict"})
    await bench.drive()
    now = {name: row.state.value for name, row in (await by_path(bench, dataset_id)).items()}
    assert now == {"0.jpg": "rejected", "1.jpg": "kept", "2.jpg": "kept", "blank.png": "kept", "large.jpg": "kept"}


async def test_a_merge_obeys_the_newest_decision_about_a_picture(bench: Bench, library: Library) -> None:
    """Whichever dataset it was made in: rejected in one is out, though another keeps the URL; a label that was given wins."""
    urls = library.hang(range(4))
    one, two = [await built(bench, labelled(urls)) for _ in range(2)]
    rows, others = await by_path(bench, one), await by_path(bench, two)
    await decided(bench, two, REJECT, seen(others["0.jpg"]))
    await decided(bench, one, REJECT, seen(rows["1.jpg"]))
    await decided(bench, two, Decision(ReviewAction.RELABEL, "dog"), seen(others["2.jpg"]))
    made = await submit_merge(bench.resources, [one, two])
    await bench.drive()
    now = await by_path(bench, (await bench.job(made.job_id)).dataset_id)
    assert {name: row.state.value for name, row in now.items()} == {
        "0.jpg": "rejected",
        "1.jpg": "rejected",
        "2.jpg": "kept",
        "3.jpg": "kept",
    }
    assert (now["2.jpg"].label, now["3.jpg"].label) == ("dog", "cat")
    assert {item.image_id for item in (await reviews.page(bench.db, now["0.jpg"].dataset_id)).items} == {
        now[f"{at}.jpg"].id for at in range(3)
    }


async def test_no_review_while_a_job_works_on_the_dataset(bench: Bench, library: Library) -> None:
    """The job is named; nothing is changed. A job that makes another version of it counts too."""
    dataset_id = await built(bench, library.hang(range(2)))
    rows = await by_path(bench, dataset_id)
    made = await submit_check(bench.resources, "validation", dataset_id=dataset_id)
    with pytest.raises(StateConflict, match=f"job {made.job_id} works with dataset {dataset_id}"):
        await decided(bench, dataset_id, REJECT, seen(*rows.values()))
    await bench.drive()
    assert (await decided(bench, dataset_id, REJECT, named(*rows.values()))).decided == 2


async def test_what_is_refused_says_why(bench: Bench, library: Library) -> None:
    """Each of the others is decided."""
    dataset_id = await built(bench, [*library.hang(range(2)), library.url("/none.jpg")])
    rows = await by_path(bench, dataset_id)
    async with bench.db.write() as connection:
        gone = tables.images.update().where(tables.images.c.id == rows["1.jpg"].id)
        await connection.execute(gone.values(state=ImageState.TOMBSTONED, reason=Reason.TOMBSTONED))
    outcome = await decided(bench, dataset_id, KEEP, named(*rows.values(), 10**9))
    assert (outcome.decided, outcome.refused) == (1, 3)
    assert {refusal.image_id: (refusal.code, refusal.why.split(":")[0]) for refusal in outcome.refusals} == {
        rows["1.jpg"].id: ("refused", "it was removed on request, which a review does not change"),
        rows["none.jpg"].id: ("refused", "it is failed"),
        10**9: ("not_found", f"dataset {dataset_id} has no image 1000000000"),
    }


async def test_another_user_finds_no_dataset_and_no_batch(bench: Bench, library: Library) -> None:
    """As if there were none."""
    dataset_id = await built(bench, library.hang(range(1)))
    rows = await by_path(bench, dataset_id)
    with pytest.raises(errors.NotFoundError):
        await decided(bench, dataset_id, REJECT, seen(*rows.values()), "eve")
    batch = await decided(bench, dataset_id, REJECT, seen(*rows.values()))
    for batch_id in (batch.batch_id, "rev_none"):
        with pytest.raises(errors.NotFoundError, match=f"no review {batch_id}"):
            await undo(bench.resources, batch_id, caller=Caller("eve"))


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        (Decision(ReviewAction.RELABEL), "label: relabel needs the new label"),
        (Decision(ReviewAction.REJECT, "dog"), "label: an image that is rejected gets none"),
        (Decision(ReviewAction.RELABEL, "x" * 101), "must have 1 to 100 printable characters"),
        (Decision(ReviewAction.KEEP, " "), "must have 1 to 100 printable characters"),
        (Decision(ReviewAction.RELABEL, "a\nb"), "must have 1 to 100 printable characters"),
        (Decision(ReviewAction.KEEP, note="n" * 1001), "note: 1001 characters, at most 1,000"),
    ],
)
def test_a_decision_that_cannot_be_stored(decision: Decision, words: str) -> None:
    """The message names the field."""
    with pytest.raises(errors.ValidationError, match=words):
        review.check_decision(decision)


IMAGE = StoredImage(7, "ds_1", "job_1", None, "http://h/a.jpg", "list", ImageState.KEPT, label="cat", split="test", sha256="a" * 64)
RELABEL = Decision(ReviewAction.RELABEL, "dog")
CONFIRMED: dict[str, Any] = dict.fromkeys(("reason", "detail", "evidence", "duplicate_of")) | {"reviewed": Reviewed.KEEP}


@pytest.mark.parametrize(
    ("columns", "decision", "changes"),
    [
        ({}, KEEP, CONFIRMED),
        ({"reviewed": "keep"}, KEEP, {}),
        ({}, RELABEL, {"label": "dog", "labels": None, "reviewed_label": "dog", "reviewed": Reviewed.RELABEL}),
        ({"reviewed": "keep"}, RELABEL, {"label": "dog", "labels": None, "reviewed_label": "dog", "reviewed": "keep"}),
        ({"reviewed": "relabel", "label": "dog", "reviewed_label": "dog"}, RELABEL, {}),
        (
            {"state": ImageState.REJECTED, "reason": Reason.BLURRY},
            Decision(ReviewAction.KEEP, "dog"),
            CONFIRMED | {"state": ImageState.KEPT, "label": "dog", "labels": None, "reviewed_label": "dog", "split": "train"},
        ),
    ],
)
def test_a_decision_changes_no_more_than_it_says(columns: dict[str, Any], decision: Decision, changes: dict[str, Any]) -> None:
    """A kept image stays in its split; a new label leaves the state alone, and a decision that stands already changes nothing."""
    assert changes_of(replace(IMAGE, **columns), decision, "cat", "train") == changes


async def test_no_limit_takes_out_what_a_person_keeps(bench: Bench, library: Library) -> None:
    """Neither a target, nor a limit for its label, nor a selection: in the next version it is there beside those that they take."""
    urls = [*labelled(library.hang(range(3))), *labelled(library.hang([7]), "dog")]
    dataset_id = await built(bench, urls, where="label = cat", max_per_label=2)
    rows = await by_path(bench, dataset_id)
    over = next(name for name, row in rows.items() if row.reason is Reason.OVER_TARGET)
    assert rows["7.jpg"].reason is Reason.NOT_SELECTED
    await decided(bench, dataset_id, KEEP, seen(rows["7.jpg"], rows[over]))
    (new,) = library.hang([9])
    job_id = await updated(bench, dataset_id, [*rows_urls(rows), new])
    now = await by_path(bench, (await bench.job(job_id)).dataset_id)
    assert {name: row.state.value for name, row in now.items() if row.label is not None} == dict.fromkeys(rows, "kept")
