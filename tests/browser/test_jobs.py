"""The pages of jobs: live, by keyboard, across a restart of the server, and without JavaScript."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from app.db import events
from tests.browser.chromium import audit, settle, watched
from tests.browser.scenes import draw, jpeg
from tests.browser.site import Site, build, open_site
from tests.origin import Exchange, Step, image, reply

HOST = "photos.example.org"


class Gate:
    """Answers that come only once the gate is open."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    def behind(self, step: Step) -> Step:
        async def answer(exchange: Exchange) -> object:
            await self.opened.wait()
            return await step(exchange)

        return answer


@pytest_asyncio.fixture(loop_scope="session")
async def working(tmp_path: Path) -> AsyncIterator[Site]:
    """A server of an empty workspace that does its jobs."""
    async with open_site(tmp_path / "working", works=True) as site:
        yield site


@pytest_asyncio.fixture(loop_scope="session")
async def idle(tmp_path: Path) -> AsyncIterator[Site]:
    """A server of an empty workspace on which nobody works."""
    async with open_site(tmp_path / "idle") as site:
        yield site


async def submit(site: Site, *steps: Step, name: str = "boats") -> str:
    """A build of one URL for each answer; its id."""
    urls = [site.hosts.serve(f"http://{HOST}/{number}.jpg", step) for number, step in enumerate(steps)]
    return str((await site.api.post("/v1/jobs", json={"name": name, "urls": urls})).json()["id"])


def boats(count: int) -> list[Step]:
    """Answers with different pictures."""
    return [image(jpeg(draw("harbour", number))) for number in range(count)]


async def figures(page: Page) -> dict[str, str]:
    """The funnel as the page shows it."""
    rows = await page.locator(".funnel tbody tr").all()
    return {await row.locator("th").inner_text(): await row.locator("td.figures").first.inner_text() for row in rows}


async def test_a_job_is_followed_as_it_goes(browser: Browser, working: Site) -> None:
    """Funnel, pictures, state and log change without a click; the numbers at the end are those of the API, each picture once."""
    gate = Gate()
    job_id = await submit(working, *map(gate.behind, boats(6)), reply(404))
    async with watched(browser, working.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/jobs/{job_id}")
        await expect(page.locator("#part-pictures")).to_contain_text("No picture has come yet")
        gate.opened.set()
        await expect(page.locator("#part-state .state").first).to_have_text("succeeded", timeout=30_000)
        await expect(page.locator("#part-pictures li")).to_have_count(6)
        await expect(page.locator("#lines")).to_contain_text("job.ended")
        await expect(page.locator("#time")).to_contain_text("verify")
        await expect(page.locator("#said")).to_have_text("succeeded")
        progress = (await working.api.get(f"/v1/jobs/{job_id}")).json()["progress"]
        assert await figures(page) == {stage: str(progress[stage]) for stage in ("candidates", "fetched", "valid", "unique", "kept")}
        assert await page.locator("#reason-http_404").is_visible()
        await audit(page)
        watch.check()


async def test_a_job_is_paused_resumed_and_cancelled_by_keyboard(browser: Browser, working: Site) -> None:
    """With the tab key and return alone; what the API says follows."""
    gate = Gate()
    job_id = await submit(working, *map(gate.behind, boats(3)))
    async with watched(browser, working.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/jobs/{job_id}")
        for button, wanted in (("#pause", "paused"), ("#resume", "running")):
            await press(page, button)
            await expect(page.locator(button)).to_have_count(0)
            assert (await working.api.get(f"/v1/jobs/{job_id}")).json()["desired_state"] == wanted
        await press(page, "#cancel")
        await expect(page.locator("#cancel-now")).to_be_visible()
        await press(page, "#cancel-now")
        gate.opened.set()
        await expect(page.locator("#part-state .state").first).to_have_text("cancelled", timeout=30_000)
        await audit(page)
        watch.check()


async def press(page: Page, selector: str) -> None:
    """Reach an element with the tab key and press return."""
    await settle(page)
    for _ in range(60):
        if await page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            await page.keyboard.press("Enter")
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"the tab key does not reach {selector}")


async def test_one_reason_is_retried(browser: Browser, working: Site) -> None:
    """The new job is shown; what failed for another reason is not fetched again."""
    flaky = working.hosts.serve(f"http://{HOST}/flaky.jpg", *[reply(503)] * 3, image(jpeg(draw("dunes", 1))))
    gone = working.hosts.serve(f"http://{HOST}/gone.jpg", reply(404))
    ended = await build(working, name="dunes", urls=[flaky, gone])
    async with watched(browser, working.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/jobs/{ended['id']}")
        assert await page.locator("#retry-http_404").count() == 0
        await press(page, "#retry-service_unavailable")
        await page.wait_for_url(lambda url: str(ended["id"]) not in url)
        await expect(page.locator("#part-state .state").first).to_have_text("succeeded", timeout=30_000)
        assert len(working.hosts.hits(gone)) == 1
        watch.check()


async def test_the_log_is_filtered(browser: Browser, idle: Site) -> None:
    """As it is typed, by each filter, with an address to keep, and page by page; what cannot be filtered is said."""
    job_id = await submit(idle, *boats(1))
    lines = [
        {"job_id": job_id, "at": 1.0, "level": "INFO", "event": "chunk.fetched", "data": {"ok": number, "host": f"h{number % 2}.example"}}
        for number in range(230)
    ]
    await events.add(
        idle.resources.db, [*lines, lines[0] | {"level": "WARNING", "event": "download.retry", "data": {"url": "http://x.example/<b>"}}]
    )
    async with watched(browser, idle.url) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/jobs/{job_id}")
        shown = page.locator("#lines li")
        await expect(shown).to_have_count(40)
        await page.keyboard.press("/")
        await page.keyboard.type("X.EXAMPLE/<B>")
        await expect(shown).to_have_count(1)
        await expect(shown).to_contain_text("url=http://x.example/<b>")
        await page.locator("#log-text").fill("")
        await page.locator("#log-level").select_option("WARNING")
        await expect(shown).to_have_count(1)
        await page.goto(f"/jobs/{job_id}/log?host=h1.example")
        await expect(shown).to_have_count(100)
        await page.locator("#older").click()
        await expect(shown).to_have_count(15)
        await page.goto(f"/jobs/{job_id}/log?host=a%20b")
        await expect(page.locator("#lines .notice")).to_contain_text("host")
        watch.check()


async def test_a_restarted_server_is_found_again(browser: Browser, tmp_path: Path) -> None:
    """The page says that the connection is lost, connects again by itself, and shows what the server knows: nothing twice."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(open_site(tmp_path / "site"))
        job_id = await submit(first, *boats(4))
        async with watched(browser, first.url) as (context, watch):
            watch.expected = ["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"]
            page = await context.new_page()
            await page.goto(f"/jobs/{job_id}")
            await settle(page)
            await stack.aclose()
            await expect(page.locator("#notice")).to_contain_text("The connection to the server is lost", timeout=20_000)
            port = int(first.url.rpartition(":")[2])
            async with open_site(tmp_path / "site", works=True, port=port) as again:
                for number, step in enumerate(boats(4)):
                    again.hosts.serve(f"http://{HOST}/{number}.jpg", step)
                await expect(page.locator("#notice")).to_be_hidden(timeout=30_000)
                await expect(page.locator("#part-state .state").first).to_have_text("succeeded", timeout=40_000)
                assert (await figures(page))["kept"] == "4"
                await expect(page.locator("#part-pictures li")).to_have_count(4)
                assert await page.locator("#lines li .event", has_text="job.accepted").count() == 1
            watch.check()


async def test_a_job_that_nobody_works_on_says_what_to_do(browser: Browser, idle: Site) -> None:
    """Also without JavaScript: the page is whole, its buttons work, and it has a link to load it again."""
    job_id = await submit(idle, *boats(1))
    async with watched(browser, idle.url, java_script_enabled=False) as (context, watch):
        page = await context.new_page()
        await page.goto(f"/jobs/{job_id}")
        await expect(page.locator("#part-state")).to_contain_text("Waits for a worker: no process works on this job")
        await expect(page.get_by_role("link", name="load it again")).to_be_visible()
        await page.locator("#pause").click()
        await expect(page.locator("#part-state")).to_contain_text("Resume goes on where it stopped")
        await page.goto("/jobs?state=paused&kind=")
        watch.check()


async def test_jobs_are_filtered(browser: Browser, idle: Site) -> None:
    """By state and kind; an empty answer says what to do."""
    await submit(idle, *boats(1), name="first")
    async with watched(browser, idle.url) as (context, watch):
        page = await context.new_page()
        await page.goto("/jobs")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.locator("#state").select_option("failed")
        await page.get_by_role("button", name="Show").click()
        await expect(page.locator("main")).to_contain_text("No job is like this.")
        await page.get_by_role("link", name="Show all jobs").click()
        await expect(page.locator("tbody tr")).to_have_count(1)
        watch.check()
