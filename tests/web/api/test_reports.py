"""Tests of /v1/datasets/{id}/report: a page of strangers' texts that gets no origin."""

import httpx

from app.exports.sidecars import REPORT_MARK
from app.resources import Resources
from app.storage import paths
from app.web import create_app
from tests.report.rows import XSS, add_dataset, digest, thumbnail
from tests.web import seeds
from tests.web.conftest import Connect


async def test_the_report_of_a_dataset(client: httpx.AsyncClient, resources: Resources) -> None:
    """A page that loads nothing, in a sandbox; 304 for a client that has it."""
    rows = await add_dataset(resources.db, [{"title": text} for text in XSS])
    await resources.store.put(paths.thumb(digest(1)), thumbnail(1))
    url = f"/v1/datasets/{rows.dataset_id}/report"
    got = await client.get(url)
    assert (got.status_code, got.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert got.content.startswith(REPORT_MARK)
    assert got.content.count(b"<script") == 1
    policy = got.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert policy.endswith("; frame-ancestors 'none'; sandbox allow-scripts")
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-disposition"] == f'inline; filename="{rows.dataset_id}-report.html"'
    current = await client.get(url, headers={"If-None-Match": got.headers["etag"]})
    assert (current.status_code, current.content) == (304, b"")
    assert (await client.get(url, headers={"If-None-Match": '"another"'})).content == got.content
    assert (await client.get(url, params={"size": 1})).status_code == 422


async def test_a_report_of_another_user_is_not_found(resources: Resources, connect: Connect) -> None:
    """Nor is one of a dataset that is not there."""
    key = await seeds.key_of(resources, "mallory")
    rows = await add_dataset(resources.db, [{}])
    client = connect(create_app(resources), key)
    assert (await client.get(f"/v1/datasets/{rows.dataset_id}/report")).status_code == 404
    assert (await client.get(f"/v1/datasets/ds_{'0' * 32}/report")).status_code == 404
