"""."""

import asyncio
import hashlib
import re
from typing import Any

import httpx
import pytest

from app.db import datasets, jobs, paging
from app.resources import Resources
from app.web.api.exports import check_view, export_view
from tests.web import seeds
from tests.web.sockets import served, unpacked

IMAGE = "train/lynx/000000_0a1b2c3d4e5f.jpg"
IMAGES = {IMAGE: b"0123456789", "train/puma/000001_0b1b2c3d4e5f.png": b"9"}
FILES = seeds.with_sums(IMAGES | {"README.md": b"# birds"})


@pytest.fixture
async def export_id(resources: Resources) -> str:
    return await seeds.export(resources, await seeds.build(resources), IMAGES | {"README.md": b"# birds"})


async def test_get_shows_counts_and_no_files(client: httpx.AsyncClient, export_id: str) -> None:
    """Files have a list of their own; there may be a million."""
    body = (await client.get(f"/v1/exports/{export_id}")).json()
    assert (body["status"], body["samples"], body["splits"], body["labels"]) == ("ready", 2, {"train": 2}, {"bird": 2})
    assert body["verified_at"] is not None
    assert "files" not in body


@pytest.mark.parametrize("limit", [1, 2, 5, 50])
async def test_files_are_paged_with_sizes_and_digests(client: httpx.AsyncClient, export_id: str, limit: int) -> None:
    """Every file once, images too, and where to take it."""
    listed: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get(f"/v1/exports/{export_id}/files", params={"limit": limit, **cursor})).json()
        assert 0 < len(page["items"]) <= limit
        listed += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [(item["path"], item["size_bytes"]) for item in listed] == [(path, len(body)) for path, body in FILES.items()]
    for item in listed:
        body = (await client.get(item["href"])).content
        assert body == FILES[item["path"]]
        assert item["sha256"] in (hashlib.sha256(body).hexdigest(), None if item["path"] in ("SHA256SUMS", "manifest.json") else "")


@pytest.mark.parametrize("cursor", [paging.encode(1), paging.encode(-1), paging.encode(10**9), paging.encode("a"), "x"])
async def test_files_refuse_a_cursor_of_another_list(client: httpx.AsyncClient, export_id: str, cursor: str) -> None:
    """Cursors come from outside."""
    answer = await client.get(f"/v1/exports/{export_id}/files", params={"cursor": cursor})
    assert answer.status_code == 422
    assert "cursor" in answer.json()["detail"]


async def test_download_is_whole_or_in_part(client: httpx.AsyncClient, export_id: str) -> None:
    """200, 206, 416 and 304 for one file that never changes."""
    path = f"/v1/exports/{export_id}/files/{IMAGE}"
    whole = await client.get(path)
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == "10"
    assert whole.headers["content-type"] == "image/jpeg"
    assert 'filename="000000_0a1b2c3d4e5f.jpg"' in whole.headers["content-disposition"]
    etag = whole.headers["etag"]
    part = await client.get(path, headers={"Range": "bytes=-3", "If-Range": etag})
    assert (part.status_code, part.content) == (206, b"789")
    assert (part.headers["content-range"], part.headers["content-length"], part.headers["etag"]) == ("bytes 7-9/10", "3", etag)
    changed = await client.get(path, headers={"Range": "bytes=-3", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, b"0123456789")
    outside = await client.get(path, headers={"Range": "bytes=10-"})
    assert (outside.status_code, outside.json()["code"]) == (416, "range-not-satisfiable")
    assert outside.headers["content-range"] == "bytes */10"
    assert (await client.get(path, headers={"If-None-Match": etag})).status_code == 304


async def test_head_of_a_download_tells_its_size_and_sends_nothing(client: httpx.AsyncClient, export_id: str) -> None:
    """Download managers ask before they take."""
    answer = await client.head(f"/v1/exports/{export_id}/files/{IMAGE}", headers={"Range": "bytes=0-3"})
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (206, b"", "4")


@pytest.mark.parametrize(
    "path",
    [
        "train",
        "train/lynx",
        "other.jpg",
        "../../pictrawl.db",
        "..%2f..%2fpictrawl.db",
        "%2e%2e/%2e%2e/blobs",
        "train//lynx",
        "/etc/passwd",
        "a%00b",
        'x"]',
        "splits",
        "a" * 1001,
    ],
)
async def test_download_takes_only_a_path_that_the_report_lists(
    client: httpx.AsyncClient, resources: Resources, export_id: str, path: str
) -> None:
    """No path of the server's can be spelled."""
    answer = await client.get(f"/v1/exports/{export_id}/files/{path}")
    assert answer.status_code == 404


async def test_download_gives_nothing_that_lies_beside_the_listed_files(
    client: httpx.AsyncClient, resources: Resources, export_id: str
) -> None:
    """The report decides, not the store."""
    await resources.store.put(f"exports/{export_id}/unlisted.txt", b"beside")
    assert (await client.get(f"/v1/exports/{export_id}/files/unlisted.txt")).status_code == 404


@pytest.mark.parametrize("state", ["pending", "writing", "written", "failed"])
async def test_files_are_not_given_before_they_are_verified(client: httpx.AsyncClient, resources: Resources, state: str) -> None:
    """409 until the export is ready: what was not read back is not published."""
    export_id = await seeds.export(resources, await seeds.build(resources), {"manifest.json": b"{}"}, state=state)
    for path in ("files", "files/manifest.json", "archive"):
        answer = await client.get(f"/v1/exports/{export_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


async def test_a_file_that_the_store_lost_is_not_found(client: httpx.AsyncClient, resources: Resources, export_id: str) -> None:
    """An answer begins only once it is sure; where the whole export is gone, it says so and what to do."""
    await resources.store.delete([f"exports/{export_id}/{IMAGE}"])
    answer = await client.get(f"/v1/exports/{export_id}/files/{IMAGE}")
    assert (answer.status_code, answer.json()["detail"]) == (404, f"export {export_id} has no such file")
    await resources.store.delete_tree(f"exports/{export_id}")
    for path in (f"files/{IMAGE}", "files/README.md", "files", "archive", "archive?format=zip"):
        answer = await client.get(f"/v1/exports/{export_id}/{path}")
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith(f"the files of export {export_id} were removed from the store; make a new one with POST")


@pytest.mark.parametrize("form", ["tar", "zip"])
async def test_archive_is_an_attachment_without_ranges(client: httpx.AsyncClient, export_id: str, form: str) -> None:
    """200 whatever the range, 304 where the client has it, and HEAD without a length that is not known."""
    path = f"/v1/exports/{export_id}/archive?format={form}"
    whole = await client.get(path, headers={"Range": "bytes=0-9"})
    assert (whole.status_code, whole.headers["content-type"]) == (200, {"tar": "application/x-tar", "zip": "application/zip"}[form])
    assert (whole.headers["accept-ranges"], "content-length" in whole.headers) == ("none", False)
    assert f'filename="{export_id}.{form}"' in whole.headers["content-disposition"]
    again = await client.get(path, headers={"If-None-Match": whole.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = await client.head(path)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", whole.headers["etag"])
    assert "content-length" not in head.headers
    assert (await client.get(path, headers={"If-None-Match": head.headers["etag"].replace(form, "x")})).content == whole.content


async def test_archive_refuses_a_format_it_does_not_have(client: httpx.AsyncClient, export_id: str) -> None:
    """422, with the name of the parameter."""
    answer = await client.get(f"/v1/exports/{export_id}/archive?format=rar")
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "format")


@pytest.mark.parametrize("form", ["tar", "zip"])
async def test_archive_over_a_socket_is_whole_or_broken_off(resources: Resources, form: str) -> None:
    """A file that is damaged in the store ends the connection before the answer, and the next request is served."""
    images = {f"images/{n:06d}_{n:012x}.jpg": bytes([n]) * 700_000 for n in range(40)}
    export_id = await seeds.export(resources, await seeds.build(resources), images)
    async with served(resources) as client:
        path = f"/v1/exports/{export_id}/archive?format={form}"
        whole = (await client.get(path)).content
        assert unpacked(whole, form) == seeds.with_sums(images)
        assert (await client.get(path)).content == whole
        assert await by_http_1_0(client, path) == (len(whole), whole)
        await resources.store.put(f"exports/{export_id}/images/{30:06d}_{30:012x}.jpg", b"cut")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(path)
        length, part = await by_http_1_0(client, path)
        assert len(part) < length
        assert (await client.get(f"/v1/exports/{export_id}/files")).status_code == 200


async def by_http_1_0(client: httpx.AsyncClient, path: str) -> tuple[int, bytes]:
    """The announced length and the bytes that came, as nginx asks by default: without chunks only the length tells the end."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(re.findall(rb"content-length: (\d+)", head.lower())[0]), body


async def test_verification_is_a_check_of_the_export(client: httpx.AsyncClient, export_id: str) -> None:
    """202 and a check with a job of its own."""
    answer = await client.post(f"/v1/exports/{export_id}/verifications")
    assert answer.status_code == 202
    check = answer.json()
    assert answer.headers["location"] == f"/v1/checks/{check['id']}"
    assert (check["kind"], check["export_id"], check["status"], check["report"]) == ("verify", export_id, "pending", None)
    assert check["links"]["export"] == f"/v1/exports/{export_id}"


async def test_verification_needs_something_to_read(client: httpx.AsyncClient, resources: Resources) -> None:
    """Before the first byte is written there is nothing to verify."""
    export_id = await seeds.export(resources, await seeds.build(resources), {}, state="pending")
    assert (await client.post(f"/v1/exports/{export_id}/verifications")).status_code == 409


async def test_export_view_of_one_that_is_not_written_has_no_counts(resources: Resources) -> None:
    """Nothing is guessed before the report is there."""
    export_id = await seeds.export(resources, await seeds.build(resources), {}, state="pending")
    view = export_view(await datasets.get_export(resources.db, export_id))
    assert (view.status, view.samples, view.splits, view.labels, view.problems) == ("pending", None, {}, {}, [])


async def test_check_view_has_its_jobs_status_and_links_to_no_export_where_there_is_none(resources: Resources) -> None:
    """A check of a dataset is of no export."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "a.jpg", b"aa")
    check = await datasets.get_check(resources.db, await seeds.check(resources, job))
    view = check_view(check, await jobs.get(resources.db, check.job_id))
    assert (view.status, view.export_id) == ("pending", None)
    assert set(view.links) == {"self", "job", "dataset"}
