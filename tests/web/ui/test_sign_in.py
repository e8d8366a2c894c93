from collections.abc import Callable

import pytest
from fastapi import FastAPI

from app.db import api_keys, sessions
from app.db.engine import db_now
from app.resources import Resources
from app.web import cookies, create_app
from app.web.ui.routes.sign_in import local_path
from tests.web import seeds
from tests.web.ui.conftest import Browser


@pytest.fixture
async def key(resources: Resources) -> str:
    return (await seeds.key_of(resources, "ann")).removeprefix("Bearer ")


async def signed_in(browser: Browser, key: str, target: str = "/") -> Browser:
    await browser.get("/signin")
    answer = await browser.post("/signin", key=key, next=target)
    assert answer.status_code == 303
    return browser


async def test_a_visitor_is_sent_to_sign_in_and_back(browser: Browser, key: str) -> None:
    """To the very page with its query; the session is the key's user's."""
    answer = await browser.get("/nope?a=1&b=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin?next=%2Fnope%3Fa%3D1%26b%3D2")
    await browser.get(answer.headers["location"])
    answer = await browser.post("/signin", key=f" {key} ", next="/nope?a=1&b=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/nope?a=1&b=2")
    assert (await browser.get("/")).status_code == 200
    assert (await browser.client.get("/session")).json()["user_id"] == "ann"


async def test_the_cookie_is_out_of_reach(browse: Callable[..., Browser], app: FastAPI, key: str) -> None:
    """Of scripts, of other sites, and off this machine of who reads the network."""
    for base_url, is_secure in (("http://127.0.0.1:8080", False), ("http://localhost", False), ("https://pictrawl.example", True)):
        browser = browse(app, base_url=base_url)
        await browser.get("/signin")
        header = (await browser.post("/signin", key=key)).headers["set-cookie"]
        assert header.startswith(f"{cookies.COOKIE}=")
        assert "HttpOnly" in header
        assert "SameSite=strict" in header
        assert "Path=/" in header
        assert "Domain" not in header
        assert ("Secure" in header) is is_secure


async def test_who_signs_in_again_leaves_no_session_behind(browser: Browser, key: str, resources: Resources) -> None:
    """Nobody could sign out of it."""
    await signed_in(browser, key)
    former = browser.client.cookies[cookies.COOKIE]
    await signed_in(browser, key)
    assert browser.client.cookies[cookies.COOKIE] != former
    assert await sessions.find(resources.db, former) is None


async def test_only_the_digest_of_a_session_is_stored(browser: Browser, key: str, resources: Resources) -> None:
    await signed_in(browser, key)
    secret = browser.client.cookies[cookies.COOKIE]
    assert secret not in (resources.settings.workspace.path / "pictrawl.db").read_bytes().decode("latin-1")
    assert await sessions.find(resources.db, secret) is not None


@pytest.mark.parametrize("wrong", ["", "ptk_1_2", "ptk_0123456789abcdef_" + "A" * 43, "<script>"])
async def test_a_wrong_key_is_refused_in_words(browser: Browser, key: str, wrong: str) -> None:
    """The form comes back with what is wrong, never with what was typed."""
    await browser.get("/signin")
    answer = await browser.post("/signin", key=wrong, next="/jobs")
    assert answer.status_code == 401
    assert "no API key in force" in answer.text
    assert 'name="next" value="/jobs"' in answer.text
    assert "<script>" not in answer.text.replace('<script src="/static', "")
    assert (await browser.get("/")).status_code == 303


async def test_a_revoked_key_ends_its_sessions(browser: Browser, key: str, resources: Resources) -> None:
    await signed_in(browser, key)
    await seeds.key_of(resources, "bob")
    await api_keys.revoke_key(resources.db, next(k.id for k in await api_keys.list_keys(resources.db) if k.user_id == "ann"))
    assert (await browser.get("/")).status_code == 303
    assert (await browser.client.get("/v1/jobs")).status_code == 401


async def test_a_session_runs_out(browser: Browser, key: str, resources: Resources, monkeypatch: pytest.MonkeyPatch) -> None:
    await signed_in(browser, key)
    later = db_now() + sessions.SESSION_S + 1
    monkeypatch.setattr(sessions, "db_now", lambda: later)
    assert (await browser.get("/")).status_code == 303


async def test_signing_out_ends_the_session(browser: Browser, key: str, resources: Resources) -> None:
    """On the server: the cookie is worth nothing afterwards."""
    await signed_in(browser, key)
    secret = browser.client.cookies[cookies.COOKIE]
    await browser.get("/")
    answer = await browser.post("/signout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
    assert await sessions.find(resources.db, secret) is None
    assert cookies.COOKIE not in browser.client.cookies


async def test_a_form_without_its_token_changes_nothing(browser: Browser, key: str, resources: Resources) -> None:
    """None, another browser's, or one of before: the page says to load it again."""
    await signed_in(browser, key)
    for token in ("", "0" * 64, cookies.csrf_token("another")):
        browser.token = token
        answer = await browser.post("/signout")
        assert answer.status_code == 403
        assert "Load the page again" in answer.text
    assert (await browser.get("/")).status_code == 200


async def test_the_api_takes_a_session_with_its_token_only(browser: Browser, key: str, resources: Resources) -> None:
    """Reading needs none; a change needs the header, which no other site can send."""
    await signed_in(browser, key)
    job = await seeds.build(resources, "ann")
    path, body = f"/v1/jobs/{job.id}", {"desired_state": "paused"}
    assert (await browser.client.get(path)).status_code == 200
    refused = await browser.client.patch(path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (403, "cross-origin")
    await browser.get("/")
    assert (await browser.client.patch(path, json=body, headers={cookies.CSRF_HEADER: browser.token})).status_code == 200
    foreign = {cookies.CSRF_HEADER: browser.token, "Origin": "https://evil.example"}
    assert (await browser.client.patch(path, json=body, headers=foreign)).status_code == 403


async def test_a_user_sees_only_what_is_theirs(browser: Browser, key: str, resources: Resources) -> None:
    await signed_in(browser, key)
    mine, other = await seeds.build(resources, "ann"), await seeds.build(resources, "bob")
    page = (await browser.get("/")).text
    assert mine.id in page
    assert other.id not in page


async def test_a_page_of_another_origin_cannot_sign_anybody_in(browser: Browser, key: str) -> None:
    await browser.get("/signin")
    data = {"csrf_token": browser.token, "key": key}
    answer = await browser.client.post("/signin", data=data, headers={"Origin": "null"})
    assert answer.status_code == 403


async def test_without_a_key_in_force_nobody_signs_in(browser: Browser, app: FastAPI) -> None:
    """The page says so; other names of this machine are refused for pages as for the API."""
    assert "nobody needs to sign in" in (await browser.get("/signin")).text
    assert (await browser.get("/", Host="evil.example")).status_code == 421


async def test_a_server_that_others_reach_asks_for_a_key_though_there_is_none(browse: Callable[..., Browser], resources: Resources) -> None:
    browser = browse(create_app(resources, keys_required=True))
    assert (await browser.get("/")).headers["location"] == "/signin"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/jobs?a=b", "/jobs?a=b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\r\nSet-Cookie: a=b", "/"),
        ("/a\\b", "/"),
        ("", "/"),
    ],
)
def test_after_signing_in_nobody_is_sent_to_another_site(path: str, target: str) -> None:
    assert local_path(path) == target


async def test_a_key_of_the_local_user_is_a_session_too(browser: Browser, resources: Resources) -> None:
    """The way out is on the page, and curl is told to send a key; without keys in force neither is."""
    plain = (await browser.get("/")).text
    key = (await seeds.key_of(resources, "local")).removeprefix("Bearer ")
    await signed_in(browser, key)
    page = (await browser.get("/")).text
    assert ("Sign out" in plain, "Authorization" in plain) == (False, False)
    assert ("Sign out" in page, "Authorization" in page) == (True, True)
