"""The gallery in a browser: filters by link and form, keys, and a scroll through thousands of pictures in a bounded page."""

from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, Page, Route, expect
from sqlalchemy import insert

from app.db import Database, image_search, images, tables
from app.db.image_search import ImageFilter
from app.domain import ImageState, StoredImage
from tests.browser.chromium import settle, until, watched
from tests.browser.site import Seeded, Site, copied, open_site
from tests.web import seeds

MANY = 5_000
MOST_TILES = 1_500
"""Tiles in the page at once: those within some thousand pixels of a screen, however long the list."""

GREY = (
    bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010800000000")
    + bytes.fromhex("3a7e9b55")
    + bytes.fromhex("0000000a49444154789c6368000000820081")
    + bytes.fromhex("77cd72b6")
    + bytes.fromhex("0000000049454e44ae426082")
)


async def add_many(db: Database, site: Site) -> str:
    """A dataset with the rows of one picture many times; returns its id."""
    job = await seeds.build(site.resources)
    kept = (await image_search.page(db, ImageFilter(dataset_id=site.ids["dataset_id"], state=ImageState.KEPT))).items
    names = [field.name for field in fields(StoredImage) if field.name not in ("id", "job_id", "dataset_id")]
    rows: list[dict[str, Any]] = []
    for number in range(MANY):
        row = {name: getattr(kept[number % len(kept)], name) for name in names}
        url = f"http://many.example/{number}.jpg"
        rows.append(row | {"dataset_id": job.dataset_id, "job_id": job.id, "url": url, "url_key": images.url_digest(url)})
    async with db.write() as connection:
        for at in range(0, MANY, 250):
            await connection.execute(insert(tables.images), rows[at : at + 250])
    return job.dataset_id


@pytest_asyncio.fixture(loop_scope="session")
async def long_page(browser: Browser, seeded: Seeded, tmp_path: Path) -> AsyncIterator[Page]:
    """A gallery of thousands, whose thumbnails the test answers: the server has its own tests."""

    async def grey(route: Route) -> None:
        await route.fulfill(body=GREY, content_type="image/png")

    async with open_site(copied(seeded, tmp_path / "many"), ids=seeded.ids) as site:
        dataset_id = await add_many(site.resources.db, site)
        async with watched(browser, site.url) as (context, watch):
            await context.route("**/thumbnail", grey)
            page = await context.new_page()
            await page.goto(f"/datasets/{dataset_id}/images")
            yield page
            watch.check()


async def tiles(page: Page) -> int:
    return await page.locator(".tile").count()


async def test_thousands_of_pictures_are_scrolled_in_a_bounded_page(long_page: Page) -> None:
    """Each is shown once on the way, pages far away are empty boxes, and on the way back they are as they were; nothing jumps."""
    page = long_page
    first = await page.locator(".tile").first.get_attribute("href")
    most = 0
    while await page.locator(".more").count():
        before = await page.locator(".page").count()
        await page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        await until(page, f"document.querySelectorAll('.page').length > {before} || !document.querySelector('.more')")
        most = max(most, await tiles(page))
    counts = await page.eval_on_selector_all(".page", "pages => pages.map(page => Number(page.dataset.count))")
    assert sum(counts) == MANY
    await until(page, f"document.querySelectorAll('.tile').length <= {MOST_TILES}")
    assert most <= MOST_TILES + 500  # the observer follows within some frames
    height = await page.evaluate("document.documentElement.scrollHeight")
    await page.evaluate("scrollTo(0, 0)")
    await expect(page.locator(".tile").first).to_have_attribute("href", first or "")
    await until(page, f"document.querySelectorAll('.tile').length <= {MOST_TILES}")
    assert abs(await page.evaluate("document.documentElement.scrollHeight") - height) < height * 0.02


async def test_pictures_are_walked_through_with_the_arrow_keys(page: Page, site: Site) -> None:
    """Left and right by one, up and down by a row; Enter opens, and a key that is typed into a field is a letter."""
    await page.goto(f"/datasets/{site.ids['dataset_id']}/images")
    await settle(page)
    hrefs = await page.eval_on_selector_all(".tile", "all => all.map(tile => tile.getAttribute('href'))")
    columns = await page.evaluate("getComputedStyle(document.querySelector('.sheet')).gridTemplateColumns.split(' ').length")
    for key, expected in (
        ("ArrowRight", 0),
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("ArrowUp", 0),
        ("ArrowLeft", 0),
    ):
        await page.keyboard.press(key)
        assert await page.evaluate("document.activeElement.getAttribute('href')") == hrefs[expected], key
    await page.keyboard.press("/")
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.type("?")
    await expect(page.locator("#text")).to_have_value("?")
    await page.locator(".tile").first.focus()
    await page.keyboard.press("?")
    await expect(page.locator("#keys")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"**{hrefs[0]}")


async def test_filters_are_links_and_forms_that_keep_each_other(page: Page, site: Site) -> None:
    """A facet, a range, words and an order; the URL says all of it, and each can be taken away."""
    await page.goto(f"/datasets/{site.ids['dataset_id']}/images")
    total = page.locator(".chips strong")
    everything = await total.inner_text()
    await page.locator("#facet-state + .values a", has_text="kept").click()
    kept = await total.inner_text()
    await page.locator('input[name="min_width"]').fill("1")
    await page.locator(".ranges button").click()
    await page.locator("#text").fill("harbour")
    await page.locator("#sort").select_option("-sharpness")
    await page.locator(".search button", has_text="Show").click()
    assert "state=kept" in page.url
    assert "min_width=1" in page.url
    assert "sort=-sharpness" in page.url
    assert await total.inner_text() not in (everything, kept, "0 images")
    while await page.locator(".chip").count():
        await page.locator(".chip").first.click()
    assert "sort=-sharpness" in page.url
    assert await total.inner_text() == everything


async def test_a_picture_is_decided_about_with_the_keyboard(browser: Browser, own_site: Site) -> None:
    """k keeps, r rejects, and the page says who decided."""
    async with watched(browser, own_site.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/images/{own_site.ids['image_id']}")
        await page.keyboard.press("r")
        await expect(page.locator(".decide")).to_contain_text("reject, decided by local")
        await page.keyboard.press("k")
        await expect(page.locator(".decide")).to_contain_text("keep, decided by local")
        watch.check()
