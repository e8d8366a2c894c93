"""From the form of a new build to the files of its export, as somebody does it with a browser; with JavaScript and without."""

import re
import tarfile
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.chromium import watched
from tests.browser.scenes import SCENES, draw, jpeg
from tests.browser.site import KEYWORD, Hosts, Site, openverse
from tests.origin import image

LONG_S = 30.0
"""Seconds that a small build may take on a busy machine."""

LISTED = 6


async def ask_for_keywords(page: Page, hosts: Hosts) -> None:
    """A keyword at one source, and a number."""
    hosts.searches["http://openverse.example.org/v1/images/"] = openverse(hosts)
    await page.get_by_label("Keywords", exact=True).last.fill(KEYWORD)
    await page.get_by_label("Wikimedia Commons").uncheck()
    await page.get_by_label("Openverse").check()
    await page.get_by_label("Open licences").check()
    await page.get_by_label("Images", exact=True).fill(str(LISTED))


async def paste_a_list(page: Page, hosts: Hosts) -> None:
    """Lines of a CSV file with labels, one of which has no URL."""
    label = next(iter(SCENES))
    urls = [hosts.serve(f"http://pasted.example.org/{number}.jpg", image(jpeg(draw(label, 400 + number)))) for number in range(LISTED)]
    await page.get_by_label("A list of image URLs").check()
    await page.locator("#urls").fill("url,label\n" + "\n".join(f"{url},{label}" for url in urls) + "\nno address,dunes")


@pytest.mark.parametrize("has_javascript", [True, False])
@pytest.mark.parametrize("ask", [ask_for_keywords, paste_a_list])
async def test_from_a_form_to_the_files(browser: Browser, own_site: Site, tmp_path: Path, ask, has_javascript: bool) -> None:
    """The plan makes no job; the job is watched; the archive has all pictures."""
    before = (await own_site.api.get("/v1/jobs")).json()["items"]
    async with watched(browser, own_site.url, java_script_enabled=has_javascript) as (context, watch):
        page = await context.new_page()
        await page.goto("/")
        await page.get_by_role("link", name="New build").click()
        await ask(page, own_site.hosts)
        await page.get_by_label("Format", exact=True).select_option("imagefolder")
        await page.get_by_role("button", name="Show the plan").last.click()
        await expect(page.get_by_role("heading", name="The plan")).to_be_visible()
        assert (await own_site.api.get("/v1/jobs")).json()["items"] == before
        await page.get_by_role("button", name="Start the build").click()
        await expect(page).to_have_url(re.compile("/jobs/job_[0-9a-f]+$"))
        await until_it_has_ended(page, has_javascript=has_javascript)
        await expect(page.get_by_role("main")).to_contain_text(f"{LISTED}")
        async with page.expect_download() as downloading:
            await page.get_by_role("link", name="Download").first.click()
        await (await downloading.value).save_as(tmp_path / "export.tar")
        watch.check()
    with tarfile.open(tmp_path / "export.tar") as archive:
        assert sum(name.endswith(".jpg") for name in archive.getnames()) == LISTED


async def until_it_has_ended(page: Page, *, has_javascript: bool) -> None:
    """Wait on the page of a job, which changes by itself, or is loaded again."""
    ended = page.locator(".now").get_by_text("succeeded")
    if has_javascript:
        await expect(ended).to_be_visible(timeout=LONG_S * 1000)
        return
    for _ in range(int(LONG_S)):
        if await ended.count():
            return
        await page.wait_for_timeout(1000)
        await page.reload()
    raise AssertionError(await page.get_by_role("main").inner_text())
