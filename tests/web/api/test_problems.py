"""."""

import httpx
import pytest
from fastapi import FastAPI

import errors
from app.db.exceptions import KeyReused, StateConflict
from app.resources import Resources
from app.storage import MissingObject
from app.web.api import problems
from tests.web import seeds


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (errors.NotFoundError("no job x"), 404, "not-found"),
        (MissingObject("get x: no such object"), 404, "not-found"),
        (StateConflict("has ended"), 409, "state-conflict"),
        (KeyReused("used"), 422, "idempotency-key-reused"),
        (errors.ValidationError("no"), 422, "validation-failed"),
        (errors.ConfigurationError("set it"), 422, "not-configured"),
        (errors.DatabaseConnectionError("postgresql://u:p@h"), 503, "database-unavailable"),
        (errors.StorageError("/srv/data: disk full"), 503, "storage-unavailable"),
        (errors.QueueUnavailableError("redis://h"), 503, "queue-unavailable"),
        (errors.NetworkError("connection to h broke"), 500, "internal"),
    ],
)
def test_of_error_maps_each_family(error: errors.PictrawlError, status: int, code: str) -> None:
    """The one table; what is ours to fix is named and never quoted."""
    refusal = problems.of_error(error)
    assert (refusal.status_code, refusal.kind.code) == (status, code)
    assert (error.message in refusal.detail) is (status < 500)
    assert ("Retry-After" in (refusal.headers or {})) is (status == 503)


def test_of_status_keeps_a_status_it_has_no_kind_for() -> None:
    """The framework may refuse in ways we never do."""
    refusal = problems.of_status(418, "short and stout")
    assert (refusal.status_code, refusal.kind.code) == (418, "http-error")


def test_respond_spells_every_member() -> None:
    """RFC 9457: type, title, status, detail, instance; and ours."""
    scope = {"path": "/v1/jobs", "state": {"request_id": "req_1"}}
    refusal = problems.Refusal("validation-failed", "limit: too much", fields=[problems.FieldProblem(parameter="limit", detail="too much")])
    response = problems.respond(scope, refusal)
    assert response.media_type == "application/problem+json"
    body = problems.Problem.model_validate_json(bytes(response.body))
    assert body.model_dump(exclude_none=True) == {
        "type": "urn:pictrawl:problem:validation-failed",
        "title": "The request breaks a rule",
        "status": 422,
        "detail": "limit: too much",
        "instance": "/v1/jobs",
        "code": "validation-failed",
        "request_id": "req_1",
        "errors": [{"parameter": "limit", "detail": "too much"}],
    }


@pytest.mark.parametrize(
    ("loc", "body", "pointer"),
    [
        (("body", "a", "b"), {"a": {"b": 1}}, "#/a/b"),
        (("body", "a", 1), {"a": [1, 2]}, "#/a/1"),
        (("body", "tag", "a"), {"a": 1}, "#/a"),
        (("body", "missing"), {}, "#/missing"),
        (("body", "a/b~c"), {"a/b~c": 1}, "#/a~1b~0c"),
        (("body", "a", 7), {"a": [1]}, "#/a"),
        (("body",), None, "#"),
    ],
)
def test_fields_of_points_only_at_what_the_body_has(loc: tuple[str | int, ...], body: object, pointer: str) -> None:
    """pydantic's locations name union members too; a JSON pointer does not."""
    (field,) = problems.fields_of([{"loc": loc, "type": "x", "msg": "Value error, no"}], body)
    assert (field.pointer, field.detail) == (pointer, "no")


def test_fields_of_lists_twenty_at_most() -> None:
    """A list of a hundred thousand bad URLs is no answer."""
    found = [{"loc": ("query", f"p{n}"), "type": "x", "msg": "no"} for n in range(100)]
    assert len(problems.fields_of(found, None)) == 20


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


@pytest.mark.parametrize(
    ("method", "path", "body", "place", "near"),
    [
        ("POST", "/v1/jobs", {"keywords": ["cat"], "max_image": 5}, {"pointer": "#/max_image"}, "max_images"),
        ("POST", "/v1/jobs", {"urls": [{"url": "http://h/a", "lable": "x"}]}, {"pointer": "#/urls/0/lable"}, "label"),
        ("PATCH", f"/v1/jobs/job_{0:032x}", {"desired_status": "paused"}, {"pointer": "#/desired_status"}, "desired_state"),
        ("GET", "/v1/jobs?stat=failed", None, {"parameter": "stat"}, "state"),
    ],
)
async def test_an_unknown_name_has_its_neighbour(
    client: httpx.AsyncClient, method: str, path: str, body: object, place: dict[str, str], near: str
) -> None:
    """In a body, inside of it, and in a query, as settings and options have it."""
    answer = (await client.request(method, path, json=body)).json()
    assert place | {"detail": f"is not known here; did you mean {near}?"} in answer["errors"]


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
