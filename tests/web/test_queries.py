from datetime import UTC, datetime

import httpx
import pytest

from app.web import openapi_document
from app.web.queries import at

ROUTES = [(method, path) for path, item in openapi_document()["paths"].items() for method in item]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_route_refuses_a_query_parameter_it_does_not_know(client: httpx.AsyncClient, method: str, path: str) -> None:
    """422 that names it; where the id is none, that comes first."""
    known = path.format(job_id="job_" + "0" * 32, dataset_id="ds_" + "0" * 32, export_id="exp_" + "0" * 32, check_id="chk_" + "0" * 32,
                        image_id=1, path="a")  # fmt: skip
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
