"""Tests of /v1/datasets/{id}/reviews, /duplicates and /v1/reviews/{id}/undo: decisions of people over HTTP."""

from typing import Any

import httpx
import pytest

from app.db.rows import Job
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.resources import Resources
from tests.web import seeds

MEASURED = {"phash": "0" * 16, "width": 100, "height": 80}


@pytest.fixture
async def job(resources: Resources) -> Job:
    """A build that has ended."""
    return await seeds.build(resources, ended=JobState.SUCCEEDED)


async def reviewed(client: httpx.AsyncClient, job: Job, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/datasets/{job.dataset_id}/reviews", json=body)


async def test_an_image_is_rejected_and_the_row_says_who(client: httpx.AsyncClient, resources: Resources, job: Job) -> None:
    """The log has it, and undo brings it back."""
    image_id = await seeds.image(resources, job, body=b"aa", **MEASURED)
    made = (await reviewed(client, job, action="reject", images=[image_id], note="watermark")).json()
    assert (made["action"], made["decided"], made["refused"]) == ("reject", 1, 0)
    image = (await client.get(f"/v1/images/{image_id}")).json()
    assert (image["status"], image["reason"], image["reviewed"], image["reviewed_by"]) == (
        "rejected",
        "rejected_by_reviewer",
        "reject",
        "local",
    )
    (item,) = (await client.get(f"/v1/datasets/{job.dataset_id}/reviews")).json()["items"]
    assert (item["review"], item["image_id"], item["note"], item["id"]) == (made["id"], image_id, "watermark", image["review_id"])
    assert (item["before"]["state"], item["after"]["state"], item["undone"]) == ("kept", "rejected", False)
    back = (await client.post(made["links"]["undo"])).json()
    assert (back["action"], back["decided"]) == ("undo", 1)
    assert (await client.get(f"/v1/images/{image_id}")).json()["status"] == "kept"


async def test_the_second_reviewer_is_told_who_was_faster(client: httpx.AsyncClient, resources: Resources, job: Job) -> None:
    """One image alone is a 409; among several it is named in the answer, and the others are decided."""
    ids = [await seeds.image(resources, job, f"{name}.jpg", name.encode(), **MEASURED) for name in "ab"]
    looked = [{"id": image_id, "review_id": None, "status": "kept"} for image_id in ids]
    assert (await reviewed(client, job, action="reject", images=looked[:1])).json()["decided"] == 1
    late = await reviewed(client, job, action="keep", images=looked[:1])
    assert (late.status_code, late.json()["code"]) == (409, "state-conflict")
    assert "local decided reject at" in late.json()["detail"]
    both = (await reviewed(client, job, action="reject", images=looked)).json()
    assert (both["decided"], both["refused"]) == (1, 1)
    (refused,) = both["refusals"]
    image = (await client.get(f"/v1/images/{ids[0]}")).json()
    assert (refused["image_id"], refused["code"], refused["reviewed_by"]) == (ids[0], "conflict", "local")
    assert refused["reviewed_at"] == image["reviewed_at"]


async def test_a_filter_decides_what_matches(client: httpx.AsyncClient, resources: Resources, job: Job) -> None:
    """With the number that was confirmed; another number is refused, and nothing changes."""
    for name in "abc":
        await seeds.image(resources, job, f"{name}.jpg", name.encode(), label="cat" if name != "c" else "dog", **MEASURED)
    body = {"action": "relabel", "label": "tiger", "matching": {"label": "cat", "where": "width = 100"}}
    assert (await reviewed(client, job, **body, expected=3)).status_code == 409
    assert (await reviewed(client, job, **body, expected=2)).json()["decided"] == 2
    items = (await client.get("/v1/images", params={"dataset_id": job.dataset_id})).json()["items"]
    assert [(item["label"], item["reviewed"], item["reviewed_label"]) for item in items] == [
        ("tiger", "relabel", "tiger"),
        ("tiger", "relabel", "tiger"),
        ("dog", None, None),
    ]


async def test_groups_of_duplicates(client: httpx.AsyncClient, resources: Resources, job: Job) -> None:
    """The kept one, its copies with distances; another is kept instead."""
    kept = await seeds.image(resources, job, "a.jpg", b"aa", split="test", **MEASURED)
    copy = {"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_NEAR, "duplicate_of": kept}
    near = await seeds.image(resources, job, "b.jpg", b"bb", **MEASURED | copy | {"phash": "0" * 15 + "3"})
    (group,) = (await client.get(f"/v1/datasets/{job.dataset_id}/duplicates")).json()["items"]
    assert (group["kept"]["id"], group["number"]) == (kept, 1)
    assert [(one["image"]["id"], one["exact"], one["distance"]) for one in group["members"]] == [(near, False, 2)]
    assert (await reviewed(client, job, action="split_group", images=[kept])).status_code == 422
    assert (await reviewed(client, job, action="keep_instead", images=[near])).json()["decided"] == 1
    (group,) = (await client.get(f"/v1/datasets/{job.dataset_id}/duplicates")).json()["items"]
    assert (group["kept"]["id"], group["kept"]["split"], group["members"][0]["image"]["id"]) == (near, "test", kept)


async def test_the_same_key_gives_the_same_review(client: httpx.AsyncClient, resources: Resources, job: Job) -> None:
    """However often a client repeats its request."""
    image_id = await seeds.image(resources, job, body=b"aa", **MEASURED)
    path, body = f"/v1/datasets/{job.dataset_id}/reviews", {"action": "reject", "images": [image_id]}
    sent = [(await client.post(path, json=body, headers={"Idempotency-Key": "once"})).json() for _ in range(2)]
    assert [(answer["id"], answer["decided"]) for answer in sent] == [(sent[0]["id"], 1)] * 2
    other = await client.post(path, json=body | {"action": "keep"}, headers={"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"action": "reject"}, "one of the two"),
        ({"action": "reject", "images": [1], "matching": {}}, "one of the two"),
        ({"action": "reject", "images": []}, "must not be empty"),
        ({"action": "undo", "images": [1]}, "/undo"),
        ({"action": "keep_instead", "images": [1, 2]}, "about one duplicate"),
        ({"action": "relabel", "images": [1]}, "relabel needs the new label"),
        ({"action": "throw", "images": [1]}, "keep"),
        ({"action": "reject", "matching": {"where": "widht > 3"}}, "widht"),
        ({"action": "reject", "images": [{"id": 1, "seen": 2}]}, "seen"),
    ],
)
async def test_a_review_that_cannot_be_made(client: httpx.AsyncClient, job: Job, body: dict[str, Any], words: str) -> None:
    """Each names what is wrong."""
    answer = await reviewed(client, job, **body)
    assert answer.status_code == 422
    assert words in answer.text


async def test_unknown_ids_are_404(client: httpx.AsyncClient, job: Job) -> None:
    """Of a dataset, of an image, of a review."""
    none = "0" * 32
    assert (await client.post(f"/v1/datasets/ds_{none}/reviews", json={"action": "keep", "images": [1]})).status_code == 404
    assert (await reviewed(client, job, action="keep", images=[1])).status_code == 404
    for path in (f"/v1/datasets/ds_{none}/reviews", f"/v1/datasets/ds_{none}/duplicates"):
        assert (await client.get(path)).status_code == 404
    assert (await client.post(f"/v1/reviews/rev_{none}/undo")).status_code == 404
