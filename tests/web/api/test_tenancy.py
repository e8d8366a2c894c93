"""Every route with an id, asked by somebody whose id it is not. The routes come from the OpenAPI document, so none is forgotten."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.db import api_keys, images, jobs, tombstones
from app.domain import ImageState
from app.job_states import DesiredState, JobState
from app.resources import Resources
from app.storage import paths
from tests.web import seeds
from tests.web.api.test_openapi import DOCUMENT
from tests.web.conftest import Connect

BODIES: dict[str, Any] = {
    "jobs_update": {"desired_state": "cancelled"},
    "jobs_retry": {"reasons": ["timeout"]},
    "exports_create": {"export_format": "files"},
    "checks_create": {"kind": "integrity"},
    "datasets_update": {},
    "reviews_create": {"action": "reject", "matching": {}},
}
"""A good body for each operation that takes one."""

QUERIES: dict[str, tuple[str, ...]] = {"datasets_diff": ("against",)}
"""Parameters that an operation needs, each the id of a dataset."""

OPERATIONS = [
    (method, path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if "{" in path.replace("/v1/sources/{name}", "")  # sources belong to nobody
]


@pytest.fixture
async def ids(resources: Resources) -> dict[str, Any]:
    """One of everything, owned by Ann."""
    job = await seeds.build(resources, "ann")
    image_id = await seeds.image(resources, job, "a.jpg", b"aa")
    await resources.store.put(paths.thumb(api_keys.secret_digest("aa")), b"jpeg")
    return {
        "job_id": job.id,
        "dataset_id": job.dataset_id,
        "image_id": image_id,
        "export_id": await seeds.export(resources, job, {"manifest.json": b"{}"}),
        "check_id": await seeds.check(resources, job),
        "review_id": await seeds.review(resources, job, image_id),
        "tombstone_id": await seeds.tombstone(resources, "ann"),
        "path": "manifest.json",
    }


async def ask(client: httpx.AsyncClient, method: str, path: str, operation: dict[str, Any], ids: dict[str, Any]) -> httpx.Response:
    body = BODIES[operation["operationId"]] if "requestBody" in operation else None
    query = dict.fromkeys(QUERIES.get(operation["operationId"], ()), ids["dataset_id"])
    return await client.request(method, path.format(**ids), json=body, params=query, headers={"Accept": "application/json"})


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=[operation["operationId"] for _, _, operation in OPERATIONS])
async def test_a_foreign_id_is_not_found(
    app: FastAPI, connect: Connect, resources: Resources, ids: dict[str, Any], method: str, path: str, operation: dict[str, Any]
) -> None:
    """404 for Bob, with no effect, as if it did not exist; Ann gets through."""
    ann, bob = [connect(app, await seeds.key_of(resources, user)) for user in ("ann", "bob")]
    foreign = await ask(bob, method, path, operation, ids)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "not-found")
    assert (await jobs.get(resources.db, ids["job_id"])).desired_state is DesiredState.RUNNING
    missing = {name: (str(value)[:-4] + "0000" if name.endswith("_id") and name != "image_id" else value) for name, value in ids.items()}
    nowhere = await ask(bob, method, path, operation, missing | {"image_id": 99})
    assert nowhere.json()["title"] == foreign.json()["title"]
    assert (await ask(ann, method, path, operation, ids)).status_code != 404


NAMING: dict[str, tuple[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "jobs_create": ("/v1/jobs", lambda ids: {"urls": ["http://o.example/a.jpg"], "into": ids["dataset_id"]}),
    "datasets_merge": ("/v1/datasets/merges", lambda ids: {"datasets": [ids["own_id"], ids["dataset_id"]]}),
    "tombstones_create": ("/v1/tombstones", lambda ids: {"targets": [str(ids["image_id"])]}),
}
"""Bodies that name what is not the caller's."""


@pytest.mark.parametrize(("path", "body"), NAMING.values(), ids=NAMING)
async def test_a_body_with_a_foreign_id_is_not_found(
    app: FastAPI, connect: Connect, resources: Resources, ids: dict[str, Any], path: str, body: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """404 for Bob, and Ann's image is still there."""
    own = await seeds.build(resources, "bob")
    await seeds.image(resources, own, "b.jpg", b"bb")
    await seeds.end(resources, own.id, JobState.SUCCEEDED)
    bob = connect(app, await seeds.key_of(resources, "bob"))
    answer = await bob.post(path, json=body(ids | {"own_id": own.dataset_id}))
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert (await images.get(resources.db, ids["image_id"])).state is ImageState.KEPT
    assert await tombstones.of_user(resources.db, "bob") == []


async def test_a_diff_with_a_foreign_dataset_is_not_found(
    app: FastAPI, connect: Connect, resources: Resources, ids: dict[str, Any]
) -> None:
    """On either side."""
    own = (await seeds.build(resources, "bob")).dataset_id
    bob = connect(app, await seeds.key_of(resources, "bob"))
    for one, other in ((own, ids["dataset_id"]), (ids["dataset_id"], own)):
        assert (await bob.get(f"/v1/datasets/{one}/diff", params={"against": other})).status_code == 404


async def test_an_image_is_forgotten_for_its_user_alone(app: FastAPI, connect: Connect, resources: Resources, ids: dict[str, Any]) -> None:
    """A URL and a digest may be anybody's: Ann's image with the same of both stays, and her bytes."""
    bob = connect(app, await seeds.key_of(resources, "bob"))
    for target in ("http://origin.example/a.jpg", api_keys.secret_digest("aa")):
        answer = (await bob.post("/v1/tombstones", json={"targets": [target]})).json()
        assert (answer["images"], answer["datasets"], answer["exports"], answer["blobs"]) == (0, [], [], 0)
    assert (await images.get(resources.db, ids["image_id"])).state is ImageState.KEPT
    assert await resources.store.exists(paths.blob(api_keys.secret_digest("aa")))


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images", "/v1/datasets", "/v1/checks", "/v1/tombstones"])
async def test_a_list_holds_nothing_of_others(app: FastAPI, connect: Connect, resources: Resources, ids: dict[str, Any], path: str) -> None:
    """Nor with the other's id as a filter."""
    ann, bob = [connect(app, await seeds.key_of(resources, user)) for user in ("ann", "bob")]
    assert (await ann.get(path)).json()["items"]
    assert (await bob.get(path)).json()["items"] == []
    if path in ("/v1/images", "/v1/checks"):
        assert (await bob.get(path, params={"dataset_id": ids["dataset_id"]})).json()["items"] == []


async def test_an_idempotency_key_belongs_to_its_user(app: FastAPI, connect: Connect, resources: Resources) -> None:
    """Two users may choose the same key; neither learns of the other."""
    ann, bob = [connect(app, await seeds.key_of(resources, user)) for user in ("ann", "bob")]
    body = {"urls": ["http://o.example/a.jpg"]}
    one, other = [await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}) for client in (ann, bob)]
    assert one.json()["id"] != other.json()["id"]
    assert (await bob.post("/v1/jobs", json={"urls": ["http://o.example/b.jpg"]}, headers={"Idempotency-Key": "k2"})).status_code == 202
