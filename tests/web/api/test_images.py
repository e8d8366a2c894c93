import httpx
import pytest
from fastapi import FastAPI

from app.db import attempts
from app.db.rows import Unit
from app.domain import ImageState, Reason
from app.job_states import UnitKind, UnitState
from app.resources import Resources
from app.storage import paths
from downloader.models import Attempt
from tests.images import samples
from tests.web import seeds


async def test_list_filters_and_pages_oldest_first(client: httpx.AsyncClient, resources: Resources) -> None:
    """Filters narrow each other down; pages hold every image once."""
    job, other = await seeds.build(resources), await seeds.build(resources)
    ids = [await seeds.image(resources, job, f"{n}.jpg", label="lynx" if n else "puma") for n in range(3)]
    failed = await seeds.image(resources, job, "f.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    await seeds.image(resources, other, "o.jpg")
    first = (await client.get("/v1/images", params={"job_id": job.id, "limit": 3})).json()
    rest = (await client.get("/v1/images", params={"job_id": job.id, "limit": 3, "cursor": first["next_cursor"]})).json()
    assert [image["id"] for image in first["items"] + rest["items"]] == [*ids, failed]
    assert rest["next_cursor"] is None
    for query, expected in (
        ({"dataset_id": job.dataset_id, "state": "failed", "reason": "http_404"}, [failed]),
        ({"label": "puma"}, ids[:1]),
        ({"source": "nowhere"}, []),
        ({"split": "train"}, []),
    ):
        assert [image["id"] for image in (await client.get("/v1/images", params=query)).json()["items"]] == expected


async def test_get_tells_all_and_links_bytes_only_where_there_are_some(client: httpx.AsyncClient, resources: Resources) -> None:
    """An image that failed has no content to link to."""
    job = await seeds.build(resources)
    kept = (await client.get(f"/v1/images/{await seeds.image(resources, job, 'a.jpg', b'aa')}")).json()
    assert (kept["status"], kept["size_bytes"], kept["url"]) == ("kept", 2, "http://origin.example/a.jpg")
    assert kept["updated_at"].endswith("Z")
    assert "content" in kept["links"]
    failed = await seeds.image(resources, job, "b.jpg", state=ImageState.FAILED, reason=Reason.TIMEOUT, detail="35 s")
    shown = (await client.get(f"/v1/images/{failed}")).json()
    assert (shown["status"], shown["reason"], shown["detail"]) == ("failed", "timeout", "35 s")
    assert "content" not in shown["links"]
    assert (kept["evidence"], shown["evidence"]) == (None, None)
    assert (kept["captions"], kept["labels"], kept["list_columns"]) == (None, None, {})
    said = {"captions": ["x", "y"], "labels": ["a", "b"], "extra": {"score": ["0.5"], "n": 1}}
    listed = (await client.get(f"/v1/images/{await seeds.image(resources, job, 'c.jpg', b'cc', **said)}")).json()
    assert (listed["captions"], listed["labels"], listed["list_columns"]) == (["x", "y"], ["a", "b"], {"score": "0.5", "n": 1})


async def test_get_tells_what_a_refusal_rests_on(client: httpx.AsyncClient, resources: Resources) -> None:
    """The header, as the origin sent it."""
    job = await seeds.build(resources)
    refused = {"state": ImageState.FAILED, "reason": Reason.OPT_OUT, "evidence": "x-robots-tag: noai"}
    image_id = await seeds.image(resources, job, "c.jpg", **refused)
    assert (await client.get(f"/v1/images/{image_id}")).json()["evidence"] == "x-robots-tag: noai"
    assert (await client.get("/v1/images", params={"reason": "opt_out"})).json()["items"][0]["evidence"] == "x-robots-tag: noai"


@pytest.mark.parametrize("image_id", ["0", "999", "-1", "x", str(2**63), "1.5"])
async def test_get_finds_nothing_for_an_id_that_is_none(client: httpx.AsyncClient, image_id: str) -> None:
    """Whatever its form: there is no such image."""
    assert (await client.get(f"/v1/images/{image_id}")).status_code == 404


async def test_attempts_are_told_in_order(client: httpx.AsyncClient, resources: Resources) -> None:
    """What each request came to, and the wait that followed."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job)
    unit = Unit("unit_1", job.id, UnitKind.FETCH, UnitState.RUNNING, {}, 1, 0)
    failed = Attempt(1, 100.0, 0.5, 503, "ServiceUnavailableError", Reason.SERVICE_UNAVAILABLE, 2.0, "backoff")
    async with resources.db.write() as connection:
        await attempts.reserve(connection, unit, [(image_id, 1), (image_id, 2)])
        await attempts.record(connection, unit, [(image_id, 1, failed)])
    first, second = (await client.get(f"/v1/images/{image_id}/attempts")).json()["items"]
    assert first == {
        "job_id": job.id,
        "number": 1,
        "state": "done",
        "started_at": "1970-01-01T00:01:40Z",
        "queued_s": 0.0,
        "elapsed_s": 0.5,
        "status": 503,
        "error": "ServiceUnavailableError",
        "reason": "service_unavailable",
        "wait_s": 2.0,
        "wait_cause": "backoff",
    }
    assert (second["number"], second["state"], second["status"]) == (2, "reserved", None)


async def test_content_is_an_attachment_that_never_changes(client: httpx.AsyncClient, resources: Resources) -> None:
    """Bytes of strangers are for saving, never for showing as a page."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, "a.jpg", b"0123456789")
    answer = await client.get(f"/v1/images/{image_id}/content")
    assert answer.content == b"0123456789"
    headers = answer.headers
    assert headers["content-type"] == "image/jpeg"
    assert headers["content-disposition"] == f"attachment; filename=\"{image_id}.jpg\"; filename*=UTF-8''{image_id}.jpg"
    assert "immutable" in headers["cache-control"]
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]
    part = await client.get(f"/v1/images/{image_id}/content", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")
    assert (await client.get(f"/v1/images/{image_id}/content", headers={"If-None-Match": headers["etag"]})).status_code == 304


async def test_content_is_what_leaves_where_it_was_compressed(client: httpx.AsyncClient, resources: Resources) -> None:
    """The compressed bytes, with their own type."""
    job = await seeds.build(resources)
    out = "ab" * 32
    await resources.store.put(paths.blob(out), b"small")
    image_id = await seeds.image(resources, job, "a.jpg", b"large", out_sha256=out, out_media_type="image/webp", out_size_bytes=5)
    answer = await client.get(f"/v1/images/{image_id}/content")
    assert (answer.content, answer.headers["content-type"]) == (b"small", "image/webp")


NEVER_A_PAGE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers with which bytes of strangers are sent."""


@pytest.mark.parametrize(
    ("body", "media_type", "sent_as"),
    [
        (b"<html><script>alert(1)</script>", "text/html", "application/octet-stream"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "image/svg+xml", "application/octet-stream"),
        (b"<?xml version='1.0'?><x/>", "application/xml", "application/octet-stream"),
        (b"\x89PNG\r\n\x1a\n<script>alert(1)</script>", "image/png", "image/png"),
        (b"GIF89a=1;/*<html>*/alert(1)", "image/gif; charset=utf-7", "application/octet-stream"),
        (b"\0\0\1\0", "image/x-icon", "application/octet-stream"),
        (b"?", None, "application/octet-stream"),
    ],
)
async def test_hostile_content_never_runs_as_a_page(
    client: httpx.AsyncClient, resources: Resources, body: bytes, media_type: str | None, sent_as: str
) -> None:
    """Whatever a row says of the type, as of an older version or another tool: a format of datasets, or nothing a browser runs."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, "a.jpg", body, media_type=media_type)
    headers = (await client.get(f"/v1/images/{image_id}/content")).headers
    assert headers["content-type"] == sent_as
    assert headers["content-disposition"].startswith("attachment; ")
    assert {name: headers[name] for name in NEVER_A_PAGE} == NEVER_A_PAGE


async def test_a_hostile_form_keeps_to_the_formats_too(client: httpx.AsyncClient, resources: Resources) -> None:
    """The compressed bytes as the fetched ones."""
    job = await seeds.build(resources)
    out = "ab" * 32
    await resources.store.put(paths.blob(out), b"<svg/>")
    image_id = await seeds.image(resources, job, "a.jpg", b"large", out_sha256=out, out_media_type="image/svg+xml")
    headers = (await client.get(f"/v1/images/{image_id}/content")).headers
    assert headers["content-type"] == "application/octet-stream"
    assert f"{image_id}.bin" in headers["content-disposition"]


async def test_thumbnail_is_a_jpeg_shown_in_place(client: httpx.AsyncClient, resources: Resources) -> None:
    """Ours, so it may be shown; named by a digest, so it may be kept."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, "a.jpg", b"aa")
    sha256 = (await client.get(f"/v1/images/{image_id}")).json()["sha256"]
    await resources.store.put(paths.thumb(sha256), b"<script>alert(1)</script>")
    answer = await client.get(f"/v1/images/{image_id}/thumbnail")
    headers = answer.headers
    assert (answer.content, headers["content-type"]) == (b"<script>alert(1)</script>", "image/jpeg")
    assert {name: headers[name] for name in NEVER_A_PAGE} == NEVER_A_PAGE
    assert (headers["etag"], headers["cache-control"]) == (f'"thumb-{sha256}"', "private, max-age=31536000, immutable")
    assert "content-disposition" not in headers


async def test_a_thumbnail_that_the_client_has_is_not_read(client: httpx.AsyncClient, resources: Resources) -> None:
    """304 by the digest alone: there is none in the store here, and none is made."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, "a.jpg", b"aa")
    sha256 = (await client.get(f"/v1/images/{image_id}")).json()["sha256"]
    answer = await client.get(f"/v1/images/{image_id}/thumbnail", headers={"If-None-Match": f'"thumb-{sha256}"'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", f'"thumb-{sha256}"')


async def test_a_missing_thumbnail_is_made(client: httpx.AsyncClient, resources: Resources, app: FastAPI) -> None:
    """Of an image that nothing has validated, as one whose thumbnail was removed."""
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, "a.jpg", samples.encode(samples.photo(640, 480)))
    answer = await client.get(f"/v1/images/{image_id}/thumbnail")
    await app.state.thumbnails.aclose()
    assert (answer.status_code, answer.headers["content-type"], samples.opened(answer.content).format) == (200, "image/jpeg", "JPEG")
    sha256 = (await client.get(f"/v1/images/{image_id}")).json()["sha256"]
    assert await resources.store.get(paths.thumb(sha256)) == answer.content


async def test_a_picture_that_cannot_be_shown_has_a_placeholder(client: httpx.AsyncClient, resources: Resources, app: FastAPI) -> None:
    """A page asks for one; everyone else is told why. The image of somebody else has none."""
    job, other = await seeds.build(resources), await seeds.build(resources, "bob")
    broken = await seeds.image(resources, job, "a.jpg", b"<html>")
    bare = await seeds.image(resources, job, "b.jpg")
    lost = await seeds.image(resources, job, "c.jpg", sha256="cd" * 32, state=ImageState.KEPT)
    told = [(await client.get(f"/v1/images/{image_id}/thumbnail")).json() for image_id in (broken, bare, lost)]
    assert [problem["code"] for problem in told] == ["not-decodable", "not-found", "not-found"]
    assert told[0]["detail"].startswith(f"image {broken} cannot be shown: ")
    for image_id in (broken, bare, lost):
        shown = await client.get(f"/v1/images/{image_id}/thumbnail", params={"placeholder": True})
        assert (shown.status_code, shown.headers["content-type"], shown.headers["cache-control"]) == (200, "image/png", "no-store")
        assert samples.opened(shown.content).size == (96, 96)
    hidden = await seeds.image(resources, other, "d.jpg", b"dd")
    assert (await client.get(f"/v1/images/{hidden}/thumbnail", params={"placeholder": True})).status_code == 404
    await app.state.thumbnails.aclose()


async def test_bytes_that_are_not_there_are_not_found(client: httpx.AsyncClient, resources: Resources) -> None:
    """An image without bytes, and bytes that the store has lost."""
    job = await seeds.build(resources)
    bare = await seeds.image(resources, job, "a.jpg")
    lost = await seeds.image(resources, job, "b.jpg", sha256="cd" * 32, media_type="image/png", state=ImageState.KEPT)
    for image_id in (bare, lost):
        answer = await client.get(f"/v1/images/{image_id}/content")
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
