"""What holds of every page: it can be read by everyone, on every screen, without a mouse, without JavaScript, and it does nothing else."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from app.web import create_app
from tests.browser.chromium import audit, settle, watched
from tests.browser.pages import PAGES, address, page_paths
from tests.browser.site import Seeded, Site, copied, open_site
from tests.web.seeds import key_of

each_page = pytest.mark.parametrize("path", PAGES)

WIDTHS_PX = (360, 1440)

MAX_STOPS = 400
"""Presses of the tab key after which a page is taken to have no end."""

STOPS = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')].filter(element =>
  element.tabIndex >= 0 && !element.disabled && element.type !== 'hidden' && element.checkVisibility({visibilityProperty: true})
  && !element.closest('[inert]')
  && !(element.type === 'radio' && element.name && document.querySelector(`input[type=radio][name="${element.name}"]:checked`) !== element))
  .length"""
"""Counts what the tab key should reach; of radio buttons with a name, the chosen one."""

FOCUSED = """() => {
  const element = document.activeElement
  const stops = window.__stops ??= []
  const isKnown = stops.includes(element)
  stops.push(element)
  if (isKnown || element === document.body) return {isKnown}
  const style = getComputedStyle(element)
  const isOutlined = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0
  return {isKnown, isVisible: isOutlined || style.boxShadow !== 'none', html: `${stops.length} ${element.outerHTML.slice(0, 160)}`}
}"""
"""The focused element. After the last one of a page comes the browser itself, then the first one."""


async def opened(page: Page, site: Site, path: str) -> None:
    """Open a page and wait until it has loaded its parts."""
    response = await page.goto(address(path, site.ids))
    assert response is not None
    assert response.status == 200, await page.locator("main").inner_text()
    await settle(page)


def test_every_page_is_listed(site: Site) -> None:
    """A page that is new gets a row, and with it all the tests here."""
    assert set(page_paths(create_app(site.resources))) == set(PAGES)


@each_page
async def test_page_is_clean(page: Page, site: Site, path: str) -> None:
    """axe-core finds nothing in light and dark, contrast included; the page fits a telephone and a large screen, and names its twin.

    The fixture finds no error and no request to another origin.
    """
    await opened(page, site, path)
    await audit(page)
    await page.emulate_media(color_scheme="dark")
    await audit(page)
    for width_px in WIDTHS_PX:
        await page.set_viewport_size({"width": width_px, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width_px
    shown = (await page.locator("body").text_content()) or ""
    assert ("curl " in shown) is PAGES[path].has_twin


@each_page
async def test_page_is_usable_by_keyboard(page: Page, site: Site, path: str) -> None:
    """The tab key reaches everything that can be used, and it is seen where it is."""
    await opened(page, site, path)
    stops = await page.evaluate(STOPS)
    reached: dict[str, bool] = {}
    for _ in range(MAX_STOPS):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        if focused["isKnown"]:
            break
        if "html" in focused:
            reached[focused["html"]] = focused["isVisible"]
    assert [html for html, is_visible in reached.items() if not is_visible] == []
    assert len(reached) >= stops


@each_page
async def test_page_works_without_javascript(browser: Browser, site: Site, path: str) -> None:
    """The server has rendered what it says."""
    async with watched(browser, site.url, java_script_enabled=False) as (context, watch):
        page = await context.new_page()
        await opened(page, site, path)
        assert await page.locator("h1").count() == 1
        assert len(await page.locator("main").inner_text()) > 40
        watch.check()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def locked_site(seeded: Seeded, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server with a key in force."""
    async with open_site(copied(seeded, tmp_path_factory.mktemp("locked") / "workspace"), ids=seeded.ids) as opened_site:
        await key_of(opened_site.resources, "local")
        yield opened_site


@each_page
async def test_visitor_is_asked_to_sign_in(locked_site: Site, path: str) -> None:
    """Once a key is in force; the page that was wanted is shown afterwards."""
    answer = await locked_site.api.get(address(path, locked_site.ids), headers={"Accept": "text/html"})
    if PAGES[path].is_open:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/signin")
