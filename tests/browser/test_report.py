"""A report as a file in a real browser: it shows what it holds, loads nothing, runs nothing that was planted, and takes the keyboard."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import audit, watched
from tests.conftest import opened
from tests.report.rows import XSS, add_dataset, duplicate, failed, rejected, store_of, thumbnail
from tests.templates import sqlite_like_new

IMAGES = 300


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with pictures, what was left out, markup in every text, a long and a right-to-left label, and a thumbnail that is gone."""
    from app.report import make_report

    folder = tmp_path_factory.mktemp("report")
    labels = ["dunes", "harbour", "meadow", "long " * 60, "قطة"]
    kept = [{"label": labels[number % 5], "split": ("train", "train", "val", "test")[number % 4]} for number in range(IMAGES)]
    planted = [{"label": text, "caption": text, "license": text, "source": text[:40], "page_url": text} for text in XSS]
    refused = [rejected(detail=text, evidence=text, page_url=text) for text in XSS]
    copies = [duplicate(1, phash="00000000000000ff"), duplicate(1, "duplicate_exact"), duplicate(2)]
    async for db in opened(sqlite_like_new(folder / "pictrawl.db")):
        rows = await add_dataset(db, [*kept, *planted, *refused, *copies, *(failed() for _ in range(9))], name=XSS[0])
        bodies = {number: thumbnail(number % 40) for number in range(2, IMAGES + 20)}
        (folder / "report.html").write_bytes(await make_report(db, store_of(folder / "store", bodies), rows.dataset_id))
    return folder / "report.html"


@pytest_asyncio.fixture(loop_scope="session", params=["light", "dark"])
async def page(browser: Browser, report: Path, request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    """The report, opened; a request, an error, or anything planted that runs fails the test."""
    async with watched(browser, report.parent.as_uri(), color_scheme=request.param) as (context, watch):
        opened_page = await context.new_page()
        await opened_page.goto(report.as_uri())
        yield opened_page
        assert watch.requests[0] == report.as_uri()
        assert all(url.startswith("data:image/jpeg;base64,") for url in watch.requests[1:])
        watch.check()


async def test_a_report_has_no_fault_and_nothing_against_it(page: Page) -> None:
    """No violation of axe-core, no error, no request; every picture has its pixels and its words."""
    await audit(page)
    assert await page.locator("svg.tile").count() > IMAGES
    assert await page.evaluate("Promise.all([...document.querySelectorAll('image')].map(image => image.decode())).then(() => true)")
    assert await page.evaluate("[...document.querySelectorAll('svg.tile')].every(tile => tile.querySelector('title').textContent)")
    await expect(page.get_by_text("1 picture of this report has no thumbnail")).to_be_visible()


@pytest.mark.parametrize("width", [360, 1440])
async def test_a_report_fits_on_a_screen(page: Page, width: int) -> None:
    """Nothing makes the page wider than a telephone or a desk; tables scroll inside."""
    await page.set_viewport_size({"width": width, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_tables_are_sorted_by_keyboard(page: Page) -> None:
    """The first key press sorts numbers from the largest, the next one from the smallest."""
    table = page.locator("table:has(#reasons-table)")
    button = table.get_by_role("button", name="Images")
    await button.focus()
    for order, counts in (("descending", ["9", "5", "2", "1"]), ("ascending", ["1", "2", "5", "9"])):
        await page.keyboard.press("Enter")
        await expect(table.locator("th[aria-sort]")).to_have_attribute("aria-sort", order)
        assert await table.locator("tbody td:first-of-type").all_inner_texts() == counts


async def test_parts_are_reached_by_keyboard(page: Page) -> None:
    """The first key leads past the menu, and the menu to each part."""
    await page.keyboard.press("Tab")
    await expect(page.get_by_text("Skip to the pictures")).to_be_focused()
    await page.get_by_role("link", name="Duplicates").focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#duplicates")).to_be_in_viewport()
    await expect(page.locator("#duplicates .kept").first).to_contain_text("kept")


async def test_a_report_is_whole_without_javascript(browser: Browser, report: Path) -> None:
    """But for the buttons that sort."""
    async with watched(browser, report.parent.as_uri(), java_script_enabled=False) as (context, watch):
        page = await context.new_page()
        await page.goto(report.as_uri())
        assert await page.locator("svg.tile").count() > IMAGES
        assert await page.get_by_role("button").count() == 0
        watch.check()


async def test_a_report_prints(page: Page) -> None:
    """On paper it is black on white, without the menu, and its pictures are there."""
    await page.emulate_media(media="print")
    await expect(page.locator("nav")).to_be_hidden()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    paper = await page.pdf(format="A4")
    assert paper.count(b"/Subtype /Image") >= 1
    assert len(paper) < 6_000_000
