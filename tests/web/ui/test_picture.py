"""Tests of app.web.ui.routes.picture: one picture with its story, and decisions about it."""

import re
from collections.abc import Mapping

import httpx

from app.db import images
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.resources import Resources
from app.review_actions import Reviewed
from tests.web import seeds

PAGE = {"Accept": "text/html", "Origin": "http://127.0.0.1:8080"}


def fields_of(text: str) -> dict[str, str]:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', text))


async def test_a_picture_shows_its_story(client: httpx.AsyncClient, resources: Resources) -> None:
    """With licence, checks, requests, and links of strangers only where they are web addresses."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    said = {
        "license": "CC-BY-4.0",
        "license_url": "javascript:alert(1)",
        "page_url": "https://page.example/?a=1&b=2",
        "title": "<i>Lynx</i>",
    }
    image_id = await seeds.image(
        resources, job, "a.jpg", b"aa", width=64, height=48, measures={"width": 64, "height": 48}, phash="0" * 16, **said
    )
    answer = await client.get(f"/images/{image_id}", headers=PAGE)
    assert answer.status_code == 200
    assert "&lt;i&gt;Lynx" in answer.text
    assert "<i>Lynx" not in answer.text
    assert 'href="javascript' not in answer.text
    assert 'href="https://page.example/?a=1&amp;b=2" rel="noreferrer noopener"' in answer.text
    assert f"/v1/images/{image_id}/explain" in answer.text
    assert "64 × 48 pixels" in answer.text
    assert f'src="/v1/images/{image_id}/content"' in answer.text


async def test_an_image_without_a_picture_says_why(client: httpx.AsyncClient, resources: Resources) -> None:
    """And nothing can be decided about it; one that browsers do not show has its thumbnail."""
    job = await seeds.build(resources)
    failed = await seeds.image(resources, job, "f.jpg", state=ImageState.FAILED, reason=Reason.HTTP_404)
    text = (await client.get(f"/images/{failed}", headers=PAGE)).text
    assert "There is no picture: http_404." in text
    assert "Reject" not in text
    tiff = await seeds.image(resources, job, "t.tif", b"tt", media_type="image/tiff", phash="0" * 16)
    text = (await client.get(f"/images/{tiff}", headers=PAGE)).text
    assert f'src="/v1/images/{tiff}/thumbnail"' in text
    assert (await client.get("/images/999999", headers=PAGE)).status_code == 404


async def test_a_duplicate_stands_beside_the_image_that_is_kept(client: httpx.AsyncClient, resources: Resources) -> None:
    """With the distance of both."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    kept = await seeds.image(resources, job, "a.jpg", b"aa", width=9, height=9, phash="0" * 16)
    other = {"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_NEAR, "duplicate_of": kept, "phash": "0" * 15 + "7"}
    copy = await seeds.image(resources, job, "b.jpg", b"bb", width=8, height=8, **other)
    text = (await client.get(f"/images/{copy}", headers=PAGE)).text
    assert 'class="figures">3</strong> of 64 bits differ' in text
    assert f'href="/images/{kept}"' in text


async def decide(client: httpx.AsyncClient, path: str, form: Mapping[str, str]) -> httpx.Response:
    shown = fields_of((await client.get(path, headers=PAGE)).text)
    return await client.post(path, data={**shown, **form}, headers=PAGE)


async def test_a_person_decides_about_a_picture(client: httpx.AsyncClient, resources: Resources) -> None:
    """Then the page says what, who and when; without the token of the page nothing is decided."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    image_id = await seeds.image(resources, job, "a.jpg", b"aa", width=9, height=9)
    path = f"/images/{image_id}"
    assert (await client.post(path, data={"action": "reject"}, headers=PAGE)).status_code == 403
    done = await decide(client, path, {"action": "reject"})
    assert (done.status_code, done.headers["location"]) == (303, path)
    row = await images.get(resources.db, image_id)
    assert (row.state, row.reason, row.reviewed) == (ImageState.REJECTED, Reason.REJECTED_BY_REVIEWER, Reviewed.REJECT)
    assert "reject, decided by <bdi>local</bdi>" in (await client.get(path, headers=PAGE)).text
    assert (await decide(client, path, {"action": "relabel", "label": " wild cat "})).status_code == 303
    assert (await images.get(resources.db, image_id)).label == "wild cat"


async def test_a_decision_over_anothers_is_refused(client: httpx.AsyncClient, resources: Resources) -> None:
    """The page was shown before somebody else decided; and an action that does not exist is named."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    image_id = await seeds.image(resources, job, "a.jpg", b"aa", width=9, height=9)
    path = f"/images/{image_id}"
    old = fields_of((await client.get(path, headers=PAGE)).text)
    assert (await decide(client, path, {"action": "reject"})).status_code == 303
    refused = await client.post(path, data={**old, "action": "keep"}, headers=PAGE)
    odd = await client.post(path, data={**old, "action": "keep", "review_id": "9" * 5_000}, headers=PAGE)  # more digits than int() reads
    assert odd.status_code == 409
    assert refused.status_code == 409
    assert (await images.get(resources.db, image_id)).state is ImageState.REJECTED
    unknown = await decide(client, path, {"action": "burn"})
    assert (unknown.status_code, "burn" in unknown.text) == (422, True)
