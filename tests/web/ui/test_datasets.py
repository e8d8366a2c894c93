from app.datasets import versions
from app.db import datasets, jobs
from app.domain import ImageState, Reason
from app.job_states import JobKind, JobState
from app.resources import Resources
from tests.web import seeds
from tests.web.ui.conftest import Browser


async def test_datasets_are_cards_and_found_by_name(browser: Browser, resources: Resources) -> None:
    """A name that no dataset has says so; without any dataset the way to one is shown."""
    page = (await browser.get("/datasets")).text
    assert "There is no dataset yet." in page
    job = await seeds.build(resources)
    image_id = await seeds.image(resources, job, body=b"picture")
    page = (await browser.get("/datasets?name=")).text
    assert f'href="/datasets/{job.dataset_id}"' in page
    assert f'src="/v1/images/{image_id}/thumbnail' in page
    assert "No dataset has this in its name." in (await browser.get("/datasets?name=zebra")).text


async def test_datasets_have_pages(browser: Browser, resources: Resources) -> None:
    """The name goes along."""
    for _ in range(3):
        await seeds.build(resources)
    page = (await browser.get("/datasets?limit=2&name=birds")).text
    assert page.count('class="cover"') == 2
    assert "/datasets?name=birds&amp;cursor=" in page


async def test_a_dataset_with_what_became_of_its_images(browser: Browser, resources: Resources) -> None:
    """Reasons lead to the gallery; the dataset to all that is there to look at."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.image(resources, job, "b.jpg", state=ImageState.REJECTED, reason=Reason.TOO_SMALL)
    await versions.ensure(resources, job.dataset_id)
    page = (await browser.get(f"/datasets/{job.dataset_id}")).text
    own = f"/datasets/{job.dataset_id}"
    for target in (
        f"{own}/images?reason=too_small",
        f"{own}/images",
        f"{own}/review",
        f"{own}/duplicates",
        f"/v1{own}/report",
        f"/v1{own}/lock",
    ):
        assert f'href="{target}"' in page
    assert f'href="/builds/new?like={job.id}"' in page
    assert "version 1.0.0" in page
    assert "Nothing was exported yet." in page
    assert f"/v1{own}/labels" in page


async def test_a_dataset_at_work_and_without_an_image(browser: Browser, resources: Resources) -> None:
    job = await seeds.build(resources)
    page = (await browser.get(f"/datasets/{job.dataset_id}")).text
    assert f'href="/jobs/{job.id}"' in page
    assert "No image is kept" in page
    assert "A version is recorded once" in page


async def test_deleting_names_what_goes_and_asks(browser: Browser, resources: Resources) -> None:
    """On a page, or for the dialog of a page; one post that is not sure asks again. A job at work forbids it in words."""
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    await seeds.image(resources, job, "a.jpg", b"aa")
    await seeds.export(resources, job, {"a.txt": b"a"})
    path = f"/datasets/{job.dataset_id}/delete"
    asked = await browser.get(path)
    for words in ("birds", "1 kept image of 1 candidate", "1 export", "2 B that nothing else needs", "cannot be taken back"):
        assert words in asked.text
    assert "<html" not in (await browser.get(path, **{"HX-Request": "true"})).text
    await browser.get("/")
    assert "Delete this dataset?" in (await browser.post(path)).text
    assert (await datasets.get_dataset(resources.db, job.dataset_id)).name == "birds"
    answer = await browser.post(path, sure="yes")
    assert (answer.status_code, answer.headers["location"]) == (303, "/datasets")
    assert (await browser.get(f"/datasets/{job.dataset_id}")).status_code == 404
    busy = await seeds.build(resources)
    refused = await browser.post(f"/datasets/{busy.dataset_id}/delete", sure="yes")
    assert (refused.status_code, "still works with dataset" in refused.text) == (409, True)


async def test_what_others_need_and_what_was_sent_stays(browser: Browser, resources: Resources) -> None:
    job, other = await seeds.build(resources, ended=JobState.SUCCEEDED), await seeds.build(resources)
    for each in (job, other):
        await seeds.image(resources, each, "a.jpg", b"aa")
    async with resources.db.write() as connection:
        await datasets.add_export(
            connection, user_id="local", dataset_id=job.dataset_id, job_id=job.id, export_format="csv", storage_tier="standard",
            destination="s3://bucket/birds",
        )  # fmt: skip
    asked = (await browser.get(f"/datasets/{job.dataset_id}/delete")).text
    assert "2 B more stay" in asked
    assert "What was sent stays there: s3://bucket/birds" in asked


async def test_an_update_is_asked_for_and_leads_to_its_job(browser: Browser, resources: Resources) -> None:
    job = await seeds.build(resources, ended=JobState.SUCCEEDED)
    await seeds.image(resources, job, "a.jpg", b"aa")
    path = f"/datasets/{job.dataset_id}/update"
    assert 'name="retry_failed"' in (await browser.get(path)).text
    answer = await browser.post(path, sure="yes", retry_failed="yes")
    made = answer.headers["location"].removeprefix("/jobs/")
    assert answer.status_code == 303
    update = await jobs.get(resources.db, made)
    assert (update.kind, update.spec["update_of"], update.spec["retry_failed"]) == (JobKind.BUILD, job.dataset_id, True)


async def test_a_dataset_of_another_user_is_not_there(browser: Browser, resources: Resources) -> None:
    """For no page and no form."""
    job = await seeds.build(resources, "bob", ended=JobState.SUCCEEDED)
    export_id = await seeds.export(resources, job, {"a.txt": b"a"})
    key = (await seeds.key_of(resources, "ann")).removeprefix("Bearer ")
    await browser.get("/signin")
    await browser.post("/signin", key=key)
    await browser.get("/")
    own = f"/datasets/{job.dataset_id}"
    for path in (
        own,
        f"{own}/delete",
        f"{own}/update",
        f"{own}/labels",
        f"{own}/licences",
        f"{own}/leaks",
        f"{own}/diff?against={job.dataset_id}",
    ):
        assert (await browser.get(path)).status_code == 404
    assert (await browser.get(f"/exports/{export_id}")).status_code == 404
    assert (await browser.get(f"{own}/exports", **{"HX-Request": "true"})).status_code == 404
    for path in ("delete", "update", "exports"):
        assert (await browser.post(f"{own}/{path}", sure="yes", export_format="files")).status_code == 404
    assert own not in (await browser.get("/datasets")).text
