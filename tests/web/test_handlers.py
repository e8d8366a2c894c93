import httpx
import pytest
from fastapi import FastAPI

import errors
from app.resources import Resources
from tests.web import seeds


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    """404 as problem+json, with the path and no query."""
    answer = await client.get("/v2/jobs?token=secret")
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"], body["instance"]) == (404, "not-found", "/v2/jobs")


async def test_a_trailing_slash_is_another_path(client: httpx.AsyncClient) -> None:
    """One resource, one URL; no redirect that would lose a body."""
    assert (await client.get("/v1/jobs/")).status_code == 404


async def test_a_method_that_does_not_fit_is_405_with_allow(client: httpx.AsyncClient) -> None:
    """RFC 9110 15.5.6 wants Allow."""
    answer = await client.put("/v1/jobs", json={})
    assert (answer.status_code, answer.json()["code"]) == (405, "method-not-allowed")
    assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"{", "malformed-json"), (b'{"a": }', "malformed-json"), (b'"\xff"', "bad-request"), (b"[" * 100_00, "bad-request")],
)
async def test_a_body_that_is_no_json_is_400(client: httpx.AsyncClient, content: bytes, code: str) -> None:
    """What cannot be read at all breaks no rule of ours."""
    answer = await client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


async def test_a_body_that_is_missing_is_422(client: httpx.AsyncClient) -> None:
    """Nothing is not JSON that is wrong; it is a body that is wanted."""
    answer = await client.post("/v1/jobs")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#")
    assert answer.json()["detail"].startswith("body: ")


async def test_the_detail_names_the_first_and_counts_the_rest(client: httpx.AsyncClient) -> None:
    """One line for people, a list for programs."""
    body = (await client.get("/v1/jobs?limit=0&bogus=1")).json()
    assert body["detail"].startswith("limit: ")
    assert body["detail"].endswith("(1 more)")
    assert body["errors"][1] == {"parameter": "bogus", "detail": "is not known here"}


async def test_a_fault_of_ours_is_named_and_not_quoted(app: FastAPI, client: httpx.AsyncClient, resources: Resources) -> None:
    """A store that is away is 503 with Retry-After, and no word of where it is."""

    async def broken() -> None:
        raise errors.StorageError("put /srv/secret-place: disk full")

    app.add_api_route("/broken", broken)
    answer = await client.get("/broken")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "storage-unavailable", "30")
    assert "secret-place" not in answer.text


async def test_messages_quote_no_more_than_the_place(client: httpx.AsyncClient, resources: Resources) -> None:
    """A value that is refused is not sent back."""
    job = await seeds.build(resources)
    answer = await client.patch(f"/v1/jobs/{job.id}", json={"desired_state": "canary-77"})
    assert answer.status_code == 422
    assert "canary-77" not in answer.text
