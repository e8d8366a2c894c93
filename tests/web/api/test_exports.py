"""."""

import httpx
import pytest

from app.db import datasets, jobs
from app.resources import Resources
from app.web.api.exports import check_view, export_view
from tests.web import seeds

FILES = {"manifest.json": b"{}", "train/lynx/000000_0a.jpg": b"0123456789", "train/puma/000001_0b.jpg": b"9"}


@pytest.fixture
async def export_id(resources: Resources) -> str:
    return await seeds.export(resources, await seeds.build(resources), FILES)


async def test_get_shows_counts_and_no_files(client: httpx.AsyncClient, export_id: str) -> None:
    """Files have a list of their own; there may be a million."""
    body = (await client.get(f"/v1/exports/{export_id}")).json()
    assert (body["status"], body["samples"], body["splits"], body["labels"]) == ("ready", 2, {"train": 2}, {"bird": 2})
    assert body["verified_at"] is not None
    assert "files" not in body


async def test_files_are_paged_by_path_with_sizes(client: httpx.AsyncClient, export_id: str) -> None:
    """Every file once, and where to take it."""
    first = (await client.get(f"/v1/exports/{export_id}/files?limit=2")).json()
    rest = (await client.get(f"/v1/exports/{export_id}/files", params={"cursor": first["next_cursor"]})).json()
    listed = first["items"] + rest["items"]
    assert {item["path"]: item["size_bytes"] for item in listed} == {path: len(body) for path, body in FILES.items()}
    assert [item["path"] for item in listed] == sorted(FILES)
    assert rest["next_cursor"] is None
    for item in listed:
        assert (await client.get(item["href"])).content == FILES[item["path"]]


async def test_download_is_whole_or_in_part(client: httpx.AsyncClient, export_id: str) -> None:
    """200, 206, 416 and 304 for one file that never changes."""
    path = f"/v1/exports/{export_id}/files/train/lynx/000000_0a.jpg"
    whole = await client.get(path)
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-length"] == "10"
    assert whole.headers["content-type"] == "image/jpeg"
    assert 'filename="000000_0a.jpg"' in whole.headers["content-disposition"]
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
    answer = await client.head(f"/v1/exports/{export_id}/files/train/lynx/000000_0a.jpg", headers={"Range": "bytes=0-3"})
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
    for path in ("files", "files/manifest.json"):
        answer = await client.get(f"/v1/exports/{export_id}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


async def test_a_file_that_the_store_lost_is_not_found(client: httpx.AsyncClient, resources: Resources, export_id: str) -> None:
    """The list says it was there; the answer begins only once it is sure."""
    await resources.store.delete([f"exports/{export_id}/manifest.json"])
    assert (await client.get(f"/v1/exports/{export_id}/files/manifest.json")).status_code == 404


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
