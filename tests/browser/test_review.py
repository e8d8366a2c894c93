"""Review and duplicates in a browser: by keys and without JavaScript; no decision is lost to another reviewer, or to time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from app.datasets.review import Decision, Seen, Targets, decide
from app.jobs.submit import Caller
from app.review_actions import ReviewAction
from tests.browser.chromium import audit, settle, watched
from tests.browser.site import Site
from tests.web.seeds import key_of

REVIEW = "/datasets/{dataset_id}/review"


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser, own_site: Site) -> AsyncIterator[BrowserContext]:
    """A context for a site of the test's own; what its pages did is checked at the end."""
    async with watched(browser, own_site.url) as (context, watch):
        yield context
        watch.check()


async def opened(context: BrowserContext, site: Site, query: str = "", path: str = REVIEW) -> Page:
    page = await context.new_page()
    await page.goto(path.format(**site.ids) + query)
    await settle(page)
    return page


async def image_of(page: Page) -> int:
    """The image that is shown large."""
    return int(str(await page.locator("figure.large").get_attribute("data-image")))


async def row_of(site: Site, image_id: int) -> dict[str, Any]:
    return dict((await site.api.get(f"/v1/images/{image_id}")).json())


async def pressed(page: Page, key: str, image_id: int) -> None:
    """Press a key and wait until another picture is shown."""
    await page.keyboard.press(key)
    await expect(page.locator("figure.large")).not_to_have_attribute("data-image", str(image_id))


async def test_a_reviewer_needs_no_mouse(context: BrowserContext, own_site: Site) -> None:
    """k keeps, r rejects, l relabels, n goes on, p goes back, u takes the last decision back; each is on the row with who and when."""
    page = await opened(context, own_site, "?state=kept")
    first = await image_of(page)
    await pressed(page, "r", first)
    row = await row_of(own_site, first)
    assert (row["status"], row["reviewed"], row["reviewed_by"]) == ("rejected", "reject", "local")
    await expect(page.locator("#review [data-said]")).to_have_text("reject: 1 image.")
    await page.keyboard.press("u")
    await expect(page.locator("figure.large")).to_have_attribute("data-image", str(first))
    assert (await row_of(own_site, first))["status"] == "kept"
    await pressed(page, "k", first)
    assert (await row_of(own_site, first))["reviewed"] == "keep"
    second = await image_of(page)
    await page.keyboard.press("l")
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("lighthouse")
    await page.keyboard.press("Enter")
    await expect(page.locator("figure.large")).not_to_have_attribute("data-image", str(second))
    assert (await row_of(own_site, second))["label"] == "lighthouse"
    third = await image_of(page)
    await pressed(page, "n", third)
    await pressed(page, "p", await image_of(page))
    assert await image_of(page) == third
    await page.locator("body").evaluate("() => document.activeElement.blur()")
    await pressed(page, " ", third)
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await audit(page)


async def test_several_are_decided_at_once(context: BrowserContext, own_site: Site) -> None:
    """The selected ones, and all that match once that is confirmed; a page without the confirmation changes nothing."""
    page = await opened(context, own_site, "?reason=duplicate_exact")
    chosen = await image_of(page)
    await page.keyboard.press("x")
    await page.get_by_role("button", name="Reject them").click()
    await expect(page.locator("#review [data-said]")).to_have_text("reject: 1 image.")
    assert (await row_of(own_site, chosen))["reviewed"] == "reject"
    await page.goto(REVIEW.format(**own_site.ids) + "?reason=duplicate_near")
    await page.locator("input[name=scope][value=matching]").check()
    await page.locator("input[name=sure]").check()
    await page.get_by_role("button", name="Reject them").click()
    await expect(page.get_by_text("Nothing is left to review here.")).to_be_visible()
    found = (await own_site.api.get("/v1/images", params={"dataset_id": own_site.ids["dataset_id"], "reason": "duplicate_near"})).json()
    assert found["items"] == []


async def test_two_reviewers_see_each_other(context: BrowserContext, own_site: Site) -> None:
    """The decision of the faster one is shown beside the other, which can still be made; nothing is overwritten unseen."""
    page = await opened(context, own_site, "?state=kept")
    image_id = await image_of(page)
    faster = Decision(ReviewAction.KEEP, "harbour", "I know the place")
    await decide(own_site.resources, own_site.ids["dataset_id"], faster, Targets([Seen(image_id)]), caller=Caller("local"))
    await page.keyboard.press("r")
    await expect(page.get_by_role("heading", name="Somebody was faster")).to_be_visible()
    await expect(page.get_by_text("I know the place").first).to_be_visible()
    assert (await row_of(own_site, image_id))["status"] == "kept"
    await audit(page)
    await page.get_by_role("button", name="Decide reject all the same").click()
    await expect(page.locator("#review [data-said]")).to_have_text("reject: 1 image.")
    assert (await row_of(own_site, image_id))["status"] == "rejected"


async def test_a_session_that_ran_out_loses_no_decision(browser: Browser, own_site: Site) -> None:
    """It is kept on the page, and sent once the reviewer has signed in on another tab."""
    token = (await key_of(own_site.resources, "local")).removeprefix("Bearer ")
    async with watched(browser, own_site.url) as (context, watch):
        watch.expected.append("401")
        page = await context.new_page()
        await signed_in(page, token)
        await page.goto(REVIEW.format(**own_site.ids) + "?state=kept")
        await settle(page)
        image_id = await image_of(page)
        await context.clear_cookies()
        await page.keyboard.press("r")
        again = page.get_by_role("button", name=f"Send it again: reject image {image_id}")
        await expect(again).to_be_visible()
        other = await context.new_page()
        await signed_in(other, token)
        await page.bring_to_front()
        await again.click()
        await expect(page.locator("#review [data-said]")).to_have_text("reject: 1 image.")
        answer = await page.request.get(f"/v1/images/{image_id}")
        assert (await answer.json())["reviewed"] == "reject"


async def signed_in(page: Page, token: str) -> None:
    await page.goto("/signin")
    await page.get_by_label("API key").fill(token)
    await page.get_by_role("button", name="Sign in").click()
    await page.wait_for_url("**/")


async def test_review_works_without_javascript(browser: Browser, own_site: Site) -> None:
    """By forms: keep, and take it back."""
    context = await browser.new_context(base_url=own_site.url, java_script_enabled=False)
    try:
        page = await context.new_page()
        await page.goto(REVIEW.format(**own_site.ids) + "?state=kept")
        image_id = await image_of(page)
        await page.get_by_role("button", name="k Keep").click()
        assert await image_of(page) != image_id
        assert (await row_of(own_site, image_id))["reviewed"] == "keep"
        await page.get_by_role("button", name="u Undo").click()
        assert await image_of(page) == image_id
        assert (await row_of(own_site, image_id))["reviewed"] is None
    finally:
        await context.close()


async def test_another_duplicate_is_kept_and_one_is_none(context: BrowserContext, own_site: Site) -> None:
    """The group changes on the page; undo brings it back; a member that is no duplicate leaves it."""
    page = await opened(context, own_site, path="/datasets/{dataset_id}/duplicates")
    group = page.locator("section.group").first
    kept = str(await group.get_attribute("aria-labelledby"))
    instead = group.get_by_role("button", name="Keep this one instead").first
    image_id = int(str(await instead.inner_text()).rpartition(" ")[2])
    await instead.click()
    await expect(page.get_by_text(f"keep_instead: image {image_id}.")).to_be_visible()
    assert (await row_of(own_site, image_id))["status"] == "kept"
    await audit(page)
    await page.keyboard.press("u")
    await expect(page.locator(f"#{kept}")).to_be_visible()
    assert (await row_of(own_site, image_id))["status"] == "duplicate"
    none = page.locator("section.group").first.get_by_role("button", name="No duplicate").first
    await none.click()
    await expect(page.get_by_text(f"split_group: image {image_id}.")).to_be_visible()
    assert (await row_of(own_site, image_id))["status"] == "kept"
