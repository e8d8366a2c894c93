"""."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import Response

from app.resources import Resources
from app.web.api.checks import NoOptions
from app.web.api.conventions import ACCEPTED, Call, accepted, at, may_fail
from app.web.api.jobs import NewJob
from tests.web import seeds
from tests.web.api.test_openapi import DOCUMENT

ROUTES = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]


IDS = {"job": "job", "dataset": "ds", "export": "exp", "check": "chk", "tombstone": "tomb", "review": "rev"}


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_refuses_a_query_parameter_it_does_not_know(client: httpx.AsyncClient, method: str, path: str) -> None:
    """422 that names it; where the id is none, that comes first."""
    ids = {f"{name}_id": f"{prefix}_{'0' * 32}" for name, prefix in IDS.items()}
    known = path.format(**ids, image_id=1, path="a", name="met")
    answer = await client.request(method, known, params={"bogus": "1"}, json={} if method in ("post", "patch") else None)
    assert answer.status_code == 422
    assert {"parameter": "bogus", "detail": "is not known here"} in answer.json()["errors"]


async def test_text_with_nul_is_refused(client: httpx.AsyncClient) -> None:
    """PostgreSQL would refuse it later, with 500."""
    answer = await client.get("/v1/images?label=a%00b")
    assert answer.json()["errors"] == [{"parameter": "label", "detail": "must not contain NUL"}]


def test_at_is_utc() -> None:
    """RFC 3339 with a Z, and nothing for nothing."""
    assert at(0.5) == datetime(1970, 1, 1, microsecond=500_000, tzinfo=UTC)
    assert at(None) is None


@pytest.fixture
def call(resources: Resources) -> Call:
    return Call(resources, "ann", "req_1", "/v1/jobs")


def test_caller_without_a_key_has_no_idempotency(call: Call) -> None:
    """Who sends no key may send the same body twice and mean it."""
    caller = call.caller(None, NoOptions())
    assert (caller.user_id, caller.request_id, caller.idempotency) == ("ann", "req_1", None)


def test_caller_takes_the_meaning_of_a_body_and_its_path(call: Call) -> None:
    """Order and spaces do not matter, the path and every value do."""
    one = NewJob.model_validate_json('{"urls": ["x"], "seed": 1}')
    same = NewJob.model_validate_json('{"seed":1,"urls":["x"]}')
    other = NewJob.model_validate_json('{"urls": ["x"], "seed": 2}')
    assert call.caller("k", one) == call.caller("k", same)
    assert call.caller("k", one) != call.caller("k", other)
    assert call.caller("k", one) != replace(call, path="/v1/other").caller("k", one)
    assert call.caller("k") != call.caller("k", one)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json", ""])
async def test_json_only_refuses_other_media_types(client: httpx.AsyncClient, content_type: str) -> None:
    """415, so that a form posted by a web page is never a job."""
    answer = await client.post("/v1/jobs", content=b'{"urls": ["x"]}', headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8", "application/merge-patch+json"])
async def test_json_only_takes_json_by_any_of_its_names(client: httpx.AsyncClient, resources: Resources, content_type: str) -> None:
    """RFC 6839: +json is JSON."""
    job = await seeds.build(resources)
    answer = await client.patch(f"/v1/jobs/{job.id}", content=b'{"desired_state": "paused"}', headers={"Content-Type": content_type})
    assert answer.status_code == 200


async def test_json_only_refuses_a_form_where_no_body_is_wanted(client: httpx.AsyncClient, resources: Resources) -> None:
    """A route without a body is posted to by forms too."""
    job = await seeds.build(resources)
    export_id = await seeds.export(resources, job, {})
    answer = await client.post(f"/v1/exports/{export_id}/verifications", data={"a": "b"})
    assert answer.status_code == 415


def test_accepted_says_where_and_when_to_look() -> None:
    """RFC 9110 15.3.3: a status monitor, and how soon it is worth asking."""
    response = Response()
    accepted(response, "/v1/jobs/job_1")
    assert (response.headers["location"], response.headers["retry-after"]) == ("/v1/jobs/job_1", "1")
    assert set(ACCEPTED[202]["headers"]) == {"Location", "Retry-After"}


def test_may_fail_leaves_the_words_to_the_document() -> None:
    """A status is named where it can happen, and described once."""
    assert may_fail(409, 416) == {409: {}, 416: {}}
