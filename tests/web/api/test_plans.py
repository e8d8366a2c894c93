"""Tests of ``/v1/plans``: the figures of a plan, what is in its way, and that nothing is stored."""

import httpx

from app.resources import Resources
from app.settings import load_settings
from app.web import create_app
from tests.providers import PROVIDERS
from tests.web.conftest import Connect


async def test_a_plan_of_searches(resources: Resources, connect: Connect) -> None:
    """The body is that of a build; no job is made."""
    async with PROVIDERS["cleveland"](80) as provider:
        own = {"workspace.path": resources.settings.workspace.path, "sources.cleveland.base_url": provider.base_url}
        settings = load_settings(own | {"fetch.allow_networks": ("127.0.0.0/8",), "fetch.ports": ()})
        client = connect(create_app(Resources(settings, resources.db, resources.store, resources.queue)))
        body = {"keywords": ["cat"], "sources": ["cleveland", "flickr"], "max_images": 30}
        answer = await client.post("/v1/plans", json=body)
        assert answer.status_code == 200, answer.text
        plan = answer.json()
        assert (plan["target"], plan["candidates"], plan["reachable"], plan["urls"]) == (30, 37, 60, None)
        assert plan["searches"] == [
            {"keyword": "cat", "label": "cat", "source": "cleveland", "results": 80, "allowed": 60, "reachable": 60,
             "candidates": 37, "calls": 1, "problem": None}
        ]  # fmt: skip
        assert "Flickr answers nobody without an API key" in plan["in_the_way"][0]
        assert (await client.get("/v1/jobs")).json()["items"] == []


async def test_a_plan_of_urls(client: httpx.AsyncClient) -> None:
    """Rows and hosts; nobody is asked."""
    body = {"urls": ["https://a.example/1.jpg", {"url": "https://b.example/2.jpg", "license": "by-nc"}, "no url"], "max_images": 1}
    body |= {"license": ["open"], "license_unknown": "keep"}
    plan = (await client.post("/v1/plans", json=body)).json()
    assert plan["urls"] == {"rows": 3, "usable": 2, "refused": 1, "all_hosts": 2, "hosts": {"a.example": 1, "b.example": 1}}
    assert (plan["target"], plan["candidates"], plan["reachable"], plan["calls"]) == (1, 1, 1, 0)


async def test_a_plan_of_pages(client: httpx.AsyncClient) -> None:
    """What is known before they are read."""
    body = {"pages": {"urls": ["https://a.example/gallery", "https://a.example/other"], "depth": 0, "max_pages": 9}}
    plan = (await client.post("/v1/plans", json=body)).json()
    assert plan["pages"] == {"named": 2, "max_pages": 9, "depth": 0, "hosts": {"a.example": 2}}
    assert (plan["target"], plan["candidates"], plan["urls"]) == (None, 0, None)


async def test_a_plan_refuses_what_a_build_refuses(client: httpx.AsyncClient) -> None:
    """By the same rules."""
    answer = await client.post("/v1/plans", json={"keywords": ["cat"], "per_label": 0})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/per_label"
