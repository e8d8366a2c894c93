from dataclasses import replace

import httpx
import pytest

from app.resources import Resources
from app.web.calls import Call
from app.web.checks import NoOptions
from app.web.jobs import NewJob
from tests.web import seeds


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
