"""Tests of /v1/tombstones: removal on request, of the caller's images alone."""

import httpx

from app.resources import Resources
from tests.web import seeds


async def test_images_are_removed_on_request(client: httpx.AsyncClient, resources: Resources) -> None:
    """First shown, then done; the tombstone is listed, and can be taken back."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, "a.jpg", b"aa")
    export_id = await seeds.export(resources, job, {"images/a.jpg": b"aa"})
    body = {"targets": ["http://origin.example/a.jpg"], "reason": "asked"}
    would = (await client.post("/v1/tombstones", json=body | {"dry_run": True})).json()
    assert (would["images"], would["exports"][0]["id"]) == (1, export_id)
    assert (await client.get(f"/v1/images/{image_id}")).json()["status"] == "kept"
    done = (await client.post("/v1/tombstones", json=body)).json()
    assert (done["images"], done["found"], done["datasets"], done["blobs"]) == (1, {"url": 1}, [job.dataset_id], 1)
    assert (await client.get(f"/v1/images/{image_id}")).json()["status"] == "tombstoned"
    assert (await client.get(f"/v1/exports/{export_id}")).json()["status"] == "withdrawn"
    (item,) = (await client.get("/v1/tombstones")).json()["items"]
    assert (item["url"], item["reason"], item["image_id"]) == ("http://origin.example/a.jpg", "asked", image_id)
    assert (await client.delete(f"/v1/tombstones/{item['id']}")).status_code == 204
    assert (await client.delete(f"/v1/tombstones/{item['id']}")).status_code == 404
    assert (await client.get("/v1/tombstones")).json()["items"] == []


async def test_what_names_nothing_is_refused(client: httpx.AsyncClient) -> None:
    """A word is 422, an unknown image 404, and so is a list of none."""
    assert (await client.post("/v1/tombstones", json={"targets": ["cats"]})).status_code == 422
    assert (await client.post("/v1/tombstones", json={"targets": ["17"]})).status_code == 404
    assert (await client.post("/v1/tombstones", json={"targets": []})).status_code == 422
