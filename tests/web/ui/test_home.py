from app.domain import ImageState
from app.job_states import JobState
from app.jobs import submit
from app.resources import Resources
from app.spec import JobSpec
from app.web.ui.templating import POLICY
from tests.web import seeds
from tests.web.ui.conftest import Browser


async def test_an_empty_workspace_says_what_to_do(browser: Browser) -> None:
    answer = await browser.get("/")
    assert answer.status_code == 200
    assert "There is no dataset yet." in answer.text
    assert "pictrawl build" in answer.text
    assert "No job is at work." in answer.text


async def test_home_shows_jobs_at_work_jobs_that_ended_and_datasets(browser: Browser, resources: Resources) -> None:
    """With the figures of the API, the cover of a dataset, workers, queues and the disk."""
    running = await seeds.build(resources)
    ended = await seeds.build(resources, ended=JobState.FAILED)
    image_id = await seeds.image(resources, ended, body=b"picture")
    page = (await browser.get("/")).text
    assert f'href="/jobs/{running.id}"' in page
    assert f'href="/jobs/{ended.id}"' in page
    assert 'data-tone="dropped">failed' in page
    assert f'src="/v1/images/{image_id}/thumbnail?placeholder=true"' in page
    assert "0 alive" in page
    assert "free of" in page


async def test_a_script_gets_the_live_part_alone(browser: Browser, resources: Resources) -> None:
    """The same as in the page, without its frame."""
    await seeds.build(resources)
    part = (await browser.get("/", **{"HX-Request": "true"})).text
    assert "<html" not in part
    assert "At work" in part


async def test_every_page_forbids_what_it_does_not_need(browser: Browser) -> None:
    """No inline script or style, nothing from elsewhere, no frame around it."""
    for path in ("/", "/signin", "/nope"):
        answer = await browser.get(path)
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "Cookie" in answer.headers["vary"]
        assert "style=" not in answer.text
        assert "onclick" not in answer.text
    assert "unsafe" not in POLICY


async def test_an_error_is_a_page_for_a_browser_and_a_problem_for_a_script(browser: Browser) -> None:
    page = await browser.get("/nope")
    assert page.status_code == 404
    assert "There is no route with this path." in page.text
    assert page.headers["x-request-id"] in page.text
    for answer in (await browser.get("/nope", **{"HX-Request": "true"}), await browser.client.get("/nope"), await browser.get("/v1/nope")):
        assert answer.headers["content-type"] == "application/problem+json"


async def test_names_of_strangers_are_text(browser: Browser, resources: Resources) -> None:
    """Whatever a keyword holds."""
    name = '"><script>alert(1)</script>{{7*7}}'
    await submit.submit_build(resources, JobSpec(url_list=seeds.LIST), name=name, caller=submit.Caller("local", "req_1"))
    page = (await browser.get("/")).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{7*7}}" in page


async def test_a_dataset_without_a_kept_picture_says_so(browser: Browser, resources: Resources) -> None:
    job = await seeds.build(resources, ended=JobState.FAILED)
    await seeds.image(resources, job, state=ImageState.FAILED)
    assert "no picture kept" in (await browser.get("/")).text
