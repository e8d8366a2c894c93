"""The watch over pages reports what it is there for, and the reference of the API passes it."""

import pytest
from playwright.async_api import Browser, Page

from tests.browser.chromium import Watch, audit, watched
from tests.browser.site import Site


async def test_the_reference_of_the_api_is_clean(page: Page, site: Site) -> None:
    """Nothing to complain of in the console, in the network log, and for axe-core."""
    await page.goto("/docs")
    assert await page.title() == "pictrawl: API reference"
    await audit(page)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("console.error('broken')", "console error: broken"),
        ("setTimeout(() => { throw new Error('thrown') })", "page error: thrown"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://elsewhere.example/pixel.gif'}))", "request left the origin"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://elsewhere.example/pixel.gif'}))", "CSP: img-src"),
        ("document.body.append(Object.assign(document.createElement('script'), {text: 'window.__xss()'}))", "CSP: script-src"),
    ],
)
async def test_faults_of_a_page_are_seen(browser: Browser, site: Site, script: str, fault: str) -> None:
    """Each kind of fault is on record, and fails the check."""
    async with watched(browser, site.url) as (context, watch):
        page = await context.new_page()
        await page.goto("/docs")
        await page.evaluate(script)
        await page.evaluate("new Promise(done => setTimeout(done, 50))")
        assert any(fault in seen for seen in watch.faults), watch.faults
        with pytest.raises(AssertionError):
            watch.check()


async def test_an_answer_that_the_server_failed_is_seen(browser: Browser, site: Site) -> None:
    """Status 500 and above."""
    async with watched(browser, site.url) as (context, watch):
        page = await context.new_page()
        await page.route("**/docs", lambda route: route.fulfill(status=503, body="<title>down</title>", content_type="text/html"))
        await page.goto("/docs")
        assert f"503 GET {site.url}/docs" in watch.faults


async def test_markup_that_is_executed_is_seen(browser: Browser, site: Site) -> None:
    """Any script of a page that calls the mark is counted."""
    async with watched(browser, site.url) as (context, watch):
        page = await context.new_page()
        await page.goto("/docs")
        await page.evaluate("window.__xss('here')")
        assert watch.executed == ["here"]
        with pytest.raises(AssertionError, match="executed"):
            watch.check()


async def test_axe_finds_what_is_wrong(page: Page) -> None:
    """A picture without a description."""
    await page.goto("/docs")
    await page.evaluate("document.querySelector('main').replaceChildren(new Image())")
    with pytest.raises(AssertionError, match="image-alt"):
        await audit(page)


def test_expected_faults_are_left_out() -> None:
    """A test that provokes a fault names it."""
    watch = Watch("http://127.0.0.1:1", expected=["404"])
    watch.note("console error: 404 (Not Found)")
    watch.note("console error: other")
    assert watch.faults == ["console error: other"]
