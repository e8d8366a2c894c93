"""From the form of a new build to the finished job, as people do it: with the mouse, with keys alone, and without scripts."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.browser.chromium import audit, watched
from tests.browser.scenes import draw, jpeg
from tests.browser.site import HOSTS, KEYWORD, Site, openverse
from tests.origin import image
from tests.web.sockets import messages


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, own_site: Site) -> AsyncIterator[BrowserContext]:
    async with watched(browser, own_site.url) as (context, watch):
        yield context
        watch.check()


@pytest_asyncio.fixture(loop_scope="session")
async def form(visitor: BrowserContext, own_site: Site) -> Page:
    """The empty form."""
    page = await visitor.new_page()
    await page.goto("/builds/new")
    return page


def pictures(site: Site, count: int = 3) -> list[str]:
    """URLs of pictures on a host of the site."""
    return [site.hosts.serve(f"http://{HOSTS[0]}/new/{at}.jpg", image(jpeg(draw("harbour", 200 + at)))) for at in range(count)]


async def finished(site: Site, page: Page) -> dict[str, object]:
    """Follow the job whose page is shown to its end."""
    await page.wait_for_url("**/jobs/job_*")
    job_id = page.url.rpartition("/")[2]
    async with site.api.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        assert [message async for message in messages(response)][-1].event == "bye"
    return dict((await site.api.get(f"/v1/jobs/{job_id}")).json())


async def test_a_pasted_list_becomes_a_dataset(form: Page, own_site: Site) -> None:
    """The plan, then the start, then the job and its images."""
    await form.check("#from-list")
    assert not await form.locator("#keywords").is_visible()
    await form.fill("#urls", "\n".join(pictures(own_site)))
    await form.fill("#name", "pasted boats")
    await form.get_by_role("button", name="Show the plan").click()
    await form.get_by_text("3 rows, 3 with a usable URL").wait_for()
    assert await form.evaluate("document.activeElement.id") == "plan"
    await audit(form)
    assert "pictrawl build --name 'pasted boats' --urls - <<'END'" in (await form.inner_text("#command"))
    await form.get_by_role("button", name="Start the build").click()
    job = await finished(own_site, form)
    assert (job["status"], job["reasons"]) == ("succeeded", {})


async def test_keywords_become_a_dataset(form: Page, own_site: Site) -> None:
    """A plan of a source that answers, with its table; the build finds what it said."""
    own_site.hosts.searches["http://openverse.example.org/v1/images/"] = openverse(own_site.hosts)
    await form.fill("#keywords", KEYWORD)
    await form.uncheck("text=Wikimedia Commons")
    await form.check("text=Openverse")
    await form.check("text=Open licences")
    await form.fill("#max_images", "4")
    await form.get_by_role("button", name="Show the plan").click()
    await form.get_by_role("region", name="Searches").wait_for()
    await audit(form)
    await form.fill("#max_images", "5")
    assert await form.locator("#stale").is_visible()
    await form.get_by_role("button", name="Start the build").click()
    job = await finished(own_site, form)
    assert (job["status"], job["target"]) == ("succeeded", 5)


async def test_an_uploaded_list_is_chosen_once(form: Page, own_site: Site, tmp_path: Path) -> None:
    """With its columns; the labels arrive."""
    rows = [f"{url},boat" for url in pictures(own_site)]
    (tmp_path / "boats.csv").write_text("\n".join(["url,label", *rows]))
    await form.check("#from-list")
    await form.set_input_files("#file", tmp_path / "boats.csv")
    await form.get_by_role("button", name="Show the plan").click()
    await form.get_by_text("The list boats.csv is here").wait_for()
    assert not await form.locator("#urls").is_visible()
    await audit(form)
    await form.get_by_role("button", name="Start the build").click()
    job = await finished(own_site, form)
    assert job["status"] == "succeeded"
    page = (await own_site.api.get("/v1/images", params={"job_id": str(job["id"])})).json()
    assert {item["label"] for item in page["items"]} == {"boat"}


@pytest.mark.parametrize("width_px", [360, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_errors_stand_beside_their_fields(browser: Browser, own_site: Site, width_px: int, scheme: str) -> None:
    """The first one has the focus; a screen reader hears its words; nothing is lost, and nothing overflows."""
    async with watched(browser, own_site.url) as (context, watch):
        watch.expected.append("422")
        page = await context.new_page()
        await page.set_viewport_size({"width": width_px, "height": 800})
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await page.goto("/builds/new")
        await page.fill("#keywords", "cat\n" + "x" * 300)
        await page.fill("#max_images", "many")
        await page.fill("#splits", "train=2")
        await page.get_by_role("button", name="Show the plan").click()
        await page.get_by_text("3 fields cannot be taken").wait_for()
        assert await page.evaluate("document.activeElement.id") == "keywords"
        described = await page.get_attribute("#max_images", "aria-describedby")
        assert "max_images-problem" in str(described)
        assert "'many' must be a whole number" in await page.inner_text("#max_images-problem")
        assert await page.get_attribute("#max_images", "aria-invalid") == "true"
        assert await page.input_value("#splits") == "train=2"
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await audit(page)
        watch.check()


async def test_a_build_with_keys_alone(form: Page, own_site: Site) -> None:
    """Tab, arrows, Space and Enter. Enter in a field shows the plan, and never starts the build."""
    await form.focus("#from-keywords")
    await form.keyboard.press("ArrowRight")
    assert await form.is_checked("#from-list")
    await form.keyboard.press("Tab")
    assert await form.evaluate("document.activeElement.id") == "urls"
    await form.keyboard.insert_text("\n".join(pictures(own_site, 2)))
    await form.focus("#max_images")
    await form.keyboard.type("2")
    await form.keyboard.press("Enter")
    await form.locator("#plan").wait_for()
    await form.focus("#max_images")
    await form.keyboard.press("Enter")
    await form.wait_for_load_state()
    await form.locator("#plan").wait_for()
    assert form.url.endswith("/builds/new")
    for _ in range(20):
        await form.keyboard.press("Tab")
        if await form.evaluate("document.activeElement.name") == "start":
            break
    await form.keyboard.press("Enter")
    assert (await finished(own_site, form))["status"] == "succeeded"


async def test_a_double_click_makes_one_job(form: Page, own_site: Site) -> None:
    before = (await own_site.api.get("/v1/jobs")).json()["items"]
    await form.check("#from-list")
    await form.fill("#urls", "\n".join(pictures(own_site, 1)))
    await form.get_by_role("button", name="Show the plan").click()
    await form.get_by_role("button", name="Start the build").dblclick()
    await finished(own_site, form)
    assert len((await own_site.api.get("/v1/jobs")).json()["items"]) == len(before) + 1


async def test_a_list_that_is_too_large_is_not_sent(form: Page) -> None:
    """The page says so before, with the way out."""
    await form.check("#from-list")
    await form.evaluate("document.getElementById('build').dataset.mostBytes = '100'")
    await form.fill("#urls", "https://example.org/1.jpg\n" * 10)
    await form.get_by_role("button", name="Show the plan").click()
    assert "serve.max_body_bytes" in await form.inner_text("#notice")
    assert await form.evaluate("document.activeElement.id") == "urls"


async def test_a_build_without_scripts(browser: Browser, own_site: Site) -> None:
    """Two buttons of one form; the errors, the plan and the job come as pages."""
    async with watched(browser, own_site.url, java_script_enabled=False) as (context, watch):
        page = await context.new_page()
        await page.goto("/builds/new")
        await page.check("#from-list")
        await page.fill("#urls", "\n".join(pictures(own_site, 2)))
        await page.get_by_role("button", name="Show the plan").click()
        await page.get_by_text("2 rows, 2 with a usable URL").wait_for()
        await page.get_by_role("button", name="Start the build").click()
        assert (await finished(own_site, page))["status"] == "succeeded"
        watch.check()


async def test_a_build_like_another_one(form: Page, own_site: Site) -> None:
    """The form of the seeded list, with its columns of the store."""
    await form.goto(f"/builds/new?like={own_site.ids['job_id']}")
    assert await form.is_checked("#from-list")
    assert await form.input_value("#name") == "landscapes"
    await form.get_by_role("button", name="Show the plan").click()
    await form.locator("#plan").wait_for()
    assert "with a usable URL" in await form.inner_text(".plan")
