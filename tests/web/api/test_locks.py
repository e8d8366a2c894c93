"""Tests of /v1/datasets/{id}/lock and /v1/rebuilds: a dataset leaves as a lock, and is made again on another server."""

from pathlib import Path

import httpx
import orjson

from app.datasets.lock import open_lock
from app.job_states import JobState
from app.resources import Resources
from app.web import create_app
from tests.datasets.locks import HEADER, IMAGE, build, export_files, lock_of, reseal, serve
from tests.origin import Origin
from tests.web import seeds
from tests.web.conftest import Connect
from tests.workers.bench import open_bench

FOLDER_LOCK = reseal([orjson.dumps(HEADER), orjson.dumps({**IMAGE, "url": None, "path": "a.jpg", "source": "folder"})])
LOCK = reseal([orjson.dumps(HEADER), orjson.dumps(IMAGE)])


async def test_a_dataset_is_made_again_on_another_server(tmp_path: Path, connect: Connect) -> None:
    """The lock is that of the command line; the export of its rebuild has the same bytes."""
    async with Origin() as origin, open_bench(tmp_path / "one") as one, open_bench(tmp_path / "two") as two:
        job_id = await build(one, serve(origin, 5))
        dataset_id = (await one.job(job_id)).dataset_id
        client, other = connect(create_app(one.resources)), connect(create_app(two.resources))
        got = await client.get(f"/v1/datasets/{dataset_id}/lock")
        assert (got.status_code, got.headers["content-type"]) == (200, "application/x-ndjson")
        assert f'filename="{dataset_id}.lock"' in got.headers["content-disposition"]
        await lock_of(one, job_id, tmp_path / "dataset.lock")
        assert got.content == (tmp_path / "dataset.lock").read_bytes()
        current = {"If-None-Match": got.headers["etag"]}
        assert (await client.get(f"/v1/datasets/{dataset_id}/lock", headers=current)).status_code == 304
        assert (await client.head(f"/v1/datasets/{dataset_id}/lock")).content == b""
        web = (await client.get(f"/v1/datasets/{dataset_id}/lock", params={"export_format": "webdataset"})).text
        assert orjson.loads(web.splitlines()[0])["export"]["format"] == "webdataset"
        made = await other.post("/v1/rebuilds", json={"lock": got.text}, headers={"Idempotency-Key": "k"})
        assert made.status_code == 202, made.text
        again = made.headers["location"].rpartition("/")[2]
        repeated = await other.post("/v1/rebuilds", json={"lock": got.text}, headers={"Idempotency-Key": "k"})
        assert repeated.headers["location"] == made.headers["location"]
        await two.drive()
        assert (await two.job(again)).state is JobState.SUCCEEDED
        assert await export_files(two, again) == await export_files(one, job_id)
        shown = (await other.get(made.headers["location"])).json()
        assert (shown["status"], shown["spec"]["lock"]) == ("succeeded", orjson.loads(got.content.splitlines()[-1])["lines_sha256"])


async def test_a_dataset_that_cannot_be_locked_is_refused(client: httpx.AsyncClient, resources: Resources) -> None:
    """One that is being built, one without images, and one that is not there."""
    job = await seeds.build(resources)
    assert (await client.get(f"/v1/datasets/{job.dataset_id}/lock")).status_code == 409
    await seeds.end(resources, job.id, JobState.FAILED)
    refused = await client.get(f"/v1/datasets/{job.dataset_id}/lock")
    assert (refused.status_code, "no image is kept" in refused.text) == (409, True)
    assert (await client.get(f"/v1/datasets/ds_{'0' * 32}/lock")).status_code == 404


async def test_what_is_no_lock_is_refused(client: httpx.AsyncClient) -> None:
    """With the line, and without a path of the server; nothing is left in the store."""
    for lock, words in (
        ("https://example.org/a.jpg", "the lock of the request is no lock"),
        (LOCK.replace(b"aaaa", b"bbbb").decode(), "the lock of the request was changed"),
        (FOLDER_LOCK.decode(), "has images of a folder"),
    ):
        refused = await client.post("/v1/rebuilds", json={"lock": lock})
        assert (refused.status_code, words in refused.text, "/tmp" in refused.text) == (422, True, False), refused.text
    assert (await client.post("/v1/rebuilds", json={"lock": ""})).status_code == 422
    assert (await client.post("/v1/rebuilds", json={"lock": "x" * 200_000})).status_code == 413
    assert (await client.post("/v1/rebuilds", json={"lock": LOCK.decode(), "export_format": "parquet"})).status_code == 202
    assert (await client.get("/v1/jobs")).json()["items"][0]["kind"] == "build"


async def test_its_length_is_known_where_a_client_needs_it(tmp_path: Path) -> None:
    """HTTP/1.0 has no chunks: the answer is measured before it is sent."""
    async with Origin() as origin, open_bench(tmp_path / "one") as bench:
        job_id = await build(bench, serve(origin, 2))
        made = await open_lock(bench.resources, (await bench.job(job_id)).dataset_id)
        size_bytes = await made.measure()
        assert size_bytes == sum([len(block) async for block in made.lines()])
