"""The pages Review and Duplicates without scripts: forms, what they refuse, and what they say."""

from typing import Any

import httpx
import pytest

from app.datasets.review import Decision, Seen, Targets, decide
from app.db.rows import Job
from app.domain import ImageState, Reason
from app.job_states import JobState
from app.jobs.submit import Caller
from app.resources import Resources
from app.review_actions import ReviewAction
from app.web.ui.routes.review import as_seen, positive
from tests.web import seeds
from tests.web.ui.conftest import Browser

MEASURED = {"phash": "0" * 16, "width": 100, "height": 80, "measures": {"entropy": 5.0}}


@pytest.fixture
async def job(resources: Resources) -> Job:
    return await seeds.build(resources, ended=JobState.SUCCEEDED)


async def pictures(resources: Resources, job: Job, names: str, **values: Any) -> list[int]:
    return [await seeds.image(resources, job, f"{name}.jpg", name.encode(), **MEASURED | values) for name in names]


async def shown(browser: Browser, job: Job, query: str = "") -> str:
    answer = await browser.get(f"/datasets/{job.dataset_id}/review{query}")
    assert answer.status_code == 200
    return answer.text


async def sent(browser: Browser, job: Job, **fields: Any) -> httpx.Response:
    return await browser.post(f"/datasets/{job.dataset_id}/review", **fields)


async def test_a_decision_leads_to_the_next_picture(browser: Browser, resources: Resources, job: Job) -> None:
    """In the same filter; the last one leads to an empty queue that says how to go on."""
    one, two = await pictures(resources, job, "ab", label="cat")
    assert f'data-image="{one}"' in await shown(browser, job, "?label=cat")
    made = await sent(browser, job, action="reject", image=one, seen=f"{one}:kept:", f_label="cat")
    assert made.status_code == 303
    assert f"image={two}" in made.headers["location"]
    assert "label=cat" in made.headers["location"]
    following = (await browser.get(made.headers["location"])).text
    assert "reject: 1 image." in following
    made = await sent(browser, job, action="keep", image=two, seen=f"{two}:kept:", f_label="cat")
    assert "Nothing is left to review here." in (await browser.get(made.headers["location"])).text


async def test_a_dataset_that_was_reviewed_says_so(browser: Browser, job: Job) -> None:
    """Without a filter there is no way to widen it."""
    page = await shown(browser, job)
    assert "Every picture was decided about." in page
    assert f"/v1/datasets/{job.dataset_id}/reviews" in page


async def test_the_selected_and_all_that_match(browser: Browser, resources: Resources, job: Job) -> None:
    """With a label and a note; all that match only with the confirmation, and in the number that was shown."""
    ids = await pictures(resources, job, "abc")
    await shown(browser, job)
    chosen = [f"{number}:kept:" for number in ids[:2]]
    made = await sent(browser, job, action="relabel", scope="chosen", chosen=chosen, label="tiger", note="stripes")
    assert made.status_code == 303
    items = (await browser.client.get("/v1/images")).json()["items"]
    assert [(item["label"], item["reviewed"]) for item in items] == [("tiger", "relabel"), ("tiger", "relabel"), (None, None)]
    assert (await sent(browser, job, action="reject", scope="matching", expected=1)).status_code == 422
    assert (await sent(browser, job, action="reject", scope="matching", expected=7, sure="yes")).status_code == 409
    assert (await sent(browser, job, action="reject", scope="matching", expected=1, sure="yes")).status_code == 303
    items = (await browser.client.get("/v1/images")).json()["items"]
    assert [item["status"] for item in items] == ["kept", "kept", "rejected"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "reject", "scope": "chosen"}, "nothing is selected"),
        ({"action": "throw", "seen": "1:kept:"}, "action"),
        ({"action": "relabel", "image": 1, "seen": "1:kept:"}, "relabel needs the new label"),
        ({"action": "reject", "seen": "1:vague:"}, "status"),
        ({"action": "reject", "seen": "1:kept:", "f_reason": "vague"}, "reason"),
        ({"action": "keep", "image": 99, "seen": "99:kept:"}, "has no image 99"),
    ],
)
async def test_a_form_that_cannot_be_used(browser: Browser, job: Job, fields: dict[str, Any], words: str) -> None:
    """A page that names what is wrong; nothing is changed."""
    await shown(browser, job)
    answer = await sent(browser, job, **fields)
    assert answer.status_code == 422
    assert words in answer.text


async def test_a_form_without_its_token_is_refused(browser: Browser, resources: Resources, job: Job) -> None:
    """As are all forms."""
    (one,) = await pictures(resources, job, "a")
    browser.token = "0" * 64
    assert (await sent(browser, job, action="reject", image=one, seen=f"{one}:kept:")).status_code == 403
    assert (await browser.client.get(f"/v1/images/{one}")).json()["status"] == "kept"


async def test_a_faster_reviewer_is_shown_beside(browser: Browser, resources: Resources, job: Job) -> None:
    """With what they decided and why; to decide all the same takes another click."""
    (one,) = await pictures(resources, job, "a")
    await shown(browser, job)
    faster = Decision(ReviewAction.KEEP, "harbour", "<b>mine</b>")
    await decide(resources, job.dataset_id, faster, Targets([Seen(one)]), caller=Caller("local"))
    made = await sent(browser, job, action="relabel", image=one, seen=f"{one}:kept:", label="boat")
    page = (await browser.get(made.headers["location"])).text
    assert "Somebody was faster" in page
    assert "&lt;b&gt;mine&lt;/b&gt;" in page
    assert "Decide relabel all the same" in page
    assert 'name="label" value="boat"' in page


async def test_the_other_picture_of_a_conflict_is_shown(browser: Browser, resources: Resources, job: Job) -> None:
    """Side by side, with its label; the reason is a filter."""
    (one,) = await pictures(resources, job, "a", label="cat")
    values = {"state": ImageState.REJECTED, "reason": Reason.LABEL_CONFLICT, "duplicate_of": one, "label": "dog"}
    (two,) = await pictures(resources, job, "b", **values)
    page = await shown(browser, job, "?reason=label_conflict")
    assert f'data-image="{two}"' in page
    assert f"/v1/images/{one}/content" in page
    assert "Keep as this" in page


async def test_an_undo_leads_back_to_its_picture(browser: Browser, resources: Resources, job: Job) -> None:
    """And can be undone itself; the log is on the page."""
    one, _ = await pictures(resources, job, "ab")
    await shown(browser, job)
    made = await sent(browser, job, action="reject", image=one, seen=f"{one}:kept:")
    review = made.headers["location"].partition("done=")[2].partition("&")[0]
    back = await sent(browser, job, action="undo", review=review, image=one)
    page = (await browser.get(back.headers["location"])).text
    assert f'data-image="{one}"' in page
    assert "Do it again" in page
    assert "taken back" in page


async def test_groups_of_duplicates(browser: Browser, resources: Resources, job: Job) -> None:
    """Another one is kept, and that is taken back; what is no duplicate is refused."""
    (one,) = await pictures(resources, job, "a", split="test")
    values = {"state": ImageState.DUPLICATE, "reason": Reason.DUPLICATE_NEAR, "duplicate_of": one, "phash": "0" * 15 + "7"}
    (two,) = await pictures(resources, job, "b", **values)
    path = f"/datasets/{job.dataset_id}/duplicates"
    page = (await browser.get(path)).text
    assert "3 of 64 bits differ" in page
    assert "1 copy" in page
    made = await browser.post(path, action="keep_instead", seen=f"{two}:duplicate:")
    assert '>keep_instead: <a href="/images/' in (await browser.get(made.headers["location"])).text
    review = made.headers["location"].partition("done=")[2]
    assert (await browser.post(path, action="undo", review=review)).status_code == 303
    assert (await browser.client.get(f"/v1/images/{one}")).json()["status"] == "kept"
    assert (await browser.post(path, action="keep_instead", seen=f"{one}:kept:")).status_code == 422
    assert (await browser.post(path, action="keep_instead", seen=f"{one}:nonsense:")).status_code == 422
    assert (await browser.get(f"{path}?cursor=%00")).status_code == 422
    assert (await browser.post(path, action="keep_instead", seen="x")).status_code == 422
    assert (await browser.post(path, action="reject", seen=f"{two}:duplicate:")).status_code == 422


async def test_a_dataset_without_duplicates_says_so(browser: Browser, job: Job) -> None:
    """And how they are found."""
    page = (await browser.get(f"/datasets/{job.dataset_id}/duplicates")).text
    assert "No duplicates." in page
    assert "validate.near_distance" in page


@pytest.mark.parametrize(
    ("text", "number"), [("17", 17), ("0", None), ("", None), ("-3", None), ("1e3", None), ("٣", None), ("9" * 19, None)]
)
def test_a_field_holds_a_number_or_none(text: str, number: int | None) -> None:
    """Of ASCII digits, that the database holds."""
    assert positive(text) == number


def test_what_was_seen_is_read_from_its_field() -> None:
    """Id, state and newest decision; none decided is not the same as not looked."""
    assert as_seen("17:kept:3") == {"id": 17, "status": "kept", "review_id": 3}
    assert as_seen("17:kept:") == {"id": 17, "status": "kept", "review_id": None}
