"""Markup of an attacker is text on every page, wherever it came from."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.chromium import Watch, settle, watched
from tests.browser.pages import PAGES, address
from tests.browser.site import Site, open_site
from tests.browser.xss import NAME, PAYLOADS, Payload, seed_hostile

LIVE = """() => [...document.querySelectorAll('*')].flatMap(element => [...element.attributes].map(attribute => [element, attribute]))
  .filter(([element, {name, value}]) => /^on|^hx-on|^data-hx-on/i.test(name) || /^\\s*(java|vb)script:|^data:text/i.test(value)
    && ['href', 'src', 'action', 'data', 'formaction', 'srcdoc'].includes(name))
  .map(([element]) => element.outerHTML.slice(0, 200))"""
"""Elements that would execute something: handlers, and addresses that are scripts."""

EVALUATED = "49${7*7}"
"""What a template would make of the payload that is one."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server of a workspace of an attacker's pictures."""
    seeded = await seed_hostile(tmp_path_factory.mktemp("hostile") / "workspace")
    async with open_site(seeded.workspace, ids=seeded.ids) as opened:
        yield opened


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if payload.inside], ids=lambda payload: ascii(payload.text)[:60])
async def test_payload_is_executed_where_nothing_escapes_it(browser: Browser, site: Site, payload: Payload) -> None:
    """Else the other tests here would prove nothing."""
    assert payload.inside is not None
    async with watched(browser, site.url, bypass_csp=True) as (context, watch):
        page = await context.new_page()
        markup = f"<!doctype html><meta charset=utf-8>{payload.inside.format(payload.text)}"
        await page.route("**/bare", lambda route: route.fulfill(body=markup, content_type="text/html"))
        await page.route("**/x", lambda route: route.fulfill(status=404, body=""))
        await page.goto("/bare")
        if await page.locator("a").count():
            await page.locator("a").click()
        await page.wait_for_timeout(50)
        assert watch.executed


async def inspect(page: Page, watch: Watch) -> None:
    """Assert that nothing on the page is executed, now or when somebody uses it, and that nothing of it was evaluated."""
    await settle(page)
    assert await page.evaluate(LIVE) == []
    assert EVALUATED not in await page.content()
    assert watch.executed == []


@pytest.mark.parametrize("path", PAGES)
async def test_page_shows_markup_as_text(browser: Browser, hostile_site: Site, path: str) -> None:
    """In all that a list, a source and a host have said."""
    async with watched(browser, hostile_site.url) as (context, watch):
        page = await context.new_page()
        response = await page.goto(address(path, hostile_site.ids))
        assert response is not None
        assert response.status == 200
        await inspect(page, watch)
        watch.check()


async def test_address_of_a_page_is_not_executed(browser: Browser, hostile_site: Site) -> None:
    """What a link of an attacker asks a page for, be it there or not."""
    async with watched(browser, hostile_site.url) as (context, watch):
        watch.expected.append(r"status of 4\d\d")
        page = await context.new_page()
        for payload in PAYLOADS:
            said = quote(payload.text, safe="")
            for path in (f"/jobs/{said}?{said}={said}", f"/signin?next={said}"):
                await page.goto(path)
                await inspect(page, watch)
        watch.check()


async def test_page_of_every_picture_shows_markup_as_text(browser: Browser, hostile_site: Site) -> None:
    """Each has another payload in all of its fields."""
    items = (await hostile_site.api.get("/v1/images", params={"limit": 200})).json()["items"]
    assert len(items) >= len(PAYLOADS)
    async with watched(browser, hostile_site.url) as (context, watch):
        page = await context.new_page()
        for item in items:
            await page.goto(f"/images/{item['id']}")
            await inspect(page, watch)
        watch.check()


async def test_names_are_shown_as_they_are(browser: Browser, hostile_site: Site) -> None:
    """Nothing is lost or escaped twice."""
    async with watched(browser, hostile_site.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/datasets/{hostile_site.ids['dataset_id']}")
        assert NAME in ((await page.locator("main").text_content()) or "")
        watch.check()
