"""The report of a dataset: one file that everyone can read, in which markup of an attacker is text, and which asks for nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from tests.browser.chromium import audit, watched
from tests.browser.site import Site, open_site
from tests.browser.xss import NAME, seed_hostile


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hostile_site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A server of a workspace of an attacker's pictures."""
    seeded = await seed_hostile(tmp_path_factory.mktemp("hostile") / "workspace")
    async with open_site(seeded.workspace, ids=seeded.ids) as opened:
        yield opened


async def save_report(site: Site, folder: Path) -> str:
    """Put the report of the site's dataset into a folder, as a build does; return its address."""
    answer = await site.api.get(f"/v1/datasets/{site.ids['dataset_id']}/report")
    assert answer.status_code == 200
    (folder / "report.html").write_bytes(answer.content)
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_report_passes_axe(page: Page, site: Site, scheme: str) -> None:
    """From the server, under the policy that it sends."""
    await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    await page.goto(f"/v1/datasets/{site.ids['dataset_id']}/report")
    await audit(page)


@pytest.mark.parametrize("width_px", [360, 1440])
@pytest.mark.parametrize("has_javascript", [True, False])
async def test_report_is_read_from_a_folder(browser: Browser, site: Site, tmp_path: Path, width_px: int, has_javascript: bool) -> None:
    """It fits the screen, asks for no other file, and needs no script."""
    address = await save_report(site, tmp_path)
    options = {"viewport": {"width": width_px, "height": 800}, "java_script_enabled": has_javascript}
    async with watched(browser, address.removesuffix("/report.html"), **options) as (context, watch):
        page = await context.new_page()
        await page.goto(address)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width_px
        assert {url for url in watch.requests if not url.startswith("data:")} == {address}
        shown = await page.locator("body").inner_text()
        assert [text for text in ("landscapes", "dunes", "too_small", "duplicate_near", "CC-BY-4.0") if text not in shown] == []
        watch.check()


async def test_report_shows_markup_as_text(browser: Browser, hostile_site: Site, tmp_path: Path) -> None:
    """Of lists, sources and hosts; a file on disk has no server that sends a policy."""
    address = await save_report(hostile_site, tmp_path)
    async with watched(browser, address.removesuffix("/report.html")) as (context, watch):
        page = await context.new_page()
        await page.goto(address)
        assert NAME in ((await page.locator("body").text_content()) or "")
        watch.check()
