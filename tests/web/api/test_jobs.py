"""."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.db import attempts, datasets, image_search, images, jobs, units
from app.db.api_keys import expire_idempotency
from app.db.funnel import Funnel, SourceCount
from app.db.rows import Unit
from app.discovery import url_list
from app.domain import Candidate, ImageState, ListProblem, Reason
from app.job_states import JobState, UnitKind, UnitState
from app.resources import Resources
from app.spec import ListSpec
from app.web import create_app
from app.web.api.job_views import figures_of, job_summary
from downloader.models import Attempt
from tests.web import seeds
from tests.web.conftest import Connect

NO_LIST = dict.fromkeys(("rows_read", "distinct_urls", "merged_rows", "label_conflicts", "reused", "not_modified"), 0)
URLS = {"urls": ["http://origin.example/a.jpg"], "export_format": "imagefolder"}


async def test_create_answers_202_with_a_place_and_the_whole_job(client: httpx.AsyncClient, resources: Resources) -> None:
    """Accepted work has a Location, and the body is the job as GET shows it."""
    answer = await client.post("/v1/jobs", json=URLS | {"name": "birds", "max_images": 7})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["retry-after"] == "1"
    assert (await client.get(answer.headers["location"])).json() == job
    assert (job["kind"], job["status"], job["desired_state"], job["target"]) == ("build", "pending", "running", 7)
    assert job["progress"] == {"candidates": 0, "fetched": 0, "valid": 0, "unique": 0, "kept": 0, "spare": 0, "open": 0} | NO_LIST
    none = {"attempts": 0, "retried": 0, "recovered": 0, "without_outcome": 0, "search_requests": 0, "search_retries": 0}
    assert job["retries"] == none | {"success_rate": None}
    assert job["spec"]["export_format"] == "imagefolder"
    assert job["request_id"] == answer.headers["x-request-id"]
    assert job["created_at"].endswith("Z")


async def test_keywords_may_have_labels_and_numbers(client: httpx.AsyncClient) -> None:
    """The target is their sum; the labels are in the spec. A field that is none is named by its pointer."""
    asked = [{"keyword": "labrador", "label": "dog", "max_images": 30}, {"keyword": "poodle", "label": "dog"}, "cat"]
    job = (await client.post("/v1/jobs", json={"keywords": asked, "per_label": 50})).json()
    assert [(item["keyword"], item["label"], item["wanted"]) for item in job["keywords"]] == [
        ("labrador", "dog", 30), ("poodle", "dog", 20), ("cat", "cat", 50),
    ]  # fmt: skip
    assert (job["target"], job["spec"]["keyword_labels"]["poodle"], job["spec"]["per_label"]) == (100, "dog", 50)
    refused = (await client.post("/v1/jobs", json={"keywords": ["cat", {"keyword": "dog", "lable": "x"}]})).json()
    assert refused["errors"] == [{"pointer": "#/keywords/1/lable", "detail": "is not known here; did you mean label?"}]


async def test_a_job_shows_what_each_keyword_brings(client: httpx.AsyncClient) -> None:
    """Shares of the target from the start; a list has no keywords. A minimum that the target cannot hold is refused by name."""
    body = {"keywords": ["cat", "dog", "owl"], "max_images": 10, "min_images_per_label": 3}
    job = (await client.post("/v1/jobs", json=body)).json()
    assert [(item["keyword"], item["wanted"]) for item in job["keywords"]] == [("cat", 4), ("dog", 3), ("owl", 3)]
    figures = {"wanted": 4, "found": 0, "fetched": 0, "kept": 0, "why_short": None, "not_expanded": None, "sources": []}
    assert job["keywords"][0] == {"keyword": "cat", "label": "cat"} | figures
    assert (await client.get(f"/v1/jobs/{job['id']}/explain")).json()["keywords"] == job["keywords"]
    assert job["spec"]["min_images_per_label"] == 3
    assert (await client.post("/v1/jobs", json=URLS)).json()["keywords"] == []
    refused = await client.post("/v1/jobs", json=body | {"min_images_per_label": 4})
    assert refused.status_code == 422
    assert "min_images_per_label 4 for 3 labels takes 12 images" in refused.text


async def test_create_stores_urls_and_shows_no_key_of_the_store(client: httpx.AsyncClient, resources: Resources) -> None:
    """URLs rest in the store as a list; where is the server's business."""
    job = (await client.post("/v1/jobs", json=URLS)).json()
    assert job["spec"]["url_list"] == "request"
    assert "output" not in job["spec"]
    stored = (await jobs.get(resources.db, job["id"])).spec["url_list"]["key"]
    assert await resources.store.get(stored) == b"http://origin.example/a.jpg"


async def test_create_takes_what_is_known_of_each_url(client: httpx.AsyncClient, resources: Resources, tmp_path: Path) -> None:
    """Objects beside URLs are read as a list with these columns is, each in its place."""
    known = {
        "label": 3, "caption": "a lynx\nat night", "group_id": 12, "sha256": "AB" * 32, "license": "cc by 4.0", "creator": "Ann",
        "attribution": "Ann (CC)", "title": "Lynx", "page_url": "https://example.org/p", "width": 640, "split": "val",
        "labels": ["lynx", 3], "captions": ["one", "two"],
    }  # fmt: skip
    urls = ["http://origin.example/a.jpg", {"url": " http://origin.example/b.jpg ", **known}, "no URL\nnor two", {"url": "nor this"}]
    job = (await client.post("/v1/jobs", json={"urls": urls})).json()
    listed = ListSpec(**(await jobs.get(resources.db, job["id"])).spec["url_list"])
    await resources.store.fetch_to(listed.key, tmp_path / "list.jsonl")
    first, second, third, fourth = url_list.read(tmp_path / "list.jsonl", listed)
    assert first == Candidate("http://origin.example/a.jpg", "list", 0, line=1)
    assert isinstance(second, Candidate)
    assert (second.url, second.rank, second.line, second.label, second.caption) == (
        "http://origin.example/b.jpg",
        1,
        2,
        "3",
        "a lynx at night",
    )
    assert (second.group_id, second.expected_sha256, second.license, second.title) == ("12", "ab" * 32, "cc by 4.0", "Lynx")
    assert (second.labels, second.captions) == (("3", "lynx"), ("a lynx at night", "one", "two"))
    assert isinstance(third, ListProblem)
    assert isinstance(fourth, ListProblem)
    assert (third.line, fourth.line) == (3, 4)


async def test_create_compares_what_is_known_under_an_idempotency_key(client: httpx.AsyncClient) -> None:
    """The same objects are the same request, in whatever order their keys stand; another label is another request."""
    image = {"url": "http://origin.example/a.jpg", "label": "lynx"}
    header = {"Idempotency-Key": "k"}
    first = await client.post("/v1/jobs", json={"urls": [image]}, headers=header)
    again = await client.post("/v1/jobs", json={"urls": [dict(reversed(image.items()))]}, headers=header)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    for other in (image | {"label": "puma"}, image | {"group_id": "g"}, image["url"]):
        answer = await client.post("/v1/jobs", json={"urls": [other]}, headers=header)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")


async def test_create_takes_keywords_where_a_contact_is_set(client: httpx.AsyncClient) -> None:
    """A dataset without a name is called by its keywords."""
    job = (await client.post("/v1/jobs", json={"keywords": ["red panda", "lynx"]})).json()
    assert job["target"] == 100
    assert (await client.get(job["links"]["dataset"])).json()["name"] == "red panda, lynx"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"urls": ["x"], "max_imags": 3}, "#/max_imags"),
        ({"urls": ["x"], "max_images": 0}, "#/max_images"),
        ({"urls": ["x"], "compression": {"format": "gif"}}, "#/compression/format"),
        ({"urls": ["x"], "compression": {"size": 0}}, "#/compression/size"),
        ({"urls": ["x"], "compression": {"size": 16384, "resize": "border", "format": "png"}}, "#/compression"),
        ({"urls": ["x"], "compression": {"level": True}}, "#/compression/level"),
        ({"urls": ["x"], "min_images": 10**400}, "#/min_images"),
        ({"urls": ["x"], "seed": 2**63}, "#/seed"),
        ({"urls": ["x"], "min_width": 100_001}, "#/min_width"),
        ({"urls": ["x"], "splits": {"train": True}}, "#/splits"),
        ({"urls": [{"url": "x", "width": True}]}, "#/urls/0/width"),
        ({"keywords": ["a", "c\u200bat"]}, "#/keywords/1"),
        ({"urls": ["x"], "label": "\u202ecat"}, "#/label"),
        ({"keywords": ["a", ""]}, "#/keywords/1"),
        ({"urls": ["x"], "splits": {"train": 0.5}}, "#/splits"),
        ({"urls": []}, "#"),
        ({"urls": ["x\0y"]}, "#"),
        ({"urls": ["x", {"url": "x", "caption": "half \ud800"}]}, "#"),
        ({"urls": ["x", {"label": "lynx"}]}, "#/urls/1/url"),
        ({"urls": [{"url": ""}]}, "#/urls/0/url"),
        ({"urls": ["x", {"url": "x", "lable": "lynx"}]}, "#/urls/1/lable"),
        ({"urls": ["x", "x", "x", {"url": "x", "label": "l" * 101}]}, "#/urls/3/label"),
        ({"urls": [{"url": "x", "label": True}]}, "#/urls/0/label"),
        ({"urls": [{"url": "x", "caption": ["a"]}]}, "#/urls/0/caption"),
        ({"urls": [{"url": "x", "caption": "c" * 5001}]}, "#/urls/0/caption"),
        ({"urls": [{"url": "x", "group_id": "g" * 201}]}, "#/urls/0/group_id"),
        ({"urls": [{"url": "x", "sha256": "0a1b"}]}, "#/urls/0/sha256"),
        ({"urls": [{"url": "x", "split": "../up"}]}, "#/urls/0/split"),
        ({"urls": [{"url": "x" * 8193}]}, "#/urls/0/url"),
        ({"urls": ["x", 5]}, "#/urls/1"),
        ({"urls": ["x", None]}, "#/urls/1"),
        ({"urls": [["x"]]}, "#/urls/0"),
        ([], "#"),
    ],
)
async def test_create_refuses_a_body_and_points_at_the_place(client: httpx.AsyncClient, body: Any, pointer: str) -> None:
    """422 names each place by a JSON pointer."""
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answer = await client.post("/v1/jobs", content=json.dumps(body), headers=headers)
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation-failed"
    assert answer.json()["detail"].startswith(pointer.removeprefix("#/").removeprefix("#") or "body")
    assert [item["pointer"] for item in answer.json()["errors"]] == [pointer]


async def test_a_number_out_of_bounds_is_shown_with_its_bound(client: httpx.AsyncClient) -> None:
    """Field, limit and value in one line."""
    answer = await client.post("/v1/jobs", json={"urls": ["x"], "compression": {"size": 0}})
    assert answer.json()["detail"] == "compression/size: must be at least 8, not 0"


async def test_a_number_of_five_thousand_digits_is_refused(client: httpx.AsyncClient) -> None:
    """More digits than Python reads."""
    body = f'{{"urls": ["x"], "seed": {"9" * 5000}}}'
    answer = await client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("share", ["NaN", "Infinity"])
async def test_create_refuses_numbers_that_json_does_not_have(client: httpx.AsyncClient, share: str) -> None:
    """Python's JSON reader takes NaN; no database does."""
    body = f'{{"urls": ["x"], "splits": {{"train": {share}}}}}'
    answer = await client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("depth", range(500, 1001, 50))
async def test_create_survives_json_nested_as_deep_as_the_reader_takes(client: httpx.AsyncClient, depth: int) -> None:
    """No recursion of ours goes deeper than the reader's: either it refuses the body, or we do."""
    body = '{"urls": ["x"], "name": ' + "[" * depth + "]" * depth + "}"
    answer = await client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)


async def test_create_refuses_a_source_that_is_not_there(client: httpx.AsyncClient) -> None:
    """The request is wrong, not the server's settings."""
    answer = await client.post("/v1/jobs", json={"keywords": ["a"], "sources": ["wikimedai"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert "did you mean wikimedia?" in answer.json()["detail"]


async def test_create_takes_licences(client: httpx.AsyncClient, resources: Resources) -> None:
    """With the words of the command line; the job's row has them settled. A word that names no licence names the nearest one."""
    answer = await client.post("/v1/jobs", json={"urls": ["http://origin.example/a.jpg"], "license": ["cc0,BY"], "license_unknown": "keep"})
    spec = (await jobs.get(resources.db, answer.json()["id"])).spec
    assert (spec["license"], spec["license_unknown"]) == (["cc0", "by"], "keep")
    answer = await client.post("/v1/jobs", json={"urls": ["http://origin.example/a.jpg"], "license": ["opn"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert "there is no licence 'opn'; did you mean open?" in answer.json()["detail"]


async def test_create_takes_pages(client: httpx.AsyncClient, resources: Resources) -> None:
    """With the options of the command line; the job's row has all of them, and the job shows what became of the pages."""
    asked = {
        "urls": ["https://www.site.example/a", "https://www.site.example/a"],
        "depth": 2,
        "follow_hosts": ["CDN.example", "Bücher.example", "*"],
    }
    answer = await client.post("/v1/jobs", json={"pages": asked})
    assert answer.status_code == 202
    job = await jobs.get(resources.db, answer.json()["id"])
    assert job.spec["pages"] == {
        "urls": ["https://www.site.example/a"],
        "depth": 2,
        "max_pages": 1000,
        "follow_hosts": ["cdn.example", "xn--bcher-kva.example", "*"],
        "css_images": False,
    }
    assert job.target is None
    assert (await datasets.get_dataset(resources.db, job.dataset_id)).name == "site-example"
    assert answer.json()["pages"] == {"read": 0, "waiting": 0, "failed": {}, "notes": {}}
    assert (await client.post("/v1/jobs", json=URLS)).json()["pages"] is None


@pytest.mark.parametrize(
    ("pages", "words"),
    [
        ({"urls": []}, "pages.urls"),
        ({"urls": ["ftp://site.example/"]}, "'ftp://site.example/' cannot be requested"),
        ({"urls": ["https://site.example/"], "follow_hosts": ["https://site.example/x"]}, "pages.follow_hosts"),
        ({"urls": ["https://site.example/"], "depth": -1}, "pages.depth"),
        ({"urls": ["https://site.example/"], "max_pages": 0}, "pages.max_pages"),
    ],
)
async def test_create_refuses_pages_that_make_no_sense(client: httpx.AsyncClient, pages: dict[str, Any], words: str) -> None:
    """The answer names the field and the value."""
    answer = await client.post("/v1/jobs", json={"pages": pages})
    assert answer.status_code == 422
    assert words in answer.text.replace("/", ".") or words in answer.text


async def test_create_refuses_names_of_files_as_keywords(client: httpx.AsyncClient) -> None:
    """The answer says where URLs belong."""
    answer = await client.post("/v1/jobs", json={"keywords": ["red panda", "list.txt"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert answer.json()["detail"] == "keyword 2 ('list.txt') is a list, not a word to search for; give image URLs as urls"


@pytest.mark.parametrize("urls", [["nope", "ftp://origin.example/a.jpg"], [{"url": "nope", "label": "cat"}]])
async def test_create_refuses_a_list_without_a_usable_url(client: httpx.AsyncClient, resources: Resources, urls: list[Any]) -> None:
    """As the command line does: at once, and nothing of it is stored. One usable URL is enough; the others are bad lines."""
    answer = await client.post("/v1/jobs", json={"urls": urls})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert answer.json()["detail"].endswith("usable; the first: not a URL: it does not begin with http:// or https://")
    assert [item.key async for item in resources.store.list("lists")] == []
    assert (await client.post("/v1/jobs", json={"urls": [*urls, "http://origin.example/a.jpg"]})).status_code == 202


async def test_create_replays_with_the_same_idempotency_key(client: httpx.AsyncClient, resources: Resources) -> None:
    """Same key, same body: the same job, and no second list in the store."""
    first = await client.post("/v1/jobs", json=URLS, headers={"Idempotency-Key": "k1"})
    lists = [item.key async for item in resources.store.list("lists")]
    again = await client.post("/v1/jobs", json=dict(reversed(URLS.items())), headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert [item.key async for item in resources.store.list("lists")] == lists
    other = await client.post("/v1/jobs", json=URLS, headers={"Idempotency-Key": "k2"})
    assert other.json()["id"] != first.json()["id"]


async def test_create_refuses_a_used_idempotency_key_with_another_body(client: httpx.AsyncClient, resources: Resources) -> None:
    """Same key, other body: 422, until the key is forgotten."""
    await client.post("/v1/jobs", json=URLS, headers={"Idempotency-Key": "k1"})
    answer = await client.post("/v1/jobs", json=URLS | {"seed": 1}, headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency-key-reused")
    await expire_idempotency(resources.db, older_than_s=-1)
    assert (await client.post("/v1/jobs", json=URLS | {"seed": 1}, headers={"Idempotency-Key": "k1"})).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 201, "a b"])
async def test_create_refuses_an_idempotency_key_of_another_form(client: httpx.AsyncClient, key: str) -> None:
    """One visible word of at most 200 characters."""
    answer = await client.post("/v1/jobs", json=URLS, headers={"Idempotency-Key": key})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == "Idempotency-Key"


async def test_list_pages_newest_first_and_filters(client: httpx.AsyncClient, resources: Resources) -> None:
    """Keyset pages hold every job once; filters use the words of the job."""
    made = [(await seeds.build(resources)).id for _ in range(5)]
    await seeds.end(resources, made[0], JobState.FAILED)
    seen: list[str] = []
    cursor = None
    while True:
        page = (await client.get("/v1/jobs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == made[::-1]
    failed = (await client.get("/v1/jobs?state=failed&kind=build")).json()["items"]
    assert [job["id"] for job in failed] == [made[0]]
    assert (await client.get("/v1/jobs?kind=export")).json()["items"] == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "state=done", "cursor=!!", "cursor=WzEsMl0", "bogus=1", "cursor=a%00b", "cursor=" + "a" * 501],
)
async def test_list_refuses_a_query_it_does_not_know(client: httpx.AsyncClient, query: str) -> None:
    """A typing error is no empty answer."""
    answer = await client.get(f"/v1/jobs?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")


async def test_get_shows_the_figures(client: httpx.AsyncClient, resources: Resources) -> None:
    """Progress, reasons and sources are the database's counts."""
    job = await seeds.build(resources, max_images=3)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.image(resources, job, "b.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    await seeds.image(resources, job, "c.jpg")
    empty = [{"label": "dog", "candidates": 2, "kept": 0, "reasons": {"label_conflict": 2}}]
    await seeds.end(resources, job.id, JobState.PARTIAL, shortfall={"missing": 2}, short_classes=empty)
    body = (await client.get(f"/v1/jobs/{job.id}")).json()
    assert body["progress"] == {"candidates": 3, "fetched": 1, "valid": 1, "unique": 1, "kept": 1, "spare": 0, "open": 1} | NO_LIST
    assert body["reasons"] == {"http_404": 1}
    assert body["sources"] == {"list": {"kept": 1, "failed": 1, "pending": 1}}
    assert (body["status"], body["shortfall"], body["short_classes"]) == ("partial", {"missing": 2}, empty)
    assert (await client.get(f"/v1/jobs/{job.id}/explain")).json()["short_classes"] == empty
    assert body["finished_at"] is not None


async def test_get_lists_exports_without_their_reports(client: httpx.AsyncClient, resources: Resources) -> None:
    """A report lists every file; a job names its exports."""
    job = await seeds.build(resources)
    export_id = await seeds.export(resources, job, {"manifest.json": b"{}"})
    (shown,) = (await client.get(f"/v1/jobs/{job.id}")).json()["exports"]
    assert (shown["id"], shown["status"], shown["export_format"]) == (export_id, "ready", "files")
    assert "problems" not in shown


@pytest.mark.parametrize("job_id", ["job_1", "job_" + "0" * 32, "JOB_" + "0" * 32, "%00"])
async def test_get_finds_nothing_for_an_id_that_is_none(client: httpx.AsyncClient, job_id: str) -> None:
    """An id that cannot exist is an id that does not."""
    answer = await client.get(f"/v1/jobs/{job_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")


async def test_change_pauses_resumes_and_cancels(client: httpx.AsyncClient, resources: Resources) -> None:
    """The desired state is what the client sets; the status follows."""
    job = await seeds.build(resources)
    for wanted, status in (("paused", "paused"), ("running", "running"), ("cancelled", "cancelled")):
        answer = await client.patch(f"/v1/jobs/{job.id}", json={"desired_state": wanted})
        assert answer.status_code == 200
        assert (answer.json()["desired_state"], answer.json()["status"]) == (wanted, status)


async def test_change_conflicts_with_a_job_that_has_ended(client: httpx.AsyncClient, resources: Resources) -> None:
    """What has ended stays so: 409."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    answer = await client.patch(f"/v1/jobs/{job.id}", json={"desired_state": "paused"})
    assert (answer.status_code, answer.json()["code"]) == (409, "state-conflict")


async def test_change_refuses_a_state_that_is_no_wish(client: httpx.AsyncClient, resources: Resources) -> None:
    """Nobody can wish a job to have failed."""
    job = await seeds.build(resources)
    answer = await client.patch(f"/v1/jobs/{job.id}", json={"desired_state": "failed"})
    assert answer.json()["errors"][0]["pointer"] == "#/desired_state"


async def test_retry_makes_a_job_that_follows_an_ended_one(client: httpx.AsyncClient, resources: Resources) -> None:
    """202, a new job on the same dataset, with the reasons it takes up; without a body all that may have passed."""
    job = await seeds.build(resources)
    await seeds.image(resources, job, state=ImageState.FAILED, reason=Reason.TIMEOUT)
    await seeds.end(resources, job.id, JobState.PARTIAL)
    answer = await client.post(f"/v1/jobs/{job.id}/retries", json={"reasons": ["timeout", "network", "timeout"]})
    assert answer.status_code == 202
    assert answer.json()["dataset_id"] == job.dataset_id
    assert answer.json()["spec"]["parent_job_id"] == job.id
    assert answer.json()["spec"]["retry_reasons"] == ["network", "timeout"]
    bare = await client.post(f"/v1/jobs/{job.id}/retries")
    assert bare.status_code == 202
    assert "dns_not_found" in bare.json()["spec"]["retry_reasons"]


async def test_retry_conflicts_with_a_running_job_and_with_nothing_to_do(client: httpx.AsyncClient, resources: Resources) -> None:
    """409 for what another moment would allow, 422 for reasons that are none."""
    job = await seeds.build(resources)
    assert (await client.post(f"/v1/jobs/{job.id}/retries")).status_code == 409
    await seeds.end(resources, job.id, JobState.FAILED)
    nothing = await client.post(f"/v1/jobs/{job.id}/retries", json={"reasons": ["timeout"]})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "state-conflict")
    unknown = await client.post(f"/v1/jobs/{job.id}/retries", json={"reasons": ["tired"]})
    assert unknown.json()["errors"][0]["pointer"] == "#/reasons/0"


async def test_one_idempotency_key_does_not_serve_two_resources(client: httpx.AsyncClient, resources: Resources) -> None:
    """The key belongs to the path too: a retry of another job is another request."""
    ids = []
    for name in ("a.jpg", "b.jpg"):
        job = await seeds.build(resources)
        await seeds.image(resources, job, name, state=ImageState.FAILED, reason=Reason.TIMEOUT)
        await seeds.end(resources, job.id, JobState.FAILED)
        ids.append(job.id)
    first, second = [await client.post(f"/v1/jobs/{job_id}/retries", headers={"Idempotency-Key": "k"}) for job_id in ids]
    assert (first.status_code, second.status_code) == (202, 422)
    again = await client.post(f"/v1/jobs/{ids[0]}/retries", headers={"Idempotency-Key": "k"})
    assert again.json()["id"] == first.json()["id"]


async def test_create_answers_202_while_the_queue_is_away(connect: Connect, resources: Resources) -> None:
    """The row is the outbox: it waits for the sweeper."""
    client = connect(create_app(seeds.without_queue(resources)))
    answer = await client.post("/v1/jobs", json=URLS)
    assert answer.status_code == 202
    assert (await jobs.get(resources.db, answer.json()["id"])).state is JobState.PENDING
    assert await units.counts(resources.db, answer.json()["id"]) == {("plan", "pending"): 1}


async def test_create_does_not_wait_for_a_queue_that_does_not_answer(connect: Connect, resources: Resources) -> None:
    """A Redis that hangs would hold the answer for minutes; it costs two seconds, and the sweeper sends later."""
    client = connect(create_app(seeds.without_queue(resources, seeds.SilentQueue())))
    async with asyncio.timeout(10):
        answer = await client.post("/v1/jobs", json=URLS)
    assert answer.status_code == 202


async def test_job_summary_shows_the_request_and_nothing_of_the_servers(resources: Resources) -> None:
    """Neither a key of the store nor a folder that the command line wrote to."""
    job = await seeds.build(resources, "ann", output="/home/ann/birds", label="bird")
    spec = job_summary(job).spec
    assert spec["label"] == "bird"
    assert spec["url_list"] == "birds.txt"
    assert "/home/ann" not in job_summary(job).model_dump_json()
    assert "lists/" not in job_summary(job).model_dump_json()


async def test_figures_of_counts_by_reason_and_source(resources: Resources) -> None:
    """Most frequent reason first; what is open has no reason; the rate is of the retried."""
    job = await seeds.build(resources, ended=JobState.PARTIAL)
    counts = (
        SourceCount("list", ImageState.KEPT, None, 5),
        SourceCount("list", ImageState.FAILED, Reason.TIMEOUT, 1),
        SourceCount("wikimedia", ImageState.REJECTED, Reason.TOO_SMALL, 3),
        SourceCount("wikimedia", ImageState.DEFERRED, Reason.RATE_LIMITED, 2),
    )
    figures = figures_of(job, Funnel(counts, attempts=12, retried=3, recovered=2, lost=4, search_requests=6, search_retries=5))
    assert list(figures.reasons.items()) == [("too_small", 3), ("timeout", 1)]
    assert figures.sources == {"list": {"kept": 5, "failed": 1}, "wikimedia": {"rejected": 3, "deferred": 2}}
    assert figures.retries.model_dump() == {
        "attempts": 12,
        "retried": 3,
        "recovered": 2,
        "success_rate": 0.6667,
        "without_outcome": 4,
        "search_requests": 6,
        "search_retries": 5,
    }
    assert (figures.status, figures.progress.open) == (JobState.PARTIAL, 2)


async def test_newest_pictures_of_a_job_come_first(client: httpx.AsyncClient, resources: Resources) -> None:
    """Those with bytes, whatever became of them, page by page."""
    job, other = await seeds.build(resources), await seeds.build(resources)
    ids = [await seeds.image(resources, job, f"{number}.jpg", b"%d" % number) for number in range(3)]
    small = await seeds.image(resources, job, "s.jpg", b"s", state=ImageState.REJECTED, reason=Reason.TOO_SMALL)
    await seeds.image(resources, job, "f.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    await seeds.image(resources, job, "l.jpg", state=ImageState.REJECTED, reason=Reason.LICENCE)
    await seeds.image(resources, other, "o.jpg", b"o")
    first = (await client.get(f"/v1/jobs/{job.id}/images", params={"limit": 3})).json()
    rest = (await client.get(f"/v1/jobs/{job.id}/images", params={"cursor": first["next_cursor"]})).json()
    assert [image["id"] for image in first["items"] + rest["items"]] == [small, *reversed(ids)]
    assert rest["next_cursor"] is None


async def test_hosts_of_a_job_say_what_they_took_and_who_waits_for_them(client: httpx.AsyncClient, resources: Resources) -> None:
    """The one that is closed first, until the last of its images is due."""
    job = await seeds.build(resources)
    came = await seeds.image(resources, job, "a.jpg", b"a")
    async with resources.db.write() as connection:
        await images.add_candidates(
            connection,
            dataset_id=job.dataset_id,
            job_id=job.id,
            search_id="srch_1",
            chunks=[("chunk_2", [("http://busy.example/b.jpg", Candidate("http://busy.example/b.jpg", "list"))])],
        )
        unit = Unit("unit_1", job.id, UnitKind.FETCH, UnitState.RUNNING, {}, 1, 0)
        await attempts.reserve(connection, unit, [(came, 1)])
        await attempts.record(connection, unit, [(came, 1, Attempt(1, 100.0, 0.5, 200))])
    (late,) = await image_search.by_url_keys(resources.db, [images.url_digest("http://busy.example/b.jpg")])
    deferred = {"id": late.id, "state": ImageState.DEFERRED, "reason": Reason.RATE_LIMITED, "not_before": 2_000_000_000.0}
    async with resources.db.write() as connection:
        await images.update_many(connection, [deferred])
    hosts = (await client.get(f"/v1/jobs/{job.id}/hosts")).json()
    assert hosts["hosts_in_all"] == 2
    assert [(host["host"], host["requests"], host["took_s"], host["deferred"], host["closed_until"]) for host in hosts["items"]] == [
        ("busy.example", 0, 0, 1, "2033-05-18T03:33:20Z"),
        ("origin.example", 1, 0.5, 0, None),
    ]


async def test_a_job_that_ended_has_no_rate(client: httpx.AsyncClient, resources: Resources) -> None:
    """One that runs has, from its second look on."""
    running, ended = await seeds.build(resources), await seeds.build(resources, ended=JobState.SUCCEEDED)
    shown = (await client.get(f"/v1/jobs/{running.id}")).json()
    assert (shown["valid_per_s"], shown["fetched_per_s"], shown["left_s"]) == (0.0, 0.0, None)
    shown = (await client.get(f"/v1/jobs/{ended.id}")).json()
    assert (shown["valid_per_s"], shown["fetched_per_s"], shown["left_s"]) == (None, None, None)
