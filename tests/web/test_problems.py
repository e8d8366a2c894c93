import pytest

import errors
from app.db.conflicts import KeyReused, StateConflict
from app.storage import MissingObject
from app.web import problems


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
