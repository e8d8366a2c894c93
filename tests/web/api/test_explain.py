"""Stories through the API: the words of the command line, and the same as data."""

import httpx
import pytest

from app.db import attempts, crawl_pages, jobs, tables
from app.db.rows import Unit
from app.discovery.pages import page_key
from app.domain import ImageState, Reason
from app.job_states import JobState, UnitKind, UnitState
from app.resources import Resources
from app.web import create_app
from downloader.models import Attempt
from tests.db.builders import change
from tests.web import seeds
from tests.web.conftest import Connect

MEASURES = {"width": 640.0, "height": 480.0, "pixels": 307200.0, "aspect": 1.3333, "truncated": 0.0, "frames": 1.0, "entropy": 0.5}


async def test_an_image_is_explained(client: httpx.AsyncClient, resources: Resources) -> None:
    """Each request, each check, and all of it in words."""
    job = await seeds.build(resources)
    judged = {
        "state": ImageState.REJECTED,
        "reason": Reason.LOW_INFORMATION,
        "measures": MEASURES,
        "media_type": "image/png",
        "robots": "allowed",
    }
    image_id = await seeds.image(resources, job, "a.jpg", **judged)
    unit = Unit("unit_1", job.id, UnitKind.FETCH, UnitState.RUNNING, {}, 1, 0)
    failed = Attempt(1, 100.0, 0.5, 503, "ServiceUnavailableError", Reason.SERVICE_UNAVAILABLE, 2.0, "backoff", 1.5)
    async with resources.db.write() as connection:
        await attempts.reserve(connection, unit, [(image_id, 1)])
        await attempts.record(connection, unit, [(image_id, 1, failed)])
    answer = await client.get(f"/v1/images/{image_id}/explain")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["image"]["id"], body["verdict"]) == (image_id, "rejected: low_information")
    (request,) = body["requests"]
    assert (request["started_at"], request["queued_s"], request["wait_s"]) == ("1970-01-01T00:01:40Z", 1.5, 2.0)
    assert [check["name"] for check in body["checks"] if check["outcome"] == "failed"] == ["entropy"]
    assert (body["image"]["robots"], body["robots_txt"]) == ("allowed", "http://origin.example/robots.txt")
    assert {"topic": "robots.txt", "words": "allows it, http://origin.example/robots.txt", "at": None} in body["lines"]


async def test_a_duplicate_is_explained_with_its_original(client: httpx.AsyncClient, resources: Resources) -> None:
    """And by its URL, with the rows of other datasets beside it."""
    job = await seeds.build(resources)
    kept = await seeds.image(resources, job, "k.jpg", b"aa")
    copy = await seeds.image(resources, job, "c.jpg", b"ab", state=ImageState.DUPLICATE, reason=Reason.DUPLICATE_NEAR, duplicate_of=kept)
    body = (await client.get(f"/v1/images/{copy}/explain")).json()
    assert (body["duplicate"]["of"], body["duplicate"]["is_exact"], body["duplicate"]["limit"]) == (kept, False, 6)
    other = await seeds.build(resources)
    newer = await seeds.image(resources, other, "k.jpg")
    body = (await client.get("/v1/explain", params={"what": "http://origin.example/k.jpg"})).json()
    assert (body["image"]["id"], [item["id"] for item in body["also"]]) == (newer, [kept])
    await change(resources.db, tables.images, kept, state="failed")
    async with resources.db.write() as connection:
        await connection.execute(tables.images.delete().where(tables.images.c.id == kept))
    lines = (await client.get(f"/v1/images/{copy}/explain")).json()["lines"]
    assert [line["words"] for line in lines if line["topic"] == "duplicate"] == [f"of image {kept}, which was deleted"]


async def test_a_job_is_explained(client: httpx.AsyncClient, resources: Resources) -> None:
    """Kinds of work, hosts, what it waits for."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, "d.jpg", state=ImageState.DEFERRED, reason=Reason.RATE_LIMITED, not_before=2e9)
    body = (await client.get(f"/v1/jobs/{job.id}/explain")).json()
    assert (body["job_id"], body["requests"], body["hosts"], body["exhausted"]) == (job.id, 0, [], 0)
    assert [(stage["kind"], stage["open"]) for stage in body["stages"]] == [("plan", 1)]
    assert (body["deferred"][0]["images"], body["deferred"][0]["first_at"]) == (1, "2033-05-18T03:33:20Z")
    assert body["waits_for"][0] == "a worker: no process works on it"
    assert "1 image deferred" in body["waits_for"][1]
    await seeds.end(resources, job.id, JobState.CANCELLED)
    assert (await client.get(f"/v1/jobs/{job.id}/explain")).json()["waits_for"] == []


async def test_others_stories_are_not_found(app: object, connect: Connect, resources: Resources) -> None:
    """A foreign id, URL or job is one that is not there."""
    ann, bob = await seeds.key_of(resources, "ann"), await seeds.key_of(resources, "bob")
    job = await seeds.build(resources, "ann")
    image_id = await seeds.image(resources, job, "a.jpg")
    application = create_app(resources)
    paths = (
        f"/v1/images/{image_id}/explain",
        f"/v1/jobs/{job.id}/explain",
        "/v1/explain?what=http://origin.example/a.jpg",
        f"/v1/explain?what={image_id}",
    )
    for path in paths:
        assert (await connect(application, ann).get(path)).status_code == 200, path
        assert (await connect(application, bob).get(path)).status_code == 404, path


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/explain", 422),
        ("/v1/explain?what=nonsense", 422),
        ("/v1/explain?what=http://h/x&more=1", 422),
        ("/v1/explain?what=http://h/x", 404),
        ("/v1/explain?what=99999999999999999999999", 404),
        ("/v1/images/999/explain", 404),
        ("/v1/images/1/explain?x=1", 404),
        (f"/v1/jobs/job_{'0' * 32}/explain", 404),
    ],
)
async def test_what_is_none_is_a_problem(client: httpx.AsyncClient, path: str, status: int) -> None:
    """As everywhere."""
    answer = await client.get(path)
    assert answer.status_code in (status, 422)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_page_of_a_crawl_is_explained(client: httpx.AsyncClient, connect: Connect, resources: Resources) -> None:
    """A URL that no image has is looked up among pages; those of another user are not found."""
    job = await seeds.build(resources)
    async with resources.db.write() as connection:
        (search_id,) = await jobs.add_searches(connection, job.id, [("pages", "https://site.example/", None)])
        await crawl_pages.add(connection, search_id, [(page_key("https://site.example/"), "https://site.example/")], depth=0, room=9)
    (first,) = await crawl_pages.load_due(resources.db, search_id, 9)
    facts = crawl_pages.PageFacts(requests=1, robots="allowed", opt_out="none", kind="html", images=3, links=1)
    async with resources.db.write() as connection:
        await crawl_pages.finish(connection, first, search_id=search_id, facts=facts)
        found = [(page_key("https://site.example/2"), "https://site.example/2")]
        await crawl_pages.add(connection, search_id, found, depth=1, room=9, parent_id=first.id)
    body = (await client.get("/v1/explain", params={"what": "https://site.example/index.html#top"})).json()
    assert (body["page"]["status"], body["page"]["kind"], body["page"]["images"], body["page"]["found_on"]) == ("read", "html", 3, None)
    assert {"topic": "images", "words": "3 taken", "at": None} in body["lines"]
    body = (await client.get("/v1/explain", params={"what": "https://site.example/2"})).json()
    assert (body["verdict"], body["page"]["found_on"]) == ("waiting: not requested yet", "https://site.example/")
    assert (await client.get("/v1/explain", params={"what": "https://site.example/3"})).status_code == 404
    bob = connect(create_app(resources), await seeds.key_of(resources, "bob"))
    assert (await bob.get("/v1/explain", params={"what": "https://site.example/2"})).status_code == 404
