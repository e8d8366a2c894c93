import re
from html.parser import HTMLParser

import httpx

from app.resources import product_version
from app.web import openapi_document
from app.web.reference import render_reference

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LOADS = {"img", "script", "link", "iframe", "object", "embed", "form", "base"}


class Page(HTMLParser):
    """Collects the elements of a page, the targets of its links, and its ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.hrefs: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.attributes |= values.keys()
        self.hrefs += [str(values["href"])] if "href" in values else []
        self.ids += [str(values["id"])] if "id" in values else []


async def test_the_root_says_what_this_is_to_a_client(client: httpx.AsyncClient) -> None:
    """With its version and links that answer; caches keep it apart from the page that browsers get."""
    answer = await client.get("/")
    document = answer.json()
    assert answer.headers["vary"] == "Accept"
    assert (document["name"], document["version"]) == ("pictrawl", product_version())
    for path in document["links"].values():
        assert (await client.get(path)).status_code == 200


async def test_the_reference_loads_and_runs_nothing(client: httpx.AsyncClient) -> None:
    """Its policy allows its own style alone, which is inside the page with the digest that the policy names."""
    page = await client.get("/docs", headers=BROWSER)
    found = Page(page.text)
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert found.tags.isdisjoint(LOADS)
    assert not [name for name in found.attributes if name.startswith("on") or name in ("src", "style")]
    assert all(not re.match(r"https?:|//", href) for href in found.hrefs)


async def test_the_policy_names_the_digest_of_the_style(client: httpx.AsyncClient) -> None:
    """CSP Level 3, 6.7.3.3: the base64 of the SHA-256 of the element's text."""
    import base64
    import hashlib

    page = await client.get("/docs")
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"'sha256-{digest}'" in page.headers["content-security-policy"]


async def test_the_reference_has_every_operation_and_schema(client: httpx.AsyncClient) -> None:
    """Once each, and every link leads to one of them, or home."""
    found = Page((await client.get("/docs")).text)
    document = openapi_document()
    operations = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert sorted(found.ids) == sorted([*operations, *(f"schema-{name}" for name in document["components"]["schemas"])])
    assert {href.removeprefix("#") for href in found.hrefs} - set(found.ids) == {"/"}


def test_text_of_the_document_is_escaped() -> None:
    """A description is text, with words in backticks as code."""
    operation = {"operationId": "a", "summary": "<script>", "tags": ["t"], "responses": {"200": {"description": "`a<b`"}}}
    page = render_reference(
        {
            "info": {"title": "T", "version": "1", "description": "one\n\ntwo"},
            "tags": [{"name": "t", "description": ""}],
            "paths": {"/x": {"get": operation}},
            "components": {"schemas": {"S": {"type": "object", "additionalProperties": {"type": "integer"}}}},
        }
    )
    assert "<script>" not in page
    assert "<code>a&lt;b</code>" in page
    assert "<p>one</p><p>two</p>" in page
    assert "object of integer" in page
