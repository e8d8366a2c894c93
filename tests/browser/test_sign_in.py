"""Signing in as a browser does it, and what other sites can do to somebody who has: nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect
from sqlalchemy import update

from app.db import api_keys, tables
from app.web.cookies import COOKIE
from tests.browser.chromium import Watch, watched
from tests.browser.site import Seeded, Site, copied, open_site
from tests.origin import reply
from tests.web.seeds import key_of

REFUSED = r"status of (401|403|421)|Cross-Origin-Opener-Policy header has been ignored"
"""What the console says of an answer that the server refuses, and of plain http under another name than this machine's."""


@pytest_asyncio.fixture(loop_scope="session")
async def locked_site(seeded: Seeded, tmp_path: Path) -> AsyncIterator[Site]:
    """A server with a key in force."""
    async with open_site(copied(seeded, tmp_path / "locked"), ids=seeded.ids) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="session")
async def key(locked_site: Site) -> str:
    return (await key_of(locked_site.resources, "local")).removeprefix("Bearer ")


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Browser, locked_site: Site, key: str) -> AsyncIterator[tuple[Page, BrowserContext, Watch]]:
    """A page of a browser that has not signed in; refusals are expected."""
    async with watched(browser, locked_site.url) as (context, watch):
        watch.expected.append(REFUSED)
        yield await context.new_page(), context, watch
        watch.check()


Visitor = tuple[Page, BrowserContext, Watch]


async def sign_in(page: Page, key: str) -> None:
    """Fill in the form with the keyboard alone: the field has the focus."""
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(key)
    async with page.expect_navigation():
        await page.keyboard.press("Enter")


async def test_a_key_leads_to_the_page_that_was_wanted(visitor: Visitor, locked_site: Site, key: str) -> None:
    """And the cookie is out of the reach of its scripts and of other sites."""
    page, context, _ = visitor
    await page.goto("/?from=a%20link")
    await expect(page).to_have_url(f"{locked_site.url}/signin?next=%2F%3Ffrom%3Da%2520link")
    await sign_in(page, key)
    await expect(page).to_have_url(f"{locked_site.url}/?from=a%20link")
    await expect(page.get_by_role("link", name="landscapes").first).to_be_visible()
    (cookie,) = await context.cookies()
    assert (cookie["name"], cookie["httpOnly"], cookie["sameSite"], cookie["secure"]) == (COOKIE, True, "Strict", False)
    assert await page.evaluate("document.cookie") == ""
    assert key not in await page.content()


async def test_a_wrong_key_stays_at_the_form(visitor: Visitor, key: str) -> None:
    """With the reason; what was typed is not shown again, and the right key works then."""
    page, _, _ = visitor
    await page.goto("/")
    await sign_in(page, f"{key}x")
    await expect(page.get_by_role("alert").filter(has_text="no API key in force")).to_be_visible()
    assert f"{key}x" not in await page.content()
    await sign_in(page, key)
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


async def test_signing_out_ends_the_session(visitor: Visitor, locked_site: Site, key: str) -> None:
    """Its cookie opens nothing any more."""
    page, context, _ = visitor
    await page.goto("/")
    await sign_in(page, key)
    before = await context.cookies()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page).to_have_url(f"{locked_site.url}/signin")
    await context.add_cookies(before)  # type: ignore[arg-type]
    await page.goto("/")
    await expect(page).to_have_url(f"{locked_site.url}/signin")


@pytest.mark.parametrize("way", ["expired", "revoked"])
async def test_a_session_that_has_ended_asks_for_a_key(visitor: Visitor, locked_site: Site, key: str, way: str) -> None:
    """Whether its time is over or its key was revoked."""
    page, _, _ = visitor
    await page.goto("/")
    await sign_in(page, key)
    if way == "expired":
        async with locked_site.resources.db.write() as connection:
            await connection.execute(update(tables.sessions).values(expires_at=1.0))
    else:
        await key_of(locked_site.resources, "another")
        (own,) = [known for known in await api_keys.list_keys(locked_site.resources.db) if known.user_id == "local"]
        await api_keys.revoke_key(locked_site.resources.db, own.id)
    await page.goto("/")
    await expect(page).to_have_url(f"{locked_site.url}/signin")


async def test_a_form_without_its_token_is_refused(visitor: Visitor, key: str) -> None:
    """As another site would send it; the session goes on."""
    page, _, _ = visitor
    await page.goto("/")
    await sign_in(page, key)
    await page.evaluate("document.querySelector('form.who input[name=csrf_token]').value = 'guessed'")
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("main")).to_contain_text("Load the page again")
    await page.goto("/")
    await expect(page.get_by_role("button", name="Sign out")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/v1/jobs", "/docs", "/signin"])
async def test_a_name_that_was_rebound_reads_nothing(browser: Browser, site: Site, path: str) -> None:
    """Without keys this server believes everybody on this machine, so it answers to the machine's own names only."""
    origin = site.url.replace("127.0.0.1", "rebound.example")
    async with watched(browser, origin) as (context, watch):
        watch.expected.append(REFUSED)
        page = await context.new_page()
        answer = await page.goto(path)
        assert answer is not None
        if path in ("/", "/v1/jobs"):
            assert answer.status == 421
        assert "landscapes" not in await page.content()
        watch.check()


FORGED = """async (url) => {
  const frame = document.body.appendChild(Object.assign(document.createElement('iframe'), {name: 'answer'}))
  const form = document.body.appendChild(document.createElement('form'))
  Object.assign(form, {method: 'post', action: url, target: 'answer', enctype: 'text/plain'})
  form.append(Object.assign(document.createElement('input'), {name: '{"urls": ["http://a.example/1.jpg"], "x":"', value: '"}'}))
  form.submit()
  await fetch(url, {method: 'POST', mode: 'no-cors', credentials: 'include', body: '{}'}).catch(() => null)
}"""
"""What a page of another site can send without asking."""


@pytest.mark.parametrize("is_locked", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "rebound.example"])
async def test_another_site_changes_nothing(browser: Browser, own_site: Site, host: str, is_locked: bool) -> None:
    """Neither for a visitor of a server without keys, nor for one who has signed in; nor does another port of this machine."""
    key = (await key_of(own_site.resources, "local")).removeprefix("Bearer ") if is_locked else None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    before = (await own_site.api.get("/v1/jobs", headers=headers)).json()["items"]
    own_site.hosts.script("/prize", reply(200, b"<!doctype html><h1>Win a prize</h1>", {"Content-Type": "text/html"}))
    async with watched(browser, own_site.url) as (context, watch):
        page = await context.new_page()
        if key is not None:
            await page.goto("/")
            await sign_in(page, key)
        watch.expected += ["request left the origin", "console error"]
        statuses: list[int] = []
        context.on("response", lambda answer: statuses.append(answer.status) if answer.request.method == "POST" else None)
        await page.goto(own_site.hosts.url("/prize", host))
        await page.evaluate(FORGED, f"{own_site.url}/v1/jobs")
        await expect(page.frame_locator("iframe").locator("body")).not_to_be_empty()
        assert len(statuses) == 2
        assert all(400 <= status < 500 for status in statuses), statuses
    assert (await own_site.api.get("/v1/jobs", headers=headers)).json()["items"] == before
