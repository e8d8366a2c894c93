"""What SQLite forgives and PostgreSQL does not: JSON paths, NUL, and two requests at once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.db import Database, schema
from app.job_states import JobState
from app.resources import Resources, open_resources
from app.settings import load_settings
from app.web import create_app
from tests.web import seeds
from tests.web.conftest import Connect


@pytest.fixture
async def resources(tmp_path: Path, postgres_url: str) -> AsyncIterator[Resources]:
    db = Database(postgres_url)
    await schema.upgrade(db)
    await db.close()
    async with open_resources(load_settings({"workspace.path": tmp_path, "db.url": postgres_url})) as opened:
        yield opened


@pytest.fixture
def client(resources: Resources, connect: Connect) -> httpx.AsyncClient:
    return connect(create_app(resources))


async def test_two_requests_with_one_idempotency_key_make_one_job(client: httpx.AsyncClient) -> None:
    """Whoever comes second is told to send again, or gets the same job; never a second one, never 500."""
    body = {"urls": ["http://origin.example/a.jpg"]}
    answers = await asyncio.gather(*(client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"}) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 202}) == 1
    again = await client.post("/v1/jobs", json=body, headers={"Idempotency-Key": "k"})
    assert again.status_code == 202
    assert len((await client.get("/v1/jobs")).json()["items"]) == 1


async def test_pages_filters_and_figures(client: httpx.AsyncClient, resources: Resources) -> None:
    """The queries of every list, on the other database."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.check(resources, job)
    export_id = await seeds.export(resources, job, {"train/000000_0a1b2c3d4e5f.jpg": b"0123456789"})
    for path in ("/v1/jobs?limit=1", "/v1/images?state=kept", "/v1/datasets", "/v1/checks", f"/v1/datasets/{job.dataset_id}/exports"):
        page = (await client.get(path)).json()
        assert page["items"]
        if page["next_cursor"]:
            assert (await client.get("/v1/jobs", params={"cursor": page["next_cursor"]})).status_code == 200
    assert (await client.get(f"/v1/jobs/{job.id}")).json()["progress"]["kept"] == 1
    part = await client.get(f"/v1/exports/{export_id}/files/train/000000_0a1b2c3d4e5f.jpg", headers={"Range": "bytes=2-3"})
    assert (part.status_code, part.content) == (206, b"23")
    assert (await client.get(f"/v1/exports/{export_id}/files/train")).status_code == 404
    text = (await client.get("/metrics")).text
    assert 'pictrawl_jobs{state="pending"} 2.0' in text
    assert (await client.get("/readyz")).json()["status"] == "ok"


async def test_text_that_it_cannot_store_is_refused_before(client: httpx.AsyncClient, resources: Resources) -> None:
    """NUL, and numbers beyond 64 bits in a cursor."""
    assert (await client.post("/v1/jobs", json={"urls": ["http://o.example/a.jpg"], "name": "a\0b"})).status_code == 422
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    dataset = f"/v1/datasets/{job.dataset_id}"
    for path, body in (
        ("/v1/tombstones", {"targets": ["http://o.example/a\0.jpg"]}),
        ("/v1/tombstones", {"targets": ["file:///a\0b"]}),
        ("/v1/tombstones", {"targets": ["http://o.example/a.jpg"], "reason": "a\0b"}),
        ("/v1/datasets/merges", {"datasets": [job.dataset_id, "ds\0"]}),
        (f"{dataset}/exports", {"export_format": "files", "where": "label = 'a\0b'"}),
    ):
        assert (await client.post(path, json=body)).status_code == 422, path
    for path in (
        f"{dataset}/diff?against=%00%00%00%00",
        "/v1/images?source=%00",
        "/v1/jobs/%00",
        "/v1/images?cursor=Wzk5OTk5OTk5OTk5OTk5OTk5OTk5OV0",
        "/v1/jobs?cursor=WzEuMCwgIlx1MDAwMCJd",
    ):
        assert (await client.get(path)).status_code in (404, 422)
