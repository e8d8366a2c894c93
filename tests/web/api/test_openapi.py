import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.web import openapi_document
from app.web.api.problems import KINDS

DOCUMENT = openapi_document()
OPERATIONS = [(path, method, operation) for path, item in DOCUMENT["paths"].items() for method, operation in item.items()]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_the_document_is_openapi_3_1_and_the_same_each_time() -> None:
    """It is committed, so it must not move by itself."""
    assert DOCUMENT["openapi"] == "3.1.0"
    assert json.dumps(DOCUMENT) == json.dumps(openapi_document())


def test_every_reference_leads_somewhere() -> None:
    """A client generator follows each."""
    for reference in references(DOCUMENT):
        node = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            assert step in node, reference
            node = node[step]


def test_every_operation_has_a_name_of_its_own_and_a_summary() -> None:
    """Names like ``jobs_create``: they become function names."""
    names = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(names) == len(set(names))
    assert all(name.isidentifier() and name.islower() for name in names)
    assert all(operation["summary"] and operation["tags"] for _, _, operation in OPERATIONS)


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=[operation["operationId"] for _, _, operation in OPERATIONS])
def test_every_operation_documents_its_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    """As problems, not as FastAPI's validation errors."""
    wanted = {"422", "500"}
    wanted |= {"401"} if path not in ("/healthz", "/readyz") else set()
    wanted |= {"404"} if "{" in path else set()
    wanted |= {"400", "413", "415"} if "requestBody" in operation else set()
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            assert response == {"$ref": f"#/components/responses/Problem{status}"}
    assert wanted <= set(operation["responses"])


def test_frameworks_own_errors_are_not_advertised() -> None:
    """Nothing answers with them."""
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)
    assert set(DOCUMENT["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]) == set(KINDS)


async def test_the_served_document_is_the_same(client: httpx.AsyncClient) -> None:
    """What is served is what is committed; the framework's own pages, which load scripts from elsewhere, are not there."""
    for _ in range(2):
        assert (await client.get("/v1/openapi.json")).json() == DOCUMENT
    for path in ("/redoc", "/openapi.json"):
        assert (await client.get(path)).status_code == 404
