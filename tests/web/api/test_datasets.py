import httpx
import pytest

import errors
from app.datasets import versions
from app.db import jobs
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.resources import Resources
from tests.web import seeds


async def test_list_pages_newest_first(client: httpx.AsyncClient, resources: Resources) -> None:
    """Every dataset once, without figures."""
    made = [(await seeds.build(resources)).dataset_id for _ in range(3)]
    first = (await client.get("/v1/datasets?limit=2")).json()
    rest = (await client.get("/v1/datasets", params={"cursor": first["next_cursor"]})).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
    assert "progress" not in first["items"][0]
    assert first["items"][0]["version"] is None


async def test_get_accounts_for_every_candidate(client: httpx.AsyncClient, resources: Resources) -> None:
    """Kept, on the way, or out for one reason; a retry's images count with the first job's."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.image(resources, job, "b.jpg", state=ImageState.REJECTED, reason=Reason.TOO_SMALL)
    await seeds.end(resources, job.id, JobState.SUCCEEDED)
    version = await versions.ensure(resources, job.dataset_id)
    body = (await client.get(f"/v1/datasets/{job.dataset_id}")).json()
    assert (body["version"], body["digest"], body["lineage_id"]) == ("1.0.0", version.digest, job.dataset_id)
    assert (body["name"], body["progress"]["kept"], body["progress"]["candidates"]) == ("birds", 1, 2)
    assert body["reasons"] == {"too_small": 1}
    assert (await client.get(body["links"]["images"])).json()["items"][0]["url"] == "http://origin.example/a.jpg"


async def test_delete_waits_for_the_jobs(client: httpx.AsyncClient, resources: Resources) -> None:
    """409 while one works on it, a paused one too; then 204, and all of it is gone."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job)
    path = f"/v1/datasets/{job.dataset_id}"
    await client.patch(f"/v1/jobs/{job.id}", json={"desired_state": "paused"})
    refused = await client.delete(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "state-conflict")
    await seeds.end(resources, job.id, JobState.SUCCEEDED)
    gone = await client.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    for left in (path, f"/v1/jobs/{job.id}", f"/v1/images/{image_id}"):
        assert (await client.get(left)).status_code == 404
    with pytest.raises(errors.NotFoundError):
        await jobs.get(resources.db, job.id)


async def test_create_export_answers_202_with_its_place(client: httpx.AsyncClient, resources: Resources) -> None:
    """An export has a job of its own; the same key gives the same export."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    path = f"/v1/datasets/{job.dataset_id}/exports"
    answer = await client.post(path, json={"export_format": "webdataset"}, headers={"Idempotency-Key": "k"})
    assert answer.status_code == 202
    export = answer.json()
    assert answer.headers["location"] == f"/v1/exports/{export['id']}"
    assert (export["status"], export["export_format"], export["storage_tier"]) == ("pending", "webdataset", "standard")
    made = (await client.get(export["links"]["job"])).json()
    assert made["kind"] == "export"
    assert {"export_format": "webdataset", "storage_tier": "standard", "captions": "first", "where": None}.items() <= made["spec"].items()
    again = await client.post(path, json={"export_format": "webdataset"}, headers={"Idempotency-Key": "k"})
    assert again.json()["id"] == export["id"]
    assert [item["id"] for item in (await client.get(path)).json()["items"]] == [export["id"]]


async def test_an_export_may_have_another_form_and_further_formats(client: httpx.AsyncClient, resources: Resources) -> None:
    """The form is in the options of each; the answer is the first, the dataset lists them all."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    path = f"/v1/datasets/{job.dataset_id}/exports"
    asked = {"export_format": "webdataset", "also": ["files"], "compression": {"format": "webp", "resize": "longest", "size": 64}}
    made = await client.post(path, json=asked | {"shard_samples": 5})
    assert (made.status_code, made.json()["export_format"]) == (202, "webdataset")
    rules = {"format": "webp", "level": 95, "resize": "longest", "size": 64, "only_if_bigger": True}
    items = (await client.get(path)).json()["items"]
    assert [(item["export_format"], item["options"]["compression"], item["options"]["shard_samples"]) for item in items] == [
        ("webdataset", rules, 5),
        ("files", rules, 5),
    ]
    listed = (await client.get(made.json()["links"]["job"])).json()["exports"]
    assert [item["id"] for item in listed] == [item["id"] for item in items]
    refused = await client.post(path, json=asked | {"compression": {"format": "gif"}})
    assert refused.json()["errors"][0]["pointer"] == "#/compression/format"
    unread = await client.post(path, json=asked | {"compression": {"format": "avif"}})
    assert (unread.status_code, "the loaders of webdataset do not read avif" in unread.json()["detail"]) == (422, True)


async def test_create_export_refuses_what_it_cannot_write(client: httpx.AsyncClient, resources: Resources) -> None:
    """An empty dataset is a state, an unknown format a mistake."""
    job = await seeds.build(resources)
    path = f"/v1/datasets/{job.dataset_id}/exports"
    empty = await client.post(path, json={"export_format": "files"})
    assert (empty.status_code, empty.json()["code"]) == (409, "state-conflict")
    unknown = await client.post(path, json={"export_format": "zip"})
    assert unknown.json()["errors"][0]["pointer"] == "#/export_format"


async def test_datasets_are_merged_by_a_job(client: httpx.AsyncClient, resources: Resources) -> None:
    """202 with its place, the same for the same key; one dataset, an unknown one and one that is being built are refused."""
    ids = []
    for at in range(2):
        job = await seeds.build(resources)
        await seeds.image(resources, job, f"{at}.jpg", b"m%d" % at, split="train")
        async with resources.db.write() as connection:
            await jobs.end(connection, job.id, JobState.SUCCEEDED)
        ids.append(job.dataset_id)
    body = {"datasets": ids, "name": "both", "export_format": "webdataset"}
    answer = await client.post("/v1/datasets/merges", json=body, headers={"Idempotency-Key": "m"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert [item["dataset_id"] for item in job["spec"]["merge_of"]] == ids
    assert (job["spec"]["export_format"], job["kind"], job["dataset_id"] in ids) == ("webdataset", "build", False)
    again = await client.post("/v1/datasets/merges", json=body, headers={"Idempotency-Key": "m"})
    assert again.json()["id"] == job["id"]
    for wanted, status in (([ids[0]], 422), ([ids[0], ids[0]], 422), ([ids[0], "ds_none"], 404), ([ids[0], job["dataset_id"]], 409)):
        assert (await client.post("/v1/datasets/merges", json={"datasets": wanted})).status_code == status, wanted


async def test_pairs_across_splits_are_counted(client: httpx.AsyncClient, resources: Resources) -> None:
    """By what they share; another user's dataset is not found."""
    job = await seeds.build(resources)
    for at, split in enumerate(("train", "train", "test")):
        await seeds.image(resources, job, f"{at}.jpg", b"a%d" % at, split=split, creator="Ann", page_url=f"https://example.org/{at % 2}")
    path = (await client.get(f"/v1/datasets/{job.dataset_id}")).json()["links"]["leaks"]
    body = (await client.get(path)).json()
    assert (body["splits"], body["split_by"]) == ({"test": 1, "train": 2}, ["cluster", "group"])
    assert body["pairs"] == {"cluster": 0, "group": 0, "creator": 2, "page": 1, "host": 2}
    assert (await client.get("/v1/datasets/ds_none/leaks")).status_code == 404


async def test_licences_are_counted_and_answer_questions(client: httpx.AsyncClient, resources: Resources) -> None:
    """By licence, with what a choice would leave; a word that names no licence is 422."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa", license="CC-BY-4.0", license_confidence="asserted")
    await seeds.image(resources, job, "b.jpg", b"bb", license="CC-BY-NC-4.0")
    path = (await client.get(f"/v1/datasets/{job.dataset_id}")).json()["links"]["licences"]
    body = (await client.get(path)).json()
    assert (body["kept"], body["answer"]) == (2, None)
    assert {(line["licence"], line["kept"]) for line in body["licences"]} == {("CC-BY-4.0", 1), ("CC-BY-NC-4.0", 1)}
    asked = (await client.get(path, params={"license": "commercial"})).json()["answer"]
    assert (asked["stays"], [gone["licence"] for gone in asked["goes"]]) == (1, ["CC-BY-NC-4.0"])
    refused = await client.get(path, params={"license": "comercial"})
    assert refused.status_code == 422
    assert "did you mean commercial" in refused.text
    assert (await client.get("/v1/datasets/ds_none/licences")).status_code == 404
