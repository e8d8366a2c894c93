"""Groups of duplicates: another image kept instead, and a member that a person calls a picture of its own; later comparisons obey."""

import io
from typing import Any

import pytest
from PIL import Image, ImageEnhance

import errors
from app.datasets import duplicates
from app.datasets.review import Seen
from app.datasets.undo import undo
from app.db import reviews, tables
from app.db.exceptions import StateConflict
from app.domain import ImageState, StoredImage
from app.jobs.submit import Caller, submit_check
from tests.datasets.test_review import any_bench, bench, by_path, decisions, exported, labelled, library, seen
from tests.datasets.test_update import Library, built, updated
from tests.workers.bench import Bench

__all__ = ["any_bench", "bench", "library"]


def nearly(body: bytes, brightness: float = 1.1) -> bytes:
    """Nearly the same picture, of the same size."""
    buffer = io.BytesIO()
    ImageEnhance.Brightness(Image.open(io.BytesIO(body))).enhance(brightness).save(buffer, "JPEG", quality=70)
    return buffer.getvalue()


async def grouped(bench: Bench, library: Library) -> str:
    """A dataset of four pictures, of which one has two copies."""
    urls = library.hang(range(4))
    library.pictures |= {"/same.jpg": library.pictures["/0.jpg"], "/near.jpg": nearly(library.pictures["/0.jpg"])}
    return await built(bench, labelled([*urls, library.url("/same.jpg"), library.url("/near.jpg")]))


async def groups_of(bench: Bench, dataset_id: str) -> list[tuple[str, dict[str, int | None]]]:
    """The groups: the last part of the kept image's URL, and of the others with their distances, None for the same bytes."""
    page = await duplicates.groups(bench.resources, dataset_id, user_id="local")
    return [
        (name_of(group.kept), {name_of(one.image): None if one.is_exact else one.distance for one in group.members}) for group in page.items
    ]


def name_of(image: StoredImage) -> str:
    return image.url.rpartition("/")[2]


async def test_a_group_is_the_kept_image_and_its_copies(any_bench: Bench, library: Library) -> None:
    """With the distance of each; a page holds so many groups."""
    dataset_id = await grouped(any_bench, library)
    assert await groups_of(any_bench, dataset_id) == [("0.jpg", {"same.jpg": None, "near.jpg": 0})]
    page = await duplicates.groups(any_bench.resources, dataset_id, user_id="local", limit=1)
    assert ([group.number for group in page.items], page.next_cursor) == ([2], None)


async def test_another_image_is_kept_instead(any_bench: Bench, library: Library) -> None:
    """It takes the label and the split of the other one, which is a duplicate of it now, as are the rest; undo brings all of it back."""
    dataset_id = await grouped(any_bench, library)
    before = await by_path(any_bench, dataset_id)
    target = seen(before["near.jpg"]).images[0]
    outcome = await duplicates.keep_instead(any_bench.resources, dataset_id, target, note="sharper")
    assert (outcome.decided, outcome.refused) == (1, 0)
    now = await by_path(any_bench, dataset_id)
    assert (now["near.jpg"].state, now["near.jpg"].reason, now["near.jpg"].reviewed) == ("kept", None, "keep")
    assert (now["near.jpg"].label, now["near.jpg"].split) == ("cat", before["0.jpg"].split)
    assert (now["0.jpg"].state, now["0.jpg"].reason, now["0.jpg"].reviewed) == ("duplicate", "duplicate_near", "replaced")
    assert {now[name].duplicate_of for name in ("0.jpg", "same.jpg")} == {now["near.jpg"].id}
    assert (now["same.jpg"].reviewed, now["same.jpg"].review_id) == (None, None)
    ((kept, copies),) = await groups_of(any_bench, dataset_id)
    assert (kept, copies.keys()) == ("near.jpg", {"0.jpg", "same.jpg"})
    assert (await undo(any_bench.resources, outcome.batch_id)).decided == 3
    assert decisions(await by_path(any_bench, dataset_id)) == decisions(before)


async def test_what_is_kept_instead_stays_so(bench: Bench, library: Library) -> None:
    """In the export, after another comparison, and in the next version, though the other one ranks higher."""
    dataset_id = await grouped(bench, library)
    rows = await by_path(bench, dataset_id)
    await duplicates.keep_instead(bench.resources, dataset_id, seen(rows["near.jpg"]).images[0])
    assert sorted(await exported(bench, dataset_id)) == ["1.jpg", "2.jpg", "3.jpg", "near.jpg"]
    await submit_check(bench.resources, "validation", dataset_id=dataset_id)
    await bench.drive()
    assert (await groups_of(bench, dataset_id))[0][0] == "near.jpg"
    library.hang([9])
    job_id = await updated(bench, dataset_id, [row.url for row in rows.values()] + [library.url("/9.jpg")])
    newer = (await bench.job(job_id)).dataset_id
    assert newer != dataset_id
    now = await by_path(bench, newer)
    assert {name: now[name].state.value for name in ("near.jpg", "0.jpg", "same.jpg")} == {
        "near.jpg": "kept",
        "0.jpg": "duplicate",
        "same.jpg": "duplicate",
    }


async def test_a_member_that_is_split_off_is_kept_beside_the_other(bench: Bench, library: Library) -> None:
    """In the same split, since they are alike, and for good: another comparison does not join them again, nor does an update."""
    dataset_id = await grouped(bench, library)
    rows = await by_path(bench, dataset_id)
    outcome = await duplicates.split_group(bench.resources, dataset_id, seen(rows["near.jpg"]).images[0])
    assert outcome.decided == 1
    now = await by_path(bench, dataset_id)
    assert (now["near.jpg"].state, now["near.jpg"].split, now["near.jpg"].label) == ("kept", now["0.jpg"].split, "cat")
    assert (await groups_of(bench, dataset_id)) == [("0.jpg", {"same.jpg": None})]
    await submit_check(bench.resources, "validation", dataset_id=dataset_id)
    await bench.drive()
    library.hang([9])
    job_id = await updated(bench, dataset_id, [row.url for row in rows.values()] + [library.url("/9.jpg")])
    for dataset in (dataset_id, (await bench.job(job_id)).dataset_id):
        states = {name: row.state.value for name, row in (await by_path(bench, dataset)).items()}
        assert (states["near.jpg"], states["0.jpg"], states["same.jpg"]) == ("kept", "kept", "duplicate")


@pytest.mark.parametrize("step", [duplicates.keep_instead, duplicates.split_group])
async def test_what_is_no_duplicate_is_left_alone(bench: Bench, library: Library, step: Any) -> None:
    """Nor what changed meanwhile, what is not there, or what belongs to somebody else; the answer says why."""
    dataset_id = await grouped(bench, library)
    rows = await by_path(bench, dataset_id)
    outcome = await step(bench.resources, dataset_id, Seen(rows["1.jpg"].id))
    assert outcome.refusals[0].why == "it is kept, and no duplicate of another image"
    outcome = await step(bench.resources, dataset_id, Seen(rows["near.jpg"].id, ImageState.KEPT))
    assert (outcome.refusals[0].code, outcome.decided) == ("conflict", 0)
    assert (await step(bench.resources, dataset_id, Seen(10**9))).refusals[0].code == "not_found"
    with pytest.raises(errors.NotFoundError):
        await step(bench.resources, dataset_id, Seen(rows["near.jpg"].id), caller=Caller("eve"))
    made = await submit_check(bench.resources, "duplicates", dataset_id=dataset_id)
    with pytest.raises(StateConflict, match=made.job_id):
        await step(bench.resources, dataset_id, Seen(rows["near.jpg"].id))
    assert (await reviews.page(bench.db, dataset_id)).items == []


async def test_the_same_request_swaps_once(bench: Bench, library: Library) -> None:
    """A key that is sent again answers as the first time, and nothing is swapped back."""
    dataset_id = await grouped(bench, library)
    rows = await by_path(bench, dataset_id)
    caller = Caller(idempotency=("key-1", "body"))
    sent = [await duplicates.keep_instead(bench.resources, dataset_id, Seen(rows["near.jpg"].id), caller=caller) for _ in range(2)]
    assert [(outcome.batch_id, outcome.decided) for outcome in sent] == [(sent[0].batch_id, 1)] * 2
    assert (await groups_of(bench, dataset_id))[0][0] == "near.jpg"


async def test_another_is_kept_in_place_of_one_that_was_rejected(bench: Bench, library: Library) -> None:
    """The rejected one stays rejected; the others repeat the new one."""
    dataset_id = await grouped(bench, library)
    rows = await by_path(bench, dataset_id)
    async with bench.db.write() as connection:
        out = tables.images.update().where(tables.images.c.id == rows["0.jpg"].id)
        await connection.execute(out.values(state="rejected", reason="rejected_by_reviewer", reviewed="reject"))
    outcome = await duplicates.keep_instead(bench.resources, dataset_id, Seen(rows["same.jpg"].id))
    now = await by_path(bench, dataset_id)
    assert (outcome.decided, now["0.jpg"].state, now["same.jpg"].state) == (1, "rejected", "kept")
    assert (now["same.jpg"].split, now["near.jpg"].duplicate_of) == (rows["0.jpg"].split, now["same.jpg"].id)
