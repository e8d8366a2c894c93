"""One dataset, from POST to the last byte of its export, over sockets: an origin, the API and embedded workers in one process."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from app.resources import open_resources
from app.settings import Settings, load_settings
from tests.origin import Origin, image
from tests.web.sockets import messages, served, unpacked
from workers.worker_pool import run_workers


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        {
            "workspace.path": tmp_path,
            "fetch.allow_networks": ("127.0.0.0/8",),
            "fetch.ports": (),
            "fetch.per_host": 8,
            "validate.children": 1,
            "jobs.sweep_interval_s": 1.0,
        }
    )


def jpeg(seed: int) -> bytes:
    """An image like no other: noise over a gradient."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((128, 96), Image.Resampling.BICUBIC)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


async def test_a_dataset_is_built_watched_and_downloaded(settings: Settings) -> None:
    """SSE to the end, figures that add up, every file by Range, a verification, a check, and one journal from API to export."""
    async with Origin() as origin, open_resources(settings) as resources, run_workers(resources), served(resources) as client:
        labels = ("even", "odd")
        urls: list[Any] = [
            {"url": origin.script(f"/{number}.jpg", image(jpeg(number))), "label": labels[number % 2], "caption": f"no. {number}"}
            for number in range(6)
        ]
        urls.append(origin.url("/missing.jpg"))
        accepted = await client.post("/v1/jobs", json={"urls": urls, "export_format": "imagefolder"})
        assert accepted.status_code == 202
        job = accepted.json()

        async with client.stream("GET", job["links"]["events"]) as response:
            stream = [message async for message in messages(response)]
        assert stream[0].event == "snapshot"
        assert (stream[-1].event, stream[-1].data) == ("bye", {"status": "succeeded"})
        names = [message.data["event"] for message in stream if message.event == "event"]
        assert names[0] == "job.accepted"
        assert {"job.planning", "export.written", "export.verified"} <= set(names)
        assert len({message.id for message in stream if message.event == "event"}) == len(names)
        assert [message.data for message in stream if message.event == "progress"][-1]["progress"]["kept"] == 6

        done = (await client.get(job["links"]["self"])).json()
        listed = {"rows_read": 7, "distinct_urls": 7, "merged_rows": 0, "label_conflicts": 0, "spare": 0, "reused": 0, "not_modified": 0}
        assert done["progress"] == {"candidates": 7, "fetched": 6, "valid": 6, "unique": 6, "kept": 6, "open": 0} | listed
        assert (done["reasons"], done["retries"]["attempts"]) == ({"http_404": 1}, 7)

        (export,) = done["exports"]
        assert export["status"] == "ready"
        files = (await client.get(export["links"]["files"])).json()["items"]
        for file in files:
            whole = (await client.get(file["href"])).content
            half = file["size_bytes"] // 2
            first = await client.get(file["href"], headers={"Range": f"bytes=0-{half - 1}"})
            second = await client.get(file["href"], headers={"Range": f"bytes={half}-", "If-Range": first.headers["etag"]})
            assert (first.status_code, second.status_code) == (206, 206)
            assert first.content + second.content == whole
            assert len(whole) == file["size_bytes"]
        originals = {(await client.get(f"/v1/images/{image_id}/content")).content for image_id in await kept(client, job["id"])}
        assert originals == {jpeg(number) for number in range(6)}

        by_path = {file["path"]: file for file in files}
        assert sum(path.endswith(".jpg") for path in by_path) == 6
        stated = (await client.get(by_path["manifest.json"]["href"])).json()["files"]
        for form in ("tar", "zip"):
            members = unpacked((await client.get(export["links"]["archive"], params={"format": form})).content, form)
            rows = [json.loads(line) for line in members["train/metadata.jsonl"].splitlines()]
            assert {(row["url"], row["label"], row["caption"]) for row in rows} == {tuple(known.values()) for known in urls[:6]}
            assert {row["file_name"].partition("/")[0] for row in rows} == {"odd", "even"}
            digests = {path: hashlib.sha256(body).hexdigest() for path, body in members.items()}
            assert {path: facts["sha256"] for path, facts in stated.items()}.items() <= digests.items()
            assert {path: file["sha256"] or digests[path] for path, file in by_path.items()} == digests

        image_id = (await kept(client, job["id"]))[0]
        thumbnail = await client.get(f"/v1/images/{image_id}/thumbnail")
        assert Image.open(io.BytesIO(thumbnail.content)).format == "JPEG"
        (attempt,) = (await client.get(f"/v1/images/{image_id}/attempts")).json()["items"]
        assert (attempt["number"], attempt["status"]) == (1, 200)

        for path, body in (
            (f"/v1/exports/{export['id']}/verifications", None),
            (f"/v1/datasets/{done['dataset_id']}/checks", {"kind": "integrity"}),
        ):
            check = (await client.post(path, json=body)).json()
            async with client.stream("GET", f"{check['links']['job']}/events") as response:
                assert [message async for message in messages(response)][-1].data == {"status": "succeeded"}
            found = (await client.get(check["links"]["self"])).json()
            assert found["status"] == "succeeded"
            assert not found["report"]["problems"]
        assert (await client.delete(f"/v1/datasets/{done['dataset_id']}")).status_code == 204


async def kept(client: httpx.AsyncClient, job_id: str) -> list[int]:
    """Ids of a job's kept images."""
    page = (await client.get("/v1/images", params={"job_id": job_id, "state": "kept"})).json()
    return [item["id"] for item in page["items"]]
