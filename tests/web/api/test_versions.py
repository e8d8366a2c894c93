"""``/v1/datasets/{id}/versions``, ``/diff`` and ``/updates``, and ``into`` of a build."""

import httpx
from sqlalchemy import update

from app.datasets import versions
from app.db import jobs, tables
from app.domain import ImageState
from app.job_states import JobState
from app.resources import Resources
from tests.web import seeds


async def test_versions_and_what_differs(client: httpx.AsyncClient, resources: Resources) -> None:
    """A list of versions; between any two datasets the images by how they differ, all counted and some listed."""
    old, new = [await seeds.build(resources) for _ in range(2)]
    for name in ("a.jpg", "b.jpg"):
        await seeds.image(resources, old, name, b"aa")
    for name, body, label in (("b.jpg", b"bb", "cat"), ("c.jpg", b"cc", None), ("d.jpg", b"dd", None)):
        await seeds.image(resources, new, name, body, label=label)
    await seeds.image(resources, new, "e.jpg", state=ImageState.REJECTED)
    for job in (old, new):
        await seeds.end(resources, job.id, JobState.SUCCEEDED)
    await versions.ensure(resources, old.dataset_id)
    listed = (await client.get(f"/v1/datasets/{old.dataset_id}/versions")).json()
    assert [(item["version"], item["images"], item["changes"]) for item in listed["items"]] == [("1.0.0", 2, None)]
    path = f"/v1/datasets/{new.dataset_id}/diff"
    found = (await client.get(path, params={"against": old.dataset_id, "limit": 1})).json()
    assert found["changes"] == {"added": 2, "removed": 1, "changed": 1, "relabelled": 1, "resplit": 0}
    assert sorted(tuple(item["kinds"]) for item in found["items"]) == [("added",), ("changed", "relabelled"), ("removed",)]
    (both,) = [item for item in found["items"] if item["old"] and item["new"]]
    assert (both["url"], both["old"]["label"], both["new"]["label"]) == ("http://origin.example/b.jpg", None, "cat")
    assert (await client.get(path, params={"against": "ds_none"})).status_code == 404


async def test_a_merged_version_names_what_it_was_made_of(client: httpx.AsyncClient, resources: Resources) -> None:
    """Beside the numbers of images."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.end(resources, job.id, JobState.SUCCEEDED)
    await versions.ensure(resources, job.dataset_id)
    async with resources.db.write() as connection:
        await connection.execute(update(tables.versions).values(changes={"added": 1, "merged": ["cats 1.0.0", "dogs 2.1.0"]}))
    (version,) = (await client.get(f"/v1/datasets/{job.dataset_id}/versions")).json()["items"]
    assert (version["changes"], version["merged"]) == ({"added": 1}, ["cats 1.0.0", "dogs 2.1.0"])


async def test_an_update_is_a_job_on_another_dataset(client: httpx.AsyncClient, resources: Resources) -> None:
    """202 with its place, once for each key; refused while the dataset is being built, and for another user's."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    path = f"/v1/datasets/{job.dataset_id}/updates"
    assert (await client.post(path)).status_code == 409
    await seeds.end(resources, job.id, JobState.SUCCEEDED)
    answers = [await client.post(path, json={"max_images": 5}, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    made = answers[0].json()
    assert answers[0].headers["location"] == f"/v1/jobs/{made['id']}" == f"/v1/jobs/{answers[1].json()['id']}"
    assert (made["spec"]["update_of"], made["spec"]["max_images"]) == (job.dataset_id, 5)
    assert made["dataset_id"] != job.dataset_id
    theirs = await seeds.build(resources, "another", ended=JobState.SUCCEEDED)
    assert (await client.post(f"/v1/datasets/{theirs.dataset_id}/updates")).status_code == 404


async def test_a_build_goes_into_a_dataset(client: httpx.AsyncClient, resources: Resources) -> None:
    """Its target counts what is added; another user's dataset is not there."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.end(resources, job.id, JobState.SUCCEEDED)
    wanted = {"urls": ["https://example.org/1.jpg"], "max_images": 4, "into": job.dataset_id}
    made = await client.post("/v1/jobs", json=wanted)
    assert made.status_code == 202
    spec = (await jobs.get(resources.db, made.json()["id"])).spec
    assert (spec["into"], spec["base_images"], spec["max_images"]) == (job.dataset_id, 1, 5)
    theirs = await seeds.build(resources, "another", ended=JobState.SUCCEEDED)
    assert (await client.post("/v1/jobs", json=wanted | {"into": theirs.dataset_id})).status_code == 404
