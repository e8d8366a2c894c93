"""The fleet in a browser: live, clean at any width, and dead units by keyboard."""

from dataclasses import replace

import pytest
from playwright.async_api import Browser, Page, expect

from app.db import fleet
from app.db.rows import WorkerRow
from tests.browser.chromium import audit, watched
from tests.browser.site import Seeded, Site, copied, open_site
from tests.web.api.test_dead import died, status_of

WORKER = WorkerRow("wrk_1-builder", "builder", "node-1", 7, "0.1.0", 8, 2, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("width", [360, 1440])
async def test_the_fleet_is_clean_and_live(page: Page, site: Site, width: int) -> None:
    """A worker that comes is seen without loading the page again; what has the focus keeps it."""
    await page.set_viewport_size({"width": width, "height": 900})
    await page.goto("/fleet")
    await audit(page)
    await page.locator("#queues-table").focus()
    name = f"node-{width}"
    await fleet.beat(site.resources.db, replace(WORKER, id=f"{name}-builder", host=name))
    await expect(page.get_by_role("table", name="Workers").get_by_text(name)).to_be_visible(timeout=15_000)
    await expect(page.locator("#queues-table")).to_be_focused()
    await audit(page)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_dead_units_by_keyboard(browser: Browser, seeded: Seeded, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One is retried, another discarded after a question that begins at Cancel."""
    async with open_site(copied(seeded, tmp_path_factory.mktemp("dead") / "workspace")) as site:
        job, _ = await died(site.resources, number=3)
        async with watched(browser, site.url) as (context, watch):
            page = await context.new_page()
            await page.goto("/fleet")
            await page.get_by_role("checkbox", name="Select fetch unit 1").focus()
            await page.keyboard.press("Space")
            await page.get_by_role("button", name="Retry selected").focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("1 unit will run again.")).to_be_visible()
            assert await status_of(site.resources, job.id) == ("running", 1)
            await page.get_by_role("button", name="Discard all").focus()
            await page.keyboard.press("Enter")
            dialog = page.get_by_role("dialog", name="Discard dead units?")
            await expect(dialog.get_by_text("2 dead units will never run again.")).to_be_visible()
            await expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
            await audit(page)
            await dialog.get_by_role("button", name="Discard 2").focus()
            await page.keyboard.press("Enter")
            await expect(page.get_by_text("No unit of your jobs is dead.")).to_be_visible()
            watch.check()
