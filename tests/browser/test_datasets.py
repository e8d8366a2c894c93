"""A dataset in a browser: parts that are counted on demand, an export from the form to its archive, versions compared, and its removal."""

import io
import tarfile
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from app.db import datasets
from tests.browser.chromium import audit, watched
from tests.browser.scenes import draw, jpeg
from tests.browser.site import Site, build
from tests.origin import image


@pytest.mark.parametrize("width", [360, 1440])
async def test_the_page_of_a_dataset_is_clean(page: Page, site: Site, width: int) -> None:
    """Labels and licences come by themselves; nothing is wider than the window, and axe finds nothing."""
    await page.set_viewport_size({"width": width, "height": 900})
    own = f"/datasets/{site.ids['dataset_id']}"
    for path in ("/datasets", own, f"{own}/delete", f"/exports/{site.ids['export_id']}"):
        await page.goto(path)
        if path == own:
            await expect(page.get_by_role("table", name="Kept images by label and split")).to_be_visible()
            await expect(page.get_by_role("table", name="Kept images by licence")).to_be_visible()
            await page.get_by_text("New export").click()
        await audit(page)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_parts_are_counted_where_they_are_asked_for(page: Page, site: Site) -> None:
    """What a choice of licences leaves, and what splits share, without leaving the page."""
    await page.goto(f"/datasets/{site.ids['dataset_id']}")
    await page.get_by_label("What would stay under").fill("cc0")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("would stay under cc0.")).to_be_visible()
    await page.get_by_role("link", name="Count what splits share").click()
    await expect(page.get_by_role("table", name="Pairs across splits")).to_be_visible()
    assert page.url.endswith(site.ids["dataset_id"])


async def test_an_export_from_the_form_to_its_archive(browser: Browser, own_site: Site, tmp_path: Path) -> None:
    """A mistake stands beside its field; the table follows the export; the archive holds what was asked for."""
    async with watched(browser, own_site.url) as (context, watch):
        watch.expected = ["422"]
        page = await context.new_page()
        await page.goto(f"/datasets/{own_site.ids['dataset_id']}")
        await page.get_by_text("New export").click()
        await page.get_by_label("Format", exact=True).select_option("jsonl")
        await page.get_by_label("Only images where").fill("label =")
        await page.get_by_role("button", name="Export").click()
        await expect(page.get_by_label("Only images where")).to_be_focused()
        await expect(page.get_by_label("Only images where")).to_have_attribute("aria-invalid", "true")
        await audit(page)
        await page.get_by_label("Only images where").fill("width > 0")
        await page.keyboard.press("Enter")
        row = page.get_by_role("table", name="Exports").get_by_role("row").filter(has_text="jsonl where width > 0")
        async with page.expect_download() as started:
            await row.get_by_role("link", name="tar archive of jsonl").click(timeout=20_000)
        download = await started.value
        await download.save_as(tmp_path / "export.tar")
        with tarfile.open(fileobj=io.BytesIO((tmp_path / "export.tar").read_bytes())) as archive:
            assert any(name.endswith(".jsonl") for name in archive.getnames())
        watch.check()


async def test_versions_are_compared_with_pictures(browser: Browser, own_site: Site) -> None:
    """By keyboard, beside their table."""
    url = own_site.hosts.serve("http://photos.example.org/new.jpg", image(jpeg(draw("meadow", 900))))
    job = await build(own_site, urls=[{"url": url, "label": "meadow"}], into=own_site.ids["dataset_id"])
    async with watched(browser, own_site.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/datasets/{job['dataset_id']}")
        await page.get_by_role("link", name="Compare with 1.0.0").focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="From 1.0.0 to 1.1.0")).to_be_visible()
        await expect(page.get_by_role("region", name="added").get_by_role("img")).to_have_count(1)
        await expect(page.get_by_role("img", name=url)).to_be_visible()
        await audit(page)
        watch.check()


async def test_a_dataset_is_deleted_after_a_question(browser: Browser, own_site: Site) -> None:
    """Cancel is first and keeps it; the focus goes back; the answer removes it. The same without scripts, on a page of its own."""
    dataset_id = own_site.ids["dataset_id"]
    async with watched(browser, own_site.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/datasets/{dataset_id}")
        await page.get_by_role("link", name="Delete…").focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Delete this dataset?")
        await expect(dialog).to_be_visible()
        await expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
        await audit(page)
        await page.keyboard.press("Enter")
        await expect(dialog).not_to_be_visible()
        await expect(page.get_by_role("link", name="Delete…")).to_be_focused()
        assert page.url.endswith(dataset_id)
        await page.keyboard.press("Enter")
        await dialog.get_by_role("button", name="Delete the dataset").click()
        await expect(page).to_have_url(f"{own_site.url}/datasets")
        await expect(page.get_by_text("landscapes")).to_have_count(0)
        watch.check()
    async with watched(browser, own_site.url, java_script_enabled=False) as (context, watch):
        page = await context.new_page()
        left = (await datasets.list_datasets(own_site.resources.db, name="sailing")).items[0].id
        await page.goto(f"/datasets/{left}")
        await page.get_by_role("link", name="Delete…").click()
        await page.get_by_role("button", name="Delete the dataset").click()
        await expect(page).to_have_url(f"{own_site.url}/datasets")
        watch.check()
